"""Locate: positions of a window become rows of datasets, before anything is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dao.selection import order_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from dao.format.manifest import Manifest
    from dao.selection import Selection

__all__ = ["Located", "locate"]


@dataclass(frozen=True, slots=True)
class Located:
    """Where the rows of a window are stored.

    Attributes
    ----------
    positions
        Of each row in the selection, in stream order.
    index
        Of each row in the whole store.
    cuts
        Where the window is to be cut, from 0 to its length.
    requests
        Rows by dataset, each in stream order.
    order
        Where each of them, one request after another, is in the window.
    """

    positions: NDArray[np.int64]
    index: NDArray[np.int64]
    cuts: Sequence[int]
    requests: Sequence[tuple[str, NDArray[np.int64]]]
    order: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.positions)


def locate(
    manifest: Manifest,
    selection: Selection,
    positions: NDArray[np.int64],
    cuts: Sequence[int],
) -> Located:
    """Return where the rows at ``positions`` of a selection, in any order, are stored.

    Parameters
    ----------
    manifest, selection
        Of the store.
    positions
        Rows of the selection.
    cuts
        Where they are to be cut, from 0 to their number.
    """
    datasets, rows = selection.locate(positions)
    counts = np.bincount(datasets, minlength=1)
    present = np.flatnonzero(counts)
    order = order_of(datasets, len(counts)) if len(present) > 1 else np.arange(len(rows))
    wanted = np.split(rows[order], np.cumsum(counts[present])[:-1])
    names = [manifest.datasets[dataset].id for dataset in present.tolist()]
    requests = list(zip(names, wanted, strict=True)) if len(rows) else []
    return Located(positions, manifest.offsets[datasets] + rows, cuts, requests, order)
