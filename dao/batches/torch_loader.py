"""A torch ``DataLoader`` that would put whole batches together once more, refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch.utils.data import default_collate

from dao.errors import ArgumentError

if TYPE_CHECKING:
    from types import FrameType

__all__ = ["refuse_batching"]


def refuse_batching(caller: FrameType) -> None:
    """Refuse to be iterated by a DataLoader that stacks what it gets.

    A DataLoader does not tell an iterable dataset whether it batches, and its default would add an
    axis to every tensor without a word. What iterates a dataset, here and in workers, is a fetcher
    that knows both. A loader with a ``collate_fn`` of the user's is let through.

    Parameters
    ----------
    caller
        The frame that iterates the dataset.

    Raises
    ------
    dao.errors.ArgumentError
        With the call that is right.
    """
    fetcher = caller.f_locals.get("self")
    batches = getattr(fetcher, "auto_collation", False)
    if batches is True and getattr(fetcher, "collate_fn", None) is default_collate:
        msg = (
            "This dataset gives whole batches, and the DataLoader would stack several of them: "
            "pass batch_size=None to it, as in DataLoader(store.torch(64), batch_size=None, "
            "num_workers=2). How many cells a batch has is an argument of store.torch()."
        )
        raise ArgumentError(msg)
