"""What goes wrong half way: real processes, real signals, and a deadline for each of them."""

from __future__ import annotations

import gc
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import dao

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SECONDS = 180.0

# A process that streams for ever, slowly enough to be hit in the middle of an epoch.
STREAM = """
import signal, sys, time
import dao

signal.signal(signal.SIGINT, signal.default_int_handler)  # what runs in the background ignores it

path, kind = sys.argv[1:]
store = dao.load_store(path)
if kind == "numpy":
    batches = store.generator(8)
elif kind == "tensorflow":
    batches = store.tensorflow(batch_size=8).prefetch(2)
else:
    from torch.utils.data import DataLoader
    batches = store.torch(batch_size=8)
    # Workers that are forked cost nothing; one that is spawned imports everything again.
    n_workers = 2 if kind == "fork" else 1
    batches = DataLoader(batches, None, num_workers=n_workers, multiprocessing_context=kind)
if __name__ == "__main__":
    while True:
        for batch in batches:
            print("batch", flush=True)
            time.sleep(0.01)
"""


@pytest.fixture
def path(write: Callable[..., dao.Store], make_study: Any) -> Path:
    """Two studies, 1,300 cells."""
    store: Any = write({"a": make_study(0, 800), "b": make_study(1, 500)})
    return store.path


@pytest.fixture
def store(path: Path) -> dao.Store:
    """The store, opened."""
    return dao.load_store(path)


def soon(holds: Callable[[], bool], seconds: float = 60) -> bool:
    """Wait until something holds; False after a deadline."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def no_threads() -> bool:
    """Return whether no thread of a stream is there."""
    gc.collect()
    return not [
        t for t in threading.enumerate() if t.name.startswith(("dao-prefetch", "dao-fetch"))
    ]


def no_one_in(group: int) -> bool:
    """Return whether a process group has nobody left."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False


