"""Measure the limit: all chunks of X of a dao store, decoded by zarrs and thrown away.

    python decode_zarrs.py STORE SECONDS

zarrs is driven as fast as it goes: lists of chunk requests straight into its pipeline, into
arrays that are used again. It reads Zarr's own metadata, not dao's, and no code of dao.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from timing import peak_bytes, report
from zarr.storage import LocalStore
from zarrs._internal import ChunkItem, CodecPipelineImpl

if TYPE_CHECKING:
    from numpy.typing import NDArray

CHUNKS_AT_ONCE = 16  # the fastest of 8 to 128: what is decoded stays in the cache


@dataclass(frozen=True, slots=True)
class Decode:
    """The speed of decoding alone, in the unit of a stream."""

    cells_per_s: float
    bytes_per_s: float
    passes: int
    peak_bytes: int


class Chunks:
    """The inner chunks of one flat array."""

    def __init__(self, root: Path, folder: Path) -> None:
        """Read the array's metadata."""
        metadata = json.loads((folder / "zarr.json").read_text())
        (self._shard,) = metadata["chunk_grid"]["configuration"]["chunk_shape"]
        first = metadata["codecs"][0]
        sharded = first["name"] == "sharding_indexed"
        self._chunk = first["configuration"]["chunk_shape"][0] if sharded else self._shard
        self._key = folder.relative_to(root).as_posix()
        self.n_chunks = -(-metadata["shape"][0] // self._chunk)
        self.dtype = np.dtype(metadata["data_type"])
        self.size = CHUNKS_AT_ONCE * self._chunk
        store = LocalStore(root, read_only=True)
        self._pipeline = CodecPipelineImpl(json.dumps(metadata), store, validate_checksums=True)

    def decode(self, first: int, out: NDArray[Any]) -> int:
        """Decode a list of chunks into the beginning of `out`; return the bytes."""
        numbers = range(first, min(first + CHUNKS_AT_ONCE, self.n_chunks))
        length = len(numbers) * self._chunk
        self._pipeline.retrieve_chunks_and_apply_index(
            [self._item(place, number, length) for place, number in enumerate(numbers)],
            out[:length],
        )
        return out[:length].nbytes

    def _item(self, place: int, number: int, length: int) -> ChunkItem:
        shard, inside = divmod(number, self._shard // self._chunk)
        return ChunkItem(
            key=f"{self._key}/c/{shard}",
            chunk_subset=[slice(inside * self._chunk, (inside + 1) * self._chunk)],
            chunk_shape=[self._shard],
            subset=[slice(place * self._chunk, (place + 1) * self._chunk)],
            shape=[length],
        )


def decode_all(datasets: list[list[Chunks]], buffers: dict[str, NDArray[Any]]) -> int:
    """Decode every chunk once, values and indices in turns as a stream needs them."""
    n_bytes = 0
    for arrays in datasets:
        for first in range(0, max(array.n_chunks for array in arrays), CHUNKS_AT_ONCE):
            for array in arrays:
                if first < array.n_chunks:
                    n_bytes += array.decode(first, buffers[array.dtype.name])
    return n_bytes


def main() -> None:
    """Print one line of JSON."""
    store, at_least = Path(sys.argv[1]), float(sys.argv[2])
    cells = 0
    datasets: list[list[Chunks]] = []
    for indptr in sorted(store.glob("datasets/**/X/indptr/zarr.json")):
        cells += json.loads(indptr.read_text())["shape"][0] - 1
        x = indptr.parents[1]
        datasets.append([Chunks(store, x / name) for name in ("data", "indices")])
    arrays = [array for some in datasets for array in some]
    buffers = {
        name: np.zeros(max(a.size for a in arrays if a.dtype.name == name), name)
        for name in {array.dtype.name for array in arrays}
    }
    decode_all(datasets, buffers)
    passes = n_bytes = 0
    begin = time.perf_counter()
    while (elapsed := time.perf_counter() - begin) < at_least or not passes:
        n_bytes += decode_all(datasets, buffers)
        passes += 1
    report(Decode(passes * cells / elapsed, n_bytes / elapsed, passes, peak_bytes()))


if __name__ == "__main__":
    main()
