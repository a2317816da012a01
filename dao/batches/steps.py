"""The argument ``transform``: what dao does to X itself, and the function that comes after."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dao.batches.functions import Functions, whole_batch
from dao.batches.median import with_median
from dao.errors import ArgumentError, near_matches
from dao.transforms import Log1p, NormalizeTotal, Step

if TYPE_CHECKING:
    from dao.batches.spec import MatrixSpec
    from dao.obs import Column
    from dao.store import Store

__all__ = ["split_transform"]

_NAMED: dict[str, Callable[[], Step]] = {"log1p": Log1p, "normalize_total": NormalizeTotal}

Steps = list[tuple[Step, "Column | None"]]


def split_transform(transform: Any, store: Store, X: MatrixSpec) -> tuple[Steps, Functions | None]:
    """Return the built-in steps, and the functions that come after them.

    Parameters
    ----------
    transform
        A name, an object of `dao.transforms`, a function, or a list of these in order of
        application, functions last.
    store
        Where obs columns that steps need come from.
    X
        How X appears in a batch.

    Raises
    ------
    dao.errors.ArgumentError
        If something is none of these, or does not fit X.
    """
    given = (
        transform
        if isinstance(transform, Sequence) and not isinstance(transform, str)
        else ([] if transform is None else [transform])
    )
    steps: Steps = []
    functions: list[Callable[[Any], Any]] = []
    for one in given:
        step = _step(one)
        if step is None:
            functions.append(one)
            continue
        if functions:
            msg = f"{one!r} comes after a function of yours: put what dao does itself first."
            raise ArgumentError(msg)
        if X.dtype.kind != "f":
            msg = f"{one!r} makes fractions: give dtype='float32' or 'float64', not {X.dtype}."
            raise ArgumentError(msg)
        if step.needs_dense and not X.dense:
            msg = f"{one!r} leaves no zeros: give x_format='dense', or let it not center."
            raise ArgumentError(msg)
        step.check(X.columns.n_vars)
        column = None if step.obs_key is None else _numbers(store, step.obs_key)
        if isinstance(step, NormalizeTotal) and step.target_sum is None:
            step = with_median(step, store, X, steps)
        steps.append((step, column))
    return steps, Functions.of(functions)


def _step(one: Any) -> Step | None:
    """Return a built-in step; None for a function."""
    if isinstance(one, str):
        if one not in _NAMED:
            msg = f"There is no transform {one!r}.{near_matches(one, _NAMED)}"
            raise ArgumentError(msg)
        return _NAMED[one]()
    if not isinstance(one, type) and isinstance(one, Step):
        return one
    if isinstance(one, type) and hasattr(one, "needs_dense"):
        msg = f"transform={one!r} is a class: pass an object of it, as {one.__name__}()."
        raise ArgumentError(msg)
    if not callable(one):
        msg = (
            f"transform={one!r} is not a function: pass one, a name, or an object of "
            "dao.transforms."
        )
        raise ArgumentError(msg)
    if isinstance(one, np.ufunc):
        raise ArgumentError(whole_batch(one, one.__name__))
    return None


def _numbers(store: Store, name: str) -> Column:
    column: Column = store.obs_column(name)
    if column.categories is not None or column.info.kind not in {"int", "float"}:
        msg = f"obs column {name!r} holds no numbers."
        raise ArgumentError(msg)
    return column
