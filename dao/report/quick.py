"""Damage that is seen without reading: files that are missing or have another size."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from dao.format.manifest import ArrayInfo, Manifest

__all__ = ["quick_problems"]

_MOST = 20


def quick_problems(root: Path, manifest: Manifest) -> list[str]:
    """Return a sentence for each of the first files that are not as they were written.

    What is altered and has its size is not seen; `dao.validate_store` reads every byte.
    """
    problems: list[str] = []
    for path, size in _files(manifest):
        try:
            found = (root / path).stat().st_size
        except OSError as error:
            problems.append(f"{path} cannot be read: {error.strerror}. Restore it from a copy.")
        else:
            if found != size:
                problems.append(f"{path} has {found:,} bytes, {size:,} were written.")
        if len(problems) == _MOST:
            break
    return problems


def _files(manifest: Manifest) -> Iterator[tuple[str, int]]:
    """Yield the files of a store with their sizes."""
    yield from ((f.path, f.size) for f in manifest.files)
    for dataset in manifest.datasets:
        yield from ((f.path, f.size) for f in dataset.files)
        for name, array in dataset.arrays.items():
            yield array.metadata.path, array.metadata.size
            yield from _shards(f"{dataset.path}/{name}", array)


def _shards(folder: str, array: ArrayInfo) -> Iterator[tuple[str, int]]:
    deeper = "/0" * (len(array.shape) - 1)
    for number, size in enumerate(array.shard_sizes):
        if size:  # a shard of zeros has no file
            yield f"{folder}/c/{number}{deeper}", size
