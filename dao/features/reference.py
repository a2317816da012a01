"""`Features`: which features a store shall have, in the user's words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pandas as pd

from dao.cached import cached_property
from dao.errors import ArgumentError, near_matches
from dao.features.filter import rows_where
from dao.features.match import Matcher, Matching, rename
from dao.features.read import read_feature_table, read_table, symbol_column
from dao.format.organisms import canonical_organism
from dao.paths import is_path, local_path

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Features", "Reference", "references"]

_JOINS = ("outer", "inner")


@dataclass(frozen=True)
class Features:
    """The features that a store shall have, and what those of a study are matched by.

    Parameters
    ----------
    table
        ``"outer"`` or ``"inner"``: those of any study, or those that all share. Or the wanted
        ones, in the order wanted: a list of ids, a DataFrame, a `dao.Store`, or a path (a GTF
        file, parquet, csv, a text file with one id per line, or a store).
    where
        An expression over the columns of the table; only the features that match are taken, as
        in ``"biotype == 'protein_coding'"``.
    aliases
        Other names that studies may use: name -> id or symbol (or a list of them), a DataFrame
        or a csv or parquet file whose first two columns are these. With ``"outer"`` and
        ``"inner"`` every alias is renamed; with a table, ids and symbols go first.
    id, symbol
        Columns of the table; found by their usual names if None. With symbols, studies may use
        either.
    ignore_case
        Whether a name may differ in case from the symbol or alias that it is matched with.

    Examples
    --------
    >>> table = pd.DataFrame({"gene_id": ["ENSG01", "ENSG02"], "symbol": ["CD4", "ACP3"]})
    >>> features = Features(table, aliases={"ACPP": "ACP3"})
    >>> features.resolve("Homo sapiens").match(["CD4", "ACPP", "new"]).ids.tolist()
    ['ENSG01', 'ENSG02', None]
    """

    table: Any = "outer"
    where: str | None = None
    aliases: Any = field(default_factory=dict)
    id: str | None = None
    symbol: str | None = None
    ignore_case: bool = False

    def resolve(self, organism: str) -> Reference:
        """Read what was given, for one organism.

        Raises
        ------
        dao.errors.ArgumentError
            If it cannot be used.
        """
        aliases = _read_aliases(self.aliases)
        if isinstance(self.table, str) and self.table in _JOINS:
            if self.where is not None:
                msg = f"where= chooses from a table of features; features={self.table!r} is none."
                raise ArgumentError(msg)
            return Reference(self.table, None, None, aliases, ignore_case=self.ignore_case)
        table = read_feature_table(self.table, organism, self.id)
        if self.where is not None:
            table = table[rows_where(table, self.where)].reset_index(drop=True)
        if table.empty:
            msg = f"features=: no feature of the table meets {self.where!r}."
            raise ArgumentError(msg)
        symbol = symbol_column(table, self.symbol)
        return Reference(None, table, symbol, aliases, ignore_case=self.ignore_case)


@dataclass(frozen=True)
class Reference:
    """The features of one organism, read.

    Attributes
    ----------
    join
        ``"outer"`` or ``"inner"`` where the studies decide, else None.
    table
        ``feature_id`` and what is known of each; None where the studies decide.
    symbol
        Its column of symbols.
    aliases
        Other name -> ids or symbols.
    """

    join: str | None
    table: pd.DataFrame | None
    symbol: str | None
    aliases: Mapping[str, tuple[str, ...]]
    ignore_case: bool = False

    @property
    def is_trivial(self) -> bool:
        """Whether every name is an id."""
        return self.table is None and not self.aliases

    def match(self, names: Iterable[str]) -> Matching:
        """Return which feature each name of a study stands for."""
        if self._matcher is not None:
            return self._matcher(list(names))
        return rename(names, self.aliases)

    def fixed(self, table: pd.DataFrame) -> Reference:
        """Return the same matching, to the features of a table."""
        symbol = symbol_column(table)
        return Reference(None, table, symbol, self.aliases, ignore_case=self.ignore_case)

    @cached_property
    def _matcher(self) -> Matcher | None:
        if self.table is None:
            return None
        symbols: dict[str, tuple[str, ...]] = {}
        if self.symbol is not None:
            named = self.table[["feature_id", self.symbol]].dropna()
            for feature, symbol in named.itertuples(index=False, name=None):
                symbols[str(symbol)] = (*symbols.get(str(symbol), ()), feature)
        ids = self.table["feature_id"]
        return Matcher(ids, symbols, self.aliases, ignore_case=self.ignore_case)


def references(features: Any, organisms: Iterable[str]) -> dict[str, Reference]:
    """Return for each organism what ``features=`` of `dao.write_store` asks for.

    Raises
    ------
    dao.errors.ArgumentError
        If it cannot be used.
    """
    organisms = list(organisms)
    by_organism = isinstance(features, Mapping)
    given = {canonical_organism(str(o)): f for o, f in features.items()} if by_organism else {}
    strangers = sorted(given.keys() - set(organisms))
    if strangers:
        msg = f"features= has features of {strangers[0]!r}, and no source is of it."
        raise ArgumentError(msg + near_matches(strangers[0], organisms))
    result = {}
    for organism in organisms:
        asked = given.get(organism, "outer") if by_organism else features
        asked = asked if isinstance(asked, Features) else Features(asked)
        result[organism] = asked.resolve(organism)
    return result


def _read_aliases(given: Any) -> dict[str, tuple[str, ...]]:
    if is_path(given):
        given = read_table(local_path(given, "aliases"))
    if isinstance(given, pd.DataFrame):
        if given.shape[1] < 2:
            msg = "aliases= needs two columns: the other name, and the id or symbol it stands for."
            raise ArgumentError(msg)
        pairs = list(given.iloc[:, :2].dropna().itertuples(index=False, name=None))
    elif isinstance(given, Mapping):
        pairs = [(a, t) for a, ts in given.items() for t in ([ts] if isinstance(ts, str) else ts)]
    else:
        msg = f"aliases= must be a dict, a table or a path, not {type(given).__name__}."
        raise ArgumentError(msg)
    aliases: dict[str, tuple[str, ...]] = {}
    for alias, target in pairs:
        aliases[str(alias)] = (*aliases.get(str(alias), ()), str(target))
    return aliases
