"""Lightning: a data module that streams from stores and continues from checkpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dao.backend import missing_extra
from dao.errors import ArgumentError

try:
    from lightning.pytorch import LightningDataModule

    from dao.integrations.loader import StoreLoader
except ImportError as error:
    msg = "dao.integrations.LightningStore"
    raise missing_extra(msg, "lightning", error) from error

if TYPE_CHECKING:
    from collections.abc import Callable

    from dao.store import Store

__all__ = ["LightningStore"]


class LightningStore(LightningDataModule):
    """Batches of stores for a ``lightning.Trainer``, as `dao.Store.torch` gives them.

    The train loader shuffles; its epoch is that of the trainer, and its position is part of every
    checkpoint: ``trainer.fit(..., ckpt_path=...)`` goes on with the batches that had not been
    seen. The others give every cell in store order. Ranks are those of the trainer; where cells
    do not divide among them, the last ones see some of the first cells again, so use one device
    where every cell must count once (``batch["index"]`` tells).

    Parameters
    ----------
    train, val, test, predict
        The cells for each purpose, usually subsets of one store.
    num_workers, multiprocessing_context
        As of ``torch.utils.data.DataLoader``. dao reads ahead in threads, so worker processes
        are only of use for an expensive ``transform``.
    **arguments
        As of `dao.Store.generator`; ``sampler``, ``seed`` and ``drop_last`` are for ``train``.

    Raises
    ------
    dao.errors.DaoError
        If the stores do not have what is asked for.

    Examples
    --------
    >>> train, val = store.subset(dataset="blood"), store.subset(dataset="gut")
    >>> data = LightningStore(train, val, batch_size=64, obs_keys=["cell_type"], x_format="dense")
    >>> len(data.train_dataloader()), len(data.val_dataloader())
    (4, 4)
    """

    def __init__(
        self,
        train: Store | None = None,
        val: Store | None = None,
        test: Store | None = None,
        predict: Store | None = None,
        *,
        num_workers: int = 0,
        multiprocessing_context: str | None = None,
        **arguments: Any,
    ) -> None:
        super().__init__()
        for name in ("rank", "world_size"):
            if name in arguments:
                msg = f"{name}= is the trainer's to say; leave it out."
                raise ArgumentError(msg)
        self.stores = {"train": train, "val": val, "test": test, "predict": predict}
        self.arguments = arguments
        self.num_workers = num_workers
        self.multiprocessing_context = multiprocessing_context
        for purpose, store in self.stores.items():
            if store is not None:  # what is wrong is an error here, not in the trainer
                store.generator(**self._arguments_of(purpose, store))
        if val is None:
            # What a trainer finds not overridden it does not ask for, nor warn about.
            self.val_dataloader = super().val_dataloader  # type: ignore[method-assign]

    def train_dataloader(self) -> StoreLoader:
        """Return shuffled batches of the trainer's epoch, those of this rank."""
        return self._loader("train", self._epoch)

    def val_dataloader(self) -> StoreLoader:
        """Return all cells to validate on, in store order."""
        return self._in_order("val")

    def test_dataloader(self) -> StoreLoader:
        """Return all cells to test on, in store order."""
        return self._in_order("test")

    def predict_dataloader(self) -> StoreLoader:
        """Return all cells to predict, in store order."""
        return self._in_order("predict")

    def _in_order(self, purpose: str) -> StoreLoader:
        return self._loader(purpose, lambda: 0)

    def _arguments_of(self, purpose: str, store: Store) -> dict[str, Any]:
        """Return the arguments of the generator of a store."""
        if purpose == "train":
            return dict(self.arguments)
        return {**self.arguments, "sampler": "sequential", "drop_last": False}

    def _loader(self, purpose: str, epoch: Callable[[], int]) -> StoreLoader:
        store = self.stores[purpose]
        if store is None:
            msg = f"There are no cells to {purpose} on: give {type(self).__name__} {purpose}=."
            raise ArgumentError(msg)
        arguments = self._arguments_of(purpose, store)
        if self.trainer is not None:
            arguments |= {
                "rank": self.trainer.global_rank,
                "world_size": self.trainer.world_size,
            }
        return StoreLoader(
            store.torch(**arguments),
            epoch,
            num_workers=self.num_workers,
            multiprocessing_context=self.multiprocessing_context,
        )

    def _epoch(self) -> int:
        # With overfit_batches the same batches must come in each epoch.
        if self.trainer is None or getattr(self.trainer, "overfit_batches", False):
            return 0
        return self.trainer.current_epoch
