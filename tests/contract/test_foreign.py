"""The contract on the backends over files that dao did not write."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from dao.errors import CorruptStoreError, StoreChangedError
from dao.testing import BackendContract

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class TestH5ad(BackendContract):
    """Studies as .h5ad files: HDF5 keeps no checksums, but a change while they are open is seen."""

    backend_name = "h5ad"
    backend_options = {"layers": ["twice"], "obsm": ["pca"]}  # noqa: RUF012
    damage_is = (CorruptStoreError, StoreChangedError)
    opens_damaged = False

    def write_reference(self, path: Path, studies: dict[str, Any]) -> None:
        path.mkdir()
        for name, study in studies.items():
            study.write_h5ad(path / f"{name}.h5ad")

    def damages(self) -> list[Callable[[Path], None]]:
        def remove(folder: Path) -> None:
            (folder / "large.h5ad").unlink()

        def truncate(folder: Path) -> None:
            os.truncate(folder / "large.h5ad", 10_000)

        def alter(folder: Path) -> None:
            with (folder / "large.h5ad").open("r+b") as file:
                file.seek(50_000)
                file.write(b"\0" * 64)

        return [remove, truncate, alter]


class TestCompressedH5ad(TestH5ad):
    """The same with gzip, where chunks are decoded in threads."""

    def write_reference(self, path: Path, studies: dict[str, Any]) -> None:
        path.mkdir()
        for name, study in studies.items():
            study.write_h5ad(path / f"{name}.h5ad", compression="gzip")
