"""Feature tables, and lists of feature ids as users give them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from dao.arguments import listed
from dao.errors import ArgumentError
from dao.format.names import cut_version

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dao.backend import Reader

__all__ = ["FeatureTables", "wanted_ids"]


class FeatureTables:
    """The feature tables of an open store, each read once and shared by all its views.

    Parameters
    ----------
    reader
        Where the tables come from.
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._known: dict[str, pd.DataFrame] = {}

    def __getitem__(self, path: str) -> pd.DataFrame:
        """Return the table at a path of the store, indexed by feature id."""
        if path not in self._known:
            table = self._reader.table(path).to_pandas()
            ids = pd.Index(table.pop("feature_id").tolist(), dtype=object)
            self._known[path] = table.set_index(ids)
        return self._known[path]


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
    found = listed(ids)
    if not found or not all(isinstance(i, str) for i in found):
        msg = "Features must be a list of at least one id, each a text."
        raise ArgumentError(msg)
    wanted = pd.Index([cut_version(i) for i in found], dtype=object)
    if not wanted.is_unique:
        twice = ", ".join(map(repr, wanted[wanted.duplicated()].unique()[:5]))
        msg = f"Some features are named twice: {twice}."
        raise ArgumentError(msg)
    return wanted
