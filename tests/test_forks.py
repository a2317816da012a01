"""Forks while threads of dao work: children read what their parent would, and never hang.

DAO_FORKS=200 makes that many forks for each backend; by default it is fewer. DAO_FORKS_LOG names a
file that is told how long they took.
"""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import threading
import time
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
import zarr

import dao
from dao import forks, gate
from dao.cached import cached_property
from dao.errors import DaoWarning, GeneratorStoppedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import anndata as ad

SECONDS = 120
N_FORKS = int(os.environ.get("DAO_FORKS", "3"))
# Only a young process imports and compiles, so many forks are made by several.
FORKS_EACH = 20

# Opens a store, begins to stream, and forks at random moments from the first one on. Children read
# all cells: some through the store of their parent, some through one that they open. With threads,
# the parent does not open the store itself: they do, again and again.
FORKING = """
import gc, json, os, random, signal, sys, threading, time, traceback, warnings
import dao

place, n_forks, arguments, seed, seconds, n_threads = (
    json.loads(text) for text in sys.argv[1:]
)
chance = random.Random(seed)
warnings.simplefilter("ignore")

def load():
    return dao.load_store(place, **arguments)

def read(store):
    cells, total = 0, 0.0
    for batch in store.generator(50, obs_keys=["cell_type"], transform=dao.transforms.Log1p()):
        cells += len(batch["index"])
        total += float(batch["X"].sum())
    return cells, total

def use():
    store = load()
    store.to_anndata()
    return read(store)

def child(store, number, waited):
    signal.alarm(seconds)
    gc.collect()
    found = use() if store is None else read(load() if number % 4 == 3 else store)
    os.write(1, (json.dumps([*found, waited]) + "\\n").encode())

def work():
    while True:
        use()

for _ in range(n_threads):
    threading.Thread(target=work, daemon=True).start()
children = []
iterator = store = None
for number in range(n_forks):
    if iterator is None and not n_threads:
        store = load()
        iterator = iter(store.generator(50, obs_keys=["cell_type"]))
    time.sleep(chance.choice([0, 0.001, 0.01, 0.05]))
    began = time.perf_counter()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            child(store, number, time.perf_counter() - began)
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    children.append(pid)
    if len(children) == 3:
        assert os.waitpid(children.pop(0), 0)[1] == 0
    if number % 2:
        iterator = None
for pid in children:
    assert os.waitpid(pid, 0)[1] == 0
os._exit(0)
"""


def forked(
    tmp_path: Path, place: Any, arguments: dict[str, Any], n_forks: int, n_threads: int = 0
) -> list[Any]:
    """Run the program until it has forked so often; return what its children have found."""
    program = tmp_path / "forking.py"
    program.write_text(FORKING)
    found: list[Any] = []
    while len(found) < n_forks:
        n = min(FORKS_EACH, n_forks - len(found))
        seed = 5 + len(found)
        given = [str(place), n, arguments, seed, SECONDS, n_threads]
        process = subprocess.run(
            [sys.executable, program, *map(json.dumps, given)],
            capture_output=True,
            text=True,
            timeout=5 * SECONDS,
            check=False,
        )
        assert process.returncode == 0, process.stderr
        lines = process.stdout.splitlines()
        assert len(lines) == n
        found += map(json.loads, lines)
    return found


def log(backend: str, found: list[Any], seconds: float) -> None:
    """Write down how long forks took, where that was asked for."""
    if name := os.environ.get("DAO_FORKS_LOG"):
        waited = np.array([one[2] for one in found])
        quantiles = " ".join(f"{x:.3f}" for x in np.quantile(waited, [0.5, 0.9, 1]))
        with Path(name).open("a") as file:
            file.write(f"{backend} {len(found)} forks, {seconds:.0f} s, waited {quantiles} s\n")


BACKENDS = ["local", "zarr", "zarrs", "memory", "dask", "h5ad", "sfaira", "cloud"]


