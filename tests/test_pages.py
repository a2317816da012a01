"""Every block of code on the pages runs, in order and as written.

Doctests are run by pytest and ``{code-cell}`` by the documentation build. This file runs the rest:
``python``, ``sh`` and ``toml`` blocks, together with the doctests of their page that come before
them. Blocks that show the code of other projects are ``{code-block}``; text is ``text``.
"""

from __future__ import annotations

import ast
import doctest
import gzip
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import zarr

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    p
    for p in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    if not {"_build", "design"} & set(p.parts)
)
FENCE = re.compile(r"^( *)(`{3,}|~{3,})([^\n]*)\n(.*?)^\1\2`*[ \t]*$", re.MULTILINE | re.DOTALL)
# Commands that set a machine up. The build itself, or a test of its own, runs them.
SETUP = ("make", "git", "pip", ".venv/bin/pytest", ".venv/bin/pre-commit", "dao demo")

pytestmark = pytest.mark.once


@dataclass(frozen=True)
class Block:
    """A fenced block of a page: what it is written in, and its text."""

    language: str
    text: str

    @property
    def is_doctest(self) -> bool:
        return self.language == "python" and ">>> " in self.text


def blocks_of(page: Path) -> list[Block]:
    """Return the fenced blocks of a page, in order."""
    found = FENCE.finditer(page.read_text(encoding="utf-8"))
    return [Block(m[3].strip(), m[4]) for m in found]


def to_run(page: Path) -> list[Block]:
    """Return the blocks that this file runs."""
    return [
        b
        for b in blocks_of(page)
        if (b.language == "python" and not b.is_doctest)
        or b.language == "toml"
        or (b.language == "sh" and commands(b))
    ]


def commands(block: Block) -> list[str]:
    """Return the commands of a shell block, without those that set a machine up."""
    lines = [line.split("  #")[0].rstrip() for line in block.text.splitlines()]
    return [line for line in lines if line and not line.startswith(SETUP)]


# --- what pages find when they begin ----------------------------------------------------------


def study(seed: int, name: str, n_obs: int = 300) -> ad.AnnData:
    """Return a study with the obs columns that the pages use."""
    random = np.random.default_rng(seed)
    counts = random.poisson(1.0, (n_obs, 40)).astype(np.float32)
    obs = pd.DataFrame(
        {
            "cell_type": pd.Categorical(random.choice(["B cell", "T cell"], n_obs)),
            "Celltype": pd.Categorical(random.choice(["B cell", "T cell"], n_obs)),
            "Sex": pd.Categorical(random.choice(["M", "F"], n_obs)),
            "tissue": pd.Categorical(random.choice(["colon", "lung", "blood"], n_obs)),
            "disease": pd.Categorical(random.choice(["normal", "cancer"], n_obs)),
            "donor": pd.Categorical(random.choice([f"{name}{i}" for i in range(6)], n_obs)),
            "n_counts": counts.sum(axis=1) + 990,
            "n_genes": (counts > 0).sum(axis=1) + 180,
        },
        index=[f"{name}-{i}" for i in range(n_obs)],
    )
    return ad.AnnData(counts, obs, pd.DataFrame(index=[f"GENE{i}" for i in range(40)]))


def files(*names: str) -> None:
    """Write studies into the current folder."""
    for seed, name in enumerate(names):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        study(seed, Path(name).stem).write_h5ad(name)


def write_gtf(name: str) -> None:
    """Write the genes of the studies as an annotation in the form of GENCODE."""
    genes = "".join(
        f'chr1\tx\tgene\t1\t2\t.\t+\t.\tgene_id "ENSG{i:011d}"; gene_name "GENE{i}"; '
        f'gene_type "{"protein_coding" if i < 30 else "lncRNA"}";\n'
        for i in range(40)
    )
    Path(name).write_bytes(gzip.compress(genes.encode()))


def for_readme(request: pytest.FixtureRequest) -> dict[str, Any]:
    files("gut.h5ad", "blood.h5ad")
    return {}


