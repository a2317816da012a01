"""From a selection to the facts of a report, stage by stage."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from dao.choose.describe import widths
from dao.errors import DaoError
from dao.paths import shown_path
from dao.printable import printable
from dao.provenance import created_by
from dao.report.columns import column_facts
from dao.report.datasets import dataset_facts, largest
from dao.report.facts import Facts, Finding
from dao.report.findings import cell_findings, store_findings
from dao.report.genes import genes_fact
from dao.report.layout import array_facts
from dao.report.pairs import pair_facts
from dao.report.spreads import spread_facts
from dao.report.stream import stream_fact

if TYPE_CHECKING:
    from collections.abc import Callable

    from dao.report.facts import GenesFact, SpreadFact
    from dao.store import Store

__all__ = ["gather"]

T = TypeVar("T")

_MOST_ORGANISMS = 4


@dataclass
class _Tried:
    """Calls stages; what one of them cannot read is kept, and the others go on."""

    unread: list[str] = field(default_factory=list)

    def __call__(self, what: str, stage: Callable[..., T], *arguments: Any) -> T | None:
        try:
            return stage(*arguments)
        except DaoError as error:
            self.unread.append(f"{what}: {printable(error)}")
        return None


def gather(store: Store) -> Facts:
    """Return what a report tells of a selection; what cannot be read becomes a finding."""
    tried = _Tried()
    organisms = _organisms(store)
    columns = tried("obs columns", column_facts, store) or ()
    pairs = tried("obs columns together", pair_facts, store, columns) or ()
    genes: list[GenesFact] = []
    spreads: list[SpreadFact] = []
    for name in organisms[:_MOST_ORGANISMS]:
        looked_at = largest(store, name)
        found = tried("measured features", genes_fact, store, name, looked_at)
        genes += [found] if found else []
        spreads += tried("X", spread_facts, store, name, looked_at) or []
    stream = tried("the stream", stream_fact, store, organisms[0], columns) if organisms else None
    of_files = tried("files", store_findings, store) or []
    unread = [Finding("damage", text) for text in tried.unread]
    odd = cell_findings(columns, pairs, tuple(genes), tuple(spreads))
    return Facts(
        **_about(store),
        n_datasets=len(store.datasets),
        datasets=dataset_facts(store),
        columns=columns,
        pairs=pairs,
        genes=tuple(genes),
        spreads=tuple(spreads),
        arrays=array_facts(store),
        stream=stream,
        findings=(*of_files, *unread, *odd),
    )


def _organisms(store: Store) -> list[str]:
    """Return the organisms with selected cells, those with most first."""
    sizes = Counter[str]()
    cells = store.selection.n_obs_by_dataset.tolist()
    for n, dataset in zip(cells, store.manifest.datasets, strict=True):
        sizes[dataset.organism] += n
    return [name for name, n in sizes.most_common() if n]


def _about(store: Store) -> dict[str, Any]:
    manifest = store.manifest
    return {
        "path": printable(shown_path(store.path)),
        "backend": store.backend,
        "generation": manifest.generation,
        "created": printable(manifest.created),
        "created_by": printable(manifest.created_by),
        "profile": manifest.profile,
        "made": datetime.now(UTC).isoformat(timespec="minutes"),
        "made_by": created_by(),
        "n_obs": store.n_obs,
        "n_stored": manifest.n_obs,
        "n_vars": {printable(organism): n for organism, n in widths(store).items()},
        "n_columns": len(store.obs_columns),
    }
