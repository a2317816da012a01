"""Automatic settings: the fastest blocks with which batches are mixed well enough."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

from dao.samplers.mixing import measure_mixing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np
    from numpy.typing import NDArray

    from dao.samplers.plan import EpochPlan
    from dao.samplers.rows import Rows
    from dao.samplers.shuffle import Shuffle

__all__ = ["auto_batch_size", "auto_shuffle"]

_ENOUGH = 0.985  # of the entropy of a perfect shuffle: a little more than is promised
_BLOCKS = (256, 128, 64, 32, 16, 8, 4, 2, 1)
_MOST_BLOCKS = 1 << 26  # in an epoch: their order alone takes four bytes each, twenty for a while
_WINDOWS = (16_384, 32_768, 65_536, 131_072)
# The order must not depend on the batch size, so settings are judged by one that is large:
# smaller batches reach a larger share.
_BATCH_SIZE = 4096


def auto_shuffle(
    sampler: Shuffle,
    rows: Rows,
    labels: Mapping[str, Callable[[NDArray[np.int64]], NDArray[np.integer]]],
) -> Shuffle:
    """Return the sampler with numbers for what was ``"auto"``.

    They depend on the selection alone: not on seed, batch size, memory or machine.

    Parameters
    ----------
    sampler
        With ``block`` or ``window``, or both, left to choose.
    rows
        The selection.
    labels
        What has to be mixed: key -> function that returns the label of each row.
    """
    blocks = tuple(b for b in _BLOCKS if rows.n <= b * _MOST_BLOCKS) or _BLOCKS[:1]
    if sampler.block != "auto":
        blocks = (int(sampler.block),)
    windows = _WINDOWS[:1] if sampler.block == "auto" else _WINDOWS
    if sampler.window != "auto":
        windows = (int(sampler.window),)
    found = sampler
    for window in windows:
        for block in blocks:
            found = replace(sampler, block=block, window=window)
            if rows.n <= window or _mixes(found, rows, labels):
                return found
    return found


def auto_batch_size(n: int) -> int:
    """Return a usual number of cells that divides an epoch into some batches.

    >>> auto_batch_size(500), auto_batch_size(10_000), auto_batch_size(10**8)
    (32, 128, 1024)
    """
    size = 32
    while size < 1024 and n >= 64 * 2 * size:
        size *= 2
    return size


def _mixes(
    sampler: Shuffle,
    rows: Rows,
    labels: Mapping[str, Callable[[NDArray[np.int64]], NDArray[np.integer]]],
) -> bool:

    @cache  # the same windows are looked at for every key
    def plan(epoch: int) -> EpochPlan:
        found = sampler.plan(rows, seed=0, epoch=epoch)
        return replace(found, window=cache(found.window))

    found = (measure_mixing(plan, _BATCH_SIZE, key, of) for key, of in labels.items())
    return all(mixing.ratio >= _ENOUGH for mixing in found)
