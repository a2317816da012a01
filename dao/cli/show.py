"""What ``dao info`` tells of a store, as tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.text import Text

from dao.cli.terminal import console, printable, table
from dao.paths import shown_path
from dao.sizes import counted, format_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rich.table import Table

__all__ = ["history_table", "show"]

_WIDTH_OF_NAMES = 40


def show(description: dict[str, Any]) -> None:
    """Print a description of `dao.cli.describe` as tables."""
    text = Text.assemble(
        (printable(shown_path(description["path"])), "bold"),
        f": {description['n_obs']:,} cells in {counted(len(description['datasets']), 'dataset')}, "
        f"{format_bytes(description['bytes'])} on disk\n"
        f"generation {description['generation']}, profile {description['profile']}, "
        f"{printable(description['created_by'])}, {description['uuid']}",
    )
    to = console()
    to.print(text, soft_wrap=True)
    for part in (_feature_spaces, _datasets, _columns, _history):
        rows = part(description)
        if rows.row_count:
            to.print(rows, end="")


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
    gaps = any(c["nullable"] for c in description["obs_columns"].values())
    result = table("obs column", "kind", *(["missing"] if gaps else []), "categories")
    for name, column in description["obs_columns"].items():
        # The kind of a number says less than its dtype.
        kind = column["dtype"] if column["kind"] in {"int", "float", "other"} else column["kind"]
        categories = ""
        if column["n_categories"] is not None:
            first = _listed(column["first_categories"], column["n_categories"])
            categories = f"{column['n_categories']:,}: {first}"
        result.add_row(
            printable(name),
            kind,
            *(["yes" if column["nullable"] else ""] if gaps else []),
            printable(categories),
        )
    return result


def _history(description: dict[str, Any]) -> Table:
    return history_table(description["history"])


def history_table(entries: Iterable[Mapping[Any, Any]]) -> Table:
    """Return a row for each commit; whether it is kept, where that is known."""
    entries = list(entries)
    kept = any("kept" in entry for entry in entries)
    result = table(">generation", "written", "action", *(["kept"] if kept else []), "datasets")
    for entry in entries:
        when = str(entry.get("created", "")).replace("T", " ").replace("+00:00", " UTC")
        result.add_row(
            str(entry.get("generation", "")),
            printable(when),
            printable(entry.get("action", "")),
            *(["yes" if entry["kept"] else "no"] if kept else []),
            printable(_listed(entry.get("datasets", []))),
        )
    return result


def _matrix(row: dict[str, Any]) -> str:
    stored = row["dtype"] if row["encoding"] == "csr" else f"{row['dtype']} dense"
    return (
        stored if row["dtype"] == row["source_dtype"] else f"{stored} (from {row['source_dtype']})"
    )


def _listed(names: Sequence[object], n_names: int | None = None) -> str:
    """Return the first names, as many as fit beside other columns, and whether there are more."""
    fitting: list[str] = []
    for name in map(str, names):
        if fitting and len(", ".join([*fitting, name])) > _WIDTH_OF_NAMES:
            break
        fitting.append(name)
    total = len(names) if n_names is None else n_names
    return ", ".join([*fitting, *(["..."] if len(fitting) < total else [])])
