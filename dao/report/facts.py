"""What a report tells of a selection: plain frozen values, made without drawing anything.

Long lists are cut when they are gathered; every value says how much it left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "ArrayFact",
    "ColumnFact",
    "DatasetFact",
    "Facts",
    "Finding",
    "GenesFact",
    "Histogram",
    "MixingFact",
    "PairFact",
    "SpreadFact",
    "StreamFact",
    "Top",
]


@dataclass(frozen=True)
class DatasetFact:
    """A dataset, and how many of its ``n_stored`` cells are selected (``n_obs``).

    Attributes
    ----------
    nnz_per_cell
        Values of X that are not zero, per cell, over all cells of the dataset.
    dtype
        Of X as it is stored.
    order
        ``"shuffled"``, ``"by COLUMN, shuffled"`` or ``"as in its source"``.
    """

    id: str
    organism: str
    n_obs: int
    n_stored: int
    n_measured: int
    nnz_per_cell: float
    dtype: str
    order: str


@dataclass(frozen=True)
class Top:
    """The most frequent values with their cells, and what the others add up to."""

    values: tuple[str, ...]
    cells: tuple[int, ...]
    n_others: int
    others: int


@dataclass(frozen=True)
class Histogram:
    """How many cells lie between each two of the edges."""

    edges: tuple[float, ...]
    cells: tuple[int, ...]


@dataclass(frozen=True)
class ColumnFact:
    """An obs column: ``top`` of one with categories, ``histogram`` of one with numbers.

    Attributes
    ----------
    distinct
        None for numbers and times.
    text
        The range, or the most frequent values.
    top
        None also where nearly each cell has a value of its own.
    n_rare
        Values that fewer than 10 cells have.
    alike
        Some that differ only in case and separators.
    """

    name: str
    kind: str
    missing: int
    distinct: int | None
    text: str
    top: Top | None = None
    histogram: Histogram | None = None
    n_rare: int = 0
    alike: tuple[str, ...] = ()


@dataclass(frozen=True)
class PairFact:
    """Cells by two columns at once.

    Attributes
    ----------
    rows, columns
        Names of the columns, then their values; the last value of either may stand for all others.
    association
        Cramér's V: 0 if one says nothing of the other, 1 if it says all.
    n_obs
        Cells that have a value in both.
    is_sample
        Whether only some cells were counted.
    """

    row: str
    column: str
    row_values: tuple[str, ...]
    column_values: tuple[str, ...]
    cells: tuple[tuple[int, ...], ...]
    association: float
    n_obs: int
    is_sample: bool


@dataclass(frozen=True)
class GenesFact:
    """Which of the datasets of an organism measured how many of the selected features.

    Attributes
    ----------
    by_number
        How many features are measured by 0, 1, ... of the datasets named.
    shared
        For each two datasets the share of the features of either that both measured.
    n_others
        Datasets that were not looked at.
    """

    organism: str
    n_vars: int
    datasets: tuple[str, ...]
    measured: tuple[int, ...]
    by_number: tuple[int, ...]
    shared: tuple[tuple[float, ...], ...]
    n_others: int


@dataclass(frozen=True)
class SpreadFact:
    """How X adds up in the cells of a dataset: counts and genes per cell.

    Attributes
    ----------
    n_looked_at
        Cells that were read; fewer than ``n_obs`` where these are a sample.
    counts, genes
        The 5th, 25th, 50th, 75th and 95th percentile of the sum of a cell, and of how many
        features are not zero in it.
    whole
        Whether all values are whole numbers of at least 0, as counts are.
    n_empty
        Cells without any value.
    """

    dataset: str
    organism: str
    n_obs: int
    n_looked_at: int
    counts: tuple[float, ...]
    genes: tuple[float, ...]
    whole: bool
    n_empty: int


@dataclass(frozen=True)
class ArrayFact:
    """What the selected datasets hold of an array or table, all their cells included.

    ``decoded`` is None for tables, ``chunks`` and ``shards`` are 0 for them. ``stored`` is None
    where dao did not write the files.
    """

    name: str
    dtype: str
    stored: int | None
    decoded: int | None
    chunks: int
    shards: int

    @property
    def ratio(self) -> float | None:
        """By how much compression made it smaller."""
        return self.decoded / self.stored if self.decoded and self.stored else None


@dataclass(frozen=True)
class MixingFact:
    """How varied batches are in a column, in bits, beside a perfect shuffle."""

    column: str
    batch: float
    perfect: float
    ratio: float
    error: float


@dataclass(frozen=True)
class StreamFact:
    """What the default generator does with the cells of an organism, measured here.

    Attributes
    ----------
    explained
        What `dao.Generator.explain` says.
    first
        Seconds until the first batch.
    cells_per_second
        Of the batches after it, with nothing done with them.
    """

    organism: str
    n_obs: int
    explained: str
    mixing: tuple[MixingFact, ...]
    n_streamed: int
    seconds: float
    first: float
    cells_per_second: float
    bytes_per_second: float
    processors: int


@dataclass(frozen=True)
class Finding:
    """Something to know before training; ``kind`` is ``"damage"``, ``"look"`` or ``"note"``."""

    kind: str
    text: str
    next: str = ""


@dataclass(frozen=True)
class Facts:
    """All that a report tells.

    Attributes
    ----------
    n_stored
        Cells of the whole store.
    n_vars
        Organism -> selected features.
    n_datasets, n_columns
        How many there are; ``datasets`` and ``columns`` may be the first of them.
    """

    path: str
    backend: str
    generation: int
    created: str
    created_by: str
    profile: str
    made: str
    made_by: str
    n_obs: int
    n_stored: int
    n_vars: Mapping[str, int]
    n_datasets: int
    n_columns: int
    datasets: tuple[DatasetFact, ...]
    columns: tuple[ColumnFact, ...]
    pairs: tuple[PairFact, ...]
    genes: tuple[GenesFact, ...]
    spreads: tuple[SpreadFact, ...]
    arrays: tuple[ArrayFact, ...]
    stream: StreamFact | None
    findings: tuple[Finding, ...]
