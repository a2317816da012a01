"""Treated cells beside controls that match them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dao.arguments import choice, text
from dao.errors import ArgumentError
from dao.samplers.blocks import narrow, set_lengths, shuffled_blocks
from dao.samplers.checks import named, no_value, set_columns
from dao.samplers.plan import EpochPlan, even_windows
from dao.samplers.rng import integers, permutation
from dao.warn import warn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from dao.samplers.rows import Labels, Rows

__all__ = ["Paired"]


@dataclass(frozen=True, slots=True)
class Paired:
    """Give each treated cell a control that matches it, in the same batch.

    A batch holds treated cells first, then as many controls. ``batch["pairs"]``, int64 of shape
    (cells / 2, 2), says which row is the control of which: ``X[pairs[:, 0]]`` are treated and
    ``X[pairs[:, 1]]`` their controls.

    Guarantees: every treated cell once per epoch, in the order of a block shuffle; its control is
    drawn from all controls that match it with equal probability, anew in each epoch. Cells whose
    values are missing are left out.

    Parameters
    ----------
    by
        obs column that says how a cell was treated.
    control
        Its value for controls.
    match
        obs columns that are equal for a cell and its control, for example the batch or donor.
    unmatched
        What to do with treated cells that no control matches: ``"error"``, or ``"drop"`` them.
    block
        Consecutive rows that are read together, treated or controls.
    window
        Rows that are decoded together.

    Examples
    --------
    >>> sampler = Paired("cell_type", control="B cell", match=["dataset"])
    >>> batch = next(iter(store.generator(32, obs_keys=["cell_type", "dataset"], sampler=sampler)))
    >>> treated, controls = batch["pairs"].T
    >>> set(batch["obs"]["cell_type"].iloc[controls])
    {'B cell'}
    """

    by: str
    control: Any
    match: Sequence[str] = ()
    unmatched: str = "error"
    block: int = 256
    window: int = 16_384

    def __post_init__(self) -> None:
        text("by", self.by, "treatment")
        set_columns(self, "match", may_be_none=True)
        set_lengths(self, "block", "window")
        choice("unmatched", self.unmatched, ("error", "drop"))

    def check_rows(self, rows: Rows) -> None:
        """Refuse cells without treated ones or controls; warn of missing values."""
        if not rows.n:
            return
        treated, _, _ = self._parted(rows)
        if not len(treated):
            msg = (
                f"No selected cell is treated and has a control: {self._numbers(rows)}. Select "
                f"cells with other values of {self.by!r}, or match by fewer columns."
            )
            raise ArgumentError(msg)
        for by in filter(len, (self.by, self.match)):
            n = int(np.count_nonzero(rows.labels(by).codes < 0))
            if n:
                warn(f"{n:,} of {rows.n:,} cells have no value of {named(by)}: they are left out.")

    def plan(self, rows: Rows, *, seed: int, epoch: int) -> EpochPlan:
        """Return the batches of an epoch.

        Raises
        ------
        dao.errors.ArgumentError
            If no cell is a control, or some have none that matches.
        """
        size = rows.batch_size
        if size is None or size % 2:
            msg = f"batch_size={size}: a batch of pairs has an even number of cells."
            raise ArgumentError(msg)
        treated, group, controls = self._parted(rows)
        blocks = shuffled_blocks(len(treated), self.block, seed, epoch, "treated")
        pairs = even_windows(len(treated), max(1, self.window // size) * size // 2)

        def window(i: int) -> NDArray[np.int64]:
            places = blocks.items(int(pairs[i]), int(pairs[i + 1]))
            places = places[permutation(len(places), seed, epoch, "window", i)]
            drawn = _drawn(controls, group[places], self.block, seed, epoch, i)
            parts = even_windows(len(places), size // 2)
            both = [
                half[a:b]
                for a, b in zip(parts[:-1].tolist(), parts[1:].tolist(), strict=True)
                for half in (treated[places].astype(np.int64), drawn)
            ]
            return np.concatenate([np.empty(0, np.int64), *both])

        return EpochPlan(pairs * 2, window, even_windows(2 * len(treated), size), _pairs)

    def _parted(
        self, rows: Rows
    ) -> tuple[NDArray[np.unsignedinteger], NDArray[np.int64], list[NDArray[np.unsignedinteger]]]:
        """Return treated rows, the group of each, and the controls of each group."""
        kinds = rows.labels(self.by)
        if self.control not in kinds.names:
            raise no_value(self.by, self.control, kinds.names)
        control = kinds.codes == list(kinds.names).index(self.control)
        alike = rows.labels(self.match) if self.match else None
        codes = np.zeros(rows.n, np.int64) if alike is None else alike.codes.astype(np.int64)
        n_groups = 1 if alike is None else len(alike.names)
        controls = _by_group(np.flatnonzero(control & (codes >= 0)), codes, n_groups)
        treated = np.flatnonzero(~control & (kinds.codes >= 0) & (codes >= 0))
        has_control = np.array([len(c) > 0 for c in controls], np.bool_)[codes[treated]]
        if self.unmatched == "error" and not has_control.all():
            raise ArgumentError(self._alone(treated[~has_control], codes, alike))
        treated = treated[has_control]
        return narrow(treated, rows.n), codes[treated], controls

    def _numbers(self, rows: Rows) -> str:
        labels = rows.labels(self.by)
        counts = labels.counts()
        n = int(counts[list(labels.names).index(self.control)])
        return (
            f"{n:,} are controls ({self.control!r}), {int(counts.sum()) - n:,} have another value"
        )

    def _alone(
        self, rows: NDArray[np.int64], codes: NDArray[np.int64], alike: Labels | None
    ) -> str:
        if alike is None:
            return f"No selected cell has the value {self.control!r} of {self.by!r}."
        return (
            f"{len(rows):,} treated cells have no control with the same "
            f"{named(self.match)}, the first with {alike.names[codes[rows[0]]]!r}. Leave them "
            "out with unmatched='drop'."
        )


def _by_group(
    rows: NDArray[np.int64], codes: NDArray[np.int64], n_groups: int
) -> list[NDArray[np.unsignedinteger]]:
    own = codes[rows]
    ordered = narrow(rows[np.argsort(own, kind="stable")], len(codes))
    ends = np.cumsum(np.bincount(own, minlength=n_groups))
    return np.split(ordered, ends[:-1])


def _drawn(
    controls: list[NDArray[np.unsignedinteger]], group: NDArray[np.int64], block: int, *key: int
) -> NDArray[np.int64]:
    """Return a control for each treated cell of the given groups.

    They are drawn in runs of neighbours that begin anywhere, the first following the last, and
    dealt out in random order: so each control is equally likely for each cell, and a window reads
    few chunks.
    """
    drawn = np.empty(len(group), np.int64)
    for code in np.unique(group).tolist():
        places = np.flatnonzero(group == code)
        pool = controls[code]
        n_runs = -(-len(places) // block)
        starts = integers(np.full(n_runs, len(pool)), *key, "runs", code)
        runs = (starts[:, None] + np.arange(min(block, len(places)))) % len(pool)
        dealt = runs.ravel()[: len(places)]
        drawn[places] = pool[dealt[permutation(len(places), *key, "deal", code)]]
    return drawn


def _pairs(n: int) -> dict[str, NDArray[np.int64]]:
    return {"pairs": np.arange(n).reshape(2, n // 2).T.copy()}
