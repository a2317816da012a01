"""Functions: what users do to batches, and the random numbers that they do it with."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dao.errors import ArgumentError
from dao.transforms.parallel import Parallel

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["Functions", "whole_batch"]

_SECOND, _NAMED = "second", "rng"


@dataclass(frozen=True, slots=True)
class Functions:
    """Functions of a batch, one after another.

    Attributes
    ----------
    functions
        In the order of their calls.
    takes
        How each takes a NumPy generator: as its second argument, by the name ``rng``, or not.
    """

    functions: tuple[Callable[..., Any], ...]
    takes: tuple[str | None, ...]

    @classmethod
    def of(cls, functions: Sequence[Callable[..., Any]]) -> Functions | None:
        """Return these functions; None if there is none.

        Raises
        ------
        dao.errors.ArgumentError
            If one cannot be called with a batch, or with a batch and a generator.
        """
        takes = tuple(_takes(function) for function in functions)
        return cls(tuple(functions), takes) if functions else None

    @property
    def is_parallel(self) -> bool:
        """Whether several threads may call them at once."""
        return all(isinstance(function, Parallel) for function in self.functions)

    @property
    def is_random(self) -> bool:
        """Whether one takes a NumPy generator."""
        return any(how is not None for how in self.takes)

    def __call__(self, batch: Any, seed: Sequence[int] = ()) -> Any:
        """Return what they make of a batch.

        Parameters
        ----------
        batch
            In the types of a framework.
        seed
            Whole numbers that belong to this batch alone.
        """
        for number, (function, how) in enumerate(zip(self.functions, self.takes, strict=True)):
            # A generator for each, so that one does not change the numbers of another.
            rng = None if how is None else np.random.default_rng([*seed, number])
            batch = _called(function, batch, how, rng)
            if batch is None:
                msg = (
                    f"transform={function!r} returned None: a function gets a batch and must "
                    "return one. Add `return batch`."
                )
                raise ArgumentError(msg)
        return batch


def _takes(function: Callable[..., Any]) -> str | None:
    """Return how a function takes a NumPy generator; None if it does not."""
    known = _parameters(function)
    parameters = known or []
    needed = [p for p in parameters if p.default is p.empty and p.kind in _POSITIONAL]
    required = [p for p in parameters if p.default is p.empty and p.kind == p.KEYWORD_ONLY]
    named = next((p for p in parameters if p.name == "rng"), None)
    surplus = [p.name for p in [*needed[2:], *required] if p.name != "rng"]
    if len(needed) > 1 and needed[1].name != "rng" and named is not None:
        surplus = [needed[1].name, *surplus]
    if surplus:
        msg = (
            f"transform={function!r} needs {', '.join(surplus)} as well. A transform takes a "
            "batch, and may take a NumPy generator as its second argument or as rng=."
        )
        raise ArgumentError(msg)
    if known is not None and not any(p.kind in _TAKES_BATCH for p in known):
        msg = f"transform={function!r} takes no argument, and is called with a batch."
        raise ArgumentError(msg)
    if named is not None and parameters[0] is not named and named.kind in _BY_NAME:
        return _NAMED
    return _SECOND if len(needed) > 1 else None


def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter] | None:
    # What a torch module is called with is what its forward() takes.
    called = getattr(function, "forward", function)
    try:
        return list(inspect.signature(called).parameters.values())
    except (TypeError, ValueError):  # many functions that are not written in Python
        return None


_POSITIONAL = {inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD}
_TAKES_BATCH = {*_POSITIONAL, inspect.Parameter.VAR_POSITIONAL}
_BY_NAME = {inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD}


def _called(function: Callable[..., Any], batch: Any, how: str | None, rng: Any) -> Any:
    try:
        if how is None:
            return function(batch)
        return function(batch, rng) if how == _SECOND else function(batch, rng=rng)
    except (TypeError, AttributeError, ValueError) as error:
        if not isinstance(batch, dict):
            raise
        msg = whole_batch(function, getattr(function, "__name__", "function"))
        if hasattr(getattr(function, "function", function), "__code__"):
            error.add_note(msg)  # a function of the user, whose own error it may be
            raise
        msg = f"{msg} It answered: {error}"
        raise ArgumentError(msg) from error


def whole_batch(function: object, name: str) -> str:
    """Return that a function receives the whole batch, and how to call it with X."""
    called = name if name.isidentifier() else "f"
    example = "'log1p'" if name == "log1p" else f"lambda b: {{**b, 'X': {called}(b['X'])}}"
    return (
        f"transform={function!r} receives the whole batch, a dict with 'X', 'obs', 'layers', "
        f"'obsm' and 'index', and not X alone: pass for example {example}."
    )
