"""Paths as users pass them, made absolute once, where they enter.

Everything behind this module gets a `pathlib.Path` that starts with ``/``, or the text of a URL. So
no library that reads files meets ``~``, a relative path or a URL, and a store stays open when the
program changes its folder.
"""

from __future__ import annotations

import glob
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, TypeGuard
from urllib.parse import unquote

from dao.errors import ArgumentError
from dao.remote.url import SCHEMES, is_url

if TYPE_CHECKING:
    from os import PathLike

__all__ = ["is_path", "local_path", "location", "matches", "shown_path"]

# What Linux and macOS allow in one name, and in a whole path.
_LONGEST_NAME, _LONGEST_PATH = 255, 4096
# `pathlib.Path("s3://bucket/x")` is "s3:/bucket/x".
_LOST_SLASH = re.compile(rf"(?:{'|'.join(SCHEMES)}|file):/(?!/)", re.IGNORECASE)


def is_path(value: object) -> TypeGuard[str | bytes | PathLike[str] | PathLike[bytes]]:
    """Whether a value is meant as a path or URL."""
    return isinstance(value, str | bytes | os.PathLike)


def location(value: object, name: str = "path") -> Path | str:
    """Return an absolute path, or the text of a URL.

    Parameters
    ----------
    value
        What the user passed: a str, bytes or path object; ``file://`` URLs are paths.
    name
        Of the argument, for messages.

    Raises
    ------
    dao.errors.ArgumentError
        If no file can be at such a path.
    """
    text = _text(value, name)
    return text if is_url(text) else _absolute(text, name, None)


def local_path(value: object, name: str = "path", *, folder: Path | None = None) -> Path:
    """Return the absolute path of a file or folder on this machine.

    Parameters
    ----------
    value, name
        As of `location`.
    folder
        What relative paths are relative to; the current folder if None.

    Raises
    ------
    dao.errors.ArgumentError
        If no file can be at such a path, or it is a URL.

    Examples
    --------
    >>> local_path("~/atlas.dao") == Path.home() / "atlas.dao"
    True
    >>> local_path(b"a/./b/", folder=Path("/data"))
    PosixPath('/data/a/b')
    """
    text = _text(value, name)
    if is_url(text):
        scheme = text.partition("://")[0]
        msg = (
            f"{name}: {text.partition('?')[0]!r} is a URL, and a file on this machine is needed "
            f"here. Copy what is at the {scheme}:// URL to local disk and pass its path."
        )
        raise ArgumentError(msg)
    return _absolute(text, name, folder)


def matches(path: Path) -> list[Path] | None:
    """Return what an absolute pattern matches, sorted; None if it is not a pattern.

    A file whose real name has ``*``, ``?`` or ``[`` in it is that file. So is every folder on the
    way: only what follows the part that exists is a pattern.

    >>> matches(Path("/"))
    """
    if not glob.has_magic(str(path)) or os.path.lexists(path):
        return None
    there = next(p for p in path.parents if p.exists())
    pattern = str(path.relative_to(there))
    if not glob.has_magic(pattern):
        return None
    return [there / found for found in sorted(glob.glob(pattern, root_dir=there, recursive=True))]  # noqa: PTH207 (takes no root)


def _text(value: object, name: str) -> str:
    if not is_path(value):
        msg = f"{name}: {_shown(value)} is not a path. Pass a str or a pathlib.Path."
        raise ArgumentError(msg)
    # Some path objects download what they stand for when they are asked for a path.
    named = str(value) if isinstance(value, os.PathLike) else ""
    text = named if is_url(named) else os.fsdecode(value)
    if not text:
        msg = f"{name}: the path is empty. Pass the path of a file or folder."
        raise ArgumentError(msg)
    if text[:7].lower() == "file://":
        text = _from_file_url(text, name)
    if "\0" in text:
        msg = f"{name}: {_shown(text)} has a NUL character, which no path can hold. Remove it."
        raise ArgumentError(msg)
    if not text.isascii() and any("\ud800" <= c <= "\udfff" for c in text):
        msg = f"{name}: {_shown(os.fsencode(text))} is not UTF-8. Rename the file or folder."
        raise ArgumentError(msg)
    return text


def _from_file_url(text: str, name: str) -> str:
    host, slash, path = text[7:].partition("/")
    if host.lower() not in {"", "localhost"} or not slash:
        msg = f"{name}: {text!r} names the machine {host!r}. Write file:/// and an absolute path."
        raise ArgumentError(msg)
    return unquote(f"/{path}", errors="surrogateescape")


def _absolute(text: str, name: str, folder: Path | None) -> Path:
    expanded = os.path.expanduser(text)  # noqa: PTH111 (pathlib raises for unknown users)
    if expanded.startswith("~"):
        user = expanded.partition("/")[0]
        msg = f"{name}: there is no user {user[1:]!r}. For a folder of this name pass './{text}'."
        raise ArgumentError(msg)
    if _LOST_SLASH.match(expanded) and not os.path.lexists(expanded):
        scheme, _, rest = expanded.partition(":/")
        msg = f"{name}: {text!r} looks like a URL. Pass it as a str: '{scheme}://{rest}'."
        raise ArgumentError(msg)
    path = Path(expanded)
    _check_length(path, name)
    if not path.is_absolute():
        path = (folder or _current_folder(path, name)) / path
    return _without_parents(path)


def _check_length(path: Path, name: str) -> None:
    longest = max((os.fsencode(part) for part in path.parts), key=len, default=b"")
    if len(longest) > _LONGEST_NAME or len(os.fsencode(path)) > _LONGEST_PATH:
        msg = (
            f"{name}: {_shown(str(path))} is longer than file systems allow: {_LONGEST_NAME} bytes "
            f"for a name, {_LONGEST_PATH:,} for a path. Pass a shorter path."
        )
        raise ArgumentError(msg)


def _current_folder(path: Path, name: str) -> Path:
    try:
        return Path.cwd()
    except FileNotFoundError as error:
        msg = (
            f"{name}: {str(path)!r} is relative to the current folder, which does not exist any "
            "more. Pass an absolute path."
        )
        raise ArgumentError(msg) from error


def _without_parents(path: Path) -> Path:
    """Return a path without ``..``, which leads from a link to where its target lies."""
    if ".." not in path.parts:
        return path
    last = len(path.parts) - path.parts[::-1].index("..")
    return Path(os.path.realpath(Path(*path.parts[:last])), *path.parts[last:])


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:60]}…{text[-20:]}"


def shown_path(path: str) -> str:
    """Return a path as people read it: relative if it is below the current folder.

    Examples
    --------
    >>> shown_path(os.path.join(os.getcwd(), "atlas.dao"))
    'atlas.dao'
    """
    try:
        here = Path.cwd()
    except OSError:  # the folder was removed
        return path
    inside = not is_url(path) and Path(path).is_relative_to(here) and Path(path) != here
    return str(Path(path).relative_to(here)) if inside else path
