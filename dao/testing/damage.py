"""A store whose files are damaged for a while, beneath everything that could hide it."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from dao.errors import ArgumentError, near_matches

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator

__all__ = ["damaged"]


def _flip(file: Path, content: bytes) -> None:
    changed = bytearray(content)
    changed[len(changed) // 3] ^= 4
    file.write_bytes(changed)


def _fail(file: Path, content: bytes) -> None:  # noqa: ARG001
    file.unlink()
    file.mkdir()  # it can be opened, and every read of it fails


_KINDS: dict[str, Callable[[Path, bytes], object]] = {
    "fail": _fail,
    "flip": _flip,
    "missing": lambda file, _: file.unlink(),
    "truncate": lambda file, content: file.write_bytes(content[: len(content) // 2]),
}


@contextmanager
def damaged(
    store_path: str | os.PathLike[str], array: str, kind: str = "flip", shard: int = 0
) -> Iterator[Path]:
    """Damage a shard of a local store, and mend it at the end of the ``with`` block.

    Readers that are open meet the damage at their next read, and must not at the one after the
    block: an error must not stay behind.

    Parameters
    ----------
    store_path
        Folder of the store.
    array
        Folder of a Zarr array in it, as ``"datasets/gut/X/data"``, or ``"datasets/gut/X"`` where
        that is dense.
    kind
        ``"flip"`` a bit, ``"truncate"``, ``"missing"``, or ``"fail"``: reading is an error.
    shard
        Which one.

    Yields
    ------
    The damaged file.

    Raises
    ------
    dao.errors.ArgumentError
        If there is no such file or kind.

    Examples
    --------
    >>> from dao.errors import CorruptStoreError
    >>> with damaged(store_path, "datasets/gut/X"):
    ...     try:
    ...         store.to_anndata()
    ...     except CorruptStoreError:
    ...         print("noticed")
    noticed
    >>> store.to_anndata().n_obs
    400
    """
    if kind not in _KINDS:
        msg = f"kind={kind!r} is no damage.{near_matches(kind, _KINDS)}"
        raise ArgumentError(msg)
    file = Path(store_path) / array / "c" / str(shard)
    file = file / "0" if file.is_dir() else file  # of a dense matrix
    if not file.is_file():
        msg = f"There is no file {file}."
        raise ArgumentError(msg)
    content = file.read_bytes()
    try:
        _KINDS[kind](file, content)
        yield file
    finally:
        if file.is_dir():
            file.rmdir()
        file.write_bytes(content)
