"""What a selection holds, in words, numbers and HTML."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from dao.choose.counts import value_counts
from dao.notebook import Glance, table_html
from dao.paths import shown_path
from dao.sizes import counted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from dao.column import Column
    from dao.store import Store

__all__ = ["Description", "as_glance", "at_a_glance", "column_summary", "describe", "widths"]

_SHOWN = 3


@dataclass(frozen=True, repr=False)
class Description:
    """What `Store.describe` found.

    Attributes
    ----------
    n_obs
        Cells.
    n_vars
        Organism -> features.
    datasets
        One row per dataset: its ``organism`` and how many ``cells`` are selected.
    columns
        One row per obs column: its ``kind``, how many cells have it ``missing``, how many
        ``distinct`` values a column without numbers has, and the frequent or extreme
        ``values``.
    """

    n_obs: int
    n_vars: Mapping[str, int]
    datasets: pd.DataFrame
    columns: pd.DataFrame

    @property
    def title(self) -> str:
        """Cells and features in one line."""
        return f"{self.n_obs:,} cells in {len(self.datasets)} datasets: {_spaces(self.n_vars)}"

    def __repr__(self) -> str:
        tables = [t.to_string(max_rows=60) for t in (self.datasets, self.columns) if len(t)]
        return "\n\n".join([self.title, *tables])

    def _repr_html_(self) -> str:
        tables = [table_html(t) for t in (self.datasets, self.columns)]
        return "\n".join([f"<p>{escape(self.title)}</p>", *tables])


def at_a_glance(store: Store) -> str:
    """Return a selection in a few lines, without reading anything."""
    path, n_datasets = shown_path(store.path), len(store.datasets)
    return (
        f"Store {path!r}: {_share(store)} cells in {n_datasets} datasets\n"
        f"  {_spaces(widths(store))}\n"
        f"  obs: {', '.join(map(repr, store.obs_columns)) or 'no columns'}\n"
        f"  backend {store.backend!r}, generation {store.manifest.generation}"
    )


def as_glance(store: Store) -> Glance:
    """Return a selection as a notebook shows it, without reading anything."""
    several = len(store.organisms) > 1
    one = f"store[{store.organisms[0]!r}]" if several else "store"
    datasets = counted(len(store.datasets), "dataset")
    return Glance(
        f"Store {shown_path(store.path)!r}",
        {
            "cells": f"{_share(store)} in {datasets}",
            **{o: f"{n:,} features" for o, n in widths(store).items()},
            "obs": counted(len(store.obs_columns), "column"),
            "reads": f"backend {store.backend!r}, generation {store.manifest.generation}",
        },
        {
            datasets: table_html(_dataset_table(store)),
            counted(len(store.obs_columns), "obs column"): table_html(_column_table(store)),
        },
        {
            "store.describe()": "what each column holds",
            "store.subset(column=value)": "some of the cells",
            f"{one}.generator(batch_size=1024)": "batches of them; also .torch(), .tensorflow()",
            f"{one}.to_anndata()": "all of them in memory",
            "store.report()": "a page about them",
        },
    )


def describe(store: Store) -> Description:
    """Return what a selection holds; see `dao.Store.describe`. One column is read at a time."""
    return Description(
        n_obs=store.n_obs,
        n_vars=widths(store),
        datasets=_dataset_table(store)[["organism", "cells"]],
        columns=pd.DataFrame(
            [column_summary(name, store.obs_column(name)) for name in store.obs_columns],
            columns=["kind", "missing", "distinct", "values"],
            index=pd.Index(store.obs_columns, dtype=object, name="column"),
        ),
    )


def _share(store: Store) -> str:
    """Return the number of selected cells, and of all where that is another."""
    of_all = "" if store.n_obs == store.manifest.n_obs else f" of {store.manifest.n_obs:,}"
    return f"{store.n_obs:,}{of_all}"


def _spaces(n_vars: Mapping[str, int]) -> str:
    return ", ".join(f"{organism} ({n:,} features)" for organism, n in n_vars.items())


def _dataset_table(store: Store) -> pd.DataFrame:
    infos, selection = store.selected_datasets, store.selection
    return pd.DataFrame(
        {
            "organism": [d.organism for d in infos],
            "cells": selection.n_obs_by_dataset[selection.datasets],
            "cells on disk": [d.n_obs for d in infos],
            "measured features": [d.n_measured for d in infos],
        },
        index=pd.Index([d.id for d in infos], dtype=object, name="dataset"),
    )


def _column_table(store: Store) -> pd.DataFrame:
    infos = [store.column_info(name) for name in store.obs_columns]
    kinds = [i.dtype if i.kind in {"int", "float", "other"} else i.kind for i in infos]
    index = pd.Index(store.obs_columns, dtype=object, name="column")
    return pd.DataFrame({"kind": kinds, "may be missing": [i.nullable for i in infos]}, index)


def widths(store: Store) -> dict[str, int]:
    """Return organism -> selected features."""
    if store.chosen_features is not None:
        return dict.fromkeys(store.organisms, len(store.chosen_features))
    return {o: store.manifest.space(o).n_vars for o in store.organisms}


def column_summary(name: str, column: Column) -> dict[str, Any]:
    """Return a row of `Description.columns`."""
    missing = int(column.missing.sum())
    kind = column.info.kind if column.info.kind != "other" else column.info.dtype
    if column.info.kind in {"int", "float", "other"}:
        held = column.values[~column.missing]
        return {"kind": kind, "missing": missing, "distinct": "", "values": _range(column, held)}
    counts = value_counts(name, column)
    known = counts.iloc[: len(counts) - bool(missing)]
    values = _frequent(known, len(column))
    return {"kind": kind, "missing": missing, "distinct": len(known), "values": values}


def _range(column: Column, held: NDArray[Any]) -> str:
    if not len(held):
        return ""
    if column.info.kind == "other":
        return f"{held.min()} to {held.max()}"
    return f"{held.min():.6g} to {held.max():.6g}, mean {held.mean(dtype=np.float64):.6g}"


def _frequent(counts: pd.Series[Any], n_obs: int) -> str:
    parts = [f"{value} ({100 * n / n_obs:.0f} %)" for value, n in counts.iloc[:_SHOWN].items()]
    return ", ".join([*parts, *(["…"] if len(counts) > _SHOWN else [])])
