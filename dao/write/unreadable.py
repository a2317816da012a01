"""What to say of a path that is none of the formats that sources have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import h5py

from dao.errors import SourceError
from dao.format.manifest import MANIFEST_NAME

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["check_is_anndata", "check_is_hdf5", "check_is_zarr", "is_zarr"]

_ZARR = ("zarr.json", ".zgroup", ".zmetadata")


def is_zarr(folder: Path) -> bool:
    """Whether a folder has the files of a Zarr group."""
    return any((folder / name).exists() for name in _ZARR)


def check_is_hdf5(path: Path) -> None:
    """Refuse a file whose first bytes are not those of HDF5.

    Raises
    ------
    dao.errors.SourceError
        Saying what it is instead, as far as that can be seen.
    """
    with path.open("rb"):
        pass  # else HDF5 would say of a file that may not be read that it is another
    if not path.stat().st_size:
        msg = f"{path} is empty, 0 bytes. Copy it again; a copy may have been cut short."
    elif not h5py.is_hdf5(path):
        msg = (
            f"{path} is not an HDF5 file, as .h5ad and 10x .h5 are. Copy it again if it should be "
            "one; read other formats with anndata or scanpy, and pass the AnnData."
        )
    else:
        return
    raise SourceError(msg)


def check_is_zarr(folder: Path) -> None:
    """Refuse a folder without the files of a Zarr group.

    Raises
    ------
    dao.errors.SourceError
        Saying what it is instead, as far as that can be seen.
    """
    if is_zarr(folder):
        return
    if (folder / MANIFEST_NAME).exists():
        hint = "It is a dao store: pass dao.load_store(path)."
    else:
        hint = "Pass a .h5ad file, a folder of them, or the folder of an anndata .zarr."
    msg = f"{folder} is a folder without .h5ad files, and not an anndata .zarr. {hint}"
    raise SourceError(msg)


def check_is_anndata(label: str, group: Any, kind: str) -> None:
    """Refuse an open file or folder that is not an AnnData.

    Raises
    ------
    dao.errors.SourceError
        Saying what it is instead, as far as that can be seen.
    """
    if "mod" in group:
        names = sorted(group["mod"])
        msg = (
            f"{label} is a MuData of {', '.join(map(repr, names))}. A store holds one modality: "
            f"pass mudata.read(path)[{names[0]!r}], or write each into a store of its own."
            if names
            else f"{label} is a MuData without modalities."
        )
        raise SourceError(msg)
    missing = [name for name in ("obs", "var") if name not in group]
    if not missing:
        return
    hint = "Read it with anndata or scanpy, and pass the AnnData."
    if {"row_attrs", "col_attrs"} <= set(group):
        hint = "It is a loom file: pass anndata.io.read_loom(path)."
    elif "barcodes" in group:
        hint = "It looks like a file of molecules: pass the filtered_feature_bc_matrix.h5."
    msg = f"{label} is not an {kind} file: it has no {missing[0]!r}. {hint}"
    raise SourceError(msg)
