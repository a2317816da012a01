"""`Store`: an immutable view of a selection of cells and features."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from dao.errors import (
    ArgumentError,
    MultipleFeatureSpacesError,
    UnknownColumnError,
    UnknownDatasetError,
    near_matches,
)
from dao.features import FeatureTables, choose_features, matching_table, measured
from dao.format.names import canonical_organism
from dao.format.obs_schema import INDEX_COLUMN, SOURCE_ROW_COLUMN, VIRTUAL_COLUMNS
from dao.selection import Selection
from dao.where import And, Expression, Not, check, evaluate, parse, values_test

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import tensorflow as tf
    from anndata import AnnData
    from numpy.typing import NDArray

    from dao.backend import Reader
    from dao.batches.generator import Generator
    from dao.batches.jax import JaxBatches
    from dao.batches.torch import TorchBatches
    from dao.batches.torch_rows import TorchRows
    from dao.format.manifest import Manifest, MatrixInfo
    from dao.obs import ObsStore
    from dao.samplers import Sampler
    from dao.validate import Report

__all__ = ["Store"]


@dataclass(frozen=True, eq=False, repr=False)
class Store:
    """Cells and features chosen from a store on disk; every operation returns a new one.

    Opened by `dao.load_store`. Rows are in store order: dataset after dataset as in `datasets`,
    each in its order on disk.

    Examples
    --------
    >>> store.n_obs, store.n_vars, store.datasets
    (400, 300, ['blood', 'gut'])
    >>> store.subset(cell_type=["B cell", "T cell"]).subset("n_counts > 50").n_obs
    200
    """

    reader: Reader
    _obs: ObsStore
    _features: FeatureTables
    selection: Selection
    obs_columns: tuple[str, ...]
    organisms: tuple[str, ...]
    path: str
    backend: str
    memory: int
    _chosen_features: pd.Index | None = field(default=None)
    _zero_features: frozenset[str] = field(default=frozenset())

    # --- what it is ---------------------------------------------------------------------------

    @property
    def manifest(self) -> Manifest:
        """What the whole store on disk holds."""
        return self.reader.manifest()

    @property
    def n_obs(self) -> int:
        """Selected cells."""
        return self.selection.n_obs

    @property
    def n_vars(self) -> int:
        """Selected features.

        Raises
        ------
        dao.errors.MultipleFeatureSpacesError
            If several organisms are selected.
        """
        if self._chosen_features is not None:
            return len(self._chosen_features)
        return self.manifest.space(self._organism("n_vars")).n_vars

    @property
    def shape(self) -> tuple[int, int]:
        """(n_obs, n_vars)."""
        return self.n_obs, self.n_vars

    @property
    def datasets(self) -> list[str]:
        """Ids of the datasets that have cells in the selection, in store order."""
        return [self.manifest.datasets[i].id for i in self.selection.datasets]

    @cached_property
    def obs(self) -> pd.DataFrame:
        """Obs of the selected cells, in store order, indexed by their names.

        Besides the columns of the studies there are ``dataset``, ``organism`` and
        ``_source_row``, the row that the cell had in its source.
        """
        names = [*VIRTUAL_COLUMNS, *self.obs_columns, SOURCE_ROW_COLUMN]
        columns = {n: self._obs.selected(self.selection, n).to_pandas() for n in names}
        index = self._obs.selected(self.selection, INDEX_COLUMN).to_pandas()
        return pd.DataFrame(
            columns, index=pd.Index(index, dtype=object if not len(index) else None)
        )

    @cached_property
    def var(self) -> pd.DataFrame:
        """The selected features with what the studies agree on, indexed by feature id."""
        table = self._space_table("var")
        if self._chosen_features is None:
            return table
        if self._zero_features:
            table = table.drop(index=list(self._zero_features), errors="ignore")
        return table.reindex(self._chosen_features)

    @cached_property
    def var_names(self) -> pd.Index:
        """Ids of the selected features, in order."""
        if self._chosen_features is not None:
            return self._chosen_features
        return self._space_table("var_names").index

    @cached_property
    def uns(self) -> dict[str, Any]:
        """Dataset id -> the unstructured annotation of that study."""
        chosen = (self.manifest.datasets[i] for i in self.selection.datasets)
        return {d.id: self.reader.document(d.uns.path) for d in chosen}

    def __len__(self) -> int:
        """Return the number of selected cells."""
        return self.n_obs

    def __repr__(self) -> str:
        """Return a short description."""
        spaces = []
        for organism in self.organisms:
            n_vars = self.manifest.space(organism).n_vars
            if self._chosen_features is not None:
                n_vars = len(self._chosen_features)
            spaces.append(f"{organism} ({n_vars:,} features)")
        of_all = "" if self.n_obs == self.manifest.n_obs else f" of {self.manifest.n_obs:,}"
        return (
            f"Store {self.path!r}: {self.n_obs:,}{of_all} cells in {len(self.datasets)} datasets\n"
            f"  {', '.join(spaces)}\n"
            f"  obs: {', '.join(map(repr, self.obs_columns)) or 'no columns'}\n"
            f"  backend {self.backend!r}, generation {self.manifest.generation}"
        )

    # --- choosing -----------------------------------------------------------------------------

    def __getitem__(self, organism: str) -> Store:
        """Return the cells of one organism, which share a feature space.

        Raises
        ------
        dao.errors.UnknownDatasetError
            If none is selected.
        """
        name = canonical_organism(organism) if isinstance(organism, str) else organism
        if name not in self.organisms:
            near = near_matches(organism, self.organisms)
            msg = f"No cells of {organism!r} are selected.{near}"
            raise UnknownDatasetError(msg)
        if self.organisms == (name,):
            return self
        none = np.empty(0, np.uint32)
        chosen = tuple(
            rows if d.organism == name else none
            for d, rows in zip(self.manifest.datasets, self.selection.chosen, strict=True)
        )
        selection = Selection(self.selection.sizes, chosen)
        return self._with(selection=selection, organisms=(name,))

    def subset(
        self,
        where: str | None = None,
        *,
        exclude: Mapping[str, Any] | None = None,
        **columns: Any,
    ) -> Store:
        """Return the cells that meet all conditions.

        Parameters
        ----------
        where
            An expression over obs columns, ``dataset`` and ``organism``, for example
            ``"n_counts > 1000 and sex == 'female'"`` (see `dao.where`).
        exclude
            Column -> value or values that are left out.
        **columns
            Column -> value or values to keep; None stands for missing.

        Raises
        ------
        dao.errors.UnknownColumnError, dao.errors.UnknownValueError
            With the nearest names that exist.
        dao.errors.ExpressionError
            If ``where`` cannot be understood.
        """
        conditions: list[Expression] = []
        if exclude is not None and not isinstance(exclude, Mapping):
            msg = "exclude= takes columns and values, as in exclude={'disease': 'cancer'}."
            raise ArgumentError(msg)
        if where is not None:
            if not isinstance(where, str):
                msg = f"where must be text, not {type(where).__name__}."
                raise ArgumentError(msg)
            conditions.append(parse(where))
        conditions += [values_test(c, _organism_names(c, v)) for c, v in columns.items()]
        for column, values in (exclude or {}).items():
            if column in columns:
                msg = f"{column!r} is both asked for and excluded; give one of the two."
                raise ArgumentError(msg)
            conditions.append(Not(values_test(column, _organism_names(column, values))))
        expression = And(tuple(conditions))
        check(expression, self._filterable(), self._obs.categories)
        chosen = list(self.selection.chosen)
        for i, _ in self.selection.parts():
            mask = evaluate(expression, self._obs.columns(i), self.selection.sizes[i])
            if not (mask.all() and chosen[i] is None):
                chosen[i] = self.selection.narrow(i, mask)
        if not conditions:
            return self
        return self._of(Selection(self.selection.sizes, tuple(chosen)))

    def select_features(
        self,
        ids: Iterable[str] | None = None,
        missing: str = "error",
        *,
        by: str | None = None,
        where: str | None = None,
        **columns: Any,
    ) -> Store:
        """Return the store with these features, in this order.

        Conditions add up: a feature must be named by ``ids``, meet ``where``, and have the values
        of all ``columns``. Without ids the order stays as it is.

        Parameters
        ----------
        ids
            Feature ids, each once; or a boolean mask over the selected features.
        missing
            What to do with ids that the store does not have: ``"error"``, or ``"zero"`` for
            columns of zeros. A feature that an earlier choice left out is such an id.
        by
            The column of `var` that holds the names given as ``ids``, as in ``by="symbol"``; each
            name must stand for one feature.
        where
            An expression over columns of `var`, as in ``"biotype == 'protein_coding'"``.
        **columns
            Column of `var` -> value or values to keep.

        Raises
        ------
        dao.errors.UnknownFeatureError
            With the nearest ids; also for a name that several features have.
        dao.errors.UnknownColumnError
            With the nearest columns of `var`.

        Examples
        --------
        >>> store.select_features(["GENE7", "GENE3"]).var_names.tolist()
        ['GENE7', 'GENE3']
        """
        chosen = choose_features(
            self.var,
            ids,
            missing=missing,
            by=by,
            where=where,
            columns=columns,
            zeros=self._zero_features,
        )
        return self._with(_chosen_features=chosen.ids, _zero_features=chosen.zeros)

    def measured(self) -> pd.DataFrame:
        """Return which dataset measured which feature: a boolean table, datasets x features.

        Where it is False, zeros in X say nothing.

        Raises
        ------
        dao.errors.MultipleFeatureSpacesError
            If several organisms are selected.
        """
        positions = self.feature_positions()
        datasets = [self.manifest.datasets[i] for i in self.selection.datasets]
        return measured(self.reader, datasets, self.var_names, positions)

    def matching(self) -> pd.DataFrame:
        """Return how the features of each selected dataset were matched when it was written.

        A row per dataset. Of the ``columns`` of its X some were ``matched`` (``by_id``,
        ``by_symbol`` and ``by_alias``), of which ``summed`` share their feature with another; the
        others were dropped: ``unknown`` names, and ``ambiguous`` ones, which stand for several
        features. ``missing`` features of the space it did not measure.
        """
        datasets = [self.manifest.datasets[i] for i in self.selection.datasets]
        spaces = {s.organism: s.n_vars for s in self.manifest.feature_spaces}
        return matching_table(
            (d.id, d.matching, d.n_measured, spaces[d.organism]) for d in datasets
        )

    def split(
        self,
        fractions: Mapping[str, float],
        *,
        group_by: str | Sequence[str] | None = None,
        stratify_by: str | Sequence[str] | None = None,
        seed: int = 0,
    ) -> dict[str, Store]:
        """Return disjoint parts of the cells, which together are all of them.

        The same arguments give the same parts for ever. A part can be split again.

        Parameters
        ----------
        fractions
            Name of each part -> its fraction of the cells, adding up to 1.
        group_by
            obs column, or several, whose values stay whole: held-out donors, plates, studies.
            Sizes are then as near to the fractions as the groups allow.
        stratify_by
            obs column, or several, of whose values each part gets its fraction.
        seed
            Of the order in which cells or groups are dealt out.

        Raises
        ------
        dao.errors.ArgumentError
            If the fractions do not add up to 1, or there are fewer groups than parts.
        dao.errors.UnknownColumnError
            With the nearest names.

        Examples
        --------
        >>> parts = store.split({"train": 0.8, "test": 0.2}, stratify_by="cell_type")
        >>> parts["train"].n_obs, parts["test"].n_obs
        (320, 80)
        """
        from dao.split import split

        return split(self, fractions, group_by=group_by, stratify_by=stratify_by, seed=seed)

    # --- taking -------------------------------------------------------------------------------

    def to_anndata(self) -> AnnData:
        """Return the selection in memory, in store order, with the dtypes of the sources.

        X is dense if all selected studies had it dense, else CSR. Layers and obsm that all
        selected datasets have come along; uns does if there is one dataset.
        """
        from dao.export import to_anndata

        return to_anndata(self)

    def generator(
        self,
        batch_size: int | str | None = 1024,
        *,
        obs_keys: Sequence[str] = (),
        var_names: Iterable[str] | None = None,
        layers: Sequence[str] = (),
        obsm: Sequence[str] = (),
        x_format: str = "csr",
        dtype: str | np.dtype[Any] | type = "float32",
        sampler: str | Sampler = "shuffle",
        seed: int = 0,
        drop_last: bool = False,
        transform: Any = None,
        rank: int | None = None,
        world_size: int | None = None,
    ) -> Generator:
        """Return batches of the selected cells, one epoch per ``iter``.

        A batch is a dict: ``"X"`` (scipy CSR or ndarray of shape (batch_size, n_vars)),
        ``"obs"`` (DataFrame), ``"layers"``, ``"obsm"`` and ``"index"`` (int64 positions of
        the cells in the whole store).

        Parameters
        ----------
        batch_size
            Cells per batch; any number. ``"auto"`` chooses a usual one by the number of cells; None
            leaves it to the sampler (`dao.samplers.Grouped`: whole groups).
        obs_keys
            obs columns to deliver; ``dataset`` and ``organism`` are always there to ask for.
        var_names
            Features to deliver, in this order; all selected ones if None.
        layers, obsm
            Further matrices to deliver.
        x_format
            ``"csr"`` or ``"dense"``, for X and layers.
        dtype
            Of X and layers; ``"native"`` for what is stored, the narrowest that holds it.
        sampler
            ``"shuffle"``, ``"sequential"``, ``"random"``, or an object of `dao.samplers`.
        seed
            Of the order: the same seed, selection and epoch give the same order everywhere.
        drop_last
            Leave out the last batch of an epoch if it is not full.
        transform
            What happens to batches while they are read ahead: ``"normalize_total"``, ``"log1p"`` or
            an object of `dao.transforms`, which change X, a function of a batch that returns what
            is handed out, or a list of these in order, functions last.
        rank, world_size
            Of a distributed run; taken from torch.distributed where that is initialised.

        Raises
        ------
        dao.errors.DaoError
            If anything asked for does not exist or cannot be given.
        """
        from dao.batches.request import make_generator

        return make_generator(
            self,
            batch_size=batch_size,
            obs_keys=obs_keys,
            var_names=var_names,
            layers=layers,
            obsm=obsm,
            x_format=x_format,
            dtype=dtype,
            sampler=sampler,
            seed=seed,
            drop_last=drop_last,
            transform=transform,
            rank=rank,
            world_size=world_size,
        )

    def torch(self, *, device: Any = None, **arguments: Any) -> TorchBatches:
        """Return the batches as a torch ``IterableDataset``; arguments as of `generator`.

        With ``device="cuda"`` they come on the device; see `Generator.torch`.
        """
        return self.generator(**arguments).torch(device)

    def map_dataset(self, **arguments: Any) -> TorchRows:
        """Return the cells as a map-style torch ``Dataset``, for torch's own samplers.

        Arguments as of `generator`, without those of order and batches. The streams of `torch` are
        many times faster.

        Raises
        ------
        dao.errors.ArgumentError
            If an argument is about order or batches.
        """
        from dao.batches.torch_rows import TorchRows

        for name in ("batch_size", "sampler", "seed", "drop_last", "rank", "world_size"):
            if name in arguments:
                msg = f"{name}= is for the DataLoader: a map-style dataset only gives rows."
                raise ArgumentError(msg)
        return TorchRows(self.generator(sampler="sequential", **arguments))

    def tensorflow(self, **arguments: Any) -> tf.data.Dataset:
        """Return the batches as a ``tf.data.Dataset``; arguments as of `generator`."""
        return self.generator(**arguments).tensorflow()

    def jax(self, **arguments: Any) -> JaxBatches:
        """Return the batches as arrays of `jax`; arguments as of `generator`."""
        return self.generator(**arguments).jax()

    def validate(self) -> Report:
        """Read every byte of the store on disk and check it; see `dao.validate_store`."""
        from dao.validate import validate_store

        return validate_store(self.path)

    # --- for the stages of a batch ------------------------------------------------------------

    def obs_column(self, name: str) -> Any:
        """Return an obs column of the selection as a `dao.obs.Column`.

        Raises
        ------
        dao.errors.UnknownColumnError
            With the nearest names.
        """
        self._check_column(name)
        return self._obs.selected(self.selection, name)

    def categories(self, column: str) -> list[Any]:
        """Return the values of a categorical or text column over the whole store, in code order.

        Raises
        ------
        dao.errors.UnknownColumnError
            With the nearest names.
        """
        self._check_column(column)
        return list(self._obs.categories(column))

    def matrix_infos(self, name: str) -> list[MatrixInfo]:
        """Return what the selected datasets hold of a matrix.

        Raises
        ------
        dao.errors.UnknownDatasetError
            If one of them does not have it.
        """
        infos = []
        for i in self.selection.datasets:
            dataset = self.manifest.datasets[i]
            if name not in dataset.matrices:
                kind, _, key = name.partition("/")
                have = dataset.layers if kind == "layers" else dataset.obsm
                near = near_matches(key, have)
                msg = f"Dataset {dataset.id!r} has no {name!r}.{near}"
                raise UnknownDatasetError(msg)
            infos.append(dataset.matrices[name])
        return infos

    def feature_positions(self, chosen: pd.Index | None = None) -> np.ndarray[Any, Any]:
        """Return the place in the feature space of each selected feature; -1 for none."""
        wanted = self.var_names if chosen is None else chosen
        positions = self._space_table("X").index.get_indexer(wanted)
        if self._zero_features:
            positions[wanted.isin(list(self._zero_features))] = -1
        return positions

    def mean_nnz(self, matrix: str) -> float:
        """Return the stored elements per cell of a matrix, over the selected datasets."""
        infos = self.matrix_infos(matrix)
        rows = sum(i.shape[0] for i in infos)
        return sum(i.nnz for i in infos) / rows if rows else 0.0

    def stored_row_bytes(self, matrix: str) -> int:
        """Return how many bytes a decoded row of a matrix takes, on average."""
        total, rows = 0, 0
        for info in self.matrix_infos(matrix):
            size = info.dtype.itemsize
            if info.encoding == "csr":
                total += info.nnz * (size + np.dtype(info.arrays["indices"].dtype).itemsize)
            else:
                total += info.shape[0] * info.shape[1] * size
            rows += info.shape[0]
        return total // rows + 1 if rows else 1

    def _check_column(self, name: str) -> None:
        if name not in self._filterable():
            offered = [*self.obs_columns, *VIRTUAL_COLUMNS]
            msg = f"There is no obs column {name!r}.{near_matches(name, offered)}"
            raise UnknownColumnError(msg)

    def keep(self, mask: NDArray[np.bool_]) -> Store:
        """Return the selected cells that are true in a mask over them."""
        return self._of(self.selection.keep(mask))

    def _of(self, selection: Selection) -> Store:
        left = {self.manifest.datasets[i].organism for i, _ in selection.parts()}
        organisms = tuple(o for o in self.organisms if o in left) or self.organisms
        return self._with(selection=selection, organisms=organisms)

    def _with(self, **changes: Any) -> Store:
        return replace(self, **changes)

    def _filterable(self) -> dict[str, Any]:
        names = {*self.obs_columns, *VIRTUAL_COLUMNS, INDEX_COLUMN, SOURCE_ROW_COLUMN}
        return {n: i for n, i in self._obs.infos.items() if n in names}

    def _organism(self, what: str) -> str:
        if len(self.organisms) != 1:
            names = ", ".join(map(repr, self.organisms))
            msg = (
                f"{what} needs one feature space, and cells of {names} are selected. "
                f"Choose one: store[{self.organisms[0]!r}]."
                if self.organisms
                else f"{what} needs a feature space, and the store has none."
            )
            raise MultipleFeatureSpacesError(msg)
        return self.organisms[0]

    def _space_table(self, what: str) -> pd.DataFrame:
        space = self.manifest.space(self._organism(what))
        return self._features[space.file.path]


def _organism_names(column: str, values: Any) -> Any:
    """Return organisms under the names that stores use, so that "human" is understood."""
    if column != "organism":
        return values
    if isinstance(values, str):
        return canonical_organism(values)
    return [canonical_organism(v) if isinstance(v, str) else v for v in values]
