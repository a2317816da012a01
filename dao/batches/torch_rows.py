"""torch, map style: any rows by their number, for torch's own samplers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from dao.backend import missing_extra
from dao.batches.batch import taken
from dao.batches.glance import Glanced
from dao.errors import ArgumentError

try:
    from torch.utils.data import Dataset, default_collate

    from dao.batches.torch import silence_warnings, to_torch
except ImportError as error:
    msg = "store.map_dataset()"
    raise missing_extra(msg, "torch", error) from error

if TYPE_CHECKING:
    from dao.batches.generator import Generator

__all__ = ["TakenRows", "TorchRows"]


class TorchRows(Glanced, Dataset[dict[str, Any]]):
    """The selected cells as a map-style dataset: ``dataset[i]``, and many at once.

    A ``DataLoader`` asks for all rows of a batch in one call (``__getitems__``), and each chunk
    that they touch is decoded once. Give it ``collate_fn=dataset.collate``: then batches come as
    they are decoded, sparse or dense. torch's own collation works for dense rows, row by row.

    Parameters
    ----------
    generator
        What batches look like; its sampler and batch size play no role.

    Examples
    --------
    >>> from torch.utils.data import DataLoader
    >>> dataset = store.map_dataset(obs_keys=["cell_type"], x_format="dense")
    >>> loader = DataLoader(dataset, batch_size=50, shuffle=True, collate_fn=dataset.collate)
    >>> next(iter(loader))["X"].shape
    torch.Size([50, 300])
    """

    _is_stream = False

    def __init__(self, generator: Generator) -> None:
        self.source = generator
        silence_warnings()

    def __len__(self) -> int:
        """Return the number of cells."""
        return self.source.store.n_obs

    def __getitem__(self, row: int) -> dict[str, Any]:
        """Return one cell: tensors without the dimension of the batch, sparse ones with it."""
        cell: dict[str, Any] = self.__getitems__([row])[0]
        return cell

    def __getitems__(self, rows: Sequence[int]) -> TakenRows:
        """Return several cells, in the order asked for, with repeats.

        Raises
        ------
        IndexError
            If there is no such cell.
        """
        n = len(self)
        positions = np.asarray(rows, np.int64).reshape(-1)
        outside = positions[(positions < -n) | (positions >= n)]
        if len(outside):
            msg = f"There is no cell {outside[0]}: {n:,} are selected."
            raise IndexError(msg)
        silence_warnings()  # here too: workers are other processes
        generator = self.source
        batch = to_torch(taken(generator.store, generator.spec, positions % max(1, n)))
        if generator.transform is not None:
            batch = generator.transform(batch)
        return TakenRows(batch, len(positions))

    @staticmethod
    def collate(rows: Sequence[Any]) -> Any:
        """Return rows as one batch of tensors; for ``DataLoader(collate_fn=...)``."""
        return rows.batch if isinstance(rows, TakenRows) else default_collate(list(rows))

    @property
    def categories(self) -> dict[str, list[Any]]:
        """Column -> the values behind its codes."""
        return self.source.categories


class TakenRows(Sequence[Any]):
    """Rows that were read together, and are taken apart only if somebody asks for one.

    Attributes
    ----------
    batch
        All of them, as a batch of tensors.
    """

    def __init__(self, batch: Any, n_rows: int) -> None:
        self.batch = batch
        self._n_rows = n_rows

    def __len__(self) -> int:
        return self._n_rows

    @overload
    def __getitem__(self, row: int) -> Any: ...
    @overload
    def __getitem__(self, row: slice) -> list[Any]: ...
    def __getitem__(self, row: int | slice) -> Any:
        if isinstance(row, slice):
            return [self[i] for i in range(*row.indices(len(self)))]
        if not -len(self) <= row < len(self):
            raise IndexError(row)
        return _row(self.batch, row % len(self))

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self)))


def _row(value: Any, row: int) -> Any:
    if isinstance(value, dict):
        return {name: _row(part, row) for name, part in value.items()}
    if not hasattr(value, "layout"):
        msg = "A transform that returns no dict of tensors cannot be taken apart by rows."
        raise ArgumentError(msg)
    return value[row]
