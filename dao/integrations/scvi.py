"""scvi-tools: a data module and its registry, for models that train on custom loaders."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from dao.arguments import names
from dao.backend import missing_extra
from dao.errors import ArgumentError
from dao.warn import warn

try:
    import scvi
    import torch

    from dao.batches.numeric import numeric_obs
    from dao.integrations.lightning import LightningStore
    from dao.integrations.loader import StoreLoader
    from dao.integrations.scvi_query import query_model
    from dao.integrations.scvi_reference import read_reference
    from dao.integrations.scvi_registry import registry
    from dao.integrations.scvi_setup import Keys, fields_of_model, fields_of_stores
except ImportError as error:
    msg = "dao.integrations.ScviStore"
    raise missing_extra(msg, "scvi", error) from error

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from dao.integrations.scvi_categories import Categories
    from dao.samplers import Sampler
    from dao.store import Store

__all__ = ["ScviStore"]

# Labeled cells of a batch of which a classifier learns something.
_FEW = 2


class ScviStore(LightningStore):
    """Counts of stores for models of scvi-tools, which need not fit into memory.

    Takes the place of ``SCVI.setup_anndata``, whose names it uses: ``SCVI(registry=data.registry)``
    and ``model.train(datamodule=data)``. Results of a model are those of `inference_dataloader`.

    Categories are those of the whole store of ``train``, whatever cells are selected, and then
    those of the store of ``val``. So models of two selections use the same codes. For cells of
    another store, or after the store has grown, pass the model as ``registry``.

    Parameters
    ----------
    train
        The cells to train on, with the features of the model (see `dao.Store.select_features`).
    val
        The cells to validate on; features are those of ``train``.
    registry
        A model that exists: its registry, the model itself, or the folder in which it was saved.
        Features, columns, layer and the codes of all categories are those of the model. Further
        arguments name columns that are called otherwise in this store.
    extend_categories
        Whether values that the model of ``registry`` does not know get codes after those that it
        knows, for `load_query_data`. Labels of SCANVI cannot be extended.
    model_name
        The class of the model: ``"SCVI"`` or ``"SCANVI"``. If None, that of ``registry``, or
        SCVI.
    layer
        Where the counts are; X if None. With ``registry``, ``"X"`` for X.
    batch_key, labels_key, sample_key
        obs columns; one category for all cells if None. Only TorchMRVI uses samples.
    categorical_covariate_keys, continuous_covariate_keys
        Further obs columns that the model sees.
    unlabeled_category
        What cells without a label are; the last of the labels.
    batch_size, sampler, seed, drop_last
        As of `dao.Store.generator`.
    num_workers, multiprocessing_context
        As of `LightningStore`.

    Raises
    ------
    dao.errors.DaoError
        If a column does not exist, or has no value for some cells.
    dao.errors.UnknownValueError
        If the model of ``registry`` does not know a value, and ``extend_categories`` is False.
    dao.errors.UnknownFeatureError
        If a store lacks features of the model.

    Warns
    -----
    dao.errors.DaoWarning
        If values are not counts, if a store has no column of labels, or if few cells have a label.

    Examples
    --------
    >>> data = ScviStore(store, batch_key="dataset", labels_key="cell_type")
    >>> data.registry["model_name"], data.n_train
    ('SCVI', 400)
    >>> query = ScviStore(store.subset(dataset="gut"), registry=data.registry)
    >>> query.batch_labels
    ('blood', 'gut')
    """

    def __init__(
        self,
        train: Store,
        val: Store | None = None,
        *,
        registry: Any = None,
        extend_categories: bool = False,
        model_name: str | None = None,
        layer: str | None = None,
        batch_key: str | None = None,
        labels_key: str | None = None,
        sample_key: str | None = None,
        categorical_covariate_keys: Sequence[str] = (),
        continuous_covariate_keys: Sequence[str] = (),
        unlabeled_category: str = "Unknown",
        batch_size: int = 128,
        sampler: str | Sampler = "shuffle",
        seed: int = 0,
        drop_last: bool = False,
        num_workers: int = 0,
        multiprocessing_context: str | None = None,
    ) -> None:
        reference = None if registry is None else read_reference(registry)
        if extend_categories and reference is None:
            msg = "extend_categories=True needs the model whose categories it extends: registry=."
            raise ArgumentError(msg)
        self.var_names = train.var_names if reference is None else reference.var_names
        stores = [self._with_features(s) for s in (train, val) if s is not None]
        self.n_train = train.n_obs
        self.n_val = 0 if val is None else val.n_obs
        self.model_name = model_name or (reference.model_name if reference else "SCVI")
        categorical = tuple(names("categorical_covariate_keys", categorical_covariate_keys))
        continuous = tuple(names("continuous_covariate_keys", continuous_covariate_keys))
        keys = Keys(layer, batch_key, labels_key, sample_key, categorical, continuous)
        if reference is None:
            self.unlabeled_category = unlabeled_category
            is_semi = self.is_semisupervised
            self.fields = fields_of_stores(
                keys, stores, unlabeled_category, is_semisupervised=is_semi
            )
        else:
            self.unlabeled_category = reference.unlabeled or unlabeled_category
            self.fields = fields_of_model(keys, reference, stores, extend=extend_categories)
        if self.is_semisupervised and self.fields.labels is None:
            msg = f"{self.model_name} needs labels: pass labels_key=."
            raise ArgumentError(msg)
        layer = self.fields.layer
        self._converters = {id(store): self.fields.on(store) for store in stores}
        for store in stores:
            _check_counts(store, layer)
        super().__init__(
            *stores,
            num_workers=num_workers,
            multiprocessing_context=multiprocessing_context,
            batch_size=batch_size,
            layers=() if layer is None else (layer,),
            x_format="dense",
            sampler=sampler,
            seed=seed,
            drop_last=drop_last,
        )
        if self.is_semisupervised:
            self._warn_of_few_labels(stores[0])

    def _warn_of_few_labels(self, train: Store) -> None:
        labels: Any = self.fields.labels
        n_labeled = train.n_obs
        if not labels.is_absent(train):
            values = train.obs_column(labels.key).to_pandas()
            n_labeled = int((values.notna() & (values != self.unlabeled_category)).sum())
        expected = self.arguments["batch_size"] * n_labeled / max(1, train.n_obs)
        if n_labeled and expected < _FEW:
            msg = (
                f"A batch of {self.arguments['batch_size']} cells has {expected:.1f} cells with a "
                "label on average, and only these train the classifier. Use a larger batch_size, "
                f"or sampler=dao.samplers.Weighted to draw labels of {labels.key!r} more often."
            )
            warn(msg)

    @property
    def is_semisupervised(self) -> bool:
        """Whether the model learns labels, so that batches hold labeled cells a second time."""
        return self.model_name == "SCANVI"

    def _arguments_of(self, purpose: str, store: Store) -> dict[str, Any]:
        convert = self._converters[id(store)]
        if self.is_semisupervised and self.fields.labels is not None:
            convert = replace(convert, unlabeled=self.fields.labels.missing)
        arguments = super()._arguments_of(purpose, store)
        return {**arguments, "obs_keys": self.fields.obs_keys(store), "transform": convert}

    def train_dataloader(self) -> StoreLoader:
        """Return shuffled batches of the trainer's epoch, those of this rank.

        Raises
        ------
        dao.errors.ArgumentError
            If a batch of an epoch would have one cell, which batch norm refuses.
        """
        loader = super().train_dataloader()
        shortest = loader.batches.source.shortest_batch()
        if shortest == 1:
            msg = (
                f"With batch_size={self.arguments['batch_size']} and this sampler, "
                f"{self.n_train:,} cells give a batch of one cell, and batch norm cannot train on "
                "that. Pass another batch_size, or drop_last=True."
            )
            raise ArgumentError(msg)
        return loader

    def inference_dataloader(self, cells: Store, batch_size: int = 1024) -> StoreLoader:
        """Return a loader of any cells, in store order, for the methods of a trained model.

        For example ``model.get_latent_representation(dataloader=...)``, whose rows are then those
        of ``cells.obs``.

        Parameters
        ----------
        cells
            Which, with at least the features of the model.
        batch_size
            Cells per batch.

        Raises
        ------
        dao.errors.UnknownFeatureError
            If the cells lack features of the model.
        dao.errors.UnknownValueError
            If the model does not know one of their categories.
        """
        cells = self._with_features(cells)
        convert = self.fields.on(cells)
        arguments = {**self.arguments, "sampler": "sequential", "drop_last": False}
        arguments |= {"batch_size": batch_size, "rank": 0, "world_size": 1}
        arguments |= {"obs_keys": self.fields.obs_keys(cells), "transform": convert}
        return StoreLoader(cells.torch(**arguments), lambda: 0)

    def load_query_data(self, reference_model: Any, **arguments: Any) -> Any:
        """Return a model of the cells of this object that continues a trained one (scArches).

        Calls ``load_query_data`` of the class of the model. Weights of categories that the model
        does not know are added; this object was made with ``registry=reference_model`` and
        ``extend_categories=True``. The model is trained by ``train(datamodule=self)``.

        Parameters
        ----------
        reference_model
            The trained model, or the folder in which it was saved.
        **arguments
            As of ``load_query_data`` of scvi-tools, for example ``unfrozen`` or ``accelerator``.

        Raises
        ------
        dao.errors.ArgumentError
            If categories were added before the weights of other ones, which scvi-tools would then
            mix up.
        """
        return query_model(self, reference_model, **arguments)

    def _with_features(self, store: Store) -> Store:
        same = store.var_names.equals(self.var_names)
        return store if same else store.select_features(self.var_names)

    # --- what scvi-tools asks of a data module --------------------------------------------------

    @property
    def registry(self) -> dict[str, Any]:
        """What ``setup_anndata`` would have written down, for the constructors of models."""
        sample = self.fields.sample
        return registry(
            self.fields,
            model_name=self.model_name,
            per_sample=() if sample is None else self._per_sample(sample),
            var_names=self.var_names.to_numpy(object),
            n_obs=self.n_obs,
            unlabeled_category=self.unlabeled_category,
            version=scvi.__version__,
        )

    @property
    def n_obs(self) -> int:
        """Cells to train and to validate on."""
        return self.n_train + self.n_val

    @property
    def n_vars(self) -> int:
        """Features."""
        return len(self.var_names)

    @property
    def n_batch(self) -> int:
        """Categories of ``batch_key``."""
        return len(self.batch_labels)

    @property
    def n_labels(self) -> int:
        """Classes of ``labels_key`` that a model has parameters for.

        SCANVI has none for unlabeled cells.
        """
        return len(self.label_keys) - self.is_semisupervised

    @property
    def n_samples(self) -> int:
        """Categories of ``sample_key``."""
        return 0 if self.fields.sample is None else len(self.fields.sample.names)

    @property
    def labels_(self) -> NDArray[Any]:
        """The labels of all codes. SCANVI asks whether the unlabeled one is among them."""
        return np.array(self.label_keys, dtype=object)

    @property
    def batch_labels(self) -> tuple[Any, ...]:
        """Categories of ``batch_key``, in the order of their codes."""
        return (0,) if self.fields.batch is None else self.fields.batch.names

    @property
    def label_keys(self) -> tuple[Any, ...]:
        """Categories of ``labels_key``, in the order of their codes."""
        return (0,) if self.fields.labels is None else self.fields.labels.names

    def _per_sample(self, sample: Categories) -> list[int]:
        counts = np.zeros(len(sample.names), np.int64)
        for store in self.stores.values():
            if store is not None:
                codes = sample.codes(store)
                values = torch.from_numpy(numeric_obs(codes.key, store.obs_column(codes.key)))
                numbers = codes.encode(values).numpy().ravel()
                counts += np.bincount(numbers, minlength=len(counts))
        return counts.tolist()


def _check_counts(store: Store, layer: str | None) -> None:
    where = "X" if layer is None else f"layers/{layer}"
    for dataset, info in zip(store.datasets, store.matrix_infos(where), strict=True):
        # Whole numbers are stored as such, whatever their type was in the source.
        if info.dtype.kind == "f" or info.minimum < 0:
            msg = f"{where} of dataset {dataset!r} holds values that are not counts."
            warn(msg)
