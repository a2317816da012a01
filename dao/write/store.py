"""`write_store`: many studies in, one store out."""

from __future__ import annotations

import json
import uuid
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from dao.directory import StoreDirectory
from dao.errors import ArgumentError
from dao.format.encodings import PROFILES
from dao.format.manifest import ColumnInfo, DatasetInfo, FeatureSpaceInfo, FileInfo, Manifest
from dao.format.names import organism_slug
from dao.format.obs_schema import VIRTUAL_COLUMNS, unite_categories, unite_columns
from dao.sizes import parse_bytes
from dao.write.align import build_space, measured_table
from dao.write.commit import commit, garbage, remove_all, write_lock
from dao.write.encode import Target, file_info, write_group
from dao.write.inspect import Study, inspect_source, read_obs
from dao.write.matrices import write_matrix
from dao.write.obs import encode_obs, write_obs
from dao.write.opened import open_source
from dao.write.progress import ProgressReport, progress_report
from dao.write.source import check_unique, normalise_sources
from dao.write.uns import uns_to_json

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from dao.store import Store

__all__ = ["write_store"]


@dataclass(frozen=True)
class _Job:
    """What is the same for all datasets of one call."""

    root: Path
    generation: int
    matrices: tuple[str, ...]
    obs_columns: tuple[str, ...] | None
    shuffle: bool
    cluster_by: tuple[str, ...]
    seed: int
    profile: str
    memory: int


def write_store(
    path: str | os.PathLike[str],
    sources: Any,
    *,
    organism: str | None = None,
    features: str | Sequence[str] = "outer",
    feature_key: str | None = None,
    layer: str | None = None,
    layers: Sequence[str] = (),
    obsm: Sequence[str] = (),
    obs_columns: Sequence[str] | None = None,
    shuffle: bool = True,
    cluster_by: str | Sequence[str] | None = None,
    seed: int = 0,
    profile: str = "fast",
    memory: int | str = "2GiB",
    mode: str = "create",
    client: Any = None,
    storage_options: Mapping[str, Any] | None = None,
    progress: bool = True,
) -> Store:
    """Write studies into a store, aligned to one feature space per organism.

    Parameters
    ----------
    path
        Folder of the store.
    sources
        An AnnData, a path (.h5ad, anndata .zarr, 10x .h5), a `dao.Source`, or a list or dict
        (id -> any of these). Files are read piece by piece, never whole.
    organism
        Of all sources that do not say otherwise; taken from ``uns["organism"]`` or
        ``obs["organism"]`` if None, else "unknown".
    features
        ``"outer"``: every feature of any study; ``"inner"``: those that all studies of an
        organism share; or the wanted ids, in the order wanted. Genes that a study did not
        measure are zero in X and known as not measured.
    feature_key
        Column of var with the feature ids; var_names if None. Version suffixes of Ensembl ids
        are cut, columns with the same id are summed.
    layer
        Which matrix becomes X: a layer, ``"raw"``, or X.
    layers, obsm
        Further matrices to store. Layers are aligned like X.
    obs_columns
        Columns of obs to keep; all if None.
    shuffle
        Bring the rows of each dataset into a random order, so that consecutive rows are a
        fair sample. ``obs["_source_row"]`` remembers where each row was.
    cluster_by
        Columns of obs: rows with equal values lie together (shuffled among themselves), so
        that a subset by these columns reads little.
    seed
        Of the shuffle; the same sources and seed give the same store.
    profile
        ``"fast"`` (for local disks) or ``"compact"`` (fewer bytes, slower).
    memory
        Bytes that writing may hold, as a number or for example ``"2GiB"``.
    mode
        ``"create"`` refuses an existing store, ``"append"`` adds datasets to it,
        ``"overwrite"`` replaces it.
    client, storage_options
        For writing on a cluster and to URLs; not in this version.
    progress
        Show a progress bar on a terminal.

    Returns
    -------
    The opened store.

    Raises
    ------
    dao.errors.DaoError
        The disk is then as it was before.

    Examples
    --------
    >>> import anndata, numpy as np
    >>> adata = anndata.AnnData(np.eye(3, dtype="float32"))
    >>> store = write_store(tmp_path / "tiny.dao", {"tiny": adata}, progress=False)
    >>> store.shape
    (3, 3)
    """
    root = _check_path(path, client, storage_options)
    for name, value, allowed in (
        ("profile", profile, tuple(PROFILES)),
        ("mode", mode, ("create", "append", "overwrite")),
    ):
        if value not in allowed:
            msg = f"{name}={value!r}: give one of {', '.join(map(repr, allowed))}."
            raise ArgumentError(msg)
    if not isinstance(seed, int) or seed < 0:
        msg = f"seed={seed!r}: give a whole number of at least 0."
        raise ArgumentError(msg)
    job = _Job(
        root=root,
        generation=1,
        matrices=(
            *(f"layers/{n}" for n in _names("layers", layers)),
            *(f"obsm/{n}" for n in _names("obsm", obsm)),
        ),
        obs_columns=None if obs_columns is None else _names("obs_columns", obs_columns),
        shuffle=bool(shuffle),
        cluster_by=() if cluster_by is None else _names("cluster_by", cluster_by),
        seed=seed,
        profile=profile,
        memory=parse_bytes(memory),
    )
    given = normalise_sources(sources, organism=organism, layer=layer, feature_key=feature_key)
    studies = [
        inspect_source(
            source,
            matrices=job.matrices,
            obs_columns=job.obs_columns,
            shuffle=job.shuffle,
            cluster_by=job.cluster_by,
            seed=seed,
        )
        for source in given
    ]
    with write_lock(root, mode=mode) as before:
        if before is not None:
            job = replace(job, generation=before.generation + 1)
        base = before if mode == "append" else None
        with progress_report(show=progress) as report:
            manifest = _write(job, studies, features, base, before, report)
        commit(root, manifest)
        if mode == "overwrite":
            remove_all(garbage(root, manifest, old_generations=True))
    from dao.store import load_store

    return load_store(root)


