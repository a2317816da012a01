"""Sizes of files; sizes in bytes, and numbers of things, as people write them."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING

from dao.errors import ArgumentError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["bytes_on_disk", "counted", "format_bytes", "parse_bytes"]

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_BINARY = {"k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}


def parse_bytes(size: int | str, name: str = "memory") -> int:
    """Return a number of bytes.

    >>> parse_bytes("2GiB"), parse_bytes("500 MB"), parse_bytes(1024)
    (2147483648, 500000000, 1024)

    Raises
    ------
    dao.errors.ArgumentError
        If it is no size.
    """
    if isinstance(size, int) and not isinstance(size, bool) and size > 0:
        return size
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)b?\s*", str(size).lower())
    if match and float(match[1]) > 0 and not (match[3] and not match[2]):
        factor = (_BINARY if match[3] else _UNITS)[match[2]]
        return max(1, int(float(match[1]) * factor))
    msg = f"{name}={size!r} is not a size: give bytes, or for example '2GiB' or '500 MB'."
    raise ArgumentError(msg)


def format_bytes(size: float) -> str:
    """Return a size for people to read.

    >>> format_bytes(123), format_bytes(2_500_000)
    ('123 B', '2.5 MB')
    """
    for unit in ("B", "kB", "MB", "GB"):
        if abs(size) < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def bytes_on_disk(path: Path) -> int:
    """Return the size of a file, or the sizes of all files in a folder, added up."""
    size = 0
    for file in path.rglob("*") if path.is_dir() else [path]:
        with suppress(OSError):  # somebody else may be tidying up
            size += file.stat().st_size if file.is_file() else 0
    return size


def counted(n: int, noun: str) -> str:
    """Return how many there are of something.

    >>> counted(1, "dataset"), counted(2_000, "cell")
    ('1 dataset', '2,000 cells')
    """
    return f"{n:,} {noun}{'' if n == 1 else 's'}"
