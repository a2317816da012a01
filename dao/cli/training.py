"""The demo's model: one hidden layer, trained from a store or from memory."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from rich.progress import track

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from anndata import AnnData
    from rich.console import Console

    from dao.store import Store

__all__ = ["EPOCHS", "Fit", "as_tensors", "train_from_store", "train_in_memory"]

EPOCHS = 20
_BATCH_SIZE = 32
_HIDDEN = 64

Batch = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True)
class Fit:
    """A trained model and what training took."""

    model: torch.nn.Module
    n_obs: int
    seconds: float
    stats: str = ""

    def accuracy(self, x: torch.Tensor, y: torch.Tensor) -> float:
        """Return the share of cells whose type the model names."""
        with torch.no_grad():
            return float((self.model(x).argmax(dim=1) == y).float().mean())


def train_from_store(store: Store, console: Console) -> Fit:
    """Train on batches that stream from a store."""
    dataset = store.torch(batch_size=_BATCH_SIZE, obs_keys=["cell_type"], x_format="dense")

    def epoch() -> Iterator[Batch]:
        for batch in dataset:
            yield batch["X"], batch["obs"]["cell_type"]

    n_types = len(dataset.categories["cell_type"])
    fit = _train(epoch, store.n_vars, n_types, "training from the store", console)
    return Fit(fit.model, fit.n_obs, fit.seconds, str(dataset.generator.stats))


def train_in_memory(
    cells: AnnData, cell_types: Sequence[str], genes: Sequence[str], console: Console
) -> Fit:
    """Train on the same cells from tensors in memory, shuffled by torch."""
    data = torch.utils.data.TensorDataset(*as_tensors(cells, cell_types, genes))
    loader = torch.utils.data.DataLoader(
        data, _BATCH_SIZE, shuffle=True, generator=torch.Generator().manual_seed(0)
    )
    return _train(lambda: loader, len(genes), len(cell_types), "training in memory", console)


def as_tensors(cells: AnnData, cell_types: Sequence[str], genes: Sequence[str]) -> Batch:
    """Return X over these genes, and the codes of the cell types."""
    matrix: Any = cells[:, list(genes)].X
    x = np.asarray(matrix.todense() if hasattr(matrix, "todense") else matrix, np.float32)
    codes = [list(cell_types).index(c) for c in cells.obs["cell_type"]]
    return torch.from_numpy(x), torch.tensor(codes)


def _train(
    epoch: Callable[[], Iterable[Batch]], n_vars: int, n_types: int, title: str, console: Console
) -> Fit:
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Linear(n_vars, _HIDDEN), torch.nn.ReLU(), torch.nn.Linear(_HIDDEN, n_types)
    )
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)
    began, n_obs = time.perf_counter(), 0
    hidden = not console.is_terminal
    for _ in track(range(EPOCHS), title, console=console, disable=hidden, transient=True):
        for x, y in epoch():
            loss = torch.nn.functional.cross_entropy(model(x), y)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]  # torch does not type it
            optimiser.step()
            n_obs += len(y)
    return Fit(model, n_obs, time.perf_counter() - began)
