"""The demo: three studies of real cells, one store, the same model trained twice."""

from __future__ import annotations

import shlex
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import anndata as ad
import numpy as np
import pytest
from click.testing import CliRunner

import dao
from dao.cli import main

pytest.importorskip("torch")
pytest.importorskip("scanpy")

import torch

from dao.cli import demo
from dao.cli.demo import Comparison, run_demo
from dao.cli.studies import read_in_memory, write_studies

if TYPE_CHECKING:
    from pathlib import Path

AGREEING = Comparison(
    same_cells=True, n_values=1000, n_differing=0, from_store=0.80, from_memory=0.81, n_test=100
)


def next_lines(output: str) -> list[str]:
    """Return the lines that the demo ends with."""
    return [line.strip() for line in output.split("\nNext\n")[1].splitlines()]


def test_the_demo_ends_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Store and memory agree, in plain text; what was kept is sound and the last lines work."""
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, ["demo", "--keep", "my demo"])
    assert result.exit_code == 0, result.output
    assert "The same within noise" in result.stdout
    assert "WRONG" not in result.stdout
    assert "\x1b" not in result.output
    assert dao.validate_store("my demo/demo.dao").ok
    assert dao.load_store("my demo/demo.dao").n_obs == 700
    info, validate, python = next_lines(result.stdout)
    for line in (info, validate):
        assert CliRunner().invoke(main, shlex.split(line)[1:]).exit_code == 0
    shown = subprocess.run(
        [sys.executable, *shlex.split(python)[1:]], capture_output=True, text=True, check=True
    )
    assert "233 of 700 cells" in shown.stdout


def test_the_demo_is_the_same_every_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both accuracies are, and what is not kept leaves nothing behind."""
    folders: list[Path] = []

    def remember(folder: Path) -> list[object]:
        folders.append(folder)
        return write_studies(folder)

    monkeypatch.setattr("dao.cli.studies.write_studies", remember)
    torch.manual_seed(1)
    first = run_demo()
    torch.manual_seed(2)
    second = run_demo()
    assert first == second
    assert first.agree
    # Far above naming the most frequent type, which is a third of the cells.
    assert min(first.from_store, first.from_memory) > 0.7
    assert len(folders) == 2
    assert not any(f.exists() for f in folders)


def test_disagreement_is_exit_code_1(monkeypatch: pytest.MonkeyPatch) -> None:
    """The verdict is computed, and so is the exit code."""
    monkeypatch.setattr(demo, "TOLERANCE", -1.0)
    result = CliRunner().invoke(main, ["demo"])
    assert result.exit_code == 1
    assert "They do not agree" in result.stdout
    assert "WRONG accuracies differ" in result.stdout


def test_other_cells_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that gave back other values would not pass, however good the model is."""
    to_anndata = dao.Store.to_anndata

    def altered(store: dao.Store) -> ad.AnnData:
        cells = to_anndata(store)
        cells.X[0, int(cells.X[0].indices[0])] += 1
        return cells

    monkeypatch.setattr(dao.Store, "to_anndata", altered)
    comparison = run_demo()
    assert comparison.n_differing == 1
    assert not comparison.agree


def test_agreement() -> None:
    """Cells, values and accuracies must all agree."""
    assert AGREEING.agree
    assert AGREEING.difference == pytest.approx(0.01)
    assert not replace(AGREEING, same_cells=False).agree
    assert not replace(AGREEING, n_differing=1).agree
    assert not replace(AGREEING, from_store=0.70).agree
    assert not replace(AGREEING, from_store=0.90).agree


def test_keep_takes_an_empty_folder_only(tmp_path: Path) -> None:
    """Files that lie there already are never touched."""
    (tmp_path / "north.h5ad").write_text("mine")
    for folder in (tmp_path, tmp_path / "north.h5ad"):
        result = CliRunner().invoke(main, ["demo", "--keep", str(folder)])
        assert result.exit_code == 2
        assert result.stderr.startswith("Error: --keep")
    assert [p.name for p in tmp_path.iterdir()] == ["north.h5ad"]
    assert (tmp_path / "north.h5ad").read_text() == "mine"


def test_the_studies_disagree(tmp_path: Path) -> None:
    """They differ in genes, in their order and in the name of the labels; no cell is lost."""
    files = write_studies(tmp_path)
    studies = [ad.read_h5ad(f.path) for f in files]
    assert len({f.label for f in files}) == 3
    assert all(f.label in s.obs for f, s in zip(files, studies, strict=True))
    assert len({frozenset(s.var_names) for s in studies}) == 3
    shared = set.intersection(*(set(s.var_names) for s in studies))
    orders = {tuple(g for g in s.var_names if g in shared) for s in studies}
    assert len(orders) == 3
    whole = read_in_memory(files)
    assert whole.n_obs == 700
    assert whole.obs_names.is_unique
    published = published_values(list(whole.obs_names))
    for file, study in zip(files, studies, strict=True):
        own = whole[list(study.obs_names), list(study.var_names)]
        np.testing.assert_array_equal(own.X.toarray(), study.X.toarray())
        names = list(study.var_names)
        wanted = published[list(study.obs_names), names].X.toarray()
        np.testing.assert_array_equal(study.X.toarray(), wanted)
        assert file.n_vars == study.n_vars


def published_values(names: list[str]) -> ad.AnnData:
    """Return the published log-normalised values."""
    import warnings

    import scanpy

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return scanpy.datasets.pbmc68k_reduced()[names].raw.to_adata()
