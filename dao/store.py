"""`Store`: an immutable view of a selection of cells and features."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Never, Self

import numpy as np

from dao.arguments import flag, names, shown, whole
from dao.cached import cached_property
from dao.choose.absent import absent
from dao.choose.algebra import combined, others
from dao.choose.both import chosen
from dao.choose.conditions import conditions
from dao.choose.counts import cross_counts, value_counts
from dao.choose.describe import as_glance, at_a_glance, describe
from dao.choose.draw import draw
from dao.choose.filters import filtered
from dao.choose.positions import mask_of, positions_of
from dao.copies import own_copy
from dao.errors import ArgumentError
from dao.features import choose_features, matching_table, measured
from dao.format.obs_schema import SOURCE_ROW_COLUMN, VIRTUAL_COLUMNS
from dao.view import View

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import dask.array as da
    import dask.dataframe as dd
    import pandas as pd
    import pyarrow.compute as pc
    import tensorflow as tf
    from anndata import AnnData
    from numpy.typing import NDArray

    from dao.batches.generator import Generator
    from dao.batches.jax import JaxBatches
    from dao.batches.torch import TorchBatches
    from dao.batches.torch_rows import TorchRows
    from dao.choose.counts import Counts
    from dao.choose.describe import Description
    from dao.report import Page
    from dao.samplers import Sampler
    from dao.validate import Report

__all__ = ["Store"]

_MOST_CELLS = 1 << 62


@dataclass(frozen=True, eq=False, repr=False)
class Store(View):
    """Cells and features chosen from a store on disk; every operation returns a new one.

    Opened by `dao.load_store`. Rows are in store order, dataset after dataset as in `datasets`,
    each in its order on disk, unless `take` gave them another.

    Examples
    --------
    >>> store.n_obs, store.n_vars, store.datasets
    (400, 300, ['blood', 'gut'])
    >>> store.subset(cell_type=["B cell", "T cell"]).subset("n_counts > 50").n_obs
    200
    """

    # --- what it is ---------------------------------------------------------------------------

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

    @property
    def obs(self) -> pd.DataFrame:
        """Obs of the selected cells, in their order, indexed by their names.

        Besides the columns of the studies there are ``dataset``, ``organism`` and
        ``_source_row``, the row that the cell had in its source. The table is a copy: what is
        changed in it does not change the store, its batches or `to_anndata`. It is read once, so
        keep it in a variable where it is large: before pandas 3 each copy takes its memory.

        Examples
        --------
        >>> store.obs["cell_type"].iloc[:3].tolist()
        ['monocyte', 'monocyte', 'T cell']
        """
        self.closing.check()
        return own_copy(self._obs_table)

    @cached_property
    def _obs_table(self) -> pd.DataFrame:
        names = [*VIRTUAL_COLUMNS, *self.obs_columns, SOURCE_ROW_COLUMN]
        return self._obs.frame(self.selection, names)

    @property
    def var(self) -> pd.DataFrame:
        """The selected features with what the studies say of them, indexed by feature id; a copy.

        Text, as symbols and biotypes, is that of the first study of the store that has any.
        Columns of other types are here if all selected studies that have one agree on it, with
        their dtype (integers and flags become nullable where values are missing). Each study keeps
        its own: ``store.subset(dataset=...).var``.

        Examples
        --------
        >>> store.var.index[:3].tolist()
        ['GENE29', 'GENE218', 'GENE135']
        """
        self.closing.check()
        return own_copy(self._var_table)

    @cached_property
    def _var_table(self) -> pd.DataFrame:
        from dao.features.own import with_own_columns

        table = self._space_table("var")
        return self._chosen(with_own_columns(table, self.reader, self.selected_datasets))

    def _chosen(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return the rows of a table of all features that are selected."""
        if self._chosen_features is None:
            return table
        if self._zero_features:
            table = table.drop(index=list(self._zero_features), errors="ignore")
        from dao.features.own import rows_of

        return rows_of(table, self._chosen_features)

    @property
    def var_names(self) -> pd.Index:
        """Ids of the selected features, in order; a copy."""
        if self._chosen_features is not None:
            return self._chosen_features.copy(deep=True)
        return self._space_table("var_names").index.copy(deep=True)

    @property
    def uns(self) -> dict[str, Any]:
        """Dataset id -> the unstructured annotation of that study; a copy.

        Examples
        --------
        >>> store.uns
        {'blood': {}, 'gut': {}}
        """
        self.closing.check()
        return deepcopy(self._documents)

    @cached_property
    def _documents(self) -> dict[str, Any]:
        return {d.id: self.reader.document(d.uns.path) for d in self.selected_datasets}

    def __getattr__(self, name: str) -> Any:
        """Refuse what AnnData has and a store has not, with what there is instead."""
        raise absent(self, name)

    def __len__(self) -> int:
        """Return the number of selected cells."""
        return self.n_obs

    def __repr__(self) -> str:
        """Return a short description."""
        return at_a_glance(self)

    def _repr_html_(self) -> str:
        return as_glance(self).html

    # --- closing ------------------------------------------------------------------------------

    def close(self) -> None:
        """Close the files of the store, and of everything that was chosen from it.

        Iterators of it end with an error, and whatever is read afterwards is one. Closing twice is
        fine. A store that is not closed lets go of its files when nobody holds it any more; closing
        matters where another program is to write to an ``.h5ad`` file that was opened as it is, or
        where files are to be removed. What was exported, and what DataLoader workers have opened
        for themselves, is not touched.

        Examples
        --------
        >>> import dao
        >>> with dao.load_store(store_path) as opened:
        ...     n_cells = opened.subset(cell_type="B cell").to_anndata().n_obs
        >>> n_cells
        100
        >>> opened.obs
        Traceback (most recent call last):
            ...
        dao.errors.StoreClosedError: This store has been closed. Open it again with dao.load_store.
        """
        self.closing.close(vars(self)["reader"])

    def __enter__(self) -> Self:
        """Return the store, which is closed at the end of the block."""
        self.closing.check()
        return self

    def __exit__(self, *_: object) -> None:
        """Close the store."""
        self.close()

    # --- choosing -----------------------------------------------------------------------------

    def __getitem__(self, which: Any) -> Store:
        """Return the cells of an organism, the cells of `take`, or cells and features.

        Parameters
        ----------
        which
            The name of an organism; or what `take` takes; or ``cells, features`` as in AnnData,
            where features are names, positions, booleans or a slice, and ``:`` is all.

        Raises
        ------
        dao.errors.UnknownDatasetError
            If no cell of the organism is selected.
        dao.errors.ArgumentError, dao.errors.UnknownValueError, dao.errors.UnknownFeatureError
            If there is no such cell or feature.

        Examples
        --------
        >>> store["human"].n_obs, store[[5, 3]].n_obs
        (400, 2)
        >>> store[:10, ["GENE7", "GENE3"]].shape, store[store.obs["n_counts"] > 150, :5].n_vars
        ((10, 2), 5)
        """
        return chosen(self, which)

    def subset(
        self,
        where: str | pc.Expression | Mapping[str, Any] | pd.Series | NDArray[Any] | None = None,
        *,
        exclude: Mapping[str, Any] | None = None,
        **columns: Any,
    ) -> Store:
        """Return the cells that meet all conditions.

        Parameters
        ----------
        where
            An expression over obs columns, ``dataset`` and ``organism``, for example
            ``"n_counts > 1000 and sex == 'female'"`` (see `dao.where`); or an expression of
            pyarrow; or a dict of columns and values; or booleans for all selected cells, as
            `take` takes them.
        exclude
            Column -> value or values that are left out.
        **columns
            Column -> value or values to keep; None, NaN, NaT and `pandas.NA` stand for missing, a
            `pandas.Interval` for a range, `dao.descendants` for a branch of an ontology. Times
            may be text, `datetime`, `pandas.Timestamp` or `numpy.datetime64`.

        Raises
        ------
        dao.errors.UnknownColumnError, dao.errors.UnknownValueError
            With the nearest names that exist.
        dao.errors.ExpressionError
            If ``where`` cannot be understood.

        Examples
        --------
        >>> store.subset(cell_type=["B cell", "T cell"], exclude={"dataset": "gut"}).n_obs
        100
        >>> store.subset("n_counts > 150 and cell_type != 'monocyte'").n_obs
        148
        """
        mask = mask_of(where, self.selection, self._obs)
        if mask is not None:
            return self.keep(mask).subset(exclude=exclude, **columns)
        expression = conditions(
            where,
            exclude,
            columns,
            known=self._filterable(),
            categories=self._obs.categories,
            branch=self._obs.branch,
        )
        if not expression.items:
            return self
        return self._select(filtered(self.selection, expression, self._obs))

    def take(self, which: Any) -> Store:
        """Return cells one by one, in the order asked for; those asked for twice come twice.

        Parameters
        ----------
        which
            Positions in this selection (negative ones count from its end), a slice, booleans
            for all its cells, or obs names. A `pandas.Series` of booleans is aligned by obs
            names. A name that several cells have stands for all of them, with a warning.

        Raises
        ------
        dao.errors.ArgumentError, dao.errors.UnknownValueError
            If there is no such cell.

        Examples
        --------
        >>> store.take([70, 3, 3]).n_obs, store.take(slice(-10, None)).datasets
        (3, ['gut'])
        """
        return self._select(self.selection.take(positions_of(which, self.selection, self._obs)))

    def head(self, n: int = 5) -> Store:
        """Return the first cells, or with a negative number all but the last, as pandas does.

        Examples
        --------
        >>> store.head(3).n_obs
        3
        """
        return self.take(slice(whole("n", n, -_MOST_CELLS)))

    def sample(
        self,
        n: float | None = None,
        by: str | Sequence[str] | None = None,
        seed: int = 0,
        *,
        frac: float | None = None,
    ) -> Store:
        """Return cells that are drawn at random, each once at the most; their order stays.

        Parameters
        ----------
        n
            How many; a float is a share of them, as 0.1.
        by
            An obs column, or several: ``n`` cells of each group of equal values, all where a
            group has fewer; or that share of each. Missing values are a group.
        seed
            The same seed, cells and arguments draw the same cells everywhere.
        frac
            A share in place of ``n``, as in pandas.

        Raises
        ------
        dao.errors.ArgumentError
            If there are not so many.

        Examples
        --------
        >>> store.sample(0.1).n_obs, store.sample(5, by="cell_type").n_obs
        (40, 20)
        """
        if (n is None) == (frac is None):
            msg = "Pass how many cells to draw: n=1000, or frac=0.1 of them."
            raise ArgumentError(msg)
        groups = [self.obs_column(name) for name in ([] if by is None else names("by", by))]
        size = n if frac is None else float(frac)
        return self._select(self.selection.take(draw(size, self.n_obs, groups, seed)))

    def __or__(self, other: Store) -> Store:
        """Return the cells of either, in store order, each once.

        Examples
        --------
        >>> some, rest = store.subset(dataset="gut"), store.subset(cell_type="B cell")
        >>> (some | rest).n_obs, (some & rest).n_obs, (some - rest).n_obs, (~some).n_obs
        (250, 50, 150, 200)
        """
        return self._combine(other, np.logical_or) if isinstance(other, Store) else NotImplemented

    def __and__(self, other: Store) -> Store:
        """Return the cells of both, in store order, each once."""
        return self._combine(other, np.logical_and) if isinstance(other, Store) else NotImplemented

    def __sub__(self, other: Store) -> Store:
        """Return the cells that the other does not have, in store order, each once."""
        return self._combine(other, np.greater) if isinstance(other, Store) else NotImplemented

    def __invert__(self) -> Store:
        """Return all other cells of the store on disk; with features chosen, of its organism."""
        return self._select(others(self))

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
        needs_all = any(given is not None for given in (by, where, columns))
        choice = choose_features(
            self._var_table if needs_all else self._chosen(self._space_table("var")),
            ids,
            missing=missing,
            by=by,
            where=where,
            columns=columns,
            zeros=self._zero_features,
        )
        return self._with(_chosen_features=choice.ids, _zero_features=choice.zeros)

    def split(
        self,
        fractions: Mapping[str, float] | None = None,
        *,
        group_by: str | Sequence[str] | None = None,
        stratify_by: str | Sequence[str] | None = None,
        seed: int = 0,
        method: str = "hash",
        **unknown: Never,
    ) -> dict[str, Store]:
        """Return disjoint parts of the cells, which together are all of them.

        By default the part of a cell depends on the cell (or the value of its group), the seed
        and the fractions, and on nothing else. So it stays in its part when datasets are added,
        removed or compacted, when other cells are selected, and in a store that was written from
        this one. A cell is identified by the dataset that it was in at first and its row in the
        source of that. Each cell or group gets a number between 0 and 1 by a hash, and the parts
        are intervals of these numbers, in the order of ``fractions``; their names do not matter.

        Parameters
        ----------
        fractions
            Name of each part -> its fraction of the cells, adding up to 1.
        group_by
            obs column, or several, whose values stay whole: held-out donors, plates, studies.
            Values are compared as such, so 3, 3.0 and the category ``"3"`` are one group. A
            missing value is a group. ``"dataset"`` stands for the dataset that a cell was in at
            first.
        stratify_by
            obs column, or several, of whose values each part gets its fraction: approximately by
            ``"hash"``, where this changes no part and only warns of values that a part lacks.
        seed
            A whole number of at least 0. To split a part again, pass another one.
        method
            ``"hash"``: fractions are approximate, with a standard error of
            ``sqrt(f * (1 - f) / n)`` for a fraction ``f`` of ``n`` cells, or of ``n`` groups:
            0.004 for 0.2 of 10,000 cells, 0.06 for 0.2 of 50 groups. ``"exact"``: sizes are as
            asked for to a cell, or as near as groups allow, also in each stratum; parts depend on
            all selected cells and their order, and change when these do.

        Raises
        ------
        dao.errors.ArgumentError
            If the fractions do not add up to 1, there are fewer groups than parts, a part would
            be empty, or ``group_by`` and ``stratify_by`` are combined with ``"hash"``.
        dao.errors.UnknownColumnError
            With the nearest names.

        Examples
        --------
        >>> parts = store.split({"train": 0.8, "test": 0.2})
        >>> parts["train"].n_obs, parts["test"].n_obs
        (322, 78)
        >>> parts = store.split(
        ...     {"train": 0.8, "test": 0.2}, stratify_by="cell_type", method="exact"
        ... )
        >>> parts["train"].n_obs, parts["test"].n_obs
        (320, 80)
        """
        from dao.split import refuse_unknown, split

        refuse_unknown(unknown)
        return split(
            self,
            fractions,
            group_by=group_by,
            stratify_by=stratify_by,
            seed=seed,
            method=method,
        )

    def save_selection(self, file: str | os.PathLike[str]) -> None:
        """Write which cells and features are selected, for `dao.load_selection`.

        Parameters
        ----------
        file
            ``name.json``, to be read by people; the cells go into ``name.parquet`` beside it.

        Raises
        ------
        dao.errors.StorageError
            If the file system refuses.

        Examples
        --------
        >>> store.subset(dataset="gut").save_selection(tmp_path / "gut.json")
        >>> dao.load_selection(tmp_path / "gut.json").datasets
        ['gut']
        """
        from dao.choose.saved import save_selection

        save_selection(self, file)

    # --- looking ------------------------------------------------------------------------------

    def value_counts(
        self, column: str, by: str | None = None, *, normalize: bool = False, dropna: bool = False
    ) -> Counts | pd.DataFrame:
        """Return how many selected cells have each value, frequent ones first.

        Parameters
        ----------
        column
            An obs column. Missing values are counted as NaN, at the end.
        by
            A second column: the result is a table of the first by the second.
        normalize
            Return shares of all cells that are counted.
        dropna
            Leave missing values out.

        Raises
        ------
        dao.errors.UnknownColumnError
            With the nearest names.
        dao.errors.ArgumentError
            If a table of two columns would not fit into memory.

        Examples
        --------
        >>> store.value_counts("cell_type", by="dataset").loc["B cell"].to_dict()
        {'blood': 50, 'gut': 50}
        """
        normalize, dropna = flag("normalize", normalize), flag("dropna", dropna)
        if by is None:
            return value_counts(column, self.obs_column(column), normalize=normalize, dropna=dropna)
        first, second = self.obs_column(column), self.obs_column(by)
        return cross_counts(column, first, by, second, normalize=normalize, dropna=dropna)

    def categories(self, column: str) -> list[Any]:
        """Return the values of a categorical or text column over the whole store, in code order.

        Raises
        ------
        dao.errors.UnknownColumnError
            With the nearest names.
        dao.errors.ArgumentError
            If the column holds numbers, booleans or times, which have no categories.

        Examples
        --------
        >>> store.categories("cell_type")
        ['B cell', 'T cell', 'NK cell', 'monocyte']
        """
        self._check_column(column)
        info = self._obs.infos[column]
        if info.kind not in {"categorical", "string"}:
            msg = (
                f"obs column {column!r} is {info.dtype}, which has no categories. "
                f"store.obs[{column!r}].unique() has its values; to have codes, write it as a "
                "category."
            )
            raise ArgumentError(msg)
        return list(self._obs.categories(column))

    def describe(self) -> Description:
        """Return a summary of the selected datasets and obs columns.

        Examples
        --------
        >>> store.describe().datasets["cells"].to_dict()
        {'blood': 200, 'gut': 200}
        """
        return describe(self)

    def report(self, path: str | os.PathLike[str] | None = None) -> Page:
        """Return a page about the selection: what there is to train on, and what looks odd.

        Datasets, cells by column and by two columns, features that studies share, counts per cell,
        bytes on disk, and how well and how fast the default generator streams, by a run of two
        seconds. Long lists are cut and large studies sampled; the page says where. Notebooks show
        it.

        Parameters
        ----------
        path
            Where to write it, as one HTML file that loads nothing; None to only return it.

        Raises
        ------
        dao.errors.MissingExtraError
            If matplotlib or jinja2 is not installed and the page is drawn.
        dao.errors.StorageError
            If the file system refuses.

        Examples
        --------
        >>> page = store.subset(cell_type="B cell").report()
        >>> page.facts.n_obs, [d.id for d in page.facts.datasets]
        (100, ['blood', 'gut'])
        """
        from dao.report import make_page

        return make_page(self, path)

    def add_ontology(self, column: str, file: str | os.PathLike[str]) -> Store:
        """Give an obs column an ontology, for `dao.descendants`, and return the store with it.

        Its terms become part of the store on disk, as a new generation. Values of the column
        are names, ids or exact synonyms of terms; a warning names those that are not.

        Parameters
        ----------
        column
            A categorical or text column.
        file
            An OBO file, or an OBO graph (``.json``).

        Raises
        ------
        dao.errors.SourceError, dao.errors.MissingExtraError
            If the file cannot be read.
        dao.errors.ArgumentError
            If no value is a term, or values are no text.
        dao.errors.StoreChangedError
            If the store on disk was replaced.

        Examples
        --------
        >>> import json, shutil
        >>> names = ["lymphocyte", *store.categories("cell_type")]
        >>> nodes = [{"id": f"X:{i}", "lbl": name, "type": "CLASS"} for i, name in enumerate(names)]
        >>> edges = [{"sub": f"X:{i}", "pred": "is_a", "obj": "X:0"} for i in (1, 2, 3)]
        >>> graph = {"graphs": [{"id": "cells", "nodes": nodes, "edges": edges}]}
        >>> _ = (tmp_path / "cells.json").write_text(json.dumps(graph))
        >>> copy = dao.load_store(shutil.copytree(store_path, tmp_path / "copy.dao"))
        >>> copy = copy.add_ontology("cell_type", tmp_path / "cells.json")
        >>> copy.subset(cell_type=dao.descendants("lymphocyte")).n_obs
        300
        """
        from dao.choose.changed import with_ontology

        return with_ontology(self, column, file)

    def measured(self) -> pd.DataFrame:
        """Return which dataset measured which feature: a boolean table, datasets x features.

        Where it is False, zeros in X say nothing.

        Raises
        ------
        dao.errors.MultipleFeatureSpacesError
            If several organisms are selected.

        Examples
        --------
        >>> store.measured()[["GENE0", "GENE1"]].to_dict("index")
        {'blood': {'GENE0': True, 'GENE1': True}, 'gut': {'GENE0': True, 'GENE1': True}}
        """
        positions = self.feature_positions()
        return measured(self.reader, self.selected_datasets, self.var_names, positions)

    def matching(self) -> pd.DataFrame:
        """Return how the features of each selected dataset were matched when it was written.

        A row per dataset. Of the ``columns`` of its X some were ``matched`` (``by_id``,
        ``by_symbol`` and ``by_alias``), of which ``summed`` share their feature with another; the
        others were dropped: ``unknown`` names, and ``ambiguous`` ones, which stand for several
        features. ``missing`` features of the space it did not measure.

        Examples
        --------
        >>> store.matching().loc["gut", ["columns", "matched", "missing"]].tolist()
        [300, 300, 0]
        """
        spaces = {s.organism: s.n_vars for s in self.manifest.feature_spaces}
        return matching_table(
            (d.id, d.matching, d.n_measured, spaces[d.organism]) for d in self.selected_datasets
        )

    # --- taking -------------------------------------------------------------------------------

    def to_anndata(self) -> AnnData:
        """Return the selection in memory, in store order, with the dtypes of the sources.

        X is dense if all selected studies had it dense, else CSR. Layers and obsm that all
        selected datasets have come along; uns does if there is one dataset.

        Examples
        --------
        >>> adata = store.subset(cell_type="B cell").to_anndata()
        >>> adata.shape, adata.X.dtype
        ((100, 300), dtype('float32'))
        """
        from dao.export import to_anndata

        return to_anndata(self)

    def to_memory(
        self, layers: Sequence[str] | None = None, obsm: Sequence[str] | None = None
    ) -> Store:
        """Return the store with the selected cells and features decoded, in memory.

        Everything works as before, in the same order, and faster. Counts are held in the narrowest
        dtypes: with fewer than 65,536 features about three bytes for each that is not zero, a
        quarter of what scipy needs. Other cells of the store are still read from where they are.

        Parameters
        ----------
        layers, obsm
            Which of them are held besides X; None for all. The others are read as before.

        Raises
        ------
        dao.errors.UnknownDatasetError
            If a selected dataset does not have one of them.
        dao.errors.CorruptStoreError
            If something read is damaged.

        Examples
        --------
        >>> held = store.subset(cell_type="B cell").to_memory()
        >>> held.backend, held.n_obs
        ('memory', 100)
        """
        from dao.memory import to_memory

        return to_memory(self, layers, obsm)

    def to_dask(
        self,
        layer: str | None = None,
        *,
        x_format: str = "csr",
        dtype: str | np.dtype[Any] | type = "float32",
        transform: Any = None,
        rows_per_block: int | None = None,
    ) -> da.Array:
        """Return X as a dask array, whose blocks are read and decoded where they are computed.

        Rows and features are those of the selection, in its order. Blocks begin where chunks do,
        if rows are in store order. Works on the schedulers of threads and processes and on
        ``dask.distributed``, whose workers must see the store at the same path.

        Sums, means and other reductions, slices, and operators work as on an array of NumPy, and
        scanpy takes the result as the X of an `anndata.AnnData`. ``*`` multiplies element by
        element. What is computed from sparse blocks is sparse where zeros stay zeros.

        Parameters
        ----------
        layer
            Of the layer instead of X.
        x_format
            Blocks of ``"csr"`` (a subclass of `scipy.sparse.csr_matrix`, which is what ``compute``
            returns) or ``"dense"`` (`numpy.ndarray`).
        dtype, transform
            As of `generator`; no functions.
        rows_per_block
            At most; if None as many as take about 128 MiB.

        Raises
        ------
        dao.errors.MissingExtraError
            If dask is not installed.
        dao.errors.DaoError
            If anything asked for does not exist or cannot be given.

        Examples
        --------
        >>> x = store.to_dask(rows_per_block=100, transform=["normalize_total", "log1p"])
        >>> x.shape, x.chunks[0]
        ((400, 300), (100, 100, 100, 100))
        """
        from dao.lazy.array import to_dask

        return to_dask(self, layer, x_format, dtype, transform, rows_per_block)

    def obs_to_dask(
        self,
        columns: Sequence[str] | None = None,
        *,
        x_format: str = "csr",
        rows_per_block: int | None = None,
    ) -> dd.DataFrame:
        """Return obs as a dask dataframe with a partition for each block of `to_dask`.

        Its index is the position in the selection, so that divisions are known; names of cells are
        in the column ``obs_names``.

        Parameters
        ----------
        columns
            Which ones; all if None.
        x_format, rows_per_block
            As given to `to_dask`, so that partitions are its blocks.

        Raises
        ------
        dao.errors.MissingExtraError
            If dask is not installed.
        dao.errors.UnknownColumnError
            With the nearest names.

        Examples
        --------
        >>> obs = store.obs_to_dask(["cell_type"], rows_per_block=100)
        >>> obs.npartitions, len(obs)
        (4, 400)
        """
        from dao.lazy.frame import obs_to_dask

        return obs_to_dask(self, columns, x_format, rows_per_block)

    def gene_stats(self, *, layer: str | None = None, transform: Any = None) -> pd.DataFrame:
        """Return statistics of every selected gene over the selected cells, out of core.

        Columns: ``n_cells`` in which it is not zero, ``total``, ``mean``, and ``var``, which is
        divided by one less than the number of cells. With ``backend="dask"`` the cluster reads.

        Parameters
        ----------
        layer
            Of the layer instead of X.
        transform
            As of `generator`; no functions.

        Raises
        ------
        dao.errors.DaoError
            If anything asked for does not exist or cannot be given.

        Examples
        --------
        >>> store.gene_stats().loc["GENE7", ["n_cells", "total"]].tolist()
        [145.0, 175.0]
        """
        from dao.stats.genes import gene_stats

        return gene_stats(self, layer, transform)

    def pseudobulk(
        self,
        by: str | Sequence[str],
        *,
        func: str = "sum",
        layer: str | None = None,
        transform: Any = None,
    ) -> AnnData:
        """Return the cells of each group added up, out of core.

        A row for each group that has cells, as `scanpy.get.aggregate` names them, with the number
        of its cells in ``obs["n_obs_aggregated"]``; X is CSR of float64. Where the values of two
        groups join to the same name, as ``("a_b", "c")`` and ``("a", "b_c")``, the second gets a
        number. Cells with a missing value are left out. With ``backend="dask"`` the cluster reads.

        Parameters
        ----------
        by
            obs column, or several.
        func
            ``"sum"`` or ``"mean"``.
        layer, transform
            As of `gene_stats`.

        Raises
        ------
        dao.errors.DaoError
            If anything asked for does not exist or cannot be given.

        Examples
        --------
        >>> store.pseudobulk(["cell_type", "dataset"]).obs_names[:2].tolist()
        ['B cell_blood', 'B cell_gut']
        """
        from dao.stats.pseudobulk import pseudobulk

        return pseudobulk(self, by, func, layer, transform)

    def highly_variable_genes(
        self,
        n_top_genes: int = 2000,
        *,
        flavor: str = "seurat",
        n_bins: int = 20,
        target_sum: float = 1e4,
        totals: str | None = None,
    ) -> pd.DataFrame:
        """Return which genes vary most over the selected cells, out of core.

        What `scanpy.pp.highly_variable_genes` says of X after ``normalize_total(target_sum)`` and
        ``log1p``: columns ``means``, ``dispersions``, ``dispersions_norm`` and ``highly_variable``,
        a row for each gene. X holds counts. With ``backend="dask"`` the cluster reads.

        Parameters
        ----------
        n_top_genes
            How many; more where several share the last place.
        flavor, n_bins
            ``"seurat"`` or ``"cell_ranger"``, as in scanpy; bins of the mean for the first.
        target_sum, totals
            As of `dao.transforms.NormalizeTotal`. Give ``totals`` where genes were chosen before.

        Raises
        ------
        dao.errors.DaoError
            If anything asked for does not exist or cannot be given.

        Examples
        --------
        >>> table = store.highly_variable_genes(50)
        >>> store.select_features(table.index[table["highly_variable"]]).n_vars
        50
        """
        from dao.stats.variable import highly_variable_genes

        return highly_variable_genes(self, n_top_genes, flavor, n_bins, target_sum, totals)

    def generator(
        self,
        batch_size: int | str | None = 1024,
        *,
        obs_keys: Sequence[str] = (),
        var_names: Iterable[str] | None = None,
        missing: str = "error",
        layers: Sequence[str] = (),
        obsm: Sequence[str] = (),
        measured: bool = False,
        x_format: str = "csr",
        dtype: str | np.dtype[Any] | type = "float32",
        sampler: str | Sampler = "shuffle",
        seed: int = 0,
        drop_last: bool = False,
        transform: Any = None,
        rank: int | None = None,
        world_size: int | None = None,
        pad: bool = True,
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
        missing
            What to do with ``var_names`` that the store does not have: ``"error"``, or ``"zero"``
            for columns of zeros.
        layers, obsm
            Further matrices to deliver.
        measured
            Whether a batch has ``"measured"`` too: a boolean array of shape (batch_size, n_vars),
            False where the study of a cell did not measure a feature, so that a zero says nothing.
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
            is handed out, or a list of these in order, functions last. A function that takes a
            second argument, or one called ``rng``, gets a `numpy.random.Generator` that depends on
            ``seed``, the epoch and the batch alone. It is called for a few batches ahead, in a
            thread of its own; in several with `dao.transforms.parallel`.
        rank, world_size
            Of a distributed run; taken from torch.distributed where that is initialised.
        pad
            Whether ranks that have fewer cells than others repeat some, so that all have as many
            batches: ``batch["is_padding"]`` is True for those. False, for evaluation, gives each
            cell once; some ranks may have a batch less. ``drop_last`` leaves nothing to pad.

        Raises
        ------
        dao.errors.DaoError
            If anything asked for does not exist or cannot be given.

        Examples
        --------
        >>> generator = store.generator(128, obs_keys=["cell_type"], var_names=["GENE9", "GENE4"])
        >>> [batch["X"].shape for batch in generator]
        [(128, 2), (128, 2), (128, 2), (16, 2)]
        """
        from dao.batches.request import make_generator

        return make_generator(
            self,
            batch_size=batch_size,
            obs_keys=obs_keys,
            var_names=var_names,
            missing=missing,
            layers=layers,
            obsm=obsm,
            measured=measured,
            x_format=x_format,
            dtype=dtype,
            sampler=sampler,
            seed=seed,
            drop_last=drop_last,
            transform=transform,
            rank=rank,
            world_size=world_size,
            pad=pad,
        )

    def torch(
        self, batch_size: int | str | None = 1024, *, device: Any = None, **arguments: Any
    ) -> TorchBatches:
        """Return the batches as a torch ``IterableDataset``; arguments as of `generator`.

        With ``device="cuda"`` they come on the device; see `Generator.torch`.

        Examples
        --------
        >>> batches = store.torch(128, obs_keys=["cell_type"], x_format="dense")
        >>> batch = next(iter(batches))
        >>> batch["X"].shape, batch["X"].dtype, batch["obs"]["cell_type"].dtype
        (torch.Size([128, 300]), torch.float32, torch.int64)
        """
        return self.generator(batch_size, **arguments).torch(device)

    def map_dataset(self, **arguments: Any) -> TorchRows:
        """Return the cells as a map-style torch ``Dataset``, for torch's own samplers.

        Arguments as of `generator`, without those of order and batches. The streams of `torch` are
        many times faster.

        Raises
        ------
        dao.errors.ArgumentError
            If an argument is about order or batches, or a transform takes a NumPy generator.

        Examples
        --------
        >>> rows = store.map_dataset(obs_keys=["cell_type"], x_format="dense")
        >>> len(rows), rows[7]["X"].shape
        (400, torch.Size([300]))
        """
        from dao.batches.torch_rows import TorchRows

        for name in ("batch_size", "sampler", "seed", "drop_last", "rank", "world_size", "pad"):
            if name in arguments:
                msg = f"{name}= is for the DataLoader: a map-style dataset only gives rows."
                raise ArgumentError(msg)
        generator = self.generator(sampler="sequential", **arguments)
        if generator.transform is not None and generator.transform.is_random:
            msg = (
                "A transform with a NumPy generator needs the batches of a stream: use "
                "store.torch(), or draw from torch's generator, which a DataLoader seeds."
            )
            raise ArgumentError(msg)
        return TorchRows(generator)

    def tensorflow(
        self, batch_size: int | str | None = 1024, *, ragged: bool = False, **arguments: Any
    ) -> tf.data.Dataset:
        """Return the batches as a ``tf.data.Dataset``; arguments as of `generator`.

        With ``ragged`` sparse matrices are pairs of ragged tensors; see `Generator.tensorflow`.

        Examples
        --------
        >>> batches = store.tensorflow(128, x_format="dense")
        >>> len(batches), batches.element_spec["X"].shape
        (4, TensorShape([None, 300]))
        """
        return self.generator(batch_size, **arguments).tensorflow(ragged=ragged)

    def jax(self, batch_size: int | str | None = 1024, **arguments: Any) -> JaxBatches:
        """Return the batches as arrays of `jax`; arguments as of `generator`.

        Examples
        --------
        >>> batch = next(iter(store.jax(128, x_format="dense")))
        >>> batch["X"].shape
        (128, 300)
        """
        return self.generator(batch_size, **arguments).jax()

    # --- the store on disk --------------------------------------------------------------------

    @property
    def history(self) -> pd.DataFrame:
        """What was committed to the store, up to the generation that is open; a row for each.

        Columns: ``generation``, ``created``, ``action``, ``datasets`` (ids), and ``kept``, whether
        ``load_store(path, generation=...)`` still opens it.

        Examples
        --------
        >>> store.history[["generation", "action", "kept"]].to_dict("records")
        [{'generation': 1, 'action': 'create', 'kept': True}]
        """
        from dao.choose.history import history

        return history(self.manifest, self.path)

    def remove(self, ids: str | Sequence[str]) -> Store:
        """Take datasets out of the store on disk, and return the new generation.

        The cells that are selected stay selected. Earlier generations, and those who have them
        open, keep the datasets; ``dao validate --repair --old-generations`` removes their files.

        Raises
        ------
        dao.errors.UnknownDatasetError
            With the nearest ids.
        dao.errors.ArgumentError
            If no dataset would be left.
        dao.errors.StoreBusyError, dao.errors.StoreChangedError
            If another process is writing, or the store at this path was replaced.

        Examples
        --------
        >>> import shutil
        >>> copy = dao.load_store(shutil.copytree(store_path, tmp_path / "copy.dao"))
        >>> copy.remove("gut").datasets, copy.datasets
        (['blood'], ['blood', 'gut'])
        """
        from dao.choose.changed import without_datasets

        return without_datasets(self, names("ids", ids))

    def compact(
        self,
        merge: Mapping[str, Sequence[str]] | None = None,
        *,
        ids: str | Sequence[str] | None = None,
        shuffle: bool = True,
        cluster_by: str | Sequence[str] | None = None,
        seed: int = 0,
        profile: str | None = None,
        memory: int | str = "2GiB",
        keep_ids: str = "study",
        progress: bool = True,
    ) -> Store:
        """Write datasets on disk anew, in one commit, and return the new generation, whole.

        Small datasets become one, rows come into another order, bytes into another profile; what
        is selected here plays no part. Earlier generations, and those who have them open, keep the
        datasets as they were; ``dao validate --repair --old-generations`` removes their files.

        Parameters
        ----------
        merge
            New id -> ids of the datasets that it is made of, in the place of the first. They are
            of one organism, with the same measured features, layers and obsm.
        ids
            Other datasets to write; if None, all if ``merge`` is None too, else no others.
        shuffle, cluster_by, seed
            As of `dao.write_store`, over all cells of a merged dataset. If ``cluster_by`` is None
            it stays as it is; ``()`` is for none.
        profile
            As of `dao.write_store`; that of the store if None.
        memory
            Bytes that writing may hold; datasets are read piece by piece.
        keep_ids
            The obs column of merged datasets that holds the former ids. ``_source_row`` is then
            counted through the studies, one after another in the order of the store.
        progress
            Show a progress bar on a terminal.

        Raises
        ------
        dao.errors.ArgumentError
            If datasets cannot be one, saying why.
        dao.errors.UnknownDatasetError
            With the nearest ids.
        dao.errors.StoreBusyError, dao.errors.StoreChangedError
            If another process is writing, or has changed what is asked for.

        Examples
        --------
        >>> import shutil
        >>> copy = dao.load_store(shutil.copytree(store_path, tmp_path / "copy.dao"))
        >>> merged = copy.compact({"both": ["blood", "gut"]}, progress=False)
        >>> merged.datasets, merged.subset(study="gut").n_obs
        (['both'], 200)
        """
        from dao.choose.changed import compacted

        return compacted(
            self,
            merge=merge,
            ids=None if ids is None else names("ids", ids),
            shuffle=shuffle,
            cluster_by=cluster_by,
            seed=seed,
            profile=profile,
            memory=memory,
            keep_ids=keep_ids,
            progress=progress,
        )

    def validate(self) -> Report:
        """Read every byte of the store on disk and check it; see `dao.validate_store`.

        Examples
        --------
        >>> store.validate().problems
        []
        """
        from dao.backend import check_own
        from dao.validate import validate_store

        check_own(self.reader, "validate")
        return validate_store(self.path)

    def keep(self, mask: NDArray[np.bool_]) -> Store:
        """Return the selected cells that are true in a mask over them, in their order.

        Raises
        ------
        dao.errors.ArgumentError
            If the mask is not booleans, one for each selected cell.

        Examples
        --------
        >>> store.keep((store.obs["n_counts"] > 150).to_numpy()).n_obs == (
        ...     store.obs["n_counts"] > 150
        ... ).sum()
        np.True_
        """
        selection, asked = self.selection, mask_of(mask, self.selection, self._obs)
        if asked is None:
            msg = f"mask={shown(mask)}: pass booleans, one for each selected cell."
            raise ArgumentError(msg)
        mask = asked
        if selection.order is None:
            return self._select(selection.only(mask))
        return self._select(selection.take(np.flatnonzero(mask)))

    def _combine(self, other: Store, rule: Callable[..., NDArray[np.bool_]]) -> Store:
        return self._select(combined(self, other, rule))
