"""scvi-tools: a data module and its registry, for models that train on custom loaders."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dao.backend import missing_extra
from dao.errors import ArgumentError
from dao.warn import warn

try:
    import scvi

    from dao.integrations.lightning import LightningStore
    from dao.integrations.loader import StoreLoader
    from dao.integrations.scvi_fields import Categories, ScviBatch
    from dao.integrations.scvi_registry import registry
except ImportError as error:
    msg = "dao.integrations.ScviStore"
    raise missing_extra(msg, "scvi", error) from error

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dao.samplers import Sampler
    from dao.store import Store

__all__ = ["ScviStore"]


class ScviStore(LightningStore):
    """Counts of stores for models of scvi-tools, which need not fit into memory.

    Takes the place of ``SCVI.setup_anndata``, whose names it uses: ``SCVI(registry=data.registry)``
    and ``model.train(datamodule=data)``. What a model is asked later, it is asked of
    `inference_dataloader`. Categories are those that occur in ``train`` and ``val``.

    Parameters
    ----------
    train
        The cells to train on, with the features of the model (see `dao.Store.select_features`).
    val
        The cells to validate on; features are those of ``train``.
    layer
        Where the counts are; X if None.
    batch_key, labels_key
        obs columns; one category for all cells if None.
    categorical_covariate_keys, continuous_covariate_keys
        Further obs columns that the model sees.
    unlabeled_category
        What cells without a label are.
    batch_size, sampler, seed, drop_last
        As of `dao.Store.generator`.
    num_workers, multiprocessing_context
        As of `LightningStore`.

    Raises
    ------
    dao.errors.DaoError
        If a column is not there, or not known for all cells.

    Warns
    -----
    dao.errors.DaoWarning
        If values are no counts.

    Examples
    --------
    >>> data = ScviStore(store, batch_key="dataset", labels_key="cell_type")
    >>> data.registry["model_name"], data.n_train
    ('SCVI', 400)
    """

    def __init__(
        self,
        train: Store,
        val: Store | None = None,
        *,
        layer: str | None = None,
        batch_key: str | None = None,
        labels_key: str | None = None,
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
        self.var_names = train.var_names
        stores = [train, *(() if val is None else (self._with_features(val),))]
        self.n_train = train.n_obs
        self.n_val = 0 if val is None else val.n_obs
        self.unlabeled_category = unlabeled_category
        self.fields = ScviBatch(
            layer,
            None if batch_key is None else Categories.of(batch_key, stores),
            None if labels_key is None else Categories.of(labels_key, stores, unlabeled_category),
            tuple(Categories.of(key, stores) for key in categorical_covariate_keys),
            tuple(continuous_covariate_keys),
        )
        for store in stores:
            self.fields.check(store)
            _check_counts(store, layer)
        super().__init__(
            *stores,
            num_workers=num_workers,
            multiprocessing_context=multiprocessing_context,
            batch_size=batch_size,
            obs_keys=self.fields.obs_keys,
            layers=() if layer is None else (layer,),
            x_format="dense",
            sampler=sampler,
            seed=seed,
            drop_last=drop_last,
            transform=self.fields,
        )

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
        self.fields.check(cells)
        arguments = {**self.arguments, "sampler": "sequential", "drop_last": False}
        arguments |= {"batch_size": batch_size, "rank": 0, "world_size": 1}
        return StoreLoader(cells.torch(**arguments), lambda: 0)

    def _with_features(self, store: Store) -> Store:
        same = store.var_names.equals(self.var_names)
        return store if same else store.select_features(self.var_names)

    # --- what scvi-tools asks of a data module --------------------------------------------------

    @property
    def registry(self) -> dict[str, Any]:
        """What ``setup_anndata`` would have written down, for the constructors of models."""
        return registry(
            self.fields,
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
        """Categories of ``labels_key``."""
        return len(self.label_keys)

    @property
    def n_samples(self) -> int:
        """Samples, which only models that are not served here know."""
        return 0

    @property
    def batch_labels(self) -> tuple[Any, ...]:
        """Categories of ``batch_key``, in the order of their codes."""
        return (0,) if self.fields.batch is None else self.fields.batch.names

    @property
    def label_keys(self) -> tuple[Any, ...]:
        """Categories of ``labels_key``, in the order of their codes."""
        return (0,) if self.fields.labels is None else self.fields.labels.names


def _check_counts(store: Store, layer: str | None) -> None:
    where = "X" if layer is None else f"layers/{layer}"
    for dataset, info in zip(store.datasets, store.matrix_infos(where), strict=True):
        # Whole numbers are stored as such, whatever their type was in the source.
        if info.dtype.kind == "f" or info.minimum < 0:
            msg = f"{where} of dataset {dataset!r} holds values that are no counts."
            warn(msg)