def opened_by(
    backend: str, study: ad.AnnData, write: Any, tmp_path: Path, request: pytest.FixtureRequest
) -> tuple[Any, dict[str, Any]]:
    """Write a study where a backend reads; return the place and the arguments of `load_store`."""
    arguments: dict[str, Any] = {"backend": backend}
    if backend == "h5ad":
        study.write_h5ad(tmp_path / "a.h5ad")
        return tmp_path / "a.h5ad", {**arguments, "organism": "human"}
    if backend == "sfaira":
        folder = tmp_path / "sfaira" / "a"
        for name in ("zarr", "parquet", "pickle"):
            (folder / name).mkdir(parents=True)
        x = study.X.toarray()
        zarr.create_array(
            folder / "zarr" / "X", data=x, chunks=(64, x.shape[1]), zarr_format=2, fill_value=0
        )
        study.obs[["cell_type"]].to_parquet(folder / "parquet" / "obs.parquet")
        genes = pd.DataFrame({"ensembl": study.var_names}, study.var_names)
        genes.to_parquet(folder / "parquet" / "var.parquet")
        uns = {"id": "a", "organism": "Homo sapiens"}
        (folder / "pickle" / "uns.pickle").write_bytes(pickle.dumps(uns))
        return folder.parent, arguments
    place = write({"a": study}).path
    if backend == "cloud":
        server = request.getfixturevalue("web_server")
        return server.url(place), {**arguments, "cache_size": 0}
    return place, arguments


