"""Servers that fail for a while: requests are made again, and Ctrl-C comes through."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import warnings
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import numpy as np
import pytest

import dao
from dao.errors import DaoError, DaoWarning, StorageError, StoreNotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.once

pytest.importorskip("obstore")

OUTAGE = 0.7


class Handler(BaseHTTPRequestHandler):
    """Files of this machine, with ranges; trouble as the server has it."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Print nothing."""

    def do_GET(self) -> None:
        """Answer, or fail as the server is told to."""
        server: Any = self.server
        server.n_asked += 1
        trouble = server.current()
        if trouble == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
            return
        if isinstance(trouble, int):
            self.answer(trouble, b"")
            return
        try:
            content = Path(self.path).read_bytes()
        except OSError:
            self.answer(404, b"")
            return
        self.give(content, cut=trouble == "cut")

    def give(
        self, content: bytes, more: dict[str, str] | None = None, *, cut: bool = False
    ) -> None:
        """Answer with an object, or the part of it that was asked for."""
        wanted = self.headers.get("Range")
        if not wanted:
            self.answer(200, content, more, cut=cut)
            return
        start, stop = wanted.removeprefix("bytes=").split("-")
        part = content[int(start) : int(stop) + 1]
        bounds = f"bytes {start}-{int(start) + len(part) - 1}/{len(content)}"
        self.answer(206, part, {**(more or {}), "Content-Range": bounds}, cut=cut)

    def do_HEAD(self) -> None:
        """Answer without the content."""
        self.do_GET()

    def answer(
        self, code: int, content: bytes, more: dict[str, str] | None = None, *, cut: bool = False
    ) -> None:
        """Answer; ``cut`` breaks off in the middle."""
        self.send_response(code)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Last-Modified", "Sun, 29 Nov 2026 18:00:00 GMT")
        for name, value in (more or {}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        self.wfile.write(content[: len(content) // 2] if cut else content)
        if cut:
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True


class Server(ThreadingHTTPServer):
    """A server that can have trouble."""

    trouble: Any = None
    seconds = 1e9
    ends = 0.0
    n_asked = 0
    daemon_threads = True

    def current(self) -> Any:
        """Return the trouble; it ends some time after the first request that met it."""
        now = time.monotonic()
        self.ends = self.ends or now + self.seconds
        return self.trouble if now < self.ends else None

    def handle_error(self, *_: Any) -> None:
        """Print nothing of connections that were broken off on purpose."""


@pytest.fixture
def server() -> Iterator[Server]:
    """A server in this process."""
    running = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=running.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield running
    running.shutdown()
    running.server_close()


@pytest.fixture(scope="module")
def local(make_study: Any, tmp_path_factory: pytest.TempPathFactory) -> dao.Store:
    studies = {str(k): make_study(k, n_obs=900, n_vars=100) for k in range(2)}
    path = tmp_path_factory.mktemp("outages") / "a.dao"
    return dao.write_store(path, studies, organism="human", progress=False)


def url_of(server: Any, path: Any) -> str:
    return f"http://127.0.0.1:{server.server_address[1]}{path}"


@contextmanager
def outage(server: Server, trouble: Any, seconds: float = OUTAGE) -> Iterator[list[str]]:
    """Have trouble for a while; yields the warnings, which are there in the end."""
    server.trouble, server.seconds, server.ends = trouble, seconds, 0.0
    told: list[str] = []
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield told
    finally:
        server.trouble = None
    told += [str(w.message) for w in caught if issubclass(w.category, DaoWarning)]


def opened(server: Any, local: dao.Store, backend: str = "cloud", **more: Any) -> dao.Store:
    if backend == "cloud":
        more = {"cache_size": 0, **more}
    return dao.load_store(url_of(server, local.path), backend, **more)


def rows(store: dao.Store, which: list[int]) -> Any:
    return store.take(which).to_anndata().X.toarray()


VERBS: dict[str, Callable[[dao.Store], Any]] = {
    "obs": lambda store: store.obs.to_numpy().tolist(),
    "var": lambda store: store.var.index.tolist(),
    "take": lambda store: rows(store, [3, 1500, 7]).tolist(),
    "subset": lambda store: store.subset(cell_type="B").n_obs,
    "stream": lambda store: float(sum(b["X"].sum() for b in store.generator(64, seed=3))),
    "dense": lambda store: float(
        sum(b["X"].sum() for b in store.generator(64, x_format="dense", seed=3))
    ),
}


@pytest.mark.parametrize("verb", VERBS)
def test_every_way_to_read(local: dao.Store, server: Server, verb: str) -> None:
    """Whatever is being read goes on when the server is there again, after one warning."""
    store = opened(server, local)
    with outage(server, 503) as told:
        found = VERBS[verb](store)
    assert repr(found) == repr(VERBS[verb](local))
    assert len(told) == 1
    assert "answers 503" in told[0]
    assert "retry_timeout" in told[0]


@pytest.mark.parametrize("trouble", [429, 500, "reset", "cut"])
def test_every_kind_of_trouble(local: dao.Store, server: Server, trouble: Any) -> None:
    """Refused for now, broken off, or broken off in the middle of an answer."""
    store = opened(server, local)
    with outage(server, trouble) as told:
        assert rows(store, [5, 900]).tolist() == rows(local, [5, 900]).tolist()
    assert len(told) == 1


@pytest.mark.parametrize("backend", ["zarrs", "zarr", "memory", "dask"])
def test_every_backend(local: dao.Store, server: Server, backend: str) -> None:
    """All that reads from URLs waits in the same way."""
    if backend == "dask":
        pytest.importorskip("dask")
    store = opened(server, local, backend)
    with outage(server, 503) as told:
        assert rows(store, [5, 900]).tolist() == rows(local, [5, 900]).tolist()
    assert len(told) == 1


def test_opening_after_the_server_has_answered_once(local: dao.Store, server: Server) -> None:
    """An answer that refuses is an answer: the server is there, and is waited for."""
    with outage(server, 503) as told:
        assert opened(server, local).n_obs == local.n_obs
    assert len(told) == 1


def test_single_refusals_are_not_worth_a_warning(local: dao.Store, server: Server) -> None:
    """Servers refuse some requests now and then; a second attempt comes soon."""
    store = opened(server, local)
    with outage(server, 503, 0.02) as told:
        assert store.obs.shape == local.obs.shape
    assert told == []


SERVE = """
import sys
sys.path.insert(0, {tests!r})
from test_cloud_outages import Handler, Server
server = Server(("127.0.0.1", {port}), Handler)
print("ready", flush=True)
server.serve_forever()
"""


class Process:
    """A server that is a process of its own, which can be killed and started again."""

    def __init__(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.server_address = free.getsockname()
        self.start()

    def start(self) -> None:
        tests = str(Path(__file__).parent)
        code = SERVE.format(tests=tests, port=self.server_address[1])
        command = [sys.executable, "-c", code]
        self.running = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert self.running.stdout
        assert self.running.stdout.readline()

    def kill(self) -> None:
        self.running.kill()
        self.running.wait()
        assert self.running.stdout
        self.running.stdout.close()


@pytest.fixture
def process() -> Iterator[Process]:
    made = Process()
    yield made
    made.kill()


def test_server_that_is_stopped_and_started(local: dao.Store, process: Process) -> None:
    """An epoch goes on where a process was killed and started again at the same port."""
    store = opened(process, local)
    # A window at a time, so that there is something left to read.
    generator = store.generator(100, sampler=dao.samplers.Sequential(window=200))
    expected = local.generator(100, sampler=dao.samplers.Sequential(window=200))
    stream = zip(generator, expected, strict=True)
    next(stream)
    process.kill()
    again = threading.Thread(target=process.start)
    again.start()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for mine, theirs in stream:
            np.testing.assert_array_equal(mine["X"].toarray(), theirs["X"].toarray())
    again.join()
    told = [w for w in caught if issubclass(w.category, DaoWarning)]
    assert len(told) == 1
    assert "cannot be reached" in str(told[0].message)


# --- what is not waited for -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("trouble", "error"),
    [(404, StoreNotFoundError), (403, StorageError), (401, StorageError), (400, StorageError)],
)
@pytest.mark.parametrize("first", [True, False])
def test_refused_for_good(
    local: dao.Store, server: Server, trouble: int, error: type[DaoError], *, first: bool
) -> None:
    """What the server refuses is asked for once."""
    if not first:
        opened(server, local)
    server.trouble, server.n_asked, server.ends = trouble, 0, 0.0
    with pytest.raises(error):
        opened(server, local)
    assert server.n_asked == 1


def test_a_server_that_was_never_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    """It gets ten seconds; a name that nobody knows gets none."""
    from dao.remote import outages

    assert outages._FIRST_CONTACT == 10
    monkeypatch.setattr(outages, "_FIRST_CONTACT", 0.5)
    began = time.monotonic()
    with pytest.raises(StorageError, match="cannot be reached"):
        dao.load_store("http://127.0.0.1:9/a.dao")
    assert 0.5 <= time.monotonic() - began < 5
    monkeypatch.setattr(outages, "_FIRST_CONTACT", 60)
    began = time.monotonic()
    with pytest.raises(StorageError, match="name of the server is not known"):
        dao.load_store("http://no-such-host.invalid/a.dao")
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("how", ["flat", "nested", "argument", "count"])
def test_how_long_can_be_chosen(local: dao.Store, server: Server, how: str) -> None:
    """`retry_timeout` ends an outage that takes longer, with an error that names it."""
    told: dict[str, Any] = {
        "flat": {"storage_options": {"retry_timeout": 0.4}},
        "nested": {"storage_options": {"retry_config": {"retry_timeout": 0.4}}},
        "argument": {"retry_timeout": 0.4},
        "count": {"storage_options": {"max_retries": 2}},
    }[how]
    store = opened(server, local, **told)
    server.trouble, server.ends = 503, 0.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        began = time.monotonic()
        with pytest.raises(StorageError, match="503"):
            store.obs  # noqa: B018
    assert time.monotonic() - began < 5


# --- writing --------------------------------------------------------------------------------------


class Bucket(Handler):
    """An object store of the simplest kind, for S3: objects in memory, conditional puts, lists."""

    def do_GET(self) -> None:
        """Give an object, or list them."""
        server: Any = self.server
        path, _, query = self.path.partition("?")
        if isinstance(trouble := server.current(), int):
            self.answer(trouble, b"")
        elif "list-type=2" in query:
            prefix = unquote(dict(q.split("=", 1) for q in query.split("&") if "=" in q)["prefix"])
            keys = [k.removeprefix("/b/") for k in server.objects]
            found = "".join(
                f"<Contents><Key>{k}</Key><Size>1</Size><ETag>x</ETag>"
                "<LastModified>2026-11-29T18:00:00.000Z</LastModified></Contents>"
                for k in sorted(keys)
                if k.startswith(prefix)
            )
            text = f"<ListBucketResult><IsTruncated>false</IsTruncated>{found}</ListBucketResult>"
            self.answer(200, text.encode())
        elif path not in server.objects:
            self.answer(404, b"")
        else:
            content = server.objects[path]
            self.give(content, {"ETag": f'"{hashlib.md5(content).hexdigest()}"'})

    def do_PUT(self) -> None:
        """Keep an object, if the condition holds; or keep it and lose the answer."""
        server: Any = self.server
        content = self.rfile.read(int(self.headers["Content-Length"]))
        trouble = server.current()
        if isinstance(trouble, int):
            self.answer(trouble, b"")
            return
        there = server.objects.get(self.path)
        mark = "" if there is None else f'"{hashlib.md5(there).hexdigest()}"'
        if (self.headers.get("If-None-Match") and there is not None) or self.headers.get(
            "If-Match", mark
        ) != mark:
            self.answer(412, b"")
            return
        server.objects[self.path] = content
        if trouble == "lost" and self.path.endswith("dao.json"):
            server.trouble = None
            self.answer(503, b"")
            return
        self.answer(200, b"", {"ETag": '"x"'})

    def do_POST(self) -> None:
        """Remove objects."""
        server: Any = self.server
        content = self.rfile.read(int(self.headers["Content-Length"])).decode()
        for key in re.findall("<Key>(.*?)</Key>", content):
            server.objects.pop(f"/b/{key}", None)
        self.answer(200, b"<DeleteResult></DeleteResult>")


@pytest.fixture
def bucket() -> Iterator[Any]:
    """A bucket of S3."""
    running: Any = Server(("127.0.0.1", 0), Bucket)
    running.objects = {}
    thread = threading.Thread(target=running.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield running
    running.shutdown()
    running.server_close()


@pytest.mark.parametrize("mode", ["create", "append", "overwrite"])
@pytest.mark.parametrize("trouble", [503, "lost"])
def test_writing(bucket: Any, make_study: Any, mode: str, trouble: Any) -> None:
    """Uploads are made again; so is the commit, also if it was made and its answer was lost."""
    given = {
        "endpoint": f"http://127.0.0.1:{bucket.server_address[1]}",
        "access_key_id": "a",
        "secret_access_key": "b",
        "region": "us-east-1",
    }
    told: Any = {"storage_options": given, "organism": "human", "progress": False}
    if mode != "create":
        dao.write_store("s3://b/a.dao", {"a": make_study(0)}, **told)
    with outage(bucket, trouble) as warned:
        store = dao.write_store("s3://b/a.dao", {"b": make_study(1)}, mode=mode, **told)
    assert store.datasets == (["a", "b"] if mode == "append" else ["b"])
    assert sum("Trying again" in text for text in warned) == (trouble == 503)
    assert float(store.subset(dataset="b").to_anndata().X.sum()) == make_study(1).X.sum()
    folders = {k.split("/datasets/")[1].split("/")[0] for k in bucket.objects if "/datasets/" in k}
    assert folders == {Path(d.path).name for d in store.manifest.datasets}


# --- Ctrl-C ---------------------------------------------------------------------------------------


def test_closing_an_iterator_during_an_outage(local: dao.Store, server: Server) -> None:
    """Leaving a loop does not wait for the server."""
    store = opened(server, local)
    stream = iter(store.generator(100, sampler=dao.samplers.Sequential(window=200)))
    next(stream)
    with outage(server, 503, 30):
        time.sleep(0.2)
        began = time.monotonic()
        stream.close()
        assert time.monotonic() - began < 2


CHILD = """
import atexit, signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # jobs in the background ignore it
atexit.register(lambda: print(time.time(), flush=True))  # the last, after all threads have ended
import dao
store = dao.load_store({url!r}, cache_size=0)
stream = iter(store.generator(100, sampler=dao.samplers.Sequential(window=200)))
next(stream)
print("ready", flush=True)
sys.stdin.readline()
if {how!r} == "stream":
    for batch in stream:
        pass
else:
    store.obs
"""


@pytest.mark.parametrize(("how", "trouble"), [("stream", "killed"), ("obs", "stopped")])
def test_ctrl_c_during_an_outage(
    local: dao.Store, process: Process, how: str, trouble: str
) -> None:
    """A program ends at once, whether the server refuses or does not answer."""
    code = CHILD.format(url=url_of(process, local.path), how=how)
    child = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert child.stdin
    assert child.stdout
    assert child.stdout.readline() == b"ready\n"
    if trouble == "killed":
        process.running.kill()
        process.running.wait()
    else:
        process.running.send_signal(signal.SIGSTOP)
    child.stdin.write(b"\n")
    child.stdin.flush()
    time.sleep(0.7)
    assert child.poll() is None
    began = time.time()
    child.send_signal(signal.SIGINT)
    ended, said = child.communicate(timeout=60)
    assert float(ended) - began < 5  # and an outage is waited for a minute
    assert b"KeyboardInterrupt" in said
