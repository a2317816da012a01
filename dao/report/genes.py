"""What a report tells of features: which study measured how many, and what they share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dao.printable import shortened
from dao.report.columns import NAME_WIDTH
from dao.report.facts import GenesFact

if TYPE_CHECKING:
    from dao.report.datasets import Counted
    from dao.store import Store

__all__ = ["genes_fact"]


def genes_fact(store: Store, organism: str, looked_at: Counted) -> GenesFact:
    """Return what datasets of an organism measured of the selected features.

    Parameters
    ----------
    looked_at
        The datasets to look at, in this order.
    """
    own = store[organism].subset(dataset=list(looked_at.ids))
    table = own.measured().loc[list(looked_at.ids)].to_numpy()
    common = table.astype(np.float32) @ table.T.astype(np.float32)
    sizes = np.diag(common)
    either = sizes[:, None] + sizes[None, :] - common
    shared = np.divide(common, either, out=np.zeros_like(common), where=either > 0)
    by_number = np.bincount(table.sum(axis=0), minlength=len(table) + 1)
    return GenesFact(
        organism=shortened(organism, NAME_WIDTH),
        n_vars=own.n_vars,
        datasets=tuple(shortened(i, NAME_WIDTH) for i in looked_at.ids),
        measured=tuple(sizes.astype(np.int64).tolist()),
        by_number=tuple(by_number.tolist()),
        shared=tuple(tuple(row) for row in shared.astype(np.float64).tolist()),
        n_others=looked_at.n_others,
    )
