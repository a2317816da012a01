"""Cells drawn as often as their weights say."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from dao.arguments import flag
from dao.errors import ArgumentError
from dao.samplers.blocks import narrow, set_lengths, shuffled_blocks
from dao.samplers.checks import no_value
from dao.samplers.draws import Draws
from dao.samplers.plan import EpochPlan, even_windows
from dao.samplers.rng import permutation, uniforms
from dao.warn import warn

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dao.samplers.rows import Labels, Rows

__all__ = ["Weighted"]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Weighted:
    """Draw cells with probabilities proportional to weights.

    Guarantees: the numbers of times that cells come in an epoch are one draw from the
    multinomial distribution, so each cell has exactly its probability in each draw, whatever the
    others are; no two epochs draw the same. Neighbours in the store come within the same window,
    so that reading stays as fast as in blocks; cells that are drawn often are read again in other
    windows, as far as that costs little. Nothing is written anew.

    Parameters
    ----------
    by_or_weights
        The name of a numeric obs column; ``{column: {value: weight}}``, where values that are not
        named have weight 0; or one number for each selected cell, in store order.
    size
        Draws in an epoch; as many as cells (or cells with a weight, without replacement) if None.
    replacement
        Whether a cell may come more than once in an epoch. Without, each draw is from the cells
        that are left (as by `numpy.random.Generator.choice`), by the keys of Efraimidis and
        Spirakis (2006).
    block
        Consecutive rows that are read together.
    window
        Draws that are decoded and shuffled together.

    Examples
    --------
    >>> sampler = Weighted({"cell_type": {"B cell": 3, "T cell": 1}}, size=800)
    >>> stream = store.generator(100, obs_keys=["cell_type"], sampler=sampler)
    >>> drawn = [name for batch in stream for name in batch["obs"]["cell_type"]]
    >>> len(drawn), set(drawn) == {"B cell", "T cell"}
    (800, True)
    """

    by_or_weights: str | Mapping[str, Mapping[Any, float]] | Sequence[float] | NDArray[Any]
    size: int | None = None
    replacement: bool = True
    block: int = 256
    window: int = 16_384

    def __post_init__(self) -> None:
        flag("replacement", self.replacement)
        set_lengths(self, "block", "window")
        if self.size is not None:
            set_lengths(self, "size")

    def __repr__(self) -> str:
        """Return the arguments, long lists of weights as a checksum."""
        shown = {f.name: repr(getattr(self, f.name)) for f in fields(self)}
        if not isinstance(self.by_or_weights, str | Mapping):
            weights = _numbers(self.by_or_weights)
            shown["by_or_weights"] = f"<{weights.size} weights {zlib.crc32(weights.tobytes()):08x}>"
        return f"Weighted({', '.join(f'{k}={v}' for k, v in shown.items())})"

    def check_rows(self, rows: Rows) -> None:
        """Warn of weights for values that no selected cell has."""
        if not (rows.n and isinstance(self.by_or_weights, Mapping)):
            return
        ((column, weight_of),) = self.by_or_weights.items()
        labels = rows.labels(column)
        counts = dict(zip(labels.names, labels.counts().tolist(), strict=True))
        absent = [value for value in weight_of if not counts.get(value)]
        if absent:
            n = f"{len(absent):,} of {len(weight_of):,} weights"
            warn(f"{n} are of values of {column!r} that no selected cell has, as {absent[0]!r}.")

    def plan(self, rows: Rows, *, seed: int, epoch: int) -> EpochPlan:
        """Return the draws of an epoch.

        Raises
        ------
        dao.errors.ArgumentError
            If the weights do not fit the selection, or too few cells have one.
        """
        weights = self._weights(rows)
        _check(weights, rows.n)
        if not self.replacement:
            return self._without_replacement(weights, seed, epoch)
        size = rows.n if self.size is None or not rows.n else self.size
        draws = Draws(rows.n, lambda rows: weights[rows], size, self.block, self.window)
        return draws.plan(seed=seed, epoch=epoch)

    def _weights(self, rows: Rows) -> NDArray[np.float64]:
        given = self.by_or_weights
        if isinstance(given, str):
            numbers = rows.numbers(given)
            if np.isnan(numbers).any():
                msg = f"obs column {given!r} has no value for some cells: give those a weight."
                raise ArgumentError(msg)
            return numbers
        if isinstance(given, Mapping):
            if len(given) != 1:
                msg = f"Give the weights of one obs column, not of {len(given)}."
                raise ArgumentError(msg)
            ((column, weight_of),) = given.items()
            if not isinstance(weight_of, Mapping):
                msg = (
                    f"The weights of {column!r} are {weight_of!r}: pass a dict of values and "
                    f"weights, as in Weighted({{{column!r}: {{value: 2.0}}}})."
                )
                raise ArgumentError(msg)
            return _looked_up(column, weight_of, rows.labels(column))
        return _numbers(given)

    def _without_replacement(
        self, weights: NDArray[np.float64], seed: int, epoch: int
    ) -> EpochPlan:
        able = int(np.count_nonzero(weights))
        size = able if self.size is None else self.size
        if size > able:
            msg = f"size={size:,} without replacement, and {able:,} cells have a weight above 0."
            raise ArgumentError(msg)

        @cache
        def chosen() -> NDArray[np.unsignedinteger]:
            drawn = 1 - uniforms(len(weights), seed, epoch, "keys")
            with np.errstate(divide="ignore", invalid="ignore"):
                keys = np.where(weights > 0, np.log(drawn) / weights, -np.inf)
            best = np.argpartition(keys, len(keys) - size)[len(keys) - size :]
            return narrow(np.sort(best), len(keys))

        blocks = shuffled_blocks(size, self.block, seed, epoch, "blocks")
        boundaries = even_windows(size, self.window)

        def window(i: int) -> NDArray[np.int64]:
            places = blocks.items(int(boundaries[i]), int(boundaries[i + 1]))
            found = chosen()[places].astype(np.int64)
            return found[permutation(len(found), seed, epoch, "window", i)]

        return EpochPlan(boundaries, window)


def _looked_up(column: str, weight_of: Mapping[Any, float], labels: Labels) -> NDArray[np.float64]:
    known = set(labels.names)
    unknown = [value for value in weight_of if value not in known]
    if unknown:
        raise no_value(column, unknown[0], labels.names)
    table = np.array([*(weight_of.get(name, 0.0) for name in labels.names), 0.0], np.float64)
    return table[labels.codes]


def _numbers(given: Any) -> NDArray[np.float64]:
    try:
        return np.asarray(given, np.float64)
    except (TypeError, ValueError) as error:
        msg = (
            f"Weights are the name of an obs column, {{column: {{value: weight}}}}, or a number "
            f"for each cell, and not {type(given).__name__} of other things."
        )
        raise ArgumentError(msg) from error


def _check(weights: NDArray[np.float64], n: int) -> None:
    """Refuse weights that are no probabilities up to a factor."""
    if weights.shape != (n,):
        msg = f"There are {weights.size:,} weights for {n:,} cells: give one for each, in order."
        raise ArgumentError(msg)
    bad = np.flatnonzero(~(np.isfinite(weights) & (weights >= 0)))
    if len(bad):
        msg = f"The weight of cell {bad[0]:,} is {weights[bad[0]]}: give numbers of at least 0."
        raise ArgumentError(msg)
    if n and not weights.any():
        msg = "All weights are 0: no cell could be drawn."
        raise ArgumentError(msg)
