"""What HDF5 says of a file that it cannot read, in words that a person can act on."""

from __future__ import annotations

import errno
import importlib
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import h5py

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["load_filters", "missing_filters", "why_unreadable"]

# Filters that are registered with the HDF Group and come with hdf5plugin.
_NAMES = {
    307: "bzip2", 32001: "blosc", 32004: "lz4", 32008: "bitshuffle", 32013: "zfp", 32015: "zstd",
    32017: "sz", 32018: "fcidecomp", 32024: "sz3", 32026: "blosc2", 32028: "sperr",
}  # fmt: skip


def load_filters(file: Any) -> None:
    """Import hdf5plugin if a file has filters that HDF5 lacks, where it is installed."""
    if missing_filters(file):
        with suppress(ImportError):
            importlib.import_module("hdf5plugin")


def missing_filters(element: Any) -> list[str]:
    """Return the filters of a dataset, or of all datasets of a group, that are not available."""
    numbers: set[int] = set()

    def look(_: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            numbers.update(n for n in _filters(item) if not h5py.h5z.filter_avail(n))

    if isinstance(element, h5py.Dataset):
        look("", element)
    elif isinstance(element, h5py.Group):
        with suppress(OSError, RuntimeError, KeyError, ValueError):  # what is damaged elsewhere
            element.visititems(look)
    return [f"{_NAMES.get(n, 'unknown')} (number {n})" for n in sorted(numbers)]


def why_unreadable(error: BaseException, element: Any = None) -> str | None:
    """Return what is wrong and what to do, as sentences; None if it is none of the known causes.

    Parameters
    ----------
    element
        The open dataset, group or file that was read, if there is one.
    """
    filters = missing_filters(element) if element is not None and element else []
    if filters:
        return (
            f"it was compressed with a filter that HDF5 does not have here: {', '.join(filters)}. "
            "Install it with `pip install hdf5plugin`; dao imports the package when it is there."
        )
    text, number = str(error), getattr(error, "errno", None)
    if isinstance(error, PermissionError) or number in {errno.EACCES, errno.EPERM}:
        return "permission is denied. Ask its owner for the right to read it."
    if isinstance(error, IsADirectoryError):
        return "it is a folder."
    if "unable to lock file" in text or "already open for write" in text or number == errno.EAGAIN:
        return (
            "it is locked: another process, or this one, has it open for writing. Close it there "
            "(adata.file.close() for a backed AnnData) and try again. On file systems without "
            "locks, set the environment variable HDF5_USE_FILE_LOCKING=FALSE."
        )
    if "truncated file" in text or "addr overflow" in text:
        return "it is cut short, as by a copy that was not finished. Copy it again."
    return None


def _filters(dataset: Any) -> Iterator[int]:
    settings = dataset.id.get_create_plist()
    yield from (settings.get_filter(i)[0] for i in range(settings.get_nfilters()))
