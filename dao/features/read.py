"""Tables of features as people have them: lists, DataFrames, files, and other stores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from dao.errors import ArgumentError, near_matches
from dao.features.gtf import is_gtf, read_gtf
from dao.format.names import cut_version
from dao.paths import is_path, local_path

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

__all__ = ["read_feature_table", "read_table", "symbol_column"]

# What files and colleagues call these columns.
_IDS = ("feature_id", "gene_id", "gene_ids", "ensembl_id", "ensembl", "ensg", "id")
_SYMBOLS = (
    "symbol", "gene_symbol", "gene_symbols", "gene_name", "feature_name", "hgnc_symbol", "name",
)  # fmt: skip


def read_feature_table(given: Any, organism: str, id_column: str | None = None) -> pd.DataFrame:
    """Return a table of features: ``feature_id``, versions cut, and the columns beside it.

    Parameters
    ----------
    given
        Ids, a DataFrame, a `dao.Store`, or a path: a GTF, a parquet or csv file, a text file
        with one id per line, or a store.
    organism
        Whose features are taken from a store.
    id_column
        Holds the ids; found by its name if None, else the index of a DataFrame, or the first
        column of a file.

    Raises
    ------
    dao.errors.ArgumentError
        If ids repeat, are missing, or cannot be read.
    """
    if is_path(given):
        table = _from_path(local_path(given, "features"), organism)
    elif isinstance(given, pd.DataFrame):
        table = given
    elif hasattr(given, "var_names") and hasattr(given, "organisms"):
        table = _from_store(given, organism)
    else:
        table = _from_ids(given)
    table = _with_ids(table, id_column)
    ids = table["feature_id"]
    if not len(ids) or ids.isna().any():
        what = "names no features" if not len(ids) else "has features without an id"
        msg = f"features= {what}. Give at least one id, each once."
        raise ArgumentError(msg)
    if not ids.is_unique:
        twice = ", ".join(map(repr, ids[ids.duplicated()].unique()[:5].tolist()))
        msg = f"features= names some ids twice: {twice}."
        raise ArgumentError(msg)
    return table


def read_table(path: Path) -> pd.DataFrame:
    """Return a parquet, csv or tsv file; all values of the latter two are text.

    Raises
    ------
    dao.errors.ArgumentError
        If it cannot be read.
    """
    try:
        if path.suffix.lower() == ".parquet":
            with path.open("rb") as file:  # a path would be interpreted once more
                return pd.read_parquet(file)
        separator = "\t" if ".tsv" in path.name.lower() else ","
        # Spreadsheets put a byte order mark in front, which would be a part of the first name.
        return pd.read_csv(path, sep=separator, dtype=str, encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        msg = f"{path} cannot be read as a table: {reason}."
        raise ArgumentError(msg) from error


def symbol_column(table: pd.DataFrame, wanted: str | None = None) -> str | None:
    """Return the name of the column that holds gene symbols, None if there is none.

    Raises
    ------
    dao.errors.ArgumentError
        If the table has no column ``wanted``.
    """
    if wanted is not None and wanted not in table.columns:
        msg = f"The table of features has no column {wanted!r}."
        raise ArgumentError(msg + near_matches(wanted, table.columns))
    return wanted or next((c for c in _SYMBOLS if c in table.columns), None)


def _from_path(path: Path, organism: str) -> pd.DataFrame:
    if not path.exists():
        msg = (
            f"features={str(path)!r}: give 'outer', 'inner', a list of ids, a table, or a file "
            "that exists (GTF, parquet, csv, one id per line, or a store)."
        )
        raise ArgumentError(msg)
    if path.is_dir():
        from dao.load import load_store

        return _from_store(load_store(path), organism)
    if is_gtf(path):
        return read_gtf(path)
    if any(s.lower() in {".parquet", ".csv", ".tsv"} for s in path.suffixes):
        return read_table(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        msg = f"features={str(path)!r}: this is no text file with one id per line ({error})."
        raise ArgumentError(msg) from error
    ids = [line.strip() for line in text.splitlines() if line.strip()]
    if not ids:
        msg = f"features={str(path)!r}: the file holds no ids; put one on each line."
        raise ArgumentError(msg)
    return _from_ids(ids)


def _from_store(store: Any, organism: str) -> pd.DataFrame:
    if organism not in store.organisms:
        msg = f"features=: the store {store.path} has no features of {organism}."
        raise ArgumentError(msg + near_matches(organism, store.organisms))
    table: pd.DataFrame = store[organism].var
    return table.rename_axis("feature_id").reset_index()


def _from_ids(given: Iterable[Any]) -> pd.DataFrame:
    try:
        ids = list(given)
    except TypeError as error:
        msg = f"features= cannot be {type(given).__name__}: give ids, a table, or a path."
        raise ArgumentError(msg) from error
    return pd.DataFrame({"feature_id": pd.Series([str(i) for i in ids], dtype=object)})


def _with_ids(table: pd.DataFrame, column: str | None) -> pd.DataFrame:
    if column is not None and column not in table.columns:
        msg = f"The table of features has no column {column!r} (id=)."
        raise ArgumentError(msg + near_matches(column, table.columns))
    column = column or next((c for c in _IDS if c in table.columns), None)
    if column is None and not isinstance(table.index, pd.RangeIndex):
        ids = pd.Series(table.index)
    else:
        column = column or str(table.columns[0])
        ids = table[column]
        table = table.drop(columns=column)
    missing = ids.isna().to_numpy()
    texts = [None if m else cut_version(str(i)) for i, m in zip(ids, missing, strict=True)]
    table = table.reset_index(drop=True)
    table.insert(0, "feature_id", pd.Series(texts, dtype=object))
    return table
