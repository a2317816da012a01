"""Opening sources: AnnData in memory, .h5ad, anndata .zarr, 10x .h5, sfaira's, cells of a store.

Each becomes an `OpenSource`: obs and var as tables, matrices that are read in pieces.
"""

from __future__ import annotations

import os
import warnings
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import zarr

from dao.errors import ArgumentError, DaoError, SourceError, UnknownDatasetError, near_matches
from dao.write.matrix import SourceMatrix, compressed_matrix, dense_matrix, memory_matrix
from dao.write.portion import Portion
from dao.write.sfaira import is_dataset, open_dataset
from dao.write.stored import origin_of, stored_obs, stored_uns, stored_var
from dao.write.stored_matrix import stored_matrix
from dao.write.tenx import is_tenx, open_tenx
from dao.write.unreadable import check_is_hdf5, check_is_zarr

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from contextlib import ExitStack

    from dao.write.portion import Origin
    from dao.write.source import Source

__all__ = ["OpenSource", "open_source"]


@dataclass(frozen=True)
class OpenSource:
    """A source that is open for reading.

    Attributes
    ----------
    obs
        Reads obs, each time.
    var
        As in AnnData; it belongs to the chosen X (``raw.var`` if X is ``raw``).
    x
        The matrix that becomes X.
    matrix
        ``matrix("layers/counts")`` or ``matrix("obsm/X_pca")`` opens another one.
    uns
        Reads the unstructured annotation.
    origin
        What a store says of its cells besides.
    """

    label: str
    obs: Callable[[], pd.DataFrame]
    var: pd.DataFrame
    x: SourceMatrix
    matrix: Callable[[str], SourceMatrix]
    uns: Callable[[], dict[str, Any]]
    origin: Origin | None = None


