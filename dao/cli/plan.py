"""What ``dao write --dry-run`` and ``dao info --features`` tell, as tables."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from rich.text import Text

from dao.cli.terminal import console, printable, table
from dao.features import matching_table
from dao.paths import shown_path
from dao.write.measured import count_matching

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table

    from dao.write.plan import WritePlan

__all__ = ["matching_rows", "plan_as_json", "show_plan"]

_VERBS = {
    "create": "written",
    "append": "appended",
    "replace": "put in the place of others",
    "overwrite": "written anew",
}


def show_plan(plan: WritePlan, store: str) -> None:
    """Print what would be written."""
    to = console()
    n_obs = sum(s.n_obs for s in plan.studies)
    verb = _VERBS[plan.job.mode]
    heading = f"{printable(shown_path(store))}: {n_obs:,} cells would be {verb}"
    to.print(Text(heading, "bold"), soft_wrap=True)
    for part in (_studies(plan), matching_rows(_matching(plan)), _columns(plan)):
        if part.row_count:
            to.print(part, end="")


def plan_as_json(plan: WritePlan, store: str) -> str:
    """Return what would be written, for scripts."""
    matching = _matching(plan)
    datasets = [
        {
            "id": study.id,
            "source": study.source.label,
            "organism": study.organism,
            "n_obs": study.n_obs,
            "n_source_obs": study.n_source_rows,
            "n_vars": len(plan.space(study)),
            "matching": json.loads(matching.loc[study.id].to_json()),
        }
        for study in plan.studies
    ]
    content = {"path": store, "mode": plan.job.mode, "datasets": datasets}
    return json.dumps(content, indent=1)


def matching_rows(matching: pd.DataFrame) -> Table:
    """Return the rows of `dao.Store.matching` as a table; columns of zeros are left out."""
    always = ("columns", "matched", "missing")
    shown = [c for c in matching.columns if c in always or matching[c].fillna(0).any()]
    result = table("dataset", *(f">{c.replace('_', ' ')}" for c in shown))
    for dataset, row in matching[shown].iterrows():
        result.add_row(printable(dataset), *(_count(v) for v in row))
    return result


def _studies(plan: WritePlan) -> Table:
    result = table("dataset", "source", "organism", ">cells", ">of", ">features")
    for study in plan.studies:
        result.add_row(
            printable(study.id),
            printable(shown_path(study.source.label)),
            printable(study.organism),
            f"{study.n_obs:,}",
            f"{study.n_source_rows:,}",
            f"{len(plan.space(study)):,}",
        )
    return result


def _matching(plan: WritePlan) -> pd.DataFrame:
    rows = []
    for study in plan.studies:
        space = plan.space(study)
        n_measured = study.features.ids.dropna().unique().isin(space).sum()
        counts = count_matching(study.features, space)
        rows.append((study.id, counts, int(n_measured), len(space)))
    return matching_table(rows)


def _columns(plan: WritePlan) -> Table:
    result = table("obs column", "kind", "in", ">categories")
    for name, info in plan.obs_columns.items():
        having = [s.id for s in plan.studies if name in s.obs.columns]
        categories = plan.categories.get(name)
        kind = info.dtype if info.kind in {"int", "float", "other"} else info.kind
        where = "all" if len(having) == len(plan.studies) else ", ".join(having)
        n_categories = "" if categories is None else f"{len(categories):,}"
        result.add_row(printable(name), kind, printable(where), n_categories)
    return result


def _count(value: object) -> str:
    return "" if value is None or str(value) == "<NA>" else f"{value:,}"
