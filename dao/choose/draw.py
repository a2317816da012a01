"""Draw: a random part of the cells, of all together or of each group."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from dao.arguments import any_seed
from dao.errors import ArgumentError
from dao.samplers.rng import random_bits

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from dao.column import Column

__all__ = ["draw", "group_codes"]

_MANY_GROUPS = 1 << 20


def draw(n: Any, n_obs: int, groups: Sequence[Column], seed: Any) -> NDArray[Any]:
    """Return positions that are drawn without replacement, ascending.

    Parameters
    ----------
    n
        How many, or below 1 the share; of each group where there are groups.
    n_obs
        Of how many cells.
    groups
        Columns of these cells; cells with equal values in all of them are a group.

    Raises
    ------
    dao.errors.ArgumentError
        If there are not so many cells, or the numbers make no sense.
    """
    n = n.item() if isinstance(n, np.generic) else n
    _check(n, seed)
    keys = random_bits(n_obs, int(seed), "sample")
    if not groups:
        if not isinstance(n, float) and n > n_obs:
            msg = f"{n:,} of {n_obs:,} cells cannot be drawn; each is drawn once at the most."
            raise ArgumentError(msg)
        return np.sort(_smallest(keys, _how_many(n, n_obs)))
    codes = group_codes(groups)
    order = np.argsort(codes, kind="stable")  # for 16 bits a radix sort
    sizes = np.bincount(codes)
    drawn = [
        members[_smallest(keys[members], _how_many(n, len(members)))]
        for members in np.split(order, np.cumsum(sizes)[:-1])
    ]
    return np.sort(np.concatenate(drawn))


def group_codes(columns: Sequence[Column]) -> NDArray[np.unsignedinteger[Any]]:
    """Return for each row the number of its group; missing values make groups of their own."""
    codes, n_codes = np.zeros(len(columns[0]), np.int64), 1
    for column in columns:
        own, n = _own_codes(column)
        codes, n_codes = codes * n + own, n_codes * n
        if n_codes > _MANY_GROUPS:
            found, codes = np.unique(codes, return_inverse=True)
            n_codes = len(found)
    return codes.astype(np.uint16 if n_codes <= 1 << 16 else np.uint32)


def _own_codes(column: Column) -> tuple[NDArray[np.int64], int]:
    """Return codes from 1 on, 0 for missing, and the number of codes."""
    if column.categories is not None:
        return column.values.astype(np.int64) + 1, len(column.categories) + 1
    codes = np.zeros(len(column), np.int64)
    found, own = np.unique(column.values[~column.missing], return_inverse=True)
    codes[~column.missing] = own + 1
    return codes, len(found) + 1


def _smallest(keys: NDArray[np.uint64], n: int) -> NDArray[Any]:
    """Return where the ``n`` smallest keys are: n cells, all choices equally probable."""
    return np.argpartition(keys, n - 1)[:n] if 0 < n < len(keys) else np.arange(min(n, len(keys)))


def _how_many(n: float, n_obs: int) -> int:
    return int(n * n_obs + 0.5) if isinstance(n, float) else min(int(n), n_obs)


def _check(n: Any, seed: Any) -> None:
    is_whole = isinstance(n, int) and not isinstance(n, bool) and n >= 0
    if not is_whole and not (isinstance(n, float) and 0 <= n <= 1):
        msg = f"n={n!r}: give a number of cells, or a share between 0 and 1."
        raise ArgumentError(msg)
    any_seed(seed)
