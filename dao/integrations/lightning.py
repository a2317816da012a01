"""Lightning: a data module that streams from stores and continues from checkpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dao.backend import missing_extra
from dao.errors import ArgumentError
from dao.samplers.paired import Paired

try:
    from lightning.pytorch import LightningDataModule

    from dao.batches.device import parse_device
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
    seen, also if it was saved within a training step. The others give every cell in store order,
    also with workers. Ranks are those of the trainer; where cells do not divide among them, the
    last ranks repeat some, which ``batch["is_padding"]`` marks.

    Parameters
    ----------
    train, val, test, predict
        The cells for each purpose, usually subsets of one store.
    num_workers, multiprocessing_context, pin_memory, persistent_workers
        As of ``torch.utils.data.DataLoader``. dao reads ahead in threads, so worker processes
        are only of use for an expensive ``transform``.
    device
        As of `dao.Store.torch`: batches come on the device, sparse over the bus; ``"cuda"`` is the
        one of each process. If None the trainer copies them. Not with workers.
    **arguments
        As of `dao.Store.generator`; ``sampler``, ``seed`` and ``drop_last`` are for ``train``.
        ``sampler=Paired(...)`` is for ``val`` and ``test``, too: in each pass the same pairs.

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
        pin_memory: bool = False,
        persistent_workers: bool = False,
        device: Any = None,
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
        self.pin_memory = pin_memory
        self.persistent_workers = persistent_workers
        self.device = parse_device(device)
        self._check_workers()
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

    def _check_workers(self) -> None:
        """Refuse what a DataLoader or its workers would refuse in the middle of a fit."""
        if self.persistent_workers and not self.num_workers:
            msg = "persistent_workers=True needs workers: pass num_workers=, or leave it out."
            raise ArgumentError(msg)
        if self.device is None:
            return
        for name in ("num_workers", "pin_memory"):
            if getattr(self, name):
                msg = (
                    f"device={str(self.device)!r} does not go with {name}=: leave one of them out."
                )
                raise ArgumentError(msg)

    def _in_order(self, purpose: str) -> StoreLoader:
        return self._loader(purpose, lambda: 0)

    def _arguments_of(self, purpose: str, store: Store) -> dict[str, Any]:
        """Return the arguments of the generator of a store."""
        if purpose == "train":
            return dict(self.arguments)
        pairs = purpose != "predict" and isinstance(self.arguments.get("sampler"), Paired)
        order = {} if pairs else {"sampler": "sequential"}
        return {**self.arguments, **order, "drop_last": False}

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
            store.torch(device=self.device, **arguments),
            epoch,
            num_workers=self.num_workers,
            multiprocessing_context=self.multiprocessing_context,
            pin_memory=self.pin_memory,
            persistent_workers=self.persistent_workers,
            in_flight=self._in_flight if purpose == "train" else lambda: 0,
        )

    def _in_flight(self) -> int:
        """Return 1 within a training step: its batch is not trained on yet."""
        if self.trainer is None:
            return 0
        progress: Any = self.trainer.fit_loop.epoch_loop.batch_progress.current
        return int(progress.ready > progress.processed)

    def _epoch(self) -> int:
        # With overfit_batches the same batches must come in each epoch.
        if self.trainer is None or getattr(self.trainer, "overfit_batches", False):
            return 0
        return self.trainer.current_epoch
