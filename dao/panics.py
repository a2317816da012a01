"""Panics of Rust libraries, which derive from `BaseException`, as errors of dao."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from dao.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["is_panic", "panics_as_errors"]


def is_panic(error: BaseException) -> bool:
    """Whether an error is a panic of a library that was built with pyo3."""
    return any(kind.__name__ == "PanicException" for kind in type(error).__mro__)


@contextmanager
def panics_as_errors(what: object, library: str) -> Iterator[None]:
    """Raise a `dao.errors.StorageError` where a library panics.

    Parameters
    ----------
    what
        The file or URL that the library was given.
    """
    try:
        yield
    except BaseException as error:
        if not is_panic(error):
            raise
        msg = (
            f"{what} cannot be used: {library} failed ({str(error)[:200]}). This is an error of "
            "that package; try a newer version of it."
        )
        raise StorageError(msg) from error
