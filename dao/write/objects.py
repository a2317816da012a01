"""AnnData objects as sources: in memory, backed by a file, read lazily, or views of these.

What the object holds is written, also where the file behind it holds something else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import h5py
import pandas as pd
import zarr

from dao.errors import DaoError, SourceError
from dao.write.contents import OpenSource, check_key, no_x, without_x, x_name
from dao.write.elements import HELD, stored_element
from dao.write.lazy import dask_matrix, is_dask, view_matrix
from dao.write.matrix import SourceMatrix, dense_matrix, memory_matrix

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import ExitStack

    from dao.write.source import Source

__all__ = ["open_object"]


def open_object(source: Source, adata: Any, stack: ExitStack) -> OpenSource:
    """Open an AnnData; matrices that are not in memory are read in pieces.

    Parameters
    ----------
    stack
        Closes what was opened for this.

    Raises
    ------
    dao.errors.SourceError
        If X cannot be read.
    """
    label, layers, has_raw = source.label, tuple(adata.layers), adata.raw is not None
    name = x_name(source, layers, has_raw=has_raw)
    _reopen(adata, label, stack)

    def matrix(name: str) -> SourceMatrix:
        kind, _, key = name.partition("/")
        if kind == "X":
            return _x_matrix(source, adata, layers, has_raw=has_raw)
        container = getattr(adata, kind)
        check_key(source, kind, key, container)
        return _any_matrix(container[key], f"{name} of {label}")

    if name == "raw":
        x, var = _any_matrix(adata.raw.X, f"raw of {label}"), adata.raw.var
    else:
        x, var = matrix(name), adata.var
    held = {kind: tuple(getattr(adata, kind)) for kind in HELD}
    held |= {"raw": ("raw",)} if has_raw else {}
    return OpenSource(
        label,
        lambda: _table(adata.obs),
        _table(var),
        x,
        matrix,
        lambda: dict(adata.uns),
        held=without_x(held, name),
    )


def _reopen(adata: Any, label: str, stack: ExitStack) -> None:
    """Open the file behind a backed AnnData, where it was closed, for as long as it is read."""
    file = getattr(adata, "file", None)
    if not getattr(adata, "isbacked", False) or file is None or file.is_open:
        return
    try:
        file.open()
    except OSError as error:
        msg = f"X of {label} is in {adata.filename}, which cannot be opened: {error}."
        raise SourceError(msg) from error
    stack.callback(file.close)


def _x_matrix(
    source: Source, adata: Any, layers: tuple[str, ...], *, has_raw: bool
) -> SourceMatrix:
    where = f"X of {source.label}"
    if getattr(adata, "isbacked", False) and adata.is_view:
        whole = _read(lambda: adata._adata_ref.X, where)  # noqa: SLF001 - anndata has no other way
        if getattr(whole, "format", "") != "csc":
            dense = not hasattr(whole, "format")
            return view_matrix(adata, whole.dtype, where, dense=dense)
    value = _read(lambda: adata.X, where)
    if value is None:
        raise no_x(source, layers, has_raw=has_raw)
    return _any_matrix(value, where)


def _read(get: Callable[[], Any], where: str) -> Any:
    try:
        return get()
    except DaoError:
        raise
    except KeyError:  # a file without X
        return None
    except Exception as error:
        msg = f"{where} cannot be read: {error}."
        raise SourceError(msg) from error


def _any_matrix(value: Any, where: str) -> SourceMatrix:
    """Return a matrix of an AnnData, wherever it lies."""
    if is_dask(value):
        return dask_matrix(value, where)
    group = getattr(value, "group", None)
    if isinstance(group, h5py.Group | zarr.Group):  # a sparse matrix in a file
        return stored_element(group, where)
    if isinstance(value, h5py.Dataset | zarr.Array):
        return dense_matrix(value, where)
    return memory_matrix(_in_memory(value), where)


def _table(value: Any) -> pd.DataFrame:
    """Return obs or var, which may be read lazily."""
    if isinstance(value, pd.DataFrame):
        return value
    table: pd.DataFrame = value.to_memory()
    return table


def _in_memory(value: Any) -> Any:
    """Return a matrix or table that is read lazily in memory; anything else as it is."""
    if type(value).__module__.startswith(("anndata.", "xarray.")):
        return value.to_memory() if hasattr(value, "to_memory") else value
    return value
