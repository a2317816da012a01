"""Shuffle: bring the rows of a matrix into their order in the store, in bounded memory.

Rows arrive in source order (or, from CSC, as all rows of some columns). Each belongs to a
bucket of consecutive places in the store; a bucket is small enough to be sorted in memory.
Buckets of a small matrix are one and stay in memory; others lie in files of their own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from dao.kernels import copy_segments

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["RowSpool"]


class RowSpool:
    """Collects pieces of a matrix and gives them back in store order.

    Parameters
    ----------
    destinations
        Place in the store of each source row, or -1 for rows that are left out.
    n_vars
        Columns of the matrix.
    estimated_bytes
        About how much will arrive; decides how many buckets there are.
    max_bytes
        How much one bucket may hold.
    folder
        An existing folder for the buckets' files.
    """

    def __init__(
        self,
        destinations: NDArray[np.int64],
        n_vars: int,
        *,
        estimated_bytes: int,
        max_bytes: int,
        folder: Path,
    ) -> None:
        self._destinations = destinations
        self._n_obs = int((destinations >= 0).sum())
        self._n_vars = n_vars
        n_buckets = max(1, -(-estimated_bytes // max(1, max_bytes)))
        self._bucket_rows = max(1, -(-self._n_obs // n_buckets))
        self._on_disk = self._bucket_rows < self._n_obs
        self._folder = folder
        self._pieces: list[tuple[NDArray[Any], ...]] = []

    def add(self, first_row: int, piece: sp.csr_matrix) -> None:
        """Take in a piece whose row 0 is row ``first_row`` of the source."""
        places = self._destinations[first_row : first_row + piece.shape[0]]
        lengths = np.diff(piece.indptr)
        rows = np.flatnonzero((lengths > 0) & (places >= 0))
        if not self._on_disk:
            if len(rows) < len(lengths):
                piece = piece[rows]
            self._pieces.append((places[rows], lengths[rows], piece.indices, piece.data))
            return
        buckets = places[rows] // self._bucket_rows
        order = np.argsort(buckets, kind="stable")
        breaks = np.flatnonzero(np.diff(buckets[order])) + 1
        for part in np.split(order, breaks):
            if len(part):
                chosen = rows[part]
                sub = piece[chosen]
                with self._file(int(buckets[part[0]])).open("ab") as file:
                    for array in (places[chosen], lengths[chosen], sub.indices, sub.data):
                        np.save(file, array)

    def blocks(self) -> Iterator[sp.csr_matrix]:
        """Yield the matrix in store order, one CSR block per bucket; column numbers ascend."""
        for start in range(0, self._n_obs, self._bucket_rows):
            stop = min(start + self._bucket_rows, self._n_obs)
            pieces = self._load(start // self._bucket_rows) if self._on_disk else self._pieces
            yield _merge(pieces, start, stop - start, self._n_vars)

    def _file(self, bucket: int) -> Path:
        return self._folder / f"bucket-{bucket}.npy"

    def _load(self, bucket: int) -> list[tuple[NDArray[Any], ...]]:
        path = self._file(bucket)
        pieces: list[tuple[NDArray[Any], ...]] = []
        if path.exists():
            size = path.stat().st_size
            with path.open("rb") as file:
                while file.tell() < size:
                    pieces.append(tuple(np.load(file, allow_pickle=False) for _ in range(4)))
            path.unlink()
        return pieces


def _merge(
    pieces: list[tuple[NDArray[Any], ...]], first: int, n_rows: int, n_vars: int
) -> sp.csr_matrix:
    if not pieces:
        return sp.csr_matrix((n_rows, n_vars))
    places, lengths, indices, values = (np.concatenate([p[k] for p in pieces]) for k in range(4))
    rows = places - first
    starts = np.cumsum(lengths, dtype=np.int64) - lengths
    order = np.argsort(rows, kind="stable")
    row_lengths = np.bincount(rows, weights=lengths, minlength=n_rows).astype(np.int64)
    indptr = np.concatenate([[0], np.cumsum(row_lengths)])
    wanted = np.asarray(lengths[order], np.int64)
    out_starts = np.cumsum(wanted) - wanted
    out_values, out_indices = np.empty_like(values), np.empty_like(indices)
    copy_segments(values, starts[order], wanted, out_values, out_starts)
    copy_segments(indices, starts[order], wanted, out_indices, out_starts)
    matrix = sp.csr_matrix((out_values, out_indices, indptr), shape=(n_rows, n_vars))
    matrix.sort_indices()
    return matrix
