"""Exact splits: parts of the sizes asked for, which depend on the whole selection."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dao.errors import ArgumentError
from dao.samplers.deal import deal
from dao.samplers.rng import permutation

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dao.samplers import Labels

__all__ = ["split_groups", "split_rows"]


def split_rows(
    n: int, fractions: NDArray[np.float64], strata: NDArray[np.integer] | None, seed: int
) -> NDArray[np.int64]:
    """Return the part of each of ``n`` rows: 0 for the first fraction, and so on.

    The parts have the sizes asked for, to a row. With strata each part also has its fraction of
    every stratum, to a row or two; small strata make up for each other.
    """
    ends = np.round(np.append(np.cumsum(fractions)[:-1], 1.0) * n).astype(np.int64)
    counts = np.diff(ends, prepend=0)
    order = permutation(n, seed, "split")
    parts = np.empty(n, np.int64)
    if strata is None:
        parts[order] = np.repeat(np.arange(len(counts)), counts)
    else:
        parts[order[np.argsort(strata[order], kind="stable")]] = deal(counts)
    return parts


def split_groups(
    groups: Labels, fractions: NDArray[np.float64], strata: NDArray[np.integer] | None, seed: int
) -> NDArray[np.int64]:
    """Return the part of each row so that no group is in two parts.

    Groups come in random order, each to the part that lacks most of what it has; every part gets
    at least one. Rows whose group is missing stay together as one.

    Raises
    ------
    dao.errors.ArgumentError
        If there are fewer groups than parts.
    """
    codes = np.unique(groups.codes, return_inverse=True)[1]
    n_groups = int(codes.max(initial=-1)) + 1
    if n_groups < len(fractions):
        msg = f"{n_groups} groups cannot be divided into {len(fractions)} parts."
        raise ArgumentError(msg)
    kinds = np.zeros(len(codes), np.int64)
    if strata is not None:
        kinds = np.unique(strata, return_inverse=True)[1]
    table = np.zeros((n_groups, int(kinds.max(initial=0)) + 1))
    np.add.at(table, (codes, kinds), 1)
    wanted = fractions[:, None] * table.sum(axis=0)
    part_of = np.full(n_groups, -1)
    empty = set(range(len(fractions)))
    for n_left, group in zip(
        range(n_groups, 0, -1), permutation(n_groups, seed, "split").tolist(), strict=True
    ):
        allowed = sorted(empty) if n_left <= len(empty) else range(len(fractions))
        # How much closer the part comes to its fraction, over all strata.
        gains = [float((wanted[p] * table[group]).sum()) for p in allowed]
        part = list(allowed)[int(np.argmax(gains))]
        wanted[part] -= table[group]
        part_of[group] = part
        empty.discard(part)
    return part_of[codes]
