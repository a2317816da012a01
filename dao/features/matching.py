"""How the features of each study were matched, as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dao.format.manifest import MatchingInfo

__all__ = ["matching_table"]

_COLUMNS = (
    "columns", "matched", "by_id", "by_symbol", "by_alias", "summed", "unknown", "ambiguous",
    "missing",
)  # fmt: skip


def matching_table(studies: Iterable[tuple[str, MatchingInfo | None, int, int]]) -> pd.DataFrame:
    """Return a row per dataset; columns as of `dao.Store.matching`.

    Parameters
    ----------
    studies
        (id, matching, features measured, features of the space) of each; a store that an early
        dao wrote does not say how it was matched.
    """
    rows = {}
    for dataset, info, n_measured, n_vars in studies:
        counts: list[int | None] = [None] * 8
        if info is not None:
            by = (info.by_id, info.by_symbol, info.by_alias)
            summed = info.matched - n_measured
            counts = [info.n_columns, info.matched, *by, summed, info.unknown, info.ambiguous]
        rows[dataset] = [*counts, n_vars - n_measured]
    table = pd.DataFrame.from_dict(rows, orient="index", columns=list(_COLUMNS), dtype=object)
    return table.astype("Int64" if table.isna().any(axis=None) else "int64")