def open_source(source: Source, stack: ExitStack) -> OpenSource:
    """Open a source; files are closed with ``stack``.

    Raises
    ------
    dao.errors.SourceError
        If the file is missing, or is none that dao reads.
    """
    if isinstance(source.path, Portion):
        return _open_portion(source, source.path)
    if not isinstance(source.path, str | os.PathLike):
        return _open_memory(source, source.path, stack)
    path = Path(source.path)
    if not path.exists():
        msg = f"There is no file {path} (source {source.id!r}).{_neighbours(path)}"
        raise SourceError(msg)
    with _readable(path):
        opened = _open_path(source, path, stack)
    return replace(
        opened,
        obs=_readable(path)(opened.obs),
        matrix=_readable(path)(opened.matrix),
        uns=_readable(path)(opened.uns),
    )


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Name the file that some library cannot read, whatever it says of that."""
    try:
        yield
    except DaoError:
        raise
    except Exception as error:
        msg = (
            f"{path} cannot be read as .h5ad, anndata .zarr, 10x .h5 or sfaira's: {error}. "
            "If anndata.read_h5ad opens it, write it again with AnnData.write_h5ad."
        )
        raise SourceError(msg) from error


def _open_path(source: Source, path: Path, stack: ExitStack) -> OpenSource:
    if is_dataset(path):
        return _as_memory_layout(source, *open_dataset(path))
    if path.is_dir():
        check_is_zarr(path)
        return _open_group(source, zarr.open_group(str(path), mode="r"), "anndata .zarr")
    check_is_hdf5(path)
    file = stack.enter_context(h5py.File(path, "r"))
    if is_tenx(file):
        return _as_memory_layout(source, *open_tenx(file, str(path)))
    return _open_group(source, file, ".h5ad")


def _open_portion(source: Source, portion: Portion) -> OpenSource:
    if source.layer == "raw":
        _no_raw(source)
    name = _x_name(source)
    origin = origin_of(portion)
    matrices = tuple(n for n in origin.matrices if n != name)
    return _checked(
        OpenSource(
            source.label,
            partial(stored_obs, portion),
            stored_var(portion),
            stored_matrix(portion, name),
            partial(stored_matrix, portion),
            partial(stored_uns, portion),
            replace(origin, matrices=matrices),
        )
    )


def _open_memory(source: Source, adata: Any, stack: ExitStack) -> OpenSource:
    if getattr(adata, "isbacked", False):
        if adata.is_view:
            adata = adata.to_memory()
        else:
            file = stack.enter_context(h5py.File(adata.filename, "r"))
            return _open_group(source, file, ".h5ad")

    def matrix(name: str) -> SourceMatrix:
        kind, _, key = name.partition("/")
        if kind == "X":
            return memory_matrix(adata.X, f"X of {source.label}")
        container = getattr(adata, kind)
        _check_key(source, kind, key, container)
        return memory_matrix(container[key], f"{name} of {source.label}")

    if source.layer == "raw":
        if adata.raw is None:
            _no_raw(source)
        x, var = memory_matrix(adata.raw.X, f"raw of {source.label}"), adata.raw.var
    else:
        x, var = matrix(_x_name(source)), adata.var
    return _checked(
        OpenSource(source.label, lambda: adata.obs, var, x, matrix, lambda: dict(adata.uns))
    )


def _open_group(source: Source, group: Any, kind: str) -> OpenSource:
    for name in ("obs", "var"):
        if name not in group:
            msg = f"{source.label} is no {kind} file: it has no {name!r}."
            raise SourceError(msg)

    def matrix(name: str) -> SourceMatrix:
        container, _, key = name.partition("/")
        if container != "X":
            _check_key(source, container, key, group.get(container, {}))
        elif "X" not in group:
            _no_x(source, group)
        return _stored_matrix(group[name], f"{name} of {source.label}")

    if source.layer == "raw":
        if "raw" not in group:
            _no_raw(source)
        x = _stored_matrix(group["raw/X"], f"raw of {source.label}")
        var = _frame(group["raw/var"])
    else:
        x, var = matrix(_x_name(source)), _frame(group["var"])

    def uns() -> dict[str, Any]:
        return dict(_read_elem(group["uns"])) if "uns" in group else {}

    obs = partial(_frame, group["obs"])
    return _checked(OpenSource(source.label, obs, var, x, matrix, uns))


def _as_memory_layout(
    source: Source,
    obs: pd.DataFrame,
    var: pd.DataFrame,
    x: SourceMatrix,
    uns: dict[str, Any] | None = None,
) -> OpenSource:
    def matrix(name: str) -> SourceMatrix:
        kind, _, key = name.partition("/")
        _check_key(source, kind, key, {})
        return x

    if source.layer not in {None, "X"}:
        _check_key(source, "layers", str(source.layer), {})
    return _checked(OpenSource(source.label, lambda: obs, var, x, matrix, lambda: dict(uns or {})))


def _checked(opened: OpenSource) -> OpenSource:
    def obs() -> pd.DataFrame:
        table = opened.obs()
        wanted = (len(table), len(opened.var))
        if opened.x.shape != wanted:
            msg = f"X of {opened.label} has shape {opened.x.shape}; obs and var say {wanted}."
            raise SourceError(msg)
        return table

    return replace(opened, obs=obs)


def _stored_matrix(element: Any, where: str) -> SourceMatrix:
    attributes = dict(element.attrs)
    encoding = str(attributes.get("encoding-type", attributes.get("h5sparse_format", "")))
    if encoding[:3] in {"csr", "csc"}:
        shape = attributes.get("shape", attributes.get("h5sparse_shape"))
        if shape is None or len(shape) != 2:
            msg = f"{where} is damaged: it has no shape."
            raise SourceError(msg)
        return compressed_matrix(element, (int(shape[0]), int(shape[1])), encoding[:3], where)
    if hasattr(element, "dtype") and element.dtype.kind != "V":
        return dense_matrix(element, where)
    if encoding == "dataframe" or hasattr(element, "dtype"):
        return memory_matrix(_frame(element), where)
    return memory_matrix(_read_elem(element), where)


def _frame(element: Any) -> pd.DataFrame:
    value = _read_elem(element)
    if isinstance(value, np.ndarray):
        # Files of anndata before 0.7 keep tables as records whose first field is the index.
        frame = pd.DataFrame.from_records(value)
        first = frame.columns[0]
        frame = frame.set_index(frame[first].map(_decoded)).drop(columns=first)
        return frame.rename_axis(None)
    return pd.DataFrame(value, copy=False)


def _read_elem(element: Any) -> Any:
    with warnings.catch_warnings():
        # Old files are read as well as new ones; their age is no news to the user.
        warnings.simplefilter("ignore", ad.OldFormatWarning)
        return ad.io.read_elem(element)


def _decoded(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _x_name(source: Source) -> str:
    return "X" if source.layer in {None, "X"} else f"layers/{source.layer}"


def _check_key(source: Source, kind: str, key: str, container: Iterable[str]) -> None:
    if key not in container:
        msg = f"{source.label} has no {kind[:-1] if kind == 'layers' else kind} {key!r}."
        raise UnknownDatasetError(msg + near_matches(key, container))


def _no_raw(source: Source) -> None:
    msg = f"{source.label} has no raw; choose another layer=, or 'X'."
    raise ArgumentError(msg)


def _no_x(source: Source, group: Any) -> None:
    layers = near_matches("", group.get("layers", {}))
    msg = f"{source.label} has no X; choose a layer with layer=.{layers}"
    raise SourceError(msg)


def _neighbours(path: Path) -> str:
    if not path.parent.is_dir():
        return f" There is no folder {path.parent} either."
    names = [p.name for p in path.parent.iterdir() if not p.name.startswith(".")]
    return near_matches(path.name, names)
