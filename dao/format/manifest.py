"""The manifest ``dao.json``: what a store holds, as frozen values.

Parsing reports every problem at once and never trusts a path, a size or a dtype.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from dao.errors import FormatError, FormatVersionError
from dao.format.names import check_dataset_id, is_safe_path
from dao.format.parse import Problems, Reader

if TYPE_CHECKING:
    from collections.abc import Mapping

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
        Bytes of each shard file, in order: a missing or shortened file is noticed, where
        Zarr itself would answer with zeros.
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
    """

    kind: str
    dtype: str
    ordered: bool = False
    nullable: bool = False


@dataclass(frozen=True, slots=True)
class ObsInfo:
    """The obs table of a dataset: its parquet file and columns.

    Attributes
    ----------
    footer_sha256
        SHA-256 of the parquet footer: pages carry checksums of their own, so reading a few
        columns need not hash the whole file.
    """

    file: FileInfo
    footer_sha256: str
    columns: Mapping[str, ColumnInfo]


@dataclass(frozen=True, slots=True)
class DatasetInfo:
    """One study of the store; ``path`` is its folder, relative to the store."""

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


@dataclass(frozen=True)
class Manifest:
    """The content of ``dao.json``; datasets are in store order, which row positions follow."""

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

    @property
    def n_obs(self) -> int:
        """Rows of the whole store."""
        return int(self.offsets[-1])

    @cached_property
    def offsets(self) -> np.ndarray[Any, np.dtype[np.int64]]:
        """Position of each dataset's first row in the whole store, and the total at the end."""
        sizes = [d.n_obs for d in self.datasets]
        return np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)]).astype(np.int64)

    @cached_property
    def ordinals(self) -> dict[str, int]:
        """Dataset id -> its place in `datasets`."""
        return {d.id: i for i, d in enumerate(self.datasets)}

    def space(self, organism: str) -> FeatureSpaceInfo:
        """Return the feature space of an organism that the store is known to have."""
        return next(s for s in self.feature_spaces if s.organism == organism)

    def to_json(self) -> str:
        """Return the text of ``dao.json``."""
        content = {"format": "dao", "format_version": FORMAT_VERSION, **asdict(self)}
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
        try:
            content = json.loads(text)
        except (ValueError, RecursionError) as error:
            msg = f"{where} is not JSON ({error}). Run `dao validate` or restore it from a copy."
            raise FormatError(msg) from error
        if not isinstance(content, dict) or content.get("format") != "dao":
            msg = f'{where} is not the manifest of a dao store: it has no "format": "dao".'
            raise FormatError(msg)
        version = content.get("format_version")
        if isinstance(version, int) and version > FORMAT_VERSION:
            msg = (
                f"{where} has format_version {version}; this dao reads up to {FORMAT_VERSION}. "
                "Update it: pip install --upgrade dao-store."
            )
            raise FormatVersionError(msg)
        problems = Problems(where)
        reader = Reader(content, "", problems)
        reader.check(version == FORMAT_VERSION, "format_version", f"must be {FORMAT_VERSION}")
        manifest = _manifest(reader)
        _check_whole(manifest, problems)
        problems.raise_if_any()
        return manifest


def _manifest(r: Reader) -> Manifest:
    return Manifest(
        uuid=r.text("uuid"),
        generation=r.size("generation"),
        created=r.text("created"),
        created_by=r.text("created_by"),
        feature_spaces=tuple(
            FeatureSpaceInfo(s.text("organism"), s.size("n_vars"), _file(s.child("file")))
            for s in r.children("feature_spaces")
        ),
        datasets=tuple(_dataset(d) for d in r.children("datasets")),
        obs_columns=_columns(r.child("obs_columns")),
        vocabulary=_file(r.child("vocabulary")),
        profile=r.text("profile"),
        history=tuple(h.content for h in r.children("history")),
    )


def _dataset(r: Reader) -> DatasetInfo:
    obs = r.child("obs")
    return DatasetInfo(
        id=r.text("id"),
        path=r.path("path"),
        organism=r.text("organism"),
        n_obs=r.size("n_obs"),
        n_measured=r.size("n_measured"),
        matrices={name: _matrix(m) for name, m in r.child("matrices").items()},
        obs=ObsInfo(
            _file(obs.child("file")), obs.text("footer_sha256"), _columns(obs.child("columns"))
        ),
        features=_file(r.child("features")),
        uns=_file(r.child("uns")),
        group=_file(r.child("group")),
        shuffled=r.flag("shuffled"),
        seed=r.size("seed"),
        cluster_by=r.texts("cluster_by"),
    )


