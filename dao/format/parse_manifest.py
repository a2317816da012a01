"""From the text of ``dao.json`` to a `Manifest`: nothing is trusted, every problem reported."""

from __future__ import annotations

import json
from dataclasses import fields, replace

import numpy as np

from dao.errors import CorruptStoreError, DatasetIdError, FormatError
from dao.format.checksum import CHECKSUM, checksum
from dao.format.declared import ObsColumn, parse_obs_schema
from dao.format.manifest import (
    COLUMN_KINDS,
    FORMAT_VERSION,
    ArrayInfo,
    ColumnInfo,
    DatasetInfo,
    FeatureSpaceInfo,
    FileInfo,
    Manifest,
    MatchingInfo,
    MatrixInfo,
    ObsInfo,
    OntologyInfo,
    OriginInfo,
)
from dao.format.names import check_dataset_id, is_safe_path
from dao.format.parse import LARGEST, Problems, Reader, check_version
from dao.format.plausible import check_sizes
from dao.format.unknown import unknown_fields

__all__ = ["parse_manifest"]


def parse_manifest(text: str | bytes, where: str) -> Manifest:
    """Parse and check the text of ``dao.json``; see `Manifest.from_json`."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        msg = f"{where} is not JSON ({error}). Run `dao validate` or restore it from a copy."
        raise FormatError(msg) from error
    if not isinstance(content, dict) or content.get("format") != "dao":
        msg = f'{where} is not the manifest of a dao store: it has no "format": "dao".'
        raise FormatError(msg)
    check_version(content, FORMAT_VERSION, where)
    if CHECKSUM in content and content.pop(CHECKSUM) != checksum(content):
        msg = f"{where} is not what was written. Restore it from a copy: generations/ has one."
        raise CorruptStoreError(msg)
    problems = Problems(where)
    reader = Reader(content, "", problems)
    reader.equal("format_version", FORMAT_VERSION)
    manifest = _manifest(reader)
    _check_whole(manifest, problems)
    check_sizes(manifest, problems)
    problems.raise_if_any()
    return replace(manifest, unknown=unknown_fields(content, manifest))


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
        obs_schema=_obs_schema(r),
        ontologies=_ontologies(r) if "ontologies" in r.content else {},
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
            _file(obs.child("file")),
            obs.text("footer_sha256"),
            _columns(obs.child("columns")),
            obs.text("index_name") if obs.has("index_name") else "",
        ),
        features=_file(r.child("features")),
        uns=_file(r.child("uns")),
        group=_file(r.child("group")),
        shuffled=r.flag("shuffled"),
        seed=r.size("seed"),
        cluster_by=r.texts("cluster_by"),
        matching=_matching(r.child("matching")) if r.has("matching") else None,
        dropped=_file(r.child("dropped")) if r.has("dropped") else None,
        groups=tuple(map(_file, r.children("groups"))) if "groups" in r.content else (),
        origins=_origins(r) if r.has("origins") else (),
        var_columns=r.texts("var_columns") if r.has("var_columns") else None,
    )


def _origins(r: Reader) -> tuple[OriginInfo, ...]:
    found, stop = [], 0
    for item in r.children("origins"):
        origin = OriginInfo(item.text("id"), item.size("first"), item.size("rows", 1))
        try:
            check_dataset_id(origin.id)
        except DatasetIdError as error:
            item.check(False, "id", str(error))
        item.check(origin.first >= stop, "first", f"must be at least {stop}, after those before")
        stop = origin.first + origin.rows
        item.check(stop <= LARGEST, "rows", "end beyond all numbers")
        found.append(origin)
    return tuple(found)


def _matching(r: Reader) -> MatchingInfo:
    counts = {f.name: r.size(f.name) for f in fields(MatchingInfo)}
    info = MatchingInfo(**counts)
    total = info.matched + info.unknown + info.ambiguous
    r.check(total == info.n_columns, "n_columns", f"must be {total}, the sum of the others")
    return info


def _obs_schema(r: Reader) -> dict[str, ObsColumn] | None:
    if not r.has("obs_schema"):
        return None
    columns, found = parse_obs_schema(r.content["obs_schema"])
    for problem in found:
        r.check(False, "obs_schema", problem)
    return columns


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
        columns=r.texts("columns") if r.has("columns") else None,
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
    return {name: _column(c) for name, c in r.items()}


def _column(r: Reader) -> ColumnInfo:
    kind = r.choice("kind", COLUMN_KINDS)
    fixed = {"string": ("string", "null"), "categorical": ("string", "bool"), "bool": ("bool",)}
    dtype = r.text("dtype")
    if kind != "other" and dtype not in fixed.get(kind, ()):
        dtype = r.dtype("dtype")
        known = {"categorical": "iuf", "int": "iu", "float": "f"}.get(kind, "")
        r.check(np.dtype(dtype).kind in known, "dtype", f"{dtype!r} is none of a {kind} column")
    empty = r.has("empty") and r.flag("empty")
    fits = r.texts("fits") if r.has("fits") else ()
    return ColumnInfo(kind, dtype, r.flag("ordered"), r.flag("nullable"), empty, fits)


def _ontologies(r: Reader) -> dict[str, OntologyInfo]:
    return {
        column: OntologyInfo(_file(o.child("file")), o.text("source"), o.text("version"))
        for column, o in r.child("ontologies").items()
    }


def _file(r: Reader) -> FileInfo:
    return FileInfo(r.path("path"), r.size("size"), r.text("sha256"))


def _check_whole(manifest: Manifest, problems: Problems) -> None:
    """Hold the parts against each other."""
    organisms = [s.organism for s in manifest.feature_spaces]
    if len(set(organisms)) != len(organisms):
        problems.add("feature_spaces", f"name an organism twice: {organisms}")
    spaces = {s.organism: s.n_vars for s in manifest.feature_spaces}
    seen: set[str] = set()
    for i, dataset in enumerate(manifest.datasets):
        loc = f"datasets[{i}]"
        try:
            check_dataset_id(dataset.id)
        except DatasetIdError as error:
            problems.add(f"{loc}.id", str(error))
        if dataset.id in seen:
            problems.add(f"{loc}.id", f"{dataset.id!r} is used twice")
        seen.add(dataset.id)
        if dataset.path.split("/")[:1] != ["datasets"] or dataset.path.count("/") != 1:
            problems.add(f"{loc}.path", "must be datasets/<folder>")
        if dataset.organism not in spaces:
            problems.add(f"{loc}.organism", f"{dataset.organism!r} has no feature space")
        for column in dataset.obs.columns.keys() - manifest.obs_columns.keys():
            problems.add(f"{loc}.obs.columns", f"{column!r} is not in obs_columns")
        _check_matrices(dataset, spaces.get(dataset.organism, 1 << 62), loc, problems)


def _check_matrices(dataset: DatasetInfo, n_vars: int, loc: str, problems: Problems) -> None:
    if "X" not in dataset.matrices:
        problems.add(f"{loc}.matrices", "has no X")
    for name, matrix in dataset.matrices.items():
        kind = name.partition("/")[0]
        if not is_safe_path(name) or kind not in {"X", "layers", "obsm"}:
            problems.add(f"{loc}.matrices", f"{name!r} is not X, layers/<name> or obsm/<name>")
        if matrix.shape[0] != dataset.n_obs:
            problems.add(f"{loc}.matrices.{name}.shape", f"must have {dataset.n_obs} rows")
        if kind != "obsm" and matrix.shape[1] > n_vars:
            problems.add(f"{loc}.matrices.{name}.shape", "has more features than its space")
