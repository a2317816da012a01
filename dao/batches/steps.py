"""The argument ``transform``: what dao does to X itself, and the function that comes after."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from dao.errors import ArgumentError, near_matches
from dao.transforms import Log1p, NormalizeTotal, Step

if TYPE_CHECKING:
    from dao.batches.spec import MatrixSpec
    from dao.obs import Column
    from dao.store import Store

__all__ = ["split_transform"]

_NAMED: dict[str, Callable[[], Step]] = {"log1p": Log1p, "normalize_total": NormalizeTotal}

Steps = list[tuple[Step, "Column | None"]]


def split_transform(
    transform: Any, store: Store, X: MatrixSpec
) -> tuple[Steps, Callable[[Any], Any] | None]:
    """Return the built-in steps, and a function for what comes after them.

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
        steps.append((step, None if step.obs_key is None else _numbers(store, step.obs_key)))
    return steps, _composed(functions)


def _step(one: Any) -> Step | None:
    """Return a built-in step; None for a function."""
    if isinstance(one, str):
        if one not in _NAMED:
            msg = f"There is no transform {one!r}.{near_matches(one, _NAMED)}"
            raise ArgumentError(msg)
        return _NAMED[one]()
    if not isinstance(one, type) and isinstance(one, Step):
        return one
    if not callable(one) or (isinstance(one, type) and hasattr(one, "needs_dense")):
        msg = f"transform={one!r} is no function: give one, a name, or an object of dao.transforms."
        raise ArgumentError(msg)
    return None


def _numbers(store: Store, name: str) -> Column:
    column: Column = store.obs_column(name)
    if column.categories is not None or column.info.kind not in {"int", "float"}:
        msg = f"obs column {name!r} holds no numbers."
        raise ArgumentError(msg)
    return column


def _composed(functions: Sequence[Callable[[Any], Any]]) -> Callable[[Any], Any] | None:
    if len(functions) < 2:
        return functions[0] if functions else None
    return partial(_one_after_another, functions)


def _one_after_another(functions: Sequence[Callable[[Any], Any]], batch: Any) -> Any:
    for function in functions:
        batch = function(batch)
    return batch
