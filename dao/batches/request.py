"""From the arguments of `Store.generator` to a checked generator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from dao.arguments import any_seed, choice, flag, is_whole, names, whole
from dao.batches.automatic import choices, settled
from dao.batches.columns import ColumnMap
from dao.batches.dtypes import parse_dtype
from dao.batches.generator import Generator
from dao.batches.measured import Measured
from dao.batches.rows import rows_of
from dao.batches.share import Share
from dao.batches.spec import BatchSpec, MatrixSpec
from dao.batches.steps import split_transform
from dao.errors import ArgumentError, near_matches
from dao.matrices import check_alike, check_dtype, common_dtype
from dao.samplers import Random, Sampler, Sequential, Shuffle
from dao.samplers.auto import auto_batch_size
from dao.warn import warn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from dao.store import Store

__all__ = ["make_generator"]

_CLASSES = ("Balanced", "Grouped", "Paired", "Weighted")  # need arguments
_SAMPLERS: dict[str, Callable[[], Sampler]] = {
    "shuffle": Shuffle,
    "sequential": Sequential,
    "random": Random,
}
_LARGEST_BATCH = 2**31


def make_generator(
    store: Store,
    *,
    batch_size: int | str | None,
    obs_keys: Sequence[str],
    var_names: Iterable[str] | None,
    missing: str,
    layers: Sequence[str],
    obsm: Sequence[str],
    measured: bool,
    x_format: str,
    dtype: Any,
    sampler: str | Sampler,
    seed: int,
    drop_last: bool,
    transform: Any,
    rank: int | None,
    world_size: int | None,
    pad: bool,
) -> Generator:
    """Return a generator; see `dao.Store.generator` for the arguments."""
    size = _batch_size(batch_size, store.n_obs)
    seed = any_seed(seed)
    choice("x_format", x_format, ("csr", "dense"))
    choice("missing", missing, ("error", "zero"))
    measured, drop_last = flag("measured", measured), flag("drop_last", drop_last)
    pad = flag("pad", pad)
    if not store.n_obs:
        warn(
            f"No cell is selected (of {store.manifest.n_obs:,} in the store), so there are no "
            "batches. Each call of subset narrows the selection of the one before: look at "
            "store.value_counts(column), or begin again from dao.load_store(path)."
        )
    store = _with_features(store, var_names, missing)
    columns = ColumnMap(store.feature_positions().astype(np.int32))
    matrices = {
        name: _spec(store, name, columns, dtype, dense=x_format == "dense")
        for name in ("X", *(f"layers/{n}" for n in names("layers", layers)))
    }
    for name in names("obsm", obsm):
        matrices[f"obsm/{name}"] = _obsm_spec(store, name)
    obs = {name: store.obs_column(name) for name in names("obs_keys", obs_keys)}
    rows = rows_of(store, size)
    steps, function = split_transform(transform, store, matrices["X"])
    found = settled(_sampler(sampler), store, rows)
    chosen = {"batch_size": size} if isinstance(batch_size, str) and size is not None else {}
    generator = Generator(
        store=store,
        spec=BatchSpec(
            size, matrices, obs, steps, measured=Measured.of(store) if measured else None
        ),
        sampler=found,
        rows=rows,
        seed=seed,
        drop_last=drop_last,
        transform=function,
        given_share=_share(rank, world_size),
        pad=pad,
        chosen={**chosen, **choices(sampler, found)},
    )
    _check_stream(generator, size)
    return generator


def _check_stream(generator: Generator, size: int | None) -> None:
    """Refuse a sampler that gives no cells, and warn of what it makes of its arguments."""
    sampler, rows = generator.sampler, generator.rows
    if size is not None and isinstance(sampler, Shuffle | Random | Sequential):
        # They take every size; their plans are not made before they are needed.
        n_batches = rows.n // size // generator.share.world_size
    else:
        plan = generator.plan(0)
        if plan.batches is None and size is None:
            msg = "batch_size=None is for samplers that decide which rows come together: Grouped."
            raise ArgumentError(msg)
        check = getattr(sampler, "check_rows", None)
        if check is not None:
            check(rows)
        if rows.n and not plan.n_rows:
            msg = f"{sampler!r} gives none of the {rows.n:,} selected cells."
            raise ArgumentError(msg)
        n_batches = len(generator) if generator.drop_last else 1
    if rows.n and generator.drop_last and not n_batches:
        warn(
            f"An epoch has no batch: drop_last=True leaves out batches of fewer than {size:,} "
            f"cells, and {rows.n:,} are selected. Pass a smaller batch_size, or drop_last=False."
        )


def _with_features(store: Store, var_names: Iterable[str] | None, missing: str) -> Store:
    if var_names is not None:
        return store.select_features(var_names, missing)
    if missing != "error":
        msg = f"missing={missing!r} says what to do with var_names that are not there: give them."
        raise ArgumentError(msg)
    return store


def _spec(store: Store, matrix: str, columns: ColumnMap, dtype: Any, *, dense: bool) -> MatrixSpec:
    infos = store.matrix_infos(matrix)
    if isinstance(dtype, str) and dtype == "native":
        wanted = common_dtype(matrix, infos, [i.dtype for i in infos])
    else:
        wanted = parse_dtype(dtype)
        check_dtype(matrix, infos, wanted)
    return MatrixSpec.of(infos, columns, wanted, dense=dense)


def _obsm_spec(store: Store, name: str) -> MatrixSpec:
    infos = store.matrix_infos(f"obsm/{name}")
    check_alike(f"obsm/{name}", store.selected_datasets)
    dtype = common_dtype(f"obsm/{name}", infos, [np.dtype(i.source_dtype) for i in infos])
    if dtype.kind == "b" or dtype == np.float16:
        dtype = np.dtype(np.float32)
    width = infos[0].shape[1] if infos else 0
    columns = ColumnMap(np.arange(width, dtype=np.int32))
    return MatrixSpec.of(infos, columns, dtype, dense=True)


def _batch_size(given: int | str | None, n_obs: int) -> int | None:
    if isinstance(given, str) and given == "auto":
        return auto_batch_size(n_obs)
    if given is None:
        return None
    return whole("batch_size", given, 1, _LARGEST_BATCH - 1, ", or 'auto'")


def _sampler(sampler: str | Sampler) -> Sampler:
    if isinstance(sampler, str):
        if sampler not in _SAMPLERS:
            name = next((n for n in _CLASSES if n.lower() == sampler.lower()), None)
            near = near_matches(sampler, _SAMPLERS)
            msg = f"There is no sampler {sampler!r}.{near} Or give an object of dao.samplers."
            if name is not None:
                msg = f"sampler={sampler!r} needs to know a column: pass dao.samplers.{name}(...)."
            raise ArgumentError(msg)
        return _SAMPLERS[sampler]()
    if isinstance(sampler, type) and hasattr(sampler, "plan"):
        name = sampler.__name__
        msg = f"The class {name} is no sampler: pass an object of it, as {name}(...)."
        raise ArgumentError(msg)
    if not isinstance(sampler, Sampler):
        msg = f"{sampler!r} is no sampler: give a name or an object with a method plan()."
        raise ArgumentError(msg)
    return sampler


def _share(rank: int | None, world_size: int | None) -> Share | None:
    if (rank is None) != (world_size is None):
        msg = "rank and world_size go together; give both or none."
        raise ArgumentError(msg)
    if rank is None or world_size is None:
        return None
    if not (is_whole(rank) and is_whole(world_size) and 0 <= rank < world_size):
        msg = f"rank={rank!r}, world_size={world_size!r}: rank must be below world_size."
        raise ArgumentError(msg)
    return Share(int(rank), int(world_size))
