"""The manifest ``dao.json``: what a store holds, as frozen values."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from dao.cached import cached_property
from dao.format.checksum import CHECKSUM, checksum
from dao.format.unknown import with_unknown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dao.format.declared import ObsColumn

__all__ = [
    "COLUMN_KINDS",
    "FORMAT_VERSION",
    "MANIFEST_NAME",
    "ArrayInfo",
    "ColumnInfo",
    "DatasetInfo",
    "FeatureSpaceInfo",
    "FileInfo",
    "Manifest",
    "MatchingInfo",
    "MatrixInfo",
    "ObsInfo",
    "OntologyInfo",
    "OriginInfo",
]

FORMAT_VERSION = 1
MANIFEST_NAME = "dao.json"

# The kinds of obs columns that dao unites over datasets; `other` is anything that parquet
# holds but dao only passes on (timestamps, durations, decimals).
COLUMN_KINDS = ("categorical", "string", "bool", "int", "float", "other")


@dataclass(frozen=True, slots=True)
class FileInfo:
    """A small file, checked as a whole when it is read: size in bytes and SHA-256."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class ArrayInfo:
    """One sharded Zarr array.

    Attributes
    ----------
    dtype
        NumPy name of the stored dtype, for example ``"uint16"``.
    shape
        Of the whole array: ``(n,)``, or ``(n, width)`` for dense matrices.
    chunk, shard
        Items along the first axis in one inner chunk and in one shard file.
    shard_sizes
        Bytes of each shard file, in order, 0 for a shard of zeros that has no file: a missing
        or shortened file is noticed, where Zarr itself would answer with zeros.
    metadata
        The array's ``zarr.json``.
    """

    dtype: str
    shape: tuple[int, ...]
    chunk: int
    shard: int
    shard_sizes: tuple[int, ...]
    metadata: FileInfo

    @property
    def n_chunks(self) -> int:
        """Inner chunks of the array."""
        return -(-self.shape[0] // self.chunk)

    @property
    def n_bytes(self) -> int:
        """Size of all files of the array."""
        return self.metadata.size + sum(self.shard_sizes)


@dataclass(frozen=True, slots=True)
class MatrixInfo:
    """X, a layer or an obsm of one dataset.

    Attributes
    ----------
    encoding
        ``"csr"`` (arrays data, indices, indptr) or ``"dense"`` (one array, named ``""``).
    shape
        ``(n_obs, n_vars)``; n_vars is the size of the feature space when it was written.
    source_dtype, source_encoding
        What the source had, so that ``to_anndata`` gives it back.
    minimum, maximum
        Range of the values, implicit zeros included.
    columns
        Names of the columns of an obsm that was a DataFrame.
    """

    encoding: str
    shape: tuple[int, int]
    nnz: int
    source_dtype: str
    source_encoding: str
    minimum: float
    maximum: float
    arrays: Mapping[str, ArrayInfo]
    columns: tuple[str, ...] | None = None

    @property
    def values(self) -> ArrayInfo:
        """The array that holds the values."""
        return self.arrays["data" if self.encoding == "csr" else ""]

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """The stored dtype of the values."""
        return np.dtype(self.values.dtype)


@dataclass(frozen=True, slots=True)
class ColumnInfo:
    """An obs column: its kind, the dtype behind it, and what missing values it may have.

    Attributes
    ----------
    kind
        One of `COLUMN_KINDS`.
    dtype
        NumPy name (numbers), dtype of the categories (categoricals) or Arrow type (other).
    ordered
        Whether the categories have an order.
    nullable
        Whether any value is missing.
    empty
        Whether all values are missing, so that the dtype need not be that of other datasets.
    fits
        Of numbers and times: other dtypes (for times: units) that hold every value exactly, as
        far as that is known.
    """

    kind: str
    dtype: str
    ordered: bool = False
    nullable: bool = False
    empty: bool = False
    fits: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether the column agrees with one of any type."""
        return self.empty or self.dtype == "null"


@dataclass(frozen=True, slots=True)
class ObsInfo:
    """The obs table of a dataset: its parquet file and columns.

    Attributes
    ----------
    footer_sha256
        SHA-256 of the parquet footer: pages carry checksums of their own, so reading a few
        columns need not hash the whole file.
    index_name
        What the study calls its obs names; empty if nothing.
    """

    file: FileInfo
    footer_sha256: str
    columns: Mapping[str, ColumnInfo]
    index_name: str = ""


@dataclass(frozen=True, slots=True)
class MatchingInfo:
    """How the columns of a study found their features.

    Attributes
    ----------
    n_columns
        Columns of the source's X, the sum of all others here.
    by_id, by_symbol, by_alias
        Those that became features, by what they were found.
    unknown, ambiguous
        Those that were dropped: no feature of the space has the name, or several have.
    """

    n_columns: int
    by_id: int = 0
    by_symbol: int = 0
    by_alias: int = 0
    unknown: int = 0
    ambiguous: int = 0

    @property
    def matched(self) -> int:
        """Columns that became features."""
        return self.by_id + self.by_symbol + self.by_alias


@dataclass(frozen=True, slots=True)
class OriginInfo:
    """Where some cells of a dataset were before they were merged, or copied from another store.

    Attributes
    ----------
    id
        The dataset that they were in at first.
    first, rows
        Source rows ``first`` to ``first + rows`` of the dataset are the source rows 0 to ``rows``
        of that one.
    """

    id: str
    first: int
    rows: int


@dataclass(frozen=True, slots=True)
class DatasetInfo:
    """One study of the store; ``path`` is its folder, relative to the store.

    ``var_columns`` are the study's own columns of var that hold anything but text. They,
    ``matching`` and ``dropped`` (the table of columns that were left out) are None where the store
    does not say. ``groups`` are the metadata of Zarr groups inside of its folder. ``origins``
    are by ascending source rows; there are none where all cells have always been in this dataset.
    """

    id: str
    path: str
    organism: str
    n_obs: int
    n_measured: int
    matrices: Mapping[str, MatrixInfo]
    obs: ObsInfo
    features: FileInfo
    uns: FileInfo
    group: FileInfo
    shuffled: bool
    seed: int
    cluster_by: tuple[str, ...] = ()
    matching: MatchingInfo | None = None
    dropped: FileInfo | None = None
    groups: tuple[FileInfo, ...] = ()
    origins: tuple[OriginInfo, ...] = ()
    var_columns: tuple[str, ...] | None = None

    @property
    def files(self) -> tuple[FileInfo, ...]:
        """The small files of the dataset."""
        always = (self.obs.file, self.features, self.uns, self.group, *self.groups)
        return always if self.dropped is None else (*always, self.dropped)

    @property
    def arrays(self) -> dict[str, ArrayInfo]:
        """The arrays of all matrices by their folders in that of the dataset, as ``"X/data"``."""
        return {
            "/".join(filter(None, (matrix, part))): array
            for matrix, info in self.matrices.items()
            for part, array in info.arrays.items()
        }

    @property
    def n_bytes(self) -> int:
        """Size of all files of the dataset."""
        return sum(f.size for f in self.files) + sum(a.n_bytes for a in self.arrays.values())

    @property
    def layers(self) -> list[str]:
        """Names of the layers."""
        return [n.removeprefix("layers/") for n in self.matrices if n.startswith("layers/")]

    @property
    def obsm(self) -> list[str]:
        """Names of the obsm matrices."""
        return [n.removeprefix("obsm/") for n in self.matrices if n.startswith("obsm/")]


@dataclass(frozen=True, slots=True)
class FeatureSpaceInfo:
    """The ordered features that all datasets of an organism share."""

    organism: str
    n_vars: int
    file: FileInfo


@dataclass(frozen=True, slots=True)
class OntologyInfo:
    """The terms behind the values of an obs column.

    Attributes
    ----------
    file
        Table of the terms.
    source, version
        Name of the file that they came from, and what it says its version is.
    """

    file: FileInfo
    source: str
    version: str


@dataclass(frozen=True)
class Manifest:
    """The content of ``dao.json``; datasets are in store order, which row positions follow.

    ``obs_schema`` is what the store demands of obs, None if nothing. ``unknown`` holds fields of
    later versions (see `dao.format.unknown`).
    """

    uuid: str
    generation: int
    created: str
    created_by: str
    feature_spaces: tuple[FeatureSpaceInfo, ...]
    datasets: tuple[DatasetInfo, ...]
    obs_columns: Mapping[str, ColumnInfo]
    vocabulary: FileInfo
    profile: str = "fast"
    history: tuple[Mapping[str, Any], ...] = field(default=())
    obs_schema: Mapping[str, ObsColumn] | None = None
    unknown: Mapping[str, Any] = field(default_factory=dict)
    ontologies: Mapping[str, OntologyInfo] = field(default_factory=dict)

    @property
    def n_obs(self) -> int:
        """Rows of the whole store."""
        return int(self.offsets[-1])

    @property
    def files(self) -> tuple[FileInfo, ...]:
        """The small files that belong to no dataset."""
        spaces = (s.file for s in self.feature_spaces)
        return (self.vocabulary, *spaces, *(o.file for o in self.ontologies.values()))

    @property
    def n_bytes(self) -> int:
        """Size of all files of the store, but for ``dao.json`` and its copies."""
        return sum(f.size for f in self.files) + sum(d.n_bytes for d in self.datasets)

    @cached_property
    def offsets(self) -> np.ndarray[Any, np.dtype[np.int64]]:
        """Position of each dataset's first row in the whole store, and the total at the end."""
        sizes = [d.n_obs for d in self.datasets]
        return np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)]).astype(np.int64)

    @cached_property
    def ordinals(self) -> dict[str, int]:
        """Dataset id -> its place in `datasets`."""
        return {d.id: i for i, d in enumerate(self.datasets)}

    def dataset(self, name: str) -> DatasetInfo:
        """Return a dataset, by its id, that the store is known to have."""
        return self.datasets[self.ordinals[name]]

    def space(self, organism: str) -> FeatureSpaceInfo:
        """Return the feature space of an organism that the store is known to have."""
        return next(s for s in self.feature_spaces if s.organism == organism)

    def to_json(self) -> str:
        """Return the text of ``dao.json``."""
        known = asdict(self)
        unknown = known.pop("unknown")
        for columns in (known["obs_columns"], *(d["obs"]["columns"] for d in known["datasets"])):
            _without_defaults(columns)
        for dataset in known["datasets"]:
            if not dataset["obs"]["index_name"]:
                del dataset["obs"]["index_name"]
        content = {"format": "dao", "format_version": FORMAT_VERSION, **known}
        content = with_unknown(content, unknown)
        content[CHECKSUM] = checksum(content)
        return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_json(cls, text: str | bytes, where: str = MANIFEST_NAME) -> Manifest:
        """Parse and check the text of ``dao.json``.

        Raises
        ------
        dao.errors.FormatVersionError
            If a newer dao wrote the store.
        dao.errors.FormatError
            With every problem found.
        """
        from dao.format.parse_manifest import parse_manifest

        return parse_manifest(text, where)


def _without_defaults(columns: Mapping[str, dict[str, Any]]) -> None:
    """Leave out the optional fields of columns that are as a reader would take them to be."""
    for column in columns.values():
        for name in ("empty", "fits"):
            if not column[name]:
                del column[name]
