"""Feature tables, and lists of feature ids as users give them."""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import pandas as pd

from dao.errors import ArgumentError
from dao.format.names import cut_version

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dao.backend import Reader

__all__ = ["feature_table", "wanted_ids"]

# One table per feature space and open store, shared by all its views.
_tables: WeakKeyDictionary[Reader, dict[str, pd.DataFrame]] = WeakKeyDictionary()


def feature_table(reader: Reader, path: str) -> pd.DataFrame:
    """Return the feature table at a path of the store, indexed by feature id."""
    known = _tables.setdefault(reader, {})
    if path not in known:
        table = reader.table(path).to_pandas()
        ids = pd.Index(table.pop("feature_id").tolist(), dtype=object)
        known[path] = table.set_index(ids)
    return known[path]


def wanted_ids(ids: Iterable[str]) -> pd.Index:
    """Return feature ids as an index, Ensembl versions cut.

    Raises
    ------
    dao.errors.ArgumentError
        If there are none, some repeat, or they are no text.
    """
    if isinstance(ids, str):
        msg = f"Features must be a list of ids, not the text {ids!r}."
        raise ArgumentError(msg)
    listed = list(ids)
    if not listed or not all(isinstance(i, str) for i in listed):
        msg = "Features must be a list of at least one id, each a text."
        raise ArgumentError(msg)
    wanted = pd.Index([cut_version(i) for i in listed], dtype=object)
    if not wanted.is_unique:
        twice = ", ".join(map(repr, wanted[wanted.duplicated()].unique()[:5]))
        msg = f"Some features are named twice: {twice}."
        raise ArgumentError(msg)
    return wanted