@contextmanager
def streaming(path: Path, kind: str, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Start a process, in a group of its own, and give it when it has had some batches."""
    program = tmp_path / "stream.py"
    program.write_text(STREAM)
    process = subprocess.Popen(
        [sys.executable, str(program), str(path), kind],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    watch = threading.Timer(SECONDS, os.killpg, (process.pid, signal.SIGKILL))
    watch.start()
    try:
        assert process.stdout
        for _ in range(5):
            assert process.stdout.readline() == "batch\n"
        yield process
    finally:
        watch.cancel()
        if not no_one_in(process.pid):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=SECONDS)


@pytest.mark.parametrize("kind", ["numpy", "fork", "spawn", "tensorflow"])
def test_ctrl_c(path: Path, tmp_path: Path, kind: str) -> None:
    """What a terminal sends, to the whole group: everybody ends, and says why."""
    if kind != "numpy":
        pytest.importorskip("tensorflow" if kind == "tensorflow" else "torch")
    with streaming(path, kind, tmp_path) as process:
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=SECONDS)
        assert "KeyboardInterrupt" in errors
        assert process.returncode in {1, -signal.SIGINT}
        assert soon(lambda: no_one_in(process.pid))


def test_main_process_is_killed(path: Path, tmp_path: Path) -> None:
    """Workers whose main process is gone end as well."""
    pytest.importorskip("torch")
    with streaming(path, "fork", tmp_path) as process:
        process.kill()
        process.wait(SECONDS)
        assert soon(lambda: no_one_in(process.pid))


def test_a_worker_is_killed(path: Path, tmp_path: Path) -> None:
    """The process is told which worker died and of what, and nobody stays behind."""
    pytest.importorskip("torch")
    with streaming(path, "fork", tmp_path) as process:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        if not children.exists():
            pytest.skip("needs /proc to find the workers")
        victim = int(children.read_text().split()[0])
        os.kill(victim, signal.SIGKILL)
        _, errors = process.communicate(timeout=SECONDS)
        assert re.search(rf"RuntimeError: DataLoader worker \(pid.*{victim}\)", errors)
        assert process.returncode == 1
        assert soon(lambda: no_one_in(process.pid))


def fail_at(number: int) -> Callable[[Any], Any]:
    """Return a transform that fails at its nth batch."""
    seen = []

    def transform(batch: Any) -> Any:
        seen.append(1)
        if len(seen) == number:
            message = f"no such layer, at batch {number}"
            raise LookupError(message)
        return batch

    return transform


@pytest.mark.parametrize("x_format", ["csr", "dense"])
@pytest.mark.parametrize("number", [1, 7])
def test_an_exception_in_a_transform(store: dao.Store, x_format: str, number: int) -> None:
    """It comes as it is, after the batches before it, in every framework; its thread ends."""
    for framework in ("generator", "torch", "jax"):
        if framework != "generator":
            pytest.importorskip(framework)
        make = getattr(store, framework)
        batches = make(batch_size=64, x_format=x_format, transform=fail_at(number))
        iterator = iter(batches)
        for _ in range(number - 1):
            assert len(next(iterator)["index"]) == 64
        with pytest.raises(LookupError, match=f"at batch {number}") as caught:
            next(iterator)
        assert "transform" in [entry.name for entry in caught.traceback]
        assert next(iterator, None) is None
        assert soon(no_threads)
        assert len(list(batches)) == 21  # the next epoch has nothing to do with it


@pytest.mark.parametrize(("x_format", "number"), [("csr", 5), ("dense", 1)])
def test_an_exception_in_a_transform_of_a_worker(
    store: dao.Store, x_format: str, number: int
) -> None:
    """torch hands on the error with its type and text, and all workers end."""
    data = pytest.importorskip("torch.utils.data")
    dataset = store.torch(batch_size=64, x_format=x_format, transform=fail_at(number))
    loader = data.DataLoader(
        dataset, batch_size=None, num_workers=1, multiprocessing_context="fork"
    )
    with pytest.raises(LookupError, match=f"at batch {number}"):
        list(loader)
    del loader  # torch gives its workers five seconds after an error of theirs
    gc.collect()
    assert soon(lambda: not multiprocessing.active_children())


@pytest.mark.parametrize("x_format", ["csr", "dense"])
@pytest.mark.parametrize("n_batches", [0, 1, 9])
def test_dropped_half_way(store: dao.Store, x_format: str, n_batches: int) -> None:
    """Iterators that are dropped, closed, or left by an error end their threads."""
    generator = store.generator(32, x_format=x_format)
    for leave in ("drop", "close", "raise"):
        iterator: Any = iter(generator)
        for _ in range(n_batches):
            next(iterator)
        if leave == "close":
            iterator.close()
        if leave == "raise":
            with pytest.raises(ZeroDivisionError):
                fail_over(iterator)
        del iterator
        assert soon(no_threads)


def fail_over(batches: Any) -> None:
    """Fail as a training step may, with the iterator on the stack."""
    for batch in batches:
        _ = len(batch["index"]) // 0
    raise ZeroDivisionError  # it had no batch left


def test_a_process_ends_with_iterators_alive(path: Path) -> None:
    """The interpreter does not wait for a stream that nobody asks any more."""
    program = (
        "import dao, sys\n"
        "store = dao.load_store(sys.argv[1])\n"
        "alive = [iter(store.generator(4)) for _ in range(3)]\n"
        "print([len(next(a)['index']) for a in alive])\n"
    )
    command = [sys.executable, "-c", program, str(path)]
    found = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=True)
    assert found.stdout.strip() == "[4, 4, 4]"
    assert not re.search("Error|Traceback", found.stderr)


def test_errors_between_batches_lose_no_cell(store: dao.Store) -> None:
    """Who catches an error of a step may go on with the same iterator."""
    seen: list[int] = []
    iterator = iter(store.generator(50))
    while True:
        try:
            batch = next(iterator)
            seen += batch["index"].tolist()
            np.asarray(batch["index"]).reshape(7, -1)
        except ValueError:
            continue
        except StopIteration:
            break
    assert sorted(seen) == list(range(1_300))