def _write(
    job: _Job,
    studies: Sequence[Study],
    features: str | Sequence[str],
    base: Manifest | None,
    before: Manifest | None,
    report: ProgressReport,
) -> Manifest:
    old = base.datasets if base else ()
    check_unique([*(d.id for d in old), *(s.id for s in studies)])
    tables = _feature_tables(job, studies, features, base)
    obs_columns, categories = _unite_obs(job, studies, base)
    datasets = list(old)
    for number, study in enumerate(studies):
        report.begin(f"{study.id} ({number + 1} of {len(studies)})", study.n_elements)
        space = pd.Index(tables[study.organism]["feature_id"], dtype=object)
        datasets.append(_write_dataset(job, study, space, report.advance))
    now = datetime.now(UTC).isoformat(timespec="seconds")
    record = {
        "generation": job.generation,
        "created": now,
        "action": "append" if base else ("overwrite" if before else "create"),
        "datasets": [s.id for s in studies],
    }
    return Manifest(
        uuid=base.uuid if base else str(uuid.uuid4()),
        generation=job.generation,
        created=now,
        created_by=_created_by(),
        feature_spaces=_write_spaces(job, tables),
        datasets=tuple(datasets),
        obs_columns=obs_columns,
        vocabulary=_write_vocabulary(job, categories),
        profile=job.profile,
        history=(*(base.history if base else ()), record),
    )


def _write_dataset(
    job: _Job, study: Study, space: pd.Index, advance: Callable[[int], None]
) -> DatasetInfo:
    path = _fresh(job.root, f"datasets/{study.id}", job.generation)
    group = write_group(job.root, path, {"dao": {"id": study.id}})
    for container in sorted({n.partition("/")[0] for n in job.matrices}):
        attributes = {"encoding-type": "dict", "encoding-version": "0.1.0"}
        write_group(job.root, f"{path}/{container}", attributes)
    targets = study.features.targets(space)
    matrices = {}
    with ExitStack() as stack:
        opened = open_source(study.source, stack)
        for name in ("X", *job.matrices):
            is_obsm = name.startswith("obsm/")
            matrix = opened.x if name == "X" else opened.matrix(name)
            aligned = None if is_obsm else targets
            if aligned is not None and len(aligned) != matrix.shape[1]:
                msg = (
                    f"{name} of {study.source.label} has {matrix.shape[1]} columns and X "
                    f"({study.source.layer or 'X'}) has {len(aligned)}: they cannot share genes."
                )
                raise ArgumentError(msg)
            matrices[name] = write_matrix(
                matrix,
                Target(job.root, f"{path}/{name}", job.profile),
                study.order,
                columns=aligned,
                n_vars=matrix.shape[1] if is_obsm else len(space),
                memory=job.memory,
                force_dense=is_obsm,
                progress=advance,
            )
        table = encode_obs(study.id, read_obs(study.source, opened, job.obs_columns))
        obs = write_obs(job.root, f"{path}/obs.parquet", table, study.rows)
        uns = uns_to_json(opened.uns(), study.source.label)
    measured = measured_table(study.features, space)
    return DatasetInfo(
        id=study.id,
        path=path,
        organism=study.organism,
        n_obs=len(study.rows),
        n_measured=len(measured),
        matrices=matrices,
        obs=obs,
        features=_write_table(job.root, f"{path}/features.parquet", measured),
        uns=_write_text(job.root, f"{path}/uns.json", json.dumps(uns, ensure_ascii=False)),
        group=group,
        shuffled=job.shuffle,
        seed=job.seed,
        cluster_by=job.cluster_by,
    )


