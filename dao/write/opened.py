"""Opening sources: AnnData in memory, .h5ad, anndata .zarr, 10x .h5, sfaira's, cells of a store.

Each becomes an `OpenSource`: obs and var as tables, matrices that are read in pieces.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import zarr
from zarr.storage import LocalStore

from dao.errors import DaoError, SourceError, near_matches
from dao.nearby import names_in
from dao.write.contents import OpenSource, check_key, no_x, without_x, x_name
from dao.write.elements import HELD, read_element, read_frame, stored_element
from dao.write.hdf5_errors import load_filters, why_unreadable
from dao.write.objects import open_object
from dao.write.portion import Portion
from dao.write.sfaira import is_dataset, open_dataset
from dao.write.stored import origin_of, stored_obs, stored_uns, stored_var
from dao.write.stored_matrix import stored_matrix
from dao.write.tenx import is_tenx, open_tenx
from dao.write.unreadable import check_is_anndata, check_is_hdf5, check_is_zarr

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from contextlib import ExitStack

    import pandas as pd

    from dao.write.matrix import SourceMatrix
    from dao.write.source import Source

__all__ = ["OpenSource", "open_source"]


def open_source(source: Source, stack: ExitStack) -> OpenSource:
    """Open a source; files are closed with ``stack``.

    Raises
    ------
    dao.errors.SourceError
        If the file is missing, or is none that dao reads.
    """
    if isinstance(source.path, Portion):
        return _open_portion(source, source.path)
    if not isinstance(source.path, Path):
        return _checked(open_object(source, source.path, stack))
    path = source.path
    if not path.exists():
        msg = f"There is no file {path} (source {source.id!r}).{_neighbours(path)}"
        raise SourceError(msg)
    found: list[Any] = []

    def file() -> Any:
        return found[0] if found else None

    with _readable(path, file):
        opened = _open_path(source, path, stack, found)
    readable = _readable(path, file)
    return replace(
        opened,
        obs=readable(opened.obs),
        matrix=readable(opened.matrix),
        uns=readable(opened.uns),
    )


@contextmanager
def _readable(path: Path, file: Callable[[], Any] | None = None) -> Iterator[None]:
    """Name the file that some library cannot read, whatever it says of that.

    ``file`` returns it where it is open.
    """
    try:
        yield
    except DaoError:
        raise
    except Exception as error:
        reason = why_unreadable(error, file() if file else None)
        if reason is not None:
            msg = f"{path} cannot be read: {reason}"
            raise SourceError(msg) from error
        msg = (
            f"{path} cannot be read as .h5ad, anndata .zarr, 10x .h5 or sfaira's: {error}. "
            "If anndata.read_h5ad opens it, write it again with AnnData.write_h5ad."
        )
        raise SourceError(msg) from error


def _open_path(source: Source, path: Path, stack: ExitStack, found: list[Any]) -> OpenSource:
    if is_dataset(path):
        x_name(source, (), has_raw=False)
        return _as_memory_layout(source, *open_dataset(path))
    if path.is_dir():
        check_is_zarr(path)
        return _open_group(
            source, zarr.open_group(LocalStore(path, read_only=True), mode="r"), "anndata .zarr"
        )
    check_is_hdf5(path)
    file = stack.enter_context(h5py.File(path, "r"))
    found.append(file)
    load_filters(file)
    if is_tenx(file):
        obs, var, x, others = open_tenx(file, source.label, source.layer)
        held = {"features": others} if others else {}
        return _as_memory_layout(source, obs, var, x, held=held)
    return _open_group(source, file, ".h5ad")


def _open_portion(source: Source, portion: Portion) -> OpenSource:
    origin = origin_of(portion)
    name = x_name(source, _of_kind("layers", origin.matrices), has_raw=False)
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
            without_x({k: tuple(_of_kind(k, origin.matrices)) for k in ("layers", "obsm")}, name),
        )
    )


def _of_kind(kind: str, matrices: Iterable[str]) -> list[str]:
    return [n.partition("/")[2] for n in matrices if n.startswith(f"{kind}/")]


def _open_group(source: Source, group: Any, kind: str) -> OpenSource:
    check_is_anndata(source.label, group, kind)
    layers = tuple(group.get("layers", {}))
    raw = next((name for name in ("raw/X", "raw.X") if _holds(group, name)), None)
    has_raw = raw is not None
    name = x_name(source, layers, has_raw=has_raw)

    def matrix(name: str) -> SourceMatrix:
        container, _, key = name.partition("/")
        if container != "X":
            check_key(source, container, key, group.get(container, {}))
        elif not _holds(group, "X"):
            raise no_x(source, layers, has_raw=has_raw)
        return stored_element(group[name], f"{name} of {source.label}")

    if raw is not None and name == "raw":
        x = stored_element(group[raw], f"raw of {source.label}")
        var = read_frame(group[raw.removesuffix("X") + "var"], group.get("uns"))
    else:
        x, var = matrix(name), read_frame(group["var"], group.get("uns"))

    def uns() -> dict[str, Any]:
        return dict(read_element(group["uns"])) if "uns" in group else {}

    held = {kind: _names_in(group.get(kind, ())) for kind in HELD}
    held |= {"raw": ("raw",)} if has_raw else {}
    held = without_x(held, name)
    obs = partial(read_frame, group["obs"], group.get("uns"))
    return _checked(OpenSource(source.label, obs, var, x, matrix, uns, held=held))


def _holds(group: Any, name: str) -> bool:
    """Whether a file has an element; what is None can be an element too."""
    first, _, rest = name.partition("/")
    if first not in group:
        return False
    element = group[first]
    if rest:
        return hasattr(element, "keys") and _holds(element, rest)
    return bool(element.attrs.get("encoding-type") != "null")


def _names_in(element: Any) -> tuple[str, ...]:
    """Return the keys of a mapping in a file; of records, as old files have, the fields."""
    return tuple(getattr(element.dtype, "names", ()) if hasattr(element, "dtype") else element)


def _as_memory_layout(
    source: Source,
    obs: pd.DataFrame,
    var: pd.DataFrame,
    x: SourceMatrix,
    uns: dict[str, Any] | None = None,
    held: Mapping[str, tuple[str, ...]] | None = None,
) -> OpenSource:
    def matrix(name: str) -> SourceMatrix:
        kind, _, key = name.partition("/")
        check_key(source, kind, key, {})
        return x

    return _checked(
        OpenSource(
            source.label, lambda: obs, var, x, matrix, lambda: dict(uns or {}), held=held or {}
        )
    )


def _checked(opened: OpenSource) -> OpenSource:
    def obs() -> pd.DataFrame:
        table = opened.obs()
        wanted = (len(table), len(opened.var))
        if opened.x.shape != wanted:
            msg = f"X of {opened.label} has shape {opened.x.shape}; obs and var say {wanted}."
            raise SourceError(msg)
        return table

    return replace(opened, obs=obs)


def _neighbours(path: Path) -> str:
    if not path.parent.is_dir():
        return f" There is no folder {path.parent} either."
    names = [name for name in names_in(path.parent) if not name.startswith(".")]
    return near_matches(path.name, names)