@pytest.mark.once
@pytest.mark.parametrize("backend", BACKENDS)
def test_forks_at_random_moments(
    backend: str,
    write: Callable[..., dao.Store],
    make_study: Any,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    """Whatever a thread is doing, importing, compiling, decoding, waiting: each child reads all."""
    if backend in {"zarrs", "dask"}:
        pytest.importorskip(backend)
    study = make_study(0, 700)
    place, arguments = opened_by(backend, study, write, tmp_path, request)
    began = time.perf_counter()
    found = forked(tmp_path, place, arguments, N_FORKS)
    log(backend, found, time.perf_counter() - began)
    total = float(np.log1p(study.X.astype("f4")).sum())
    assert [one[0] for one in found] == [study.n_obs] * N_FORKS
    np.testing.assert_allclose([one[1] for one in found], total, rtol=1e-4)


@pytest.mark.once
def test_forks_while_threads_of_the_user_read(
    write: Callable[..., dao.Store], make_study: Any, tmp_path: Path
) -> None:
    """Threads open, export and stream: locks that they hold while they import count as well."""
    study = make_study(0, 300)
    place = write({"a": study}).path
    found = forked(tmp_path, place, {}, N_FORKS, n_threads=2)
    assert {one[0] for one in found} == {study.n_obs}


def child_of(function: Callable[[], bool]) -> int:
    """Fork; return the exit status of a child that calls a function: 0 if it returns True."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            signal.alarm(60)
            status = 0 if function() else 1
        finally:
            os._exit(status)
    return os.waitpid(pid, 0)[1]


def test_a_fork_waits_for_a_lock() -> None:
    """Threads take turns with a lock all the time; no child finds it taken."""
    lock, end = forks.Lock(), threading.Event()

    def take_turns() -> None:
        while not end.is_set():
            with lock:
                time.sleep(0.002)

    def take() -> bool:
        with lock:
            return True

    threads = [threading.Thread(target=take_turns) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        assert [child_of(take) for _ in range(10)] == [0] * 10
    finally:
        end.set()
        for thread in threads:
            thread.join()


def test_two_threads_that_fork_do_not_wait_for_each_other() -> None:
    """Each is at work itself, as a function in `transform=` would be that starts a process."""
    results: list[int] = []

    def fork() -> None:
        with forks.working():
            time.sleep(0.05)
            results.append(child_of(lambda: True))

    threads = [threading.Thread(target=fork) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert results == [0, 0]
    assert child_of(lambda: True) == 0  # nobody is counted any more


def test_an_inherited_iterator_ends(write: Callable[..., dao.Store], make_study: Any) -> None:
    """Its threads are those of the parent: the child is told, and does not wait for them."""
    store = write({"a": make_study(0, 300)})
    for transform in (None, lambda batch: batch):
        iterator = iter(store.generator(10, transform=transform))
        next(iterator)

        def go_on(iterator: Any = iterator) -> bool:
            try:
                list(iterator)
            except GeneratorStoppedError:
                return True
            return False

        assert child_of(go_on) == 0
        assert len(list(iterator)) == 29  # the parent's goes on


@contextmanager
def at_work(block: Callable[[threading.Event], None]) -> Iterator[None]:
    """Let a thread run a function, which has begun when this goes on, until the end."""
    begun, end = threading.Event(), threading.Event()

    def work() -> None:
        with forks.working():
            begun.set()
            block(end)

    thread = threading.Thread(target=work)
    thread.start()
    assert begun.wait(10)
    try:
        yield
    finally:
        end.set()
        thread.join()


def wait_for(end: threading.Event) -> None:
    """Do nothing until the end."""
    end.wait(30)


def test_a_fork_that_waits_in_vain_happens_with_a_warning(monkeypatch: Any) -> None:
    """Here a thread waits for who forks. The next forks are quick, until all is well again."""
    monkeypatch.setattr(gate, "LONGEST_WAIT", 0.2)
    monkeypatch.setattr(gate, "_NEXT_WAIT", 0.01)
    lock = forks.Lock()

    def hold(end: threading.Event) -> None:
        with lock:
            end.wait(30)

    def take() -> bool:
        with lock:
            return True

    def warned() -> list[warnings.WarningMessage]:
        # Python 3.12 warns of every fork beside threads.
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            assert child_of(take) == 0  # it has a lock of its own
        return [one for one in found if one.category is DaoWarning]

    with at_work(hold):
        (warning,) = warned()
        assert "a thread of dao was at work" in str(warning.message)
        assert warning.filename == __file__
        assert warned() == []
    assert warned() == []
    with at_work(hold):
        assert len(warned()) == 1


def test_a_program_that_is_started_does_not_wait() -> None:
    """It inherits no locks: Python runs no hooks unless it must run code in the child."""
    began = time.monotonic()
    with at_work(wait_for):
        subprocess.run([sys.executable, "-S", "-c", ""], check=True)
        os.waitpid(os.posix_spawn(sys.executable, ["python", "-S", "-c", ""], {}), 0)
    assert time.monotonic() - began < 20


def test_ctrl_c_while_a_fork_waits() -> None:
    """The fork cannot be called off, so it happens, and KeyboardInterrupt comes after it."""
    pid = -1

    def interrupt() -> None:
        while not gate.has_forks():
            time.sleep(0.005)
        os.kill(os.getpid(), signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with at_work(wait_for):
            threading.Thread(target=interrupt, daemon=True).start()
            with pytest.raises(KeyboardInterrupt):  # noqa: PT012 - it comes after the fork
                pid = os.fork()
                if pid == 0:
                    os._exit(3)
                time.sleep(30)
    finally:
        signal.signal(signal.SIGINT, before)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 3
    assert child_of(lambda: True) == 0


SLOW_HOOK = """
import os, signal, threading, time
from dao import forks, gate

signal.signal(signal.SIGINT, signal.default_int_handler)  # jobs in the background ignore it
os.register_at_fork(after_in_parent=lambda: time.sleep(0.2))
end = threading.Event()

def work():
    with forks.working():
        begun.set()
        end.wait(30)

def interrupt():
    while not gate.has_forks():
        time.sleep(0.005)
    os.kill(os.getpid(), signal.SIGINT)

begun = threading.Event()
for target in (work, interrupt):
    threading.Thread(target=target, daemon=True).start()
begun.wait()
try:
    if os.fork() == 0:
        os._exit(0)
    time.sleep(20)
except KeyboardInterrupt:
    print("interrupted")
"""


def test_ctrl_c_is_not_lost_in_hooks_of_others() -> None:
    """What is raised in a hook is lost, so KeyboardInterrupt waits for the code that forks."""
    done = subprocess.run(
        [sys.executable, "-c", SLOW_HOOK],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout == "interrupted\n", done.stderr


def test_long_work_pauses_for_forks() -> None:
    """A child has its own lock of the kind that is held for long."""
    lock = forks.LongLock()

    def hold(end: threading.Event) -> None:
        with lock:
            while not end.wait(0.01):
                forks.pause()

    def take() -> bool:
        with lock:
            return True

    with at_work(hold):
        assert [child_of(take) for _ in range(3)] == [0] * 3
    assert take()


def test_a_fork_waits_for_an_import(tmp_path: Path, monkeypatch: Any) -> None:
    """No child finds a half-loaded module, or waits for a thread that is not there to load it."""
    (tmp_path / "slowly_loaded.py").write_text("import time\ntime.sleep(0.3)\nvalue = 5\n")
    monkeypatch.syspath_prepend(tmp_path)

    def load() -> bool:
        import slowly_loaded

        return bool(slowly_loaded.value == 5)

    thread = threading.Thread(target=load)
    thread.start()
    while "slowly_loaded" not in sys.modules:
        time.sleep(0.001)
    assert child_of(load) == 0
    thread.join()
    del sys.modules["slowly_loaded"]


def test_a_fork_waits_for_numba() -> None:
    """Its compiler has one lock, which a thread of the user may hold."""
    from numba.core.compiler_lock import global_compiler_lock

    begun = threading.Event()

    def compile_something() -> None:
        with global_compiler_lock:
            begun.set()
            time.sleep(0.2)

    def take() -> bool:
        with global_compiler_lock:
            return True

    thread = threading.Thread(target=compile_something)
    thread.start()
    assert begun.wait(10)
    assert child_of(take) == 0
    thread.join()
    assert take()


def test_properties_that_are_kept_hold_no_lock() -> None:
    """One that a thread makes does not keep others, of other objects, from being made."""
    made, go_on = threading.Event(), threading.Event()

    class Slow:
        @cached_property
        def value(self) -> int:
            if threading.current_thread() is not threading.main_thread():
                made.set()
                assert go_on.wait(10)
            return 7

    one, other = Slow(), Slow()
    thread = threading.Thread(target=lambda: one.value)
    thread.start()
    assert made.wait(10)
    assert other.value == 7
    go_on.set()
    thread.join()
    assert one.__dict__ == other.__dict__ == {"value": 7}


def test_a_transform_may_fork(write: Callable[..., dao.Store], make_study: Any) -> None:
    """A thread of dao does not wait for itself; the child streams, and so do the others."""
    store = write({"a": make_study(0, 60)})

    def fork(batch: dict[str, Any]) -> int:
        cells = list(batch["index"])
        assert child_of(lambda: sum(len(b["index"]) for b in store.generator(20)) == 60) == 0
        return len(cells)

    other = iter(store.generator(10))
    next(other)
    assert list(store.generator(20, transform=fork)) == [20, 20, 20]
    assert len(list(other)) == 5


def test_a_fork_does_not_wait_for_streams_within_a_transform(
    write: Callable[..., dao.Store], make_study: Any
) -> None:
    """What waits for the fork is not waited for, also where a function streams by itself."""
    store = write({"a": make_study(0, 60)})

    def slow(batch: dict[str, Any]) -> int:
        time.sleep(0.002)
        return len(batch["index"])

    def stream(_: dict[str, Any]) -> int:
        return sum(store.generator(5, transform=slow))

    outer = iter(store.generator(10, transform=stream))
    forks_begun = time.monotonic()
    assert [child_of(lambda: True) for _ in range(10)] == [0] * 10
    assert time.monotonic() - forks_begun < 50
    assert list(outer) == [60] * 6


# As in a notebook: iterators that are left open, and one DataLoader after another.
NOTEBOOK = """
    import sys, warnings
    import numpy as np
    import dao
    from torch.utils.data import DataLoader

    path = sys.argv[1]
    store = dao.load_store(path)
    n = store.n_obs

    def cells(loader):
        return sorted(np.concatenate([batch["index"].numpy() for batch in loader]).tolist())

    everything = list(range(n))
    validation = iter(store.torch(64, obs_keys=["cell_type"], sampler="sequential"))
    dataset = store.torch(64, obs_keys=["cell_type"])
    assert cells(DataLoader(dataset, None, num_workers=2)) == everything
    first = next(validation)
    half = iter(DataLoader(dataset, None, num_workers=1))
    next(half)
    assert cells(DataLoader(dataset, None, num_workers=1)) == everything
    assert cells(DataLoader(dataset, None, num_workers=2)) == everything
    assert cells(dataset) == everything
    lasting = DataLoader(dataset, None, num_workers=2, persistent_workers=True)
    another = store.subset(cell_type="B").torch(32)
    open_too = iter(another)
    epochs = [cells(lasting) for _ in range(2)]
    assert epochs == [everything, everything]
    chosen = cells(DataLoader(another, None, num_workers=2))
    assert chosen == np.flatnonzero(store.obs["cell_type"] == "B").tolist()
    assert cells(lasting) == everything
    assert cells([first, *validation]) == everything
    assert cells(open_too) == chosen
"""


@pytest.mark.once
def test_loaders_beside_open_iterators(
    write: Callable[..., dao.Store], make_study: Any, tmp_path: Path
) -> None:
    """Workers are forked while a validation iterator warms up, one, then two, then for long."""
    pytest.importorskip("torch")
    path = write({"a": make_study(0, 500), "b": make_study(1, 300)}).path
    program = tmp_path / "notebook.py"
    program.write_text(textwrap.dedent(NOTEBOOK))
    subprocess.run(
        [sys.executable, program, path],
        check=True,
        timeout=SECONDS,
    )
