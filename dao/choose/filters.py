"""From an expression to the rows of a selection where it is true, several datasets at a time."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from dao.selection import rows_where
from dao.threads import in_threads
from dao.where import evaluate
from dao.where.expression import columns_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from dao.obs import ObsStore
    from dao.selection import Selection
    from dao.where import Expression

__all__ = ["filtered"]


def filtered(selection: Selection, expression: Expression, obs: ObsStore) -> Selection:
    """Return the rows of a selection where an expression is true, in their order.

    Of obs only the columns that the expression needs are read, dataset by dataset.
    """
    names = sorted(columns_of(expression))

    def mask(ordinal: int, rows: NDArray[np.uint32] | None) -> NDArray[np.bool_]:
        found = evaluate(expression, obs.columns(ordinal, names), selection.sizes[ordinal])
        return found if rows is None else found[rows]

    def true(ordinal: int, rows: NDArray[np.uint32] | None) -> NDArray[np.uint32] | None:
        found = mask(ordinal, rows)
        return None if found.all() else rows_where(found)

    if selection.order is not None:
        return selection.keep(in_threads([partial(mask, i, r) for i, r in selection.parts()]))
    # Of few true rows of many cells their numbers are smaller than masks of all.
    return selection.keep_rows(in_threads([partial(true, i, r) for i, r in selection.parts()]))
