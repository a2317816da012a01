"""Whether all chunks of a Zarr array are there: one that is missing would be read as zeros.

Some writers leave out chunks that hold nothing but zeros. In a matrix of cells that is rare, and
cannot be told from a copy that was cut short, so such an array is refused.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr
from zarr.storage import LocalStore

from dao.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

__all__ = ["check_chunks", "check_sparse_chunks"]


def check_chunks(array: Any, where: str) -> None:
    """Refuse an array of a local Zarr folder that lacks the file of a chunk or shard.

    Raises
    ------
    dao.errors.SourceError
        Naming the first file that is missing.
    """
    for _, file in _missing(array):
        raise _damaged(file, where)


def check_sparse_chunks(group: Any, indptr: NDArray[np.int64], n_minor: int, where: str) -> None:
    """Refuse a sparse matrix of a local Zarr folder that lacks the file of a chunk or shard.

    The only such file that a writer can have left out is one of ``indices`` that are all 0, or of
    ``indptr`` where nothing is stored.

    Raises
    ------
    dao.errors.SourceError
        Naming the first file that is missing.
    """
    check_chunks(group["data"], where)
    if group["data"].shape[0]:
        check_chunks(group["indptr"], where)
    for (first, stop), file in _missing(group["indices"]):
        in_line = np.diff(np.clip(indptr, first, stop)).max(initial=0)
        if n_minor > 1 and in_line > 1:
            raise _damaged(file, where)


def _missing(array: Any) -> Iterator[tuple[tuple[int, int], Path]]:
    """Yield where along the first axis each missing file begins and ends, and its path."""
    if not isinstance(array, zarr.Array) or not isinstance(array.store, LocalStore):
        return
    sizes = array.shards or array.chunks
    if 0 in array.shape or not sizes:
        return
    folder = Path(array.store.root) / array.path
    counts = [-(-n // size) for n, size in zip(array.shape, sizes, strict=True)]
    for place in itertools.product(*(range(n) for n in counts)):
        file = folder / array.metadata.encode_chunk_key(place)
        if not file.exists():
            first = place[0] * sizes[0]
            yield (first, min(first + sizes[0], array.shape[0])), file


def _damaged(file: Path, where: str) -> SourceError:
    msg = (
        f"{where} is not complete: the chunk {file} is missing, and would be read as zeros. Copy "
        "the folder again. If there are only zeros (some writers leave such chunks out), read it "
        "with anndata.read_zarr and pass the AnnData."
    )
    return SourceError(msg)
