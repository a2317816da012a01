"""The demo's model: a linear classifier, trained from a store or from memory."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from rich.progress import track

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from anndata import AnnData
    from rich.console import Console

    from dao.batches.stats import Stats
    from dao.store import Store

__all__ = ["BATCH_SIZE", "EPOCHS", "Fit", "as_tensors", "train_from_store", "train_in_memory"]

EPOCHS = 20
BATCH_SIZE = 32
_SEED = 0

Batch = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True)
class Fit:
    """A trained model, and what training took.

    Attributes
    ----------
    stats
        What reading took, where the cells came from a store.
    """

    model: torch.nn.Module
    n_obs: int
    seconds: float
    stats: Stats | None = None

    def accuracy(self, x: torch.Tensor, y: torch.Tensor) -> float:
        """Return the share of cells whose type the model names."""
        with torch.no_grad():
            return float((self.model(x).argmax(dim=1) == y).float().mean())


def train_from_store(store: Store, console: Console) -> Fit:
    """Train on batches that stream from a store, shuffled by dao."""
    _train(store, 1, _stream(store)[0])  # compiles and imports, once per machine and process
    epoch, stats = _stream(store)
    fit = _train(store, EPOCHS, epoch, title="training from the store", console=console)
    return replace(fit, stats=stats)


def train_in_memory(store: Store, cells: Batch, console: Console) -> Fit:
    """Train on tensors in memory, shuffled by torch; the store only says what to predict."""
    loader = torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(*cells),
        BATCH_SIZE,
        shuffle=True,
        generator=torch.Generator().manual_seed(_SEED),
    )
    return _train(store, EPOCHS, lambda: loader, title="training in memory", console=console)


def as_tensors(cells: AnnData, cell_types: Sequence[str], genes: Sequence[str]) -> Batch:
    """Return X over these genes, and the numbers of the cell types."""
    matrix: Any = cells[:, list(genes)].X
    x = np.asarray(matrix.toarray() if hasattr(matrix, "toarray") else matrix, np.float32)
    number = {name: i for i, name in enumerate(cell_types)}
    return torch.from_numpy(x), torch.tensor([number[c] for c in cells.obs["cell_type"]])


def _stream(store: Store) -> tuple[Callable[[], Iterator[Batch]], Stats]:
    batches = store.torch(
        batch_size=BATCH_SIZE, obs_keys=["cell_type"], x_format="dense", seed=_SEED
    )

    def epoch() -> Iterator[Batch]:
        for batch in batches:
            yield batch["X"], batch["obs"]["cell_type"]

    return epoch, batches.source.stats


def _train(
    store: Store,
    epochs: int,
    epoch: Callable[[], Iterable[Batch]],
    *,
    title: str = "",
    console: Console | None = None,
) -> Fit:
    with torch.random.fork_rng():
        torch.manual_seed(_SEED)
        model = torch.nn.Linear(store.n_vars, len(store.categories("cell_type")))
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)
    hidden = console is None or not console.is_terminal
    began, n_obs = time.perf_counter(), 0
    for _ in track(range(epochs), title, console=console, disable=hidden):
        for x, y in epoch():
            loss = torch.nn.functional.cross_entropy(model(x), y)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]  # torch does not type it
            optimiser.step()
            n_obs += len(y)
    return Fit(model, n_obs, time.perf_counter() - began)