def for_index(request: pytest.FixtureRequest) -> dict[str, Any]:
    files("gut.h5ad", "blood.h5ad")
    return {"dao": __import__("dao"), "model": lambda x, y: float(len(y))}


def for_report(request: pytest.FixtureRequest) -> dict[str, Any]:
    import dao

    files("gut.h5ad", "blood.h5ad")
    store = dao.write_store("atlas.dao", ["gut.h5ad", "blood.h5ad"], progress=False)
    return {"dao": dao, "store": store}


def for_frameworks(request: pytest.FixtureRequest) -> dict[str, Any]:
    pytest.importorskip("torch")
    pytest.importorskip("tensorflow")
    pytest.importorskip("lightning")
    pytest.importorskip("sklearn")
    return {}


def for_cloud(request: pytest.FixtureRequest) -> dict[str, Any]:
    request.getfixturevalue("bucket")
    files("colon.h5ad", "ileum.h5ad")
    return {}


def for_other_stores(request: pytest.FixtureRequest) -> dict[str, Any]:
    Path("old_store").symlink_to(request.getfixturevalue("shared_data") / "sfaira_dao_v2")
    group = zarr.open_group("collection.zarr", mode="w", zarr_format=3)
    group.attrs.update({"encoding-type": "annbatch-preshuffled", "encoding-version": "0.1.0"})
    ad.io.write_elem(group, "dataset_0", study(0, "gut"))
    return {}


def for_backends(request: pytest.FixtureRequest) -> dict[str, Any]:
    import dao

    return {"dao": dao, "store_path": request.getfixturevalue("example_store_path")}


def for_cli(request: pytest.FixtureRequest) -> dict[str, Any]:
    files("scp1884.h5ad", "blood.h5ad", "gut.h5ad", "lung.h5ad")
    files("studies/gut.h5ad", "studies/lung.h5ad")
    gut = study(2, "gut")
    del gut.obs["Celltype"]
    gut.write_h5ad("studies/gut.h5ad")
    lung = study(3, "lung")
    del lung.obs["cell_type"]
    lung.write_h5ad("studies/lung.h5ad")
    write_gtf("gencode.gtf.gz")
    Path("old_names.csv").write_text("alias,symbol\nACPP,GENE1\n", encoding="utf-8")
    return {}


def for_atlas(request: pytest.FixtureRequest) -> dict[str, Any]:
    shared = request.getfixturevalue("shared_data")
    named = {"gut": "scp1884_gut", "pan": "cellxgene_pan_tissue", "pbmc": "pbmc10k_protein_v3"}
    for name, file in {**named, "zheng": "zheng68k"}.items():
        Path(f"{name}.h5ad").symlink_to(shared / f"{file}.h5ad")
    write_gtf("gencode.v44.annotation.gtf.gz")
    return {"dao": __import__("dao")}


def nothing(request: pytest.FixtureRequest) -> dict[str, Any]:
    return {}


BEGINNINGS: dict[str, Callable[[pytest.FixtureRequest], dict[str, Any]]] = {
    "README.md": for_readme,
    "docs/backends.md": for_backends,
    "docs/cli.md": for_cli,
    "docs/cloud.md": for_cloud,
    "docs/frameworks.md": for_frameworks,
    "docs/index.md": for_index,
    "docs/other-stores.md": for_other_stores,
    "docs/report.md": for_report,
    "docs/tutorials/atlas.md": for_atlas,
}


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """A real S3 server with the bucket of the page, found through the environment."""
    boto3 = pytest.importorskip("boto3")
    moto = pytest.importorskip("moto.server")
    server = moto.ThreadedMotoServer(port=0, verbose=False)
    server.start()
    address = f"http://127.0.0.1:{server.get_host_and_port()[1]}"
    for name in [n for n in os.environ if n.startswith("AWS_")]:
        monkeypatch.delenv(name)
    keys = {"AWS_ACCESS_KEY_ID": "someone", "AWS_SECRET_ACCESS_KEY": "secret"}
    settings = {**keys, "AWS_REGION": "us-east-1", "AWS_ENDPOINT_URL": address}
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    boto3.client("s3", endpoint_url=address, region_name="us-east-1").create_bucket(
        Bucket="lab-atlases"
    )
    yield address
    server.stop()