def _matrix(r: Reader) -> MatrixInfo:
    encoding = r.choice("encoding", ("csr", "dense"))
    shape = r.sizes("shape", 2)
    matrix = MatrixInfo(
        encoding=encoding,
        shape=(shape[0], shape[1]),
        nnz=r.size("nnz"),
        source_dtype=r.dtype("source_dtype"),
        source_encoding=r.choice("source_encoding", ("csr", "csc", "dense")),
        minimum=r.number("minimum"),
        maximum=r.number("maximum"),
        arrays={name: _array(a) for name, a in r.child("arrays").items()},
        columns=r.texts("columns") if r.content.get("columns") is not None else None,
    )
    names = {"data", "indices", "indptr"} if encoding == "csr" else {""}
    if r.check(set(matrix.arrays) == names, "arrays", f"must be exactly {sorted(names)}"):
        lengths = {"data": matrix.nnz, "indices": matrix.nnz, "indptr": matrix.shape[0] + 1}
        for name, array in matrix.arrays.items():
            wanted = (lengths[name],) if name else matrix.shape
            r.check(array.shape == wanted, f"arrays.{name}.shape", f"must be {wanted}")
    return matrix


def _array(r: Reader) -> ArrayInfo:
    shape = r.sizes("shape")
    array = ArrayInfo(
        dtype=r.dtype("dtype"),
        shape=shape or (0,),
        chunk=r.size("chunk", 1),
        shard=r.size("shard", 1),
        shard_sizes=r.sizes("shard_sizes"),
        metadata=_file(r.child("metadata")),
    )
    r.check(1 <= len(shape) <= 2, "shape", "must have one or two axes")
    r.check(array.shard % array.chunk == 0, "shard", "must be a multiple of chunk")
    shards = -(-array.shape[0] // array.shard)
    r.check(len(array.shard_sizes) == shards, "shard_sizes", f"must have {shards} entries")
    return array


def _columns(r: Reader) -> dict[str, ColumnInfo]:
    return {
        name: ColumnInfo(
            c.choice("kind", COLUMN_KINDS), c.text("dtype"), c.flag("ordered"), c.flag("nullable")
        )
        for name, c in r.items()
    }


def _file(r: Reader) -> FileInfo:
    return FileInfo(r.path("path"), r.size("size"), r.text("sha256"))


def _check_whole(manifest: Manifest, problems: Problems) -> None:
    organisms = [s.organism for s in manifest.feature_spaces]
    if len(set(organisms)) != len(organisms):
        problems.add("feature_spaces", f"name an organism twice: {organisms}")
    spaces = {s.organism: s.n_vars for s in manifest.feature_spaces}
    seen: set[str] = set()
    for i, dataset in enumerate(manifest.datasets):
        loc = f"datasets[{i}]"
        try:
            check_dataset_id(dataset.id)
        except ValueError as error:
            problems.add(f"{loc}.id", str(error))
        if dataset.id in seen:
            problems.add(f"{loc}.id", f"{dataset.id!r} is used twice")
        seen.add(dataset.id)
        if dataset.organism not in spaces:
            problems.add(f"{loc}.organism", f"{dataset.organism!r} has no feature space")
        if "X" not in dataset.matrices:
            problems.add(f"{loc}.matrices", "has no X")
        for name, matrix in dataset.matrices.items():
            kind = name.partition("/")[0]
            if not is_safe_path(name) or kind not in {"X", "layers", "obsm"}:
                problems.add(f"{loc}.matrices", f"{name!r} is not X, layers/<name> or obsm/<name>")
            if matrix.shape[0] != dataset.n_obs:
                problems.add(f"{loc}.matrices.{name}.shape", f"must have {dataset.n_obs} rows")
            if kind != "obsm" and matrix.shape[1] > spaces.get(dataset.organism, 1 << 62):
                problems.add(f"{loc}.matrices.{name}.shape", "has more features than its space")
        for column in dataset.obs.columns:
            if column not in manifest.obs_columns:
                problems.add(f"{loc}.obs.columns", f"{column!r} is not in obs_columns")


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
    "MatrixInfo",
    "ObsInfo",
]
