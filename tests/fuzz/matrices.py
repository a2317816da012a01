"""Matrices as values: drawn, built for scipy and NumPy, and as exact Python numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from fuzz.known import left_out
from hypothesis import strategies as st

POOLS: dict[str, tuple[Any, ...]] = {
    "bool": (True,),
    "int8": (1, -1, 127, -128),
    "int16": (1, 300, -32_768, 32_767),
    "int32": (1, 2**24 + 1, -(2**31), 2**31 - 1),
    "int64": (1, 3, 2**24 + 1, 2**53 + 1, -(2**63), 2**63 - 1),
    "uint8": (1, 100, 200, 255),
    "uint16": (1, 256, 65_535),
    "uint32": (1, 65_536, 2**24 + 1, 2**32 - 1),
    "uint64": (1, 7, 2**53 + 1, 2**64 - 1),
    "float16": (0.5, 1.0, 3.0, 65_504.0, -2.0),
    "float32": (1.0, 2.0, 5.0, 0.5, -1.25, 3.4e38, 2.0**24, float("nan"), float("inf")),
    "float64": (1.0, 2.0, 0.1, 2.0**24 + 1, 1.5e39, -1e300, 2.0**53, float("nan"), 1e-300),
}
if left_out("large X"):
    POOLS |= {"int64": (1, 3, 2**24 + 1), "uint64": (1, 7, 2**24 + 1)}
# Most matrices are counts.
_USUAL = ("float32", "float32", "float64", "int64", "uint8")
_COUNTS = (1, 1, 2, 3, 7, 100)


@dataclass(frozen=True)
class Matrix:
    """A matrix.

    Attributes
    ----------
    layout
        ``"csr"``, ``"csc"`` or ``"dense"``.
    entries
        (row, column, value) in the order in which they are stored; zeros and repeated places
        included. A dense matrix adds them up.
    """

    dtype: str
    layout: str
    shape: tuple[int, int]
    entries: tuple[tuple[int, int, Any], ...]

    @property
    def has_zeros(self) -> bool:
        """Whether one of the arrays that it is stored as holds nothing but zeros."""
        rows, columns, values = (
            (list(each) for each in zip(*self.entries, strict=True))
            if self.entries
            else ([], [], [])
        )
        return not any(rows) or not any(columns) or not any(values)

    def exact(self) -> list[list[Any]]:
        """Return rows of exact numbers; repeated entries are added."""
        rows: list[list[Any]] = [[0] * self.shape[1] for _ in range(self.shape[0])]
        for i, j, value in self.entries:
            rows[i][j] = self._exact(value) + rows[i][j]
        return rows

    def _exact(self, value: Any) -> Any:
        if self.dtype[:5] != "float":
            return int(value)
        number = float(np.dtype(self.dtype).type(value))
        return int(number) if number.is_integer() else number

    def build(self) -> Any:
        """Return the matrix as scipy or NumPy holds it."""
        if self.layout == "dense":
            array = np.zeros(self.shape, self.dtype)
            for i, j, value in self.entries:
                array[i, j] += np.dtype(self.dtype).type(value)
            return array
        axis = 0 if self.layout == "csr" else 1
        lines = sorted(self.entries, key=lambda e: e[axis])
        values, (rows, columns) = self._triple(lines)
        major, minor = (rows, columns) if axis == 0 else (columns, rows)
        counts = np.bincount(major, minlength=self.shape[axis]).astype(np.int32)
        indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
        kind = sp.csr_matrix if axis == 0 else sp.csc_matrix
        return kind((values, minor, indptr), shape=self.shape)

    def _triple(self, entries: list[tuple[int, int, Any]]) -> Any:
        rows = np.array([e[0] for e in entries], np.int32)
        columns = np.array([e[1] for e in entries], np.int32)
        return np.array([e[2] for e in entries], self.dtype), (rows, columns)


@st.composite
def matrices(draw: st.DrawFn, n_obs: int, n_vars: int, *, files: bool = False) -> Matrix:
    """Draw a matrix of a shape; mostly counts, sometimes extreme values of any dtype."""
    usual = draw(st.integers(0, 2)) > 0
    dtype = draw(st.sampled_from(_USUAL if usual else sorted(POOLS)))
    layouts = ["csr", "csc", "dense"]
    layout = "dense" if dtype == "float16" else draw(st.sampled_from(layouts))
    if not n_obs or not n_vars:
        return Matrix(dtype, layout, (n_obs, n_vars), ())
    pool = (0, *_COUNTS) if usual else (0, *POOLS[dtype])
    place = st.tuples(st.integers(0, n_obs - 1), st.integers(0, n_vars - 1))
    entry = st.tuples(place, st.sampled_from(pool))
    found = draw(st.lists(entry, max_size=n_obs * n_vars))
    # Sums of repeated entries are exact in every order only for small whole numbers.
    repeated = layout != "dense" and dtype != "bool" and draw(st.booleans())
    limit = 300 if dtype[:5] != "float" else 2**20
    kept: list[tuple[int, int, Any]] = []
    seen: dict[tuple[int, int], Any] = {}
    for (i, j), value in found:
        if (i, j) in seen:
            both = (value, seen[i, j])
            if not repeated or not all(abs(v) <= limit and v == int(v) for v in both):
                continue
        seen[i, j] = value
        kept.append((i, j, value))
    return Matrix(dtype, layout, (n_obs, n_vars), tuple(kept))