# --- running ------------------------------------------------------------------------------------


def run_doctest(block: Block, names: dict[str, Any], page: str) -> None:
    """Run the statements of a doctest; pytest compares what they print elsewhere."""
    for example in doctest.DocTestParser().get_examples(block.text):
        code = compile(example.source, page, "exec")
        if example.exc_msg is None:
            exec(code, names)
        else:
            with pytest.raises(Exception, match=r"\S"):
                exec(code, names)


def run_python(block: Block, names: dict[str, Any], page: str) -> None:
    """Run Python as written; a script with a main guard in a process of its own."""
    if "import annbatch" in block.text and find_spec("annbatch") is None:
        return  # it needs Python 3.12; tests/test_annbatch.py runs the same loop
    if "__main__" in block.text:
        Path("script.py").write_text(block.text, encoding="utf-8")
        done = subprocess.run(
            [sys.executable, "script.py"], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    else:
        names["__name__"] = "__page__"
        exec(compile(block.text, page, "exec"), names)


def run_shell(block: Block) -> None:
    """Run commands with bash; lines after one that begins with "$" are what it prints."""
    lines = commands(block)
    shown = [line for line in lines if not line.startswith("$ ")]
    asked = [line[2:] for line in lines if line.startswith("$ ")]
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for line in asked or lines:
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", line],
            env={**os.environ, "PATH": programs},
            capture_output=True,
            text=True,
            check=False,
        )
        if asked:
            assert (done.stdout + done.stderr).splitlines() == shown
        else:
            assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize(
    "page", [p for p in PAGES if to_run(p)], ids=lambda p: str(p.relative_to(ROOT))
)
def test_the_blocks_run(
    page: Path, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page runs from its first block to its last, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    where = page.relative_to(ROOT).as_posix()
    names = BEGINNINGS.get(where, nothing)(request)
    plain = any(b.language == "python" and not b.is_doctest for b in blocks_of(page))
    needs_doctests = plain and where != "docs/tutorials/atlas.md"  # its plain blocks stand alone
    for block in blocks_of(page):
        if block.language == "toml":  # a recipe, which the commands around it name
            Path("atlas.toml").write_text(block.text, encoding="utf-8")
    for block in blocks_of(page):
        if block.is_doctest and needs_doctests:
            run_doctest(block, names, where)
        elif block.language == "python" and not block.is_doctest:
            run_python(block, names, where)
        elif block.language == "sh":
            run_shell(block)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_block_says_what_it_is(page: Path) -> None:
    """A block that has no language, or is only indented, would run nowhere."""
    known = re.compile(r"python|sh|toml|text|mermaid|\{[\w-]+\}.*")
    assert [b.language for b in blocks_of(page) if not known.fullmatch(b.language)] == []
    outside = FENCE.sub("", page.read_text(encoding="utf-8"))
    indented = re.findall(r"(?<=\n\n)    [^\n]*|(?<=\n\n)\t[^\n]*", outside)
    assert indented == []


def test_code_of_others_is_only_on_the_pages_about_them() -> None:
    """Nothing of dao is shown without being run."""
    for page in PAGES:
        for block in blocks_of(page):
            if block.language.startswith("{code-block}"):
                assert page.name.startswith(("coming-from-", "write-a-")), page
                if block.language.endswith("python"):
                    ast.parse(block.text)
                    assert "import dao" not in block.text


def test_tutorials_share_a_folder() -> None:
    """No two of them write the same store: people run them one after another in one folder."""
    written: dict[str, str] = {}
    for page in sorted((ROOT / "docs" / "tutorials").glob("*.md")):
        stores = re.findall(
            r'write_store\(\s*"([^"]+)"', page.read_text(encoding="utf-8"), re.DOTALL
        )
        for store in set(stores):
            assert store not in written, f"{page.name} and {written.get(store)} write {store}"
            written[store] = page.name
