"""What the selected datasets take on disk, array by array."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from dao.backend import ForeignReader
from dao.printable import shortened
from dao.report.columns import NAME_WIDTH
from dao.report.facts import ArrayFact

if TYPE_CHECKING:
    from dao.format.manifest import ArrayInfo, DatasetInfo
    from dao.store import Store

__all__ = ["array_facts"]

_MOST_ARRAYS = 30


def array_facts(store: Store) -> tuple[ArrayFact, ...]:
    """Return the arrays of the selected datasets, each added up over them; the largest first."""
    foreign = isinstance(store.reader, ForeignReader)
    found: dict[str, list[ArrayFact]] = defaultdict(list)
    for dataset in store.selected_datasets:
        for fact in _arrays(dataset):
            found[fact.name].append(replace(fact, stored=None) if foreign else fact)
    facts = [_added_up(parts) for parts in found.values() if not (foreign and _is_table(parts[0]))]
    facts.sort(key=lambda fact: -(fact.stored or fact.decoded or 0))
    shown, rest = facts[:_MOST_ARRAYS], facts[_MOST_ARRAYS:]
    others = [replace(_added_up(rest), name=f"{len(rest):,} others")] if rest else []
    return (*shown, *others)


def _arrays(dataset: DatasetInfo) -> list[ArrayFact]:
    arrays = [_array(name, array) for name, array in dataset.arrays.items()]
    small = sum(file.size for file in dataset.files) - dataset.obs.file.size
    tables = {"obs": dataset.obs.file.size, "features, uns": small}
    return arrays + [ArrayFact(name, "", size, None, 0, 0) for name, size in tables.items()]


def _array(name: str, array: ArrayInfo) -> ArrayFact:
    return ArrayFact(
        name=shortened(name, NAME_WIDTH),
        dtype=array.dtype,
        stored=array.n_bytes,
        decoded=prod(array.shape) * np.dtype(array.dtype).itemsize,
        chunks=array.n_chunks,
        shards=len(array.shard_sizes),
    )


def _added_up(parts: list[ArrayFact]) -> ArrayFact:
    stored = [part.stored for part in parts if part.stored is not None]
    decoded = [part.decoded for part in parts if part.decoded is not None]
    return ArrayFact(
        name=parts[0].name,
        dtype=", ".join(dict.fromkeys(part.dtype for part in parts if part.dtype)),
        stored=sum(stored) if stored else None,
        decoded=sum(decoded) if decoded else None,
        chunks=sum(part.chunks for part in parts),
        shards=sum(part.shards for part in parts),
    )


def _is_table(fact: ArrayFact) -> bool:
    return fact.decoded is None
