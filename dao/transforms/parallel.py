"""Parallel: a function of a batch that several threads may call at once."""

from __future__ import annotations

import sys
from functools import update_wrapper
from typing import TYPE_CHECKING, Any

from dao.errors import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Parallel", "parallel"]


def parallel(function: Callable[..., Any]) -> Parallel:
    """Declare that several threads may call a function at once.

    Without this a function in ``transform=`` is called for one batch after another. With it,
    batches are transformed in as many threads as this process has processors, and still come in
    their order. It is worth its while for functions that spend their time outside of Python, as
    those of NumPy and torch do.

    Parameters
    ----------
    function
        Takes a batch, and a NumPy generator if it wants one (see `dao.Store.generator`). It changes
        nothing that another call reads or changes: no counter, no buffer of its own.

    Returns
    -------
    A function that does the same, for ``transform=``. It may be used as a decorator.

    Raises
    ------
    dao.errors.ArgumentError
        If it cannot be called.

    Examples
    --------
    >>> def total(batch):
    ...     return float(batch["X"].sum())
    >>> batches = store.generator(100, transform=dao.transforms.parallel(total))
    >>> len(list(batches))
    4
    """
    if not callable(function):
        msg = f"parallel({function!r}): pass a function of a batch."
        raise ArgumentError(msg)
    return function if isinstance(function, Parallel) else Parallel(function)


class Parallel:
    """A function that several threads may call at once; made by `parallel`."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        update_wrapper(self, function, updated=())

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Call the function."""
        return self.function(*arguments, **named)

    def __repr__(self) -> str:
        return f"parallel({self.function!r})"

    def __reduce__(self) -> Any:
        # Used as a decorator, this has the place of the function in its module.
        name = getattr(self, "__qualname__", "")
        module = sys.modules.get(self.__module__)
        if "." not in name and getattr(module, name, None) is self:
            return name
        return parallel, (self.function,)
