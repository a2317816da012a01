"""Unite: obs columns and categories of studies, and of the store that they are added to."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from dao.directory import StoreDirectory
from dao.format.categories import unite_categories
from dao.format.obs_schema import unite_columns
from dao.warn import warn
from dao.write.columns import fits_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from dao.format.manifest import ColumnInfo, Manifest
    from dao.write.inspect import Study

__all__ = ["stored_categories", "unite_obs"]


def unite_obs(
    studies: Sequence[Study], root: Path, base: Manifest | None
) -> tuple[dict[str, ColumnInfo], dict[str, list[str]]]:
    """Return the columns of the whole store, and the categories of the categorical ones.

    Parameters
    ----------
    root
        Folder of the store.
    base
        What is there already, if anything is.

    Raises
    ------
    dao.errors.ObsTypeError
        If they cannot be united, or if codes of the store would change.
    """
    new = {study.id: study.obs.columns for study in studies}
    there = [d.obs.columns for d in base.datasets] if base else []
    known = _with_fits(base, root, new) if base else {}
    united = unite_columns(new, known, there)
    texts = stored_categories(root, base) if base else {}
    categories = {}
    for name, info in united.items():
        if info.kind != "categorical":
            continue
        listed = {s.id: s.obs.categories[name] for s in studies if name in s.obs.categories}
        categories[name], ordered = unite_categories(
            name, listed, info.dtype, ordered=info.ordered, known=texts.get(name, ())
        )
        united[name] = replace(info, ordered=ordered)
        if name not in known and not ordered:
            _warn_of_lost_order(name, new, is_ordered=info.ordered)
    return united, categories


def stored_categories(root: Path, base: Manifest) -> dict[str, list[str]]:
    """Return the categories of each categorical column of a store, as text in order."""
    table = StoreDirectory(root).table(base.vocabulary.path).to_pandas()
    grouped = table.groupby("column", sort=False)["category"]
    return {str(name): list(values) for name, values in grouped}


def _with_fits(
    base: Manifest, root: Path, new: Mapping[str, Mapping[str, ColumnInfo]]
) -> dict[str, ColumnInfo]:
    """Return the columns of a store, with what else holds their values where that matters.

    Stores of dao 0.1 do not say so; the values do, where they lie on this machine.
    """
    known = dict(base.obs_columns)
    for name, info in known.items():
        asked = {c[name].dtype for c in new.values() if name in c} - {info.dtype}
        if not asked or info.fits or info.kind not in {"int", "other"}:
            continue
        paths = [d.obs.file.path for d in base.datasets if name in d.obs.columns]
        if paths and all((root / path).is_file() for path in paths):
            directory = StoreDirectory(root)
            values = [directory.table(path, [name])[name].combine_chunks() for path in paths]
            if info.kind == "int":
                values = [v.cast(pa.from_numpy_dtype(np.dtype(info.dtype))) for v in values]
            held = set.intersection(*(set(fits_of(v)) for v in values))
            known[name] = replace(info, fits=tuple(sorted(held)))
    return known


def _warn_of_lost_order(
    name: str, columns: Mapping[str, Mapping[str, ColumnInfo]], *, is_ordered: bool
) -> None:
    ordered = [d for d, c in columns.items() if name in c and c[name].ordered]
    if not ordered:
        return
    why = f"it is ordered in {', '.join(map(repr, ordered[:3]))}, but not in all datasets"
    if is_ordered:
        why = "no dataset says how the ordered categories of all follow each other"
    warn(
        f"obs column {name!r} has no order in the store: {why}. Declare it with "
        f"obs_schema={{{name!r}: dao.ObsColumn('category', values=[...], ordered=True)}}."
    )
