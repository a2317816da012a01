"""The tutorial on real files runs where the files are."""

from __future__ import annotations

from pathlib import Path

import pytest

SHARED = Path(__file__).parents[3] / "shared" / "data"
FILES = {
    "gut.h5ad": "scp1884_gut.h5ad",
    "pan.h5ad": "cellxgene_pan_tissue.h5ad",
    "pbmc.h5ad": "pbmc10k_protein_v3.h5ad",
    "zheng.h5ad": "zheng68k.h5ad",
}

collect_ignore = [] if SHARED.is_dir() else ["atlas.md"]


@pytest.fixture(autouse=True)
def _files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the files of the tutorial into the folder in which it runs, and set its width."""
    for name, file in FILES.items():
        if SHARED.is_dir():
            (tmp_path / name).symlink_to(SHARED / file)
    monkeypatch.setenv("COLUMNS", "120")
