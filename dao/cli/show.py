"""What ``dao info`` tells of a store, as tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.text import Text

from dao.cli.terminal import console, printable, table
from dao.sizes import format_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

__all__ = ["show"]

_CATEGORIES_SHOWN = 4


def show(description: dict[str, Any]) -> None:
    """Print a description of `dao.cli.describe` as tables."""
    n_datasets = len(description["datasets"])
    text = Text.assemble(
        (printable(description["path"]), "bold"),
        f": {description['n_obs']:,} cells in {n_datasets:,} "
        f"dataset{'' if n_datasets == 1 else 's'}, {format_bytes(description['bytes'])} on disk\n"
        f"generation {description['generation']}, profile {description['profile']}, "
        f"{printable(description['created_by'])}, {description['uuid']}",
    )
    to = console()
    to.print(text, soft_wrap=True)
    to.print(
        _feature_spaces(description),
        _datasets(description),
        _columns(description),
        _history(description),
        sep="",
        end="",
    )


def _feature_spaces(description: dict[str, Any]) -> Table:
    result = table("organism", ">features", ">datasets", ">cells")
    for organism, n_vars in description["feature_spaces"].items():
        own = [d["n_obs"] for d in description["datasets"] if d["organism"] == organism]
        result.add_row(printable(organism), f"{n_vars:,}", f"{len(own):,}", f"{sum(own):,}")
    return result


def _datasets(description: dict[str, Any]) -> Table:
    several = len(description["feature_spaces"]) > 1
    more = any(d["layers"] or d["obsm"] for d in description["datasets"])
    result = table(
        "dataset",
        *(["organism"] if several else []),
        ">cells",
        ">measured",
        ">nnz/cell",
        "X",
        ">on disk",
        *(["layers, obsm"] if more else []),
    )
    for row in description["datasets"]:
        result.add_row(
            printable(row["id"]),
            *([printable(row["organism"])] if several else []),
            f"{row['n_obs']:,}",
            f"{row['n_measured']:,}",
            f"{row['nnz'] / max(1, row['n_obs']):,.0f}",
            _matrix(row),
            format_bytes(row["bytes"]),
            *([printable(_listed([*row["layers"], *row["obsm"]]))] if more else []),
        )
    return result


def _columns(description: dict[str, Any]) -> Table:
    result = table("obs column", "kind", ">categories", "values", "missing")
    for name, column in description["obs_columns"].items():
        categories = column["categories"]
        # The kind of a number says less than its dtype.
        kind = column["dtype"] if column["kind"] in {"int", "float", "other"} else column["kind"]
        result.add_row(
            printable(name),
            kind,
            "" if categories is None else f"{len(categories):,}",
            "" if categories is None else printable(_listed(categories)),
            "yes" if column["nullable"] else "",
        )
    return result


def _history(description: dict[str, Any]) -> Table:
    result = table(">generation", "written", "action", "datasets")
    for entry in description["history"]:
        when = str(entry.get("created", "")).replace("T", " ").replace("+00:00", " UTC")
        result.add_row(
            str(entry.get("generation", "")),
            printable(when),
            printable(entry.get("action", "")),
            printable(_listed(entry.get("datasets", []))),
        )
    return result


def _matrix(row: dict[str, Any]) -> str:
    stored = row["dtype"] if row["encoding"] == "csr" else f"{row['dtype']} dense"
    return (
        stored if row["dtype"] == row["source_dtype"] else f"{stored} (from {row['source_dtype']})"
    )


def _listed(names: Sequence[object]) -> str:
    """Return the first names and how many more there are."""
    shown = ", ".join(str(n) for n in names[:_CATEGORIES_SHOWN])
    rest = len(names) - _CATEGORIES_SHOWN
    return f"{shown}, {rest:,} more" if rest > 0 else shown
