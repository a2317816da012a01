"""The contract on the backends over files that dao did not write."""

from __future__ import annotations

import os
import pickle
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr

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


class TestSfaira(BackendContract):
    """Datasets as sfaira writes them: X alone, dense; a change while they are open is seen."""

    backend_name = "sfaira"
    matrices = ("X",)
    repeats = False
    damage_is = (CorruptStoreError, StoreChangedError)
    opens_damaged = False

    def write_reference(self, path: Path, studies: dict[str, Any]) -> None:
        for name, study in studies.items():
            folder = path / name
            for part in ("zarr", "parquet", "pickle"):
                (folder / part).mkdir(parents=True)
            x = study.X.toarray() if hasattr(study.X, "toarray") else np.asarray(study.X)
            group = zarr.open_group(folder / "zarr", mode="w", zarr_format=2)
            array = group.create_array("X", shape=x.shape, dtype=x.dtype, chunks=(128, x.shape[1]))
            array[:] = x
            study.obs.to_parquet(folder / "parquet" / "obs.parquet")
            study.var.to_parquet(folder / "parquet" / "var.parquet")
            (folder / "pickle" / "uns.pickle").write_bytes(pickle.dumps(dict(study.uns)))

    def damages(self) -> list[Callable[[Path], None]]:
        def remove(store: Path) -> None:
            (store / "large" / "zarr" / "X" / "7.0").unlink()

        def truncate(store: Path) -> None:
            os.truncate(store / "large" / "zarr" / "X" / "7.0", 100)

        def alter(store: Path) -> None:
            (store / "large" / "zarr" / "X" / "7.0").write_bytes(b"\0" * 100)

        return [remove, truncate, alter]
