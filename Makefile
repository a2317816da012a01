# What can be done here, one word each. Everything starts from a bare python3 (3.11 or newer); an
# environment is made once, and again only when pyproject.toml or constraints.txt have changed.

PYTHON ?= python3
PYTHON313 := $(shell .ci/find-python 3.13)
BIN := .venv/bin
# How long `make fuzz` runs.
MINUTES ?= 30
# The emulator of Azure's storage is a program for node; without npm its test is skipped.
AZURITE := $(if $(shell command -v npm),.azurite/.done)

export PIP_DISABLE_PIP_VERSION_CHECK = 1

.PHONY: help demo test lint unit docs dist core no-core bench bench-scale bench-memory bench-cliffs
.PHONY: fuzz fuzz-core soak clean

help:
	@echo "make demo   write a store from single-cell studies and train on a part of it"
	@echo "make test   everything that must pass: lint, unit, docs, dist, core"
	@echo "make lint   style and types"
	@echo "make unit   the tests, with the examples in docstrings and docs"
	@echo "make docs   the documentation, into docs/_build/html"
	@echo "make dist   sdist and wheel, into dist/; looked into, installed and tried"
	@echo "make core   the tests on Python 3.13 without torch and tensorflow"
	@echo "make bench  the comparison with other loaders, into docs/benchmarks.md; half an hour"
	@echo "            options go into ARGS='...'; ARGS=--quick only shows that it runs"
	@echo "make bench-scale  how cost grows with the number of cells, into docs/benchmarks/"
	@echo "make bench-memory  the peak memory of writing beside what it may hold; minutes"
	@echo "make bench-cliffs  inputs that once took minutes, each with a bound; a minute or two"
	@echo "make fuzz   half an hour of random stores, operations and arguments, held against pandas,"
	@echo "            scipy and anndata; make fuzz MINUTES=5; make fuzz-core on Python 3.13"
	@echo "make soak   half an hour of epochs that end in all ways; memory, threads and files stay;"
	@echo "            and a minute of eight readers beside a writer"
	@echo "make clean  remove everything that was made here"

demo: .venv/.demo
	$(BIN)/dao demo

test: lint unit docs dist $(if $(PYTHON313),core,no-core)

lint: .venv/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

unit: .venv/.dev $(AZURITE)
	PATH="$(CURDIR)/.azurite/node_modules/.bin:$$PATH" $(BIN)/pytest -n 2

docs: .venv/.dev
	$(BIN)/sphinx-build -q -E -W --keep-going -j 2 docs docs/_build/html

dist: .venv/.dev
	$(BIN)/python tests/dist/check.py

core: .venv313/.core
	.venv313/bin/pytest -n 2 -m "not once" tests

no-core:
	@echo "no working python3.13 here: the core tests on it were left out"

bench: .venv/.dev
	$(BIN)/python tests/benchmarks/run.py $(ARGS)

bench-scale: .venv/.dev
	$(BIN)/python tests/benchmarks/scale.py --draw docs/benchmarks $(ARGS)

bench-memory: .venv/.dev
	$(BIN)/python tests/benchmarks/memory.py $(ARGS)

bench-cliffs: .venv/.dev
	$(BIN)/python tests/benchmarks/cliffs.py $(ARGS)

fuzz: .venv/.dev
	$(BIN)/python tests/fuzz --minutes $(MINUTES) $(ARGS)

fuzz-core: .venv313/.core
	.venv313/bin/python tests/fuzz --minutes $(MINUTES) $(ARGS)

soak: .venv/.dev
	DAO_SOAK_MINUTES=30 $(BIN)/pytest -n 3 tests/test_buffers.py tests/test_readers_and_writer.py \
		-k 'soak or disturbs'

clean:
	rm -rf .azurite .venv .venv313 .venv-annbatch .venv-scdataset build dist docs/_build
	rm -rf .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find dao backends tests docs -name __pycache__ -prune -exec rm -rf {} +

# The environments. pip only speaks of errors (-qq), and knows --group since 25.1.

.venv/.demo: pyproject.toml constraints.txt
	@echo "making .venv for the demo: a few minutes, once"
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -qq --constraint constraints.txt --editable '.[demo]'
	@touch $@

.venv/.dev: pyproject.toml constraints.txt
	@echo "making .venv for development: a few minutes, once"
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -qq 'pip>=25.1'
	$(BIN)/pip install -qq --constraint constraints.txt --editable '.[all]' --group dev
	@touch $@ .venv/.demo # the demo needs nothing more

.azurite/.done:
	npm install --silent --no-audit --no-fund --prefix .azurite azurite@3.35 || mkdir -p .azurite
	@touch $@

.venv313/.core: pyproject.toml constraints.txt
	@echo "making .venv313: a minute, once"
	$(PYTHON313) -m venv .venv313
	.venv313/bin/python -m pip install -qq 'pip>=25.1'
	.venv313/bin/pip install -qq --upgrade --editable . --group test
	@touch $@
