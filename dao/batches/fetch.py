"""Fetch: the rows of a window, from the backend, as they were stored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dao.backend import DenseRows, SparseRows
from dao.errors import BackendContractError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from dao.backend import Reader
    from dao.format.manifest import Manifest
    from dao.selection import Selection

__all__ = ["Fetched", "fetch"]


@dataclass(frozen=True, slots=True)
class Fetched:
    """Decoded rows of a stretch of the row stream.

    Attributes
    ----------
    positions
        Of each row in the selection, in stream order.
    index
        Of each row in the whole store.
    part
        Which entry of ``parts`` holds the row.
    slot
        Which row of that entry it is.
    parts
        Per dataset: matrix name -> its rows.
    """

    positions: NDArray[np.int64]
    index: NDArray[np.int64]
    part: NDArray[np.int64]
    slot: NDArray[np.int64]
    parts: Sequence[dict[str, SparseRows | DenseRows]]

    @property
    def n_chunks(self) -> int:
        """Chunks decoded."""
        return sum(rows.n_chunks for part in self.parts for rows in part.values())

    @property
    def n_bytes(self) -> int:
        """Bytes decoded."""
        return sum(rows.n_bytes for part in self.parts for rows in part.values())


def fetch(
    reader: Reader,
    manifest: Manifest,
    selection: Selection,
    matrices: Sequence[str],
    positions: NDArray[np.int64],
) -> Fetched:
    """Return the rows at ``positions`` of a selection, of every matrix asked for."""
    datasets, rows = selection.locate(positions)
    present, part = np.unique(datasets, return_inverse=True)
    slot = np.empty(len(positions), np.int64)
    parts = []
    for number, dataset in enumerate(present.tolist()):
        here = part == number
        wanted = rows[here]
        slot[here] = np.arange(len(wanted))
        name = manifest.datasets[dataset].id
        found = {m: reader.rows(name, m, wanted) for m in matrices}
        for matrix, got in found.items():
            _check(name, matrix, got, len(wanted))
        parts.append(found)
    return Fetched(positions, manifest.offsets[datasets] + rows, part, slot, parts)


def _check(dataset: str, matrix: str, got: SparseRows | DenseRows, n_rows: int) -> None:
    """Refuse rows that the kernels, which do not check bounds, could not trust."""
    if isinstance(got, DenseRows):
        ok = len(got.slots) == n_rows and (
            not n_rows or (got.slots.min() >= 0 and got.slots.max() < len(got.values))
        )
    else:
        ok = len(got.starts) == len(got.lengths) == n_rows and len(got.values) == len(got.indices)
        if ok and n_rows:
            last = int((got.starts + got.lengths).max())
            ok = got.starts.min() >= 0 and got.lengths.min() >= 0 and last <= len(got.values)
    if not ok:
        msg = f"The backend returned rows of {matrix} of {dataset!r} that do not fit together."
        raise BackendContractError(msg)
