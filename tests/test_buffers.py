"""Recycled memory: given out again when nobody holds it any more, and never before."""

from __future__ import annotations

import contextlib
import gc
import itertools
import os
import random
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import scipy.sparse as sp

import dao
from dao import buffers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


Make = Any
LARGE = 1 << 20


class InTheMiddleError(Exception):
    """What a user's function raises."""


class Owner:
    """Somebody for whom memory is kept."""


@pytest.fixture
def owner() -> Iterator[Owner]:
    """Somebody for whom up to 64 MB are kept."""
    somebody = Owner()
    buffers.keep(somebody, 64 << 20)
    yield somebody
    del somebody
    gc.collect()


def address(array: np.ndarray[Any, Any]) -> int:
    """Return where an array's memory begins."""
    return int(array.__array_interface__["data"][0])


@pytest.mark.usefixtures("owner")
def test_memory_comes_back_when_the_last_view_is_gone() -> None:
    """A view, a reshaped view or a scipy matrix around it keep an array's memory."""
    array = buffers.empty((4, LARGE), np.float32)
    where = address(array)
    view = array[2:].reshape(-1)[5:10]
    del array
    assert address(buffers.empty((4, LARGE), np.float32)) != where
    del view
    again = buffers.empty(4 * LARGE - 77, np.uint32)
    assert address(again) == where
    assert again.shape == (4 * LARGE - 77,)
    assert again.flags.writeable


@pytest.mark.usefixtures("owner")
def test_torch_and_dlpack_keep_the_memory() -> None:
    """A tensor made of an array holds it as long as it lives."""
    torch = pytest.importorskip("torch")
    array = buffers.empty(LARGE, np.float32)
    where = address(array)
    tensor, other = torch.from_numpy(array)[3:], torch.from_dlpack(array)
    del array
    assert address(buffers.empty(LARGE, np.float32)) != where
    del tensor
    assert address(buffers.empty(LARGE, np.float32)) != where
    del other
    assert address(buffers.empty(LARGE, np.float32)) == where


def test_nothing_is_kept_without_a_keeper() -> None:
    """When the last owner goes, so does all kept memory."""
    gc.collect()
    assert buffers.kept_bytes() == 0
    buffers.empty(LARGE, np.float64)
    assert buffers.kept_bytes() == 0
    first, second = Owner(), Owner()
    buffers.keep(first, 64 << 20)
    buffers.keep(second, 32 << 20)
    buffers.empty(LARGE, np.float64)
    assert buffers.kept_bytes() == 8 << 20
    del first
    gc.collect()
    assert buffers.kept_bytes() == 8 << 20
    del second
    gc.collect()
    assert buffers.kept_bytes() == 0


def test_no_more_is_kept_than_asked_for() -> None:
    """The size that was used longest ago makes room."""
    gc.collect()
    somebody = Owner()
    buffers.keep(somebody, 20 << 20)
    for megabytes in (2, 4, 8, 16, 64):
        buffers.empty(megabytes << 20, np.uint8)
        assert buffers.kept_bytes() <= 20 << 20
    assert buffers.kept_bytes() == 16 << 20


@pytest.mark.usefixtures("owner")
def test_no_memory_is_shared_between_threads() -> None:
    """Arrays that are alive at the same time never overlap, whatever threads do."""
    wrong: list[str] = []

    def work(number: int) -> None:
        choose = random.Random(number)
        held: list[tuple[int, np.ndarray[Any, Any]]] = []
        for i in range(300):
            array = buffers.empty(choose.randint(60_000, 300_000), np.int64)
            mark = number * 1_000 + i
            array[:] = mark
            held.append((mark, array))
            if len(held) > 4:
                kept, old = held.pop(choose.randrange(len(held)))
                if not (old[0] == old[-1] == kept and (old == kept).all()):
                    wrong.append(f"{kept} was overwritten")

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def resident_bytes() -> int:
    """Return the memory of this process that is in use now."""
    status = Path("/proc/self/status")
    if not status.exists():
        pytest.skip("needs /proc")
    line = next(x for x in status.read_text().splitlines() if x.startswith("VmRSS"))
    return int(line.split()[1]) * 1024


def dao_threads() -> list[str]:
    """Return the threads that belong to an epoch."""
    return [
        t.name for t in threading.enumerate() if t.name.startswith(("dao-prefetch", "dao-fetch"))
    ]


def open_files() -> int:
    """Return how many files this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


class Consumer:
    """Ends epochs in all ways, and holds some batches for long to see whether they change."""

    def __init__(self, expected: sp.csr_matrix) -> None:
        self.choose = random.Random(0)
        self.expected = expected
        self.held: list[dict[str, Any]] = []
        self.fails = False

    def transform(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Fail now and then, in the thread that reads ahead."""
        if self.fails and self.choose.random() < 0.05:
            raise InTheMiddleError
        return batch

    def consume(self, batches: Any) -> None:
        """Iterate for a while."""
        stop = self.choose.choice([1, 3, 9, 1_000])
        for number, batch in enumerate(batches):
            if self.choose.random() < 0.02:
                self.held.append(batch)
            if len(self.held) > 5:
                old = self.held.pop(self.choose.randrange(5))
                assert abs(sp.csr_matrix(old["X"]) - self.expected[old["index"]]).sum() == 0
            if number == stop:
                break


@pytest.mark.parametrize("x_format", ["csr", "dense"])
def test_soak(write: Callable[..., dao.Store], make_study: Make, x_format: str) -> None:
    """Many epochs, most of them ended in a bad way, leave no memory, thread or file behind.

    A hundred of them, or as many as the minutes in ``DAO_SOAK_MINUTES`` hold (``make soak``).
    """
    minutes = float(os.environ.get("DAO_SOAK_MINUTES", "0"))
    began = time.monotonic()
    store = write({"a": make_study(0, 3_000, 300), "b": make_study(1, 1_000, 300)})
    consumer = Consumer(sp.csr_matrix(store.to_anndata().X))
    generator = store.generator(256, x_format=x_format, transform=consumer.transform)
    warm = None
    for epoch in itertools.count():
        consumer.fails = epoch % 3 == 1
        with contextlib.suppress(InTheMiddleError):
            consumer.consume(generator)
        passed = time.monotonic() - began
        if warm is None and epoch >= 20 and passed >= 6 * minutes:  # a tenth of the time
            gc.collect()
            warm = resident_bytes(), open_files()
        if warm and epoch >= 100 and passed >= 60 * minutes:
            break
    gc.collect()
    assert resident_bytes() - warm[0] < 30 << 20
    assert open_files() <= warm[1]
    assert not dao_threads()
    del generator, consumer
    gc.collect()
    assert buffers.kept_bytes() == 0
