"""The arrows between the rooms, read from the source code."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DAO = ROOT / "dao"
HEAVY = (
    "torch",
    "tensorflow",
    "jax",
    "dask",
    "zarr",
    "pyarrow",
    "pandas",
    "anndata",
    "scipy",
    "numba",
)
INPUT_AND_OUTPUT = {
    "anndata", "fcntl", "h5py", "io", "os", "pathlib", "pyarrow", "shutil", "tempfile", "zarr",
}  # fmt: skip
FRAMEWORKS = {"torch", "tensorflow", "keras", "jax", "lightning", "scvi"}
MAY_IMPORT_FRAMEWORKS = {
    "batches/device.py",
    "batches/jax.py",
    "batches/tensorflow.py",
    "batches/tensorflow_tensors.py",
    "batches/torch.py",
    "batches/torch_interleave.py",
    "batches/torch_loader.py",
    "batches/torch_rows.py",
    "cli/training.py",
    "integrations/lightning.py",
    "integrations/loader.py",
    "integrations/monitor.py",
    "integrations/scvi.py",
    "integrations/scvi_categories.py",
    "integrations/scvi_fields.py",
    "integrations/scvi_query.py",
    "integrations/scvi_reference.py",
    "integrations/scvi_registry.py",
}

MAY_IMPORT_DASK = {
    "dao/lazy/array.py",
    "dao/lazy/frame.py",
    "backends/dao_backends/dask/reader.py",
    "backends/dao_backends/dask/schedulers.py",
}


def imported(path: Path) -> set[str]:
    """Return the modules that a file imports when it runs (not those for types only)."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            node.body = []
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def modules(folder: Path) -> list[Path]:
    """Return the modules of a package; there are some, or a test would show nothing."""
    found = sorted(folder.rglob("*.py"))
    assert found
    return found


def roots(path: Path) -> set[str]:
    """Return the top-level packages that a file imports."""
    return {name.partition(".")[0] for name in imported(path)}


def test_dao_does_not_know_its_backends() -> None:
    """Backends are found through entry points, never imported."""
    for path in modules(DAO):
        assert "dao_backends" not in roots(path), path


def test_the_format_does_no_input_or_output() -> None:
    """dao.format is values and checks."""
    for path in modules(DAO / "format"):
        assert not roots(path) & INPUT_AND_OUTPUT, path


def test_nothing_imports_the_command_line() -> None:
    """The command line uses the library, not the other way round."""
    for path in [*modules(DAO), *modules(ROOT / "backends")]:
        if path.parent != DAO / "cli" and path != DAO / "__main__.py":
            assert not {n for n in imported(path) if n.startswith("dao.cli")}, path


def test_only_adaptors_import_frameworks() -> None:
    """torch and tensorflow are imported by their adaptors (and the demo's training) alone."""
    for path in [*modules(DAO), *modules(ROOT / "backends")]:
        if path.is_relative_to(DAO) and str(path.relative_to(DAO)) in MAY_IMPORT_FRAMEWORKS:
            assert roots(path) & FRAMEWORKS
            continue
        assert not roots(path) & FRAMEWORKS, path


def test_only_collections_import_dask() -> None:
    """dask is imported where its collections are made and where its schedulers are asked."""
    for path in [*modules(DAO), *modules(ROOT / "backends")]:
        name = str(path.relative_to(ROOT))
        assert (name in MAY_IMPORT_DASK) == bool(roots(path) & {"dask", "distributed"}), path


def test_reading_does_not_import_writing() -> None:
    """The batches, samplers, filters and backends know nothing of the writer."""
    for folder in ("batches", "samplers", "where", "format"):
        for path in modules(DAO / folder):
            assert not {n for n in imported(path) if n.startswith("dao.write")}, path


def test_only_foreign_files_are_read_by_way_of_the_writer() -> None:
    """Backends of dao's own format know nothing of writing; others align as the writer does."""
    backends = ROOT / "backends" / "dao_backends"
    users = {
        str(path.relative_to(backends))
        for path in modules(backends)
        if {n for n in imported(path) if n.startswith("dao.write")}
    }
    assert {name.partition("/")[0] for name in users} == {"foreign", "sfaira.py"}


@pytest.mark.parametrize("statement", ["import dao", "import dao; dir(dao); dao.__version__"])
def test_import_is_light(statement: str) -> None:
    """`import dao` loads none of the heavy packages."""
    code = f"import sys\n{statement}\nprint(*[m for m in {HEAVY!r} if m in sys.modules])"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.split() == []