def _feature_tables(
    job: _Job, studies: Sequence[Study], features: str | Sequence[str], base: Manifest | None
) -> dict[str, pd.DataFrame]:
    existing = {}
    if base is not None:
        directory = StoreDirectory(job.root)
        existing = {
            s.organism: directory.table(s.file.path).to_pandas() for s in base.feature_spaces
        }
    tables = dict(existing)
    for organism in dict.fromkeys(s.organism for s in studies):
        own = [s.features for s in studies if s.organism == organism]
        tables[organism] = build_space(organism, own, features, existing.get(organism))
    return tables


def _write_spaces(job: _Job, tables: Mapping[str, pd.DataFrame]) -> tuple[FeatureSpaceInfo, ...]:
    taken: set[str] = set()
    spaces = []
    for organism, table in tables.items():
        slug = organism_slug(organism)
        while slug in taken:
            slug += "_"
        taken.add(slug)
        path = _fresh(job.root, f"features/{slug}-{job.generation}.parquet", job.generation)
        spaces.append(FeatureSpaceInfo(organism, len(table), _write_table(job.root, path, table)))
    return tuple(spaces)


def _unite_obs(
    job: _Job, studies: Sequence[Study], base: Manifest | None
) -> tuple[dict[str, ColumnInfo], dict[str, list[str]]]:
    columns: dict[str, dict[str, ColumnInfo]] = {}
    for dataset in base.datasets if base else ():
        for name, info in dataset.obs.columns.items():
            columns.setdefault(name, {})[dataset.id] = info
    categories: dict[str, dict[str, Sequence[str]]] = {}
    if base is not None:
        directory = StoreDirectory(job.root)
        known = directory.table(base.vocabulary.path).to_pandas()
        for name, values in known.groupby("column", sort=False)["category"]:
            categories[str(name)] = {"the store": list(values)}
    for study in studies:
        for name, info in study.obs.columns.items():
            columns.setdefault(name, {})[study.id] = info
            if name in study.obs.categories:
                categories.setdefault(name, {})[study.id] = study.obs.categories[name]
    n_datasets = len(studies) + (len(base.datasets) if base else 0)
    united = {n: unite_columns(n, infos, n_datasets) for n, infos in columns.items()}
    merged = {
        n: unite_categories(n, categories.get(n, {}), ordered=info.ordered)
        for n, info in united.items()
        if info.kind == "categorical"
    }
    if job.obs_columns is not None:
        missing = [c for c in job.obs_columns if c not in united and c not in VIRTUAL_COLUMNS]
        if missing:
            msg = f"obs_columns: no source has a column {missing[0]!r}."
            raise ArgumentError(msg)
    return united, merged


def _write_vocabulary(job: _Job, categories: Mapping[str, Sequence[str]]) -> FileInfo:
    table = pd.DataFrame(
        {
            "column": [n for n, values in categories.items() for _ in values],
            "category": [v for values in categories.values() for v in values],
        },
        dtype=object,
    )
    path = _fresh(job.root, f"obs/vocabulary-{job.generation}.parquet", job.generation)
    return _write_table(job.root, path, table)


def _write_table(root: Path, path: str, table: pd.DataFrame) -> FileInfo:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    arrow = pa.Table.from_pandas(table, preserve_index=False)
    pq.write_table(arrow, root / path, compression="zstd", write_page_checksum=True)
    return file_info(root, path)


def _write_text(root: Path, path: str, text: str) -> FileInfo:
    (root / path).write_text(text, encoding="utf-8")
    return file_info(root, path)


def _fresh(root: Path, path: str, generation: int) -> str:
    """Return a path that no older generation uses."""
    stem, dot, suffix = path.rpartition(".parquet")
    candidate, n = path, generation
    while (root / candidate).exists():
        candidate = f"{stem}.g{n}{dot}{suffix}" if dot else f"{path}.g{n}"
        n += 1
    return candidate


def _names(argument: str, names: str | Iterable[str]) -> tuple[str, ...]:
    listed = (names,) if isinstance(names, str) else tuple(names)
    if not all(isinstance(n, str) and n for n in listed) or len(set(listed)) != len(listed):
        msg = f"{argument}={names!r}: give different names as strings."
        raise ArgumentError(msg)
    if argument in {"layers", "obsm"} and any("/" in n or n.startswith(".") for n in listed):
        msg = (
            f"{argument}={names!r}: a name that becomes a folder cannot hold '/' or begin with '.'."
        )
        raise ArgumentError(msg)
    return listed


def _check_path(
    path: str | os.PathLike[str], client: Any, storage_options: Mapping[str, Any] | None
) -> Path:
    if client is not None:
        msg = "client= (writing on a cluster) is not in this version; leave it out."
        raise ArgumentError(msg)
    if "://" in str(path) or storage_options:
        msg = f"{path}: this version writes to local folders only. Write there and copy the store."
        raise ArgumentError(msg)
    return Path(path)


def _created_by() -> str:
    from dao import __version__

    return f"dao-store {__version__}"
