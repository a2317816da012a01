"""Lightning: a callback that says whether the loader or the model is the limit."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dao.backend import missing_extra
from dao.batches.stats import Stats

try:
    from lightning.pytorch import Callback
except ImportError as error:
    msg = "dao.integrations.LoaderMonitor"
    raise missing_extra(msg, "lightning", error) from error

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer

__all__ = ["LoaderMonitor"]


class LoaderMonitor(Callback):
    """Logs ``dao/cells_per_second`` and ``dao/waiting`` of each epoch of training, so far.

    ``dao/waiting`` is the share of the time that the trainer spent between its steps, waiting for
    data: near 0 the model is the limit, near 1 the loader is. It is measured where the trainer
    runs, so DataLoader workers are counted as well. Each rank has figures of its own, those of the
    first are logged.

    Examples
    --------
    >>> monitor = LoaderMonitor()  # lightning.Trainer(callbacks=[monitor])
    >>> str(monitor.stats)[:13]
    '0 cells in 0.'
    """

    def __init__(self) -> None:
        self.stats = Stats()
        self._began = self._asked = 0.0

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin anew."""
        self.stats = Stats()
        self._began = self._asked = time.perf_counter()

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Count what came, and how long that took."""
        self.stats.waited_seconds += time.perf_counter() - self._asked
        self.stats.n_batches += 1
        if isinstance(batch, Mapping) and "index" in batch:
            self.stats.n_obs += len(batch["index"])

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Log the figures so far."""
        self._asked = time.perf_counter()
        self.stats.seconds = self._asked - self._began
        pl_module.log("dao/cells_per_second", self.stats.cells_per_second)
        pl_module.log("dao/waiting", self.stats.waiting)
