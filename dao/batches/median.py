"""The median of the totals of all selected cells, for ``NormalizeTotal(target_sum=None)``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dao.batches.generator import Generator
from dao.batches.rows import rows_of
from dao.batches.share import Share
from dao.batches.spec import BatchSpec
from dao.samplers import Sequential
from dao.transforms.normalize import known_totals, row_totals

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dao.batches.spec import MatrixSpec
    from dao.obs import Column
    from dao.store import Store
    from dao.transforms import NormalizeTotal, Step

__all__ = ["with_median"]

_ROWS = 4096


def with_median(
    step: NormalizeTotal,
    store: Store,
    X: MatrixSpec,
    before: Sequence[tuple[Step, Column | None]],
) -> NormalizeTotal:
    """Return the transform with the number that its cells add up to.

    Totals are those that the transform itself will find: from its obs column, or of the genes of a
    batch after the steps before it. Then X is read once, in bounded memory, all of it on each rank
    and in the order of the selection, so that all ranks have the same number.
    """
    if step.totals is not None:
        column = store.obs_column(step.totals)
        return step.with_median(known_totals(step.totals, column, slice(None)))
    stream = Generator(
        store=store,
        spec=BatchSpec(_ROWS, {"X": X}, {}, list(before)),
        sampler=Sequential(),
        rows=rows_of(store, _ROWS),
        seed=0,
        drop_last=False,
        transform=None,
        given_share=Share(0, 1),
    )
    totals = [row_totals(batch["X"]) for batch in stream]
    return step.with_median(np.concatenate([np.empty(0), *totals]))
