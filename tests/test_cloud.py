"""Stores at URLs: real servers, real caches, real trouble."""

from __future__ import annotations

import getpass
import hashlib
import http.client
import json
import logging
import multiprocessing
import os
import pickle
import shutil
import socket
import subprocess
import sys
import threading
import time
import warnings
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import dao
from dao.errors import (
    ArgumentError,
    CorruptStoreError,
    DaoError,
    DaoWarning,
    StorageError,
    StoreBusyError,
    StoreChangedError,
    StoreExistsError,
    StoreNotFoundError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.once

obstore = pytest.importorskip("obstore")
serving = pytest.importorskip("werkzeug.serving")

SECRET = "wJalrXUtnFEMI"
BUCKET = "cells"


# --- servers --------------------------------------------------------------------------------------


@dataclass
class Proxy:
    """Passes requests on to a server; counts them, lets them wait, and fails some.

    Attributes
    ----------
    fails
        Says of method and path whether a request is refused, and with which status.
    most
        The most requests that waited at the same time.
    """

    server: str
    port: int = 0
    seconds: float = 0.0
    asked: list[tuple[str, str]] = field(default_factory=list)
    fails: Callable[[str, str], int | None] = lambda method, path: None
    waiting: int = 0
    most: int = 0

    def __call__(self, environ: Any, start_response: Any) -> Any:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        self.asked.append((method, path))
        self.waiting += 1
        self.most = max(self.most, self.waiting)
        time.sleep(self.seconds)
        self.waiting -= 1
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        status = self.fails(method, path)
        if status:
            text = f"<Error><Code>Refused</Code><Message>{SECRET}</Message></Error>"
            start_response(f"{status} no", [("Content-Length", str(len(text)))])
            return [text.encode()]
        names = {k[5:].replace("_", "-"): v for k, v in environ.items() if k.startswith("HTTP_")}
        query = f"?{environ['QUERY_STRING']}" if environ["QUERY_STRING"] else ""
        there = http.client.HTTPConnection(urlsplit(self.server).netloc)
        there.request(method, path + query, body, names)
        answer = there.getresponse()
        content = answer.read()
        there.close()
        start_response(f"{answer.status} {answer.reason}", answer.getheaders())
        return [content]


@pytest.fixture(scope="session")
def moto() -> Iterator[str]:
    """An S3 server with a bucket; its address."""
    boto3 = pytest.importorskip("boto3")
    server_module = pytest.importorskip("moto.server")
    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
    server = server_module.ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    address = f"http://{'127.0.0.1' if host == '0.0.0.0' else host}:{port}"
    boto3.client(
        "s3",
        endpoint_url=address,
        aws_access_key_id="someone",
        aws_secret_access_key=SECRET,
        region_name="us-east-1",
    ).create_bucket(Bucket=BUCKET)
    yield address
    server.stop()


@pytest.fixture
def proxy(moto: str) -> Iterator[Proxy]:
    """A proxy in front of the S3 server."""
    passing = Proxy(moto)
    server = serving.make_server("127.0.0.1", 0, passing, threaded=True)
    passing.port = server.port
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield passing
    server.shutdown()
    thread.join()
    server.server_close()


def options(address: str, **more: Any) -> dict[str, Any]:
    return {
        "endpoint": address,
        "access_key_id": "someone",
        "secret_access_key": SECRET,
        "region": "us-east-1",
        "retry_config": {"max_retries": 0},
        **more,
    }


@pytest.fixture(autouse=True)
def cache_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where caches are that nobody chose a place for; and no credentials of this machine."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    for name in [n for n in os.environ if n.startswith(("AWS_", "AZURE_", "GOOGLE_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    return tmp_path / "home" / "dao"


@pytest.fixture
def place(request: pytest.FixtureRequest) -> str:
    """A URL of its own for each test."""
    return f"s3://{BUCKET}/{hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:12]}/a.dao"


def same_stream(mine: dao.Store, theirs: dao.Store, **arguments: Any) -> None:
    """Compare all batches of an epoch."""
    for a, b in zip(
        mine.generator(37, **arguments), theirs.generator(37, **arguments), strict=True
    ):
        np.testing.assert_array_equal(a["index"], b["index"])
        np.testing.assert_array_equal(a["X"].toarray(), b["X"].toarray())


def shards(store: dao.Store) -> int:
    """Return the number of shard files that a stream of X needs."""
    found = 0
    for dataset in store.manifest.datasets:
        arrays = dataset.matrices["X"].arrays
        found += sum(size > 0 for array in arrays.values() for size in array.shard_sizes)
    return found


# --- writing and reading --------------------------------------------------------------------------


def test_round_trip(moto: str, place: str, write: Any, make_study: Any, assert_holds: Any) -> None:
    """What is written, appended and overwritten in a bucket comes back as from a local folder."""
    studies = {"a": make_study(0), "b": make_study(1), "c": make_study(2)}
    told = {"storage_options": options(moto), "progress": False}
    first = {k: studies[k] for k in "ab"}
    store = dao.write_store(place, first, layers=["doubled"], obsm=["X_pca"], **told)
    local = write(first, layers=["doubled"], obsm=["X_pca"])
    assert (store.path, store.backend) == (place, "cloud")
    assert_holds(store, first)
    same_stream(store, local, layers=["doubled"], obsm=["X_pca"])
    old = dao.load_store(place, storage_options=options(moto))
    grown = dao.write_store(
        place, {"c": studies["c"]}, mode="append", layers=["doubled"], obsm=["X_pca"], **told
    )
    assert_holds(grown, studies)
    assert_holds(old, first)
    earlier = dao.load_store(place, storage_options=options(moto), generation=1)
    assert_holds(earlier, first)
    assert grown.history["generation"].tolist() == [1, 2]
    new = dao.write_store(place, {"c": studies["c"]}, mode="overwrite", **told)
    assert_holds(new, {"c": studies["c"]})
    assert new.manifest.generation == 3
    assert not [n for n in names_in(moto, place) if "datasets/a" in n]
    with pytest.raises(StoreNotFoundError, match="generation 1"):
        dao.load_store(place, storage_options=options(moto), generation=1)
    with pytest.raises(StoreExistsError, match="append"):
        dao.write_store(place, studies["a"], **told)


@pytest.mark.parametrize("backend", ["zarr", "zarrs", "memory", "dask"])
def test_every_decoder_works_on_a_bucket(
    moto: str, place: str, write: Any, make_study: Any, backend: str
) -> None:
    """Who decodes and where the bytes are is chosen apart."""
    if backend == "dask":
        pytest.importorskip("dask")
    study = make_study()
    dao.write_store(place, study, storage_options=options(moto), progress=False)
    store = dao.load_store(place, backend, storage_options=options(moto))
    same_stream(store, write(study))
    assert store.obs.equals(write(study, name="again.dao").obs)


def test_all_public_ways_to_the_cells(moto: str, place: str, write: Any, make_study: Any) -> None:
    """Choosing, tables, dense batches and pickles work as they do locally."""
    studies = {"a": make_study(0), "b": make_study(1)}
    store = dao.write_store(place, studies, storage_options=options(moto), progress=False)
    local = write(studies)
    chosen = store.subset("n_counts > 1000 and cell_type == 'B'").select_features(["G3", "G1"])
    theirs = local.subset("n_counts > 1000 and cell_type == 'B'").select_features(["G3", "G1"])
    x, y = (s.to_anndata().X.toarray() for s in (chosen, theirs))
    np.testing.assert_array_equal(x, y)
    for mine, other in zip(
        store.generator(16, x_format="dense"), local.generator(16, x_format="dense"), strict=True
    ):
        np.testing.assert_array_equal(mine["X"], other["X"])
    same_stream(pickle.loads(pickle.dumps(store)), local)
    assert store.uns["a"]["title"] == "study 0"


def test_large_obs_tables_are_read_by_columns(
    web_server: Any, write: Any, make_study: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a large table the columns asked for are read, and checked as they are locally."""
    local = write(make_study(n_obs=3_000))
    monkeypatch.setattr("dao.remote.files._WHOLE", 0)
    store = dao.load_store(web_server.url(local.path), cache_size=0)
    for column in ("cell_type", "score", "barcode", "doublet"):
        mine, theirs = (pd.Series(s.obs_column(column).to_pandas()) for s in (store, local))
        pd.testing.assert_series_equal(mine, theirs)
    table = [one for one in web_server.asked if one[1].endswith("obs.parquet")]
    size = local.manifest.datasets[0].obs.file.size
    footers = [one for one in table if one[2].endswith(f"-{size - 1}")]
    assert len(table) == 2 * len(footers) >= 8  # each time the footer and one column
    file = Path(local.path) / local.manifest.datasets[0].obs.file.path
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    content[-30] ^= 1
    file.write_bytes(content)
    with pytest.raises(CorruptStoreError, match=r"http://.*obs\.parquet"):
        dao.load_store(web_server.url(local.path), cache_size=0).obs  # noqa: B018


def test_command_line(moto: str, place: str, make_study: Any, tmp_path: Path) -> None:
    """`dao write` and `dao info` take URLs, with what the environment says."""
    make_study().write_h5ad(tmp_path / "study.h5ad")
    (tmp_path / "recipe.toml").write_text(
        f'store = "{place}"\n[[source]]\npath = "study.h5ad"\nid = "a"\n'
    )
    environment = {
        **os.environ,
        "AWS_ACCESS_KEY_ID": "someone",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": moto,
    }

    def call(*arguments: str) -> str:
        command = [sys.executable, "-c", "from dao.cli import main; main()", *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert SECRET not in done.stdout + done.stderr
        return done.stdout + done.stderr

    assert "50 cells in 1 dataset" in call("write", str(tmp_path / "recipe.toml"))
    described = json.loads(call("info", "--json", place))
    assert described["n_obs"] == 50
    assert described["bytes"] > described["datasets"][0]["bytes"] > 5_000
    assert "Copy the store" in call("validate", place)


def test_azure(place: str, write: Any, make_study: Any, assert_holds: Any, tmp_path: Path) -> None:
    """The same on Azure's emulator; needs azurite on the PATH (npm install -g azurite)."""
    program = shutil.which("azurite-blob")
    if program is None:
        pytest.skip("needs azurite-blob")
    port = free_port()
    told = ["--blobPort", str(port), "--silent", "--skipApiVersionCheck", "--location", "."]
    server = subprocess.Popen([program, *told], cwd=tmp_path)
    key = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
    account = {"account_name": "devstoreaccount1", "account_key": key}
    given = {**account, "endpoint": f"http://127.0.0.1:{port}/devstoreaccount1"}
    try:
        make_container(port, account)
        studies = {"a": make_study(0), "b": make_study(1)}
        told = {"storage_options": given, "progress": False}
        store = dao.write_store("az://cells/a.dao", {"a": studies["a"]}, **told)
        grown = dao.write_store("az://cells/a.dao", {"b": studies["b"]}, mode="append", **told)
        assert_holds(store, {"a": studies["a"]})
        assert_holds(grown, studies)
        with pytest.raises(StoreExistsError):
            dao.write_store("az://cells/a.dao", studies["a"], **told)
        wrong = {**given, "account_key": "d3Jvbmc=", "retry_config": {"max_retries": 0}}
        with pytest.raises(StorageError, match="credentials") as caught:
            dao.load_store("az://cells/a.dao", storage_options=wrong)
        assert "d3Jvbmc" not in str(caught.value)
    finally:
        server.terminate()
        server.wait()


def test_nginx(write: Any, make_study: Any, tmp_path: Path) -> None:
    """A plain web server with ranges, as people put one in front of a folder."""
    program = shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin")
    if program is None:
        pytest.skip("needs nginx")
    local = write({"a": make_study(0, n_obs=3000), "b": make_study(1)})
    port = free_port()
    settings = tmp_path / "nginx.conf"
    settings.write_text(
        f"""
        user {getpass.getuser()}; daemon off; worker_processes 2; pid {tmp_path}/pid; error_log {tmp_path}/errors;
        events {{ worker_connections 64; }}
        http {{
            access_log {tmp_path}/asked;
            client_body_temp_path {tmp_path}; proxy_temp_path {tmp_path};
            fastcgi_temp_path {tmp_path}; uwsgi_temp_path {tmp_path}; scgi_temp_path {tmp_path};
            server {{ listen 127.0.0.1:{port}; root {Path(local.path).parent};
                     location /private {{ deny all; }} }}
        }}
        """
    )
    server = subprocess.Popen(
        [program, "-c", str(settings), "-p", str(tmp_path), "-e", str(tmp_path / "errors")]
    )
    try:
        wait_for(port)
        url = f"http://127.0.0.1:{port}/{Path(local.path).name}"
        store = dao.load_store(url)
        same_stream(store, local, obs_keys=["cell_type"])
        few = store.take([5, 2500, 700])
        np.testing.assert_array_equal(
            few.to_anndata().X.toarray(), local.take([5, 2500, 700]).to_anndata().X.toarray()
        )
        with pytest.raises(StoreNotFoundError):
            dao.load_store(f"{url}/nothing.dao")
        with pytest.raises(StorageError, match=r"said: 403\)\. .* lets everybody read"):
            dao.load_store(f"http://127.0.0.1:{port}/private/a.dao")
    finally:
        server.terminate()
        server.wait()
    asked = (tmp_path / "asked").read_text()
    assert '" 206 ' in asked  # parts of files, as well as whole ones


def free_port() -> int:
    """Return a port that nobody listens to."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def wait_for(port: int) -> None:
    """Wait until somebody listens to a port."""
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            time.sleep(0.05)
        else:
            return
    pytest.fail(f"nobody listens to port {port}")


def make_container(port: int, account: dict[str, str]) -> None:
    """Make a container with a signed request, which obstore has no call for."""
    import base64
    import hmac
    from email.utils import formatdate

    date, version, name = formatdate(usegmt=True), "2021-12-02", account["account_name"]
    text = f"PUT\n\n\n\n\n\n\n\n\n\n\n\nx-ms-date:{date}\nx-ms-version:{version}\n"
    text += f"/{name}/{name}/cells\nrestype:container"
    key = base64.b64decode(account["account_key"])
    signature = base64.b64encode(hmac.digest(key, text.encode(), "sha256")).decode()
    headers = {
        "x-ms-date": date,
        "x-ms-version": version,
        "Authorization": f"SharedKey {name}:{signature}",
        "Content-Length": "0",
    }
    for _ in range(200):
        try:
            there = http.client.HTTPConnection("127.0.0.1", port)
            there.request("PUT", f"/{name}/cells?restype=container", headers=headers)
            assert there.getresponse().status == 201
            there.close()
        except ConnectionRefusedError:
            time.sleep(0.1)
        else:
            return


def test_google_without_a_server() -> None:
    """A store at gs:// is made of its options; what a server would say is not tested."""
    from dao.remote.bucket import Bucket

    bucket = Bucket("gs://cells/a.dao", {"skip_signature": True})
    assert bucket.root.service == "gcs"
    assert "GCS" in type(bucket.object_store()).__name__
    with pytest.raises(ArgumentError, match="no option 'colour'"):
        Bucket("gs://cells/a.dao", {"colour": "red"})


def test_profile(
    moto: str, place: str, make_study: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Credentials and region come from a profile of AWS, named or by the environment."""
    file = tmp_path / "credentials"
    file.write_text(f"[lab]\naws_access_key_id = me\naws_secret_access_key = {SECRET}\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    given = {"endpoint": moto, "region": "us-east-1"}
    store = dao.write_store(
        place, make_study(), storage_options={**given, "profile": "lab"}, progress=False
    )
    monkeypatch.setenv("AWS_PROFILE", "lab")
    assert dao.load_store(place, storage_options=given).n_obs == store.n_obs
    with pytest.raises(ArgumentError, match="'attic'"):
        dao.load_store(place, storage_options={**given, "profile": "attic"})


# --- two writers, and failures --------------------------------------------------------------------


def names_in(moto: str, place: str) -> set[str]:
    from dao.remote.bucket import Bucket

    return set(Bucket(place, options(moto)).names(""))


@pytest.mark.parametrize("mode", ["create", "append"])
def test_of_two_writers_one_wins(
    moto: str, place: str, write: Any, make_study: Any, assert_holds: Any, mode: str
) -> None:
    """The other is told, and nothing of it is left."""
    from dao.write.remote import staged

    studies = {"a": make_study(0), "b": make_study(1)}
    told = {"storage_options": options(moto), "progress": False}
    if mode == "append":
        dao.write_store(place, {"a": studies["a"]}, **told)
    with staged(place, options(moto), mode) as slow:
        (slow.root / "datasets" / "late").mkdir(parents=True)
        (slow.root / "datasets" / "late" / "x").write_text("x")
        other = write({"a": make_study(2)}, name="other.dao")
        shutil.copy(Path(other.path) / "dao.json", slow.root / "dao.json")
        winner = dao.write_store(place, {"b": studies["b"]}, mode=mode, **told)
        before = names_in(moto, place)
        with pytest.raises(StoreBusyError, match="another process"):
            slow.publish(replace=False)
    assert names_in(moto, place) == before
    assert_holds(winner, studies if mode == "append" else {"b": studies["b"]})


@pytest.mark.parametrize("what", ["/c/0", "dao.json"])
def test_failed_upload(
    moto: str, proxy: Proxy, place: str, make_study: Any, assert_holds: Any, what: str
) -> None:
    """The generation before stays as it was, and what was uploaded is gone."""
    study = make_study(0)
    told = {"storage_options": options(moto), "progress": False}
    store = dao.write_store(place, {"a": study}, **told)
    before = names_in(moto, place)
    proxy.fails = lambda method, path: 500 if method == "PUT" and path.endswith(what) else None
    with pytest.raises(StorageError, match="cannot be written"):
        dao.write_store(
            place,
            {"b": make_study(1)},
            mode="append",
            storage_options=options(f"http://127.0.0.1:{proxy.port}"),
            progress=False,
        )
    assert names_in(moto, place) == before
    assert_holds(dao.load_store(place, storage_options=options(moto)), {"a": study})
    assert_holds(store, {"a": study})


def test_answer_that_gets_lost(moto: str, proxy: Proxy, place: str, make_study: Any) -> None:
    """A commit that was made, and said to have failed, is found to have been made."""
    there = options(f"http://127.0.0.1:{proxy.port}")
    passed = Proxy(moto)

    def make_it_and_fail(method: str, path: str) -> int | None:
        if (method, path.endswith("dao.json")) != ("PUT", True):
            return None
        return 500

    original = Proxy.__call__

    class Lossy(Proxy):
        def __call__(self, environ: Any, start_response: Any) -> Any:
            commits = environ["REQUEST_METHOD"] == "PUT" and environ["PATH_INFO"].endswith(
                "dao.json"
            )
            if not commits:
                return original(self, environ, start_response)
            original(passed, environ, lambda *_: None)
            start_response("500 lost", [("Content-Length", "0")])
            return [b""]

    proxy.__class__ = Lossy
    store = dao.write_store(place, make_study(), storage_options=there, progress=False)
    assert store.n_obs == 50


def test_a_web_server_is_not_written_to(web_server: Any, make_study: Any, tmp_path: Path) -> None:
    """Plain HTTP has no conditional put."""
    with pytest.raises(ArgumentError, match="only read"):
        dao.write_store(web_server.url(tmp_path / "a.dao"), make_study(), progress=False)


# --- what is asked for ----------------------------------------------------------------------------


def test_second_epoch_reads_nothing(web_server: Any, write: Any, make_study: Any) -> None:
    """Once everything is on disk no request is made; a new process asks for the manifest alone."""
    local = write({"a": make_study(0), "b": make_study(1)})
    url = web_server.url(local.path)
    store = dao.load_store(url)
    generator = store.generator(16, obs_keys=["cell_type"])
    list(generator)
    n_first = len(web_server.asked)
    assert generator.stats.requests <= store.reader.traffic().requests == n_first
    assert generator.stats.cache_hits == 0
    list(generator)
    assert len(web_server.asked) == n_first
    assert generator.stats.cache_hits > 0
    assert "out of the cache" in str(generator.stats)
    web_server.asked.clear()
    again = dao.load_store(url)
    same_stream(again, local, obs_keys=["cell_type"])
    assert [path for _, path, _ in web_server.asked] == [f"{local.path}/dao.json"]


def test_requests_are_as_few_as_they_can_be(web_server: Any, write: Any, make_study: Any) -> None:
    """Small shards are read whole: one request each; nothing is asked for twice."""
    local = write({str(k): make_study(k, n_obs=300) for k in range(5)})
    store = dao.load_store(web_server.url(local.path), cache_size=0)
    same_stream(store, local)
    data = [one for one in web_server.asked if "/c/" in one[1]]
    assert len(data) <= 1.3 * shards(local)
    assert len(set(data)) == len(data)


def test_slow_server(web_server: Any, write: Any, make_study: Any) -> None:
    """Waiting costs nothing in requests, and they wait together, not one after the other."""
    local = write({str(k): make_study(k) for k in range(12)})
    counts = []
    for seconds in (0.0, 0.05):
        web_server.seconds = seconds
        web_server.asked.clear()
        web_server.most = 0
        store = dao.load_store(web_server.url(local.path), cache_size=0)
        same_stream(store, local)
        counts.append(len(web_server.asked))
    assert counts[0] == counts[1]
    assert web_server.most >= 10


@given(
    sizes=st.lists(st.integers(-1, 400_000).filter(lambda n: n == -1 or n > 100), max_size=60),
    seed=st.integers(0, 1000),
)
def test_merged_ranges(sizes: list[int], seed: int) -> None:
    """Every wanted chunk lies in one request; neighbours share theirs; none is too large."""
    from dao_backends.cloud.ranges import GAP, LARGEST, merged

    random = np.random.default_rng(seed)
    lengths = np.array(sizes, np.int64)
    offsets = np.full(len(lengths), -1, np.int64)
    at = 0
    for chunk in random.permutation(np.flatnonzero(lengths >= 0)):
        offsets[chunk] = at
        at += lengths[chunk]
    stored = np.flatnonzero(lengths >= 0)
    wanted = stored[random.random(len(stored)) < 0.3]
    closed = random.random(len(lengths)) < 0.1
    wanted = wanted[~closed[wanted]]
    for piece in merged(wanted, offsets, lengths, closed):
        assert not closed[piece.chunks].any()
    pieces = merged(wanted, offsets, lengths)
    inside = [c for piece in pieces for c in piece.chunks.tolist()]
    assert set(wanted.tolist()) <= set(inside)
    assert len(inside) == len(set(inside))
    for piece in pieces:
        assert piece.stop - piece.start <= LARGEST
        assert (offsets[piece.chunks] >= piece.start).all()
        assert (offsets[piece.chunks] + lengths[piece.chunks] <= piece.stop).all()
    for one, other in pairwise(pieces):
        assert other.start - one.stop > GAP or other.stop - one.start > LARGEST


# --- the cache ------------------------------------------------------------------------------------


def files_of(cache: Path) -> list[Path]:
    return [p for p in cache.rglob("*") if p.is_file() and p.name != "bytes"]


def bytes_of(cache: Path) -> int:
    return sum(p.stat().st_blocks * 512 for p in files_of(cache))


def test_cache_is_bounded(web_server: Any, write: Any, make_study: Any, tmp_path: Path) -> None:
    """It never holds more than it may, and what was used last is still there."""
    local = write({str(k): make_study(k, n_obs=200) for k in range(8)})
    cache = tmp_path / "cache"
    store = dao.load_store(web_server.url(local.path), cache_dir=cache, cache_size="150kB")
    for k in range(8):
        part = store.subset(dataset=str(k)).to_anndata()
        assert part.n_obs == 200
        assert bytes_of(cache) <= 150_000
    assert files_of(cache)
    web_server.asked.clear()
    store.subset(dataset="7").to_anndata()
    assert not web_server.asked
    store.subset(dataset="0").to_anndata()
    assert web_server.asked
    same_stream(store, local)


def test_altered_cache_is_read_again(
    web_server: Any, write: Any, make_study: Any, cache_home: Path
) -> None:
    """Whatever happens to the files of the cache, rows stay right; marks are not trusted alone."""
    local = write(make_study(n_obs=300))
    url = web_server.url(local.path)
    same_stream(dao.load_store(url), local)
    for file in files_of(cache_home):  # the first chunk, or the middle of a table
        content = bytearray(file.read_bytes())
        content[20] ^= 1
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        same_stream(dao.load_store(url), local)
    for file in files_of(cache_home):
        os.truncate(file, 10)
    same_stream(dao.load_store(url), local)


def test_altered_store_is_an_error(web_server: Any, write: Any, make_study: Any) -> None:
    """What the server gives is checked before it is kept, and is told with its URL."""
    local = write({"study": make_study(n_obs=300)})
    folder = local.manifest.datasets[0].path
    shard = Path(local.path) / folder / "X/data/c/0"
    content = bytearray(shard.read_bytes())
    content[10] ^= 1
    shard.write_bytes(content)
    store = dao.load_store(web_server.url(local.path))
    for _ in range(2):
        with pytest.raises(CorruptStoreError, match=r"http://.*X/data/c/0 was altered"):
            list(store.generator(16))
    asked = [one for one in web_server.asked if one[1] == str(shard)]
    assert len(asked) == 2  # each time once: what is not sound is not kept, nor asked for again


@pytest.mark.parametrize("trouble", ["a file", "taken away", "too small"])
def test_cache_that_cannot_be_used(
    web_server: Any, write: Any, make_study: Any, tmp_path: Path, trouble: str
) -> None:
    """Reading goes on without it, after one warning where something is wrong."""
    local = write(make_study(n_obs=300))
    cache = tmp_path / "cache"
    url = web_server.url(local.path)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if trouble == "a file":
            cache.write_text("in the way")
        size = 20_000 if trouble == "too small" else "1GB"
        store = dao.load_store(url, cache_dir=cache, cache_size=size)
        if trouble == "taken away":
            shutil.rmtree(cache)
            cache.write_text("in the way")
        for _ in range(2):
            same_stream(store, local)
    told = [str(w.message) for w in caught if issubclass(w.category, DaoWarning)]
    assert len(told) == (trouble != "too small")
    assert all(str(cache) in text and "cache_dir=" in text for text in told)


def read_elsewhere(url: str, cache: str, seed: int, answers: Any) -> None:
    store = dao.load_store(url, cache_dir=cache, cache_size="400kB")
    total = sum(float(b["X"].sum()) for _ in range(2) for b in store.generator(64, seed=seed))
    answers.put(total)


def test_processes_share_a_cache(
    web_server: Any, write: Any, make_study: Any, tmp_path: Path
) -> None:
    """Several processes read, write and throw away in the same folder; all see what is stored."""
    local = write({str(k): make_study(k, n_obs=300) for k in range(4)})
    context = multiprocessing.get_context("spawn")
    answers, cache = context.Queue(), tmp_path / "cache"
    told = web_server.url(local.path), str(cache)
    running = [context.Process(target=read_elsewhere, args=(*told, k, answers)) for k in range(2)]
    for process in running:
        process.start()
    found = [answers.get(timeout=120) for _ in running]
    for process in running:
        process.join()
    expected = 2 * float(local.to_anndata().X.sum())
    assert found == [expected] * 2
    assert bytes_of(cache) <= 400_000


# --- a store that is another one by now -----------------------------------------------------------


READS: dict[str, Any] = {
    "obs": lambda store: store.obs,
    "subset": lambda store: store.subset(cell_type="B"),
    "take": lambda store: store.take([3, 1]).to_anndata(),
    "uns": lambda store: store.uns,
    "var": lambda store: store.var,
    "stream": lambda store: list(store.generator(16)),
    "dense": lambda store: list(store.generator(16, x_format="dense")),
    "genes": lambda store: list(store.select_features(["G1", "G2"]).generator(16)),
}


@pytest.mark.parametrize("backend", ["cloud", "zarrs", "zarr"])
def test_a_store_that_was_overwritten(moto: str, place: str, make_study: Any, backend: str) -> None:
    """Whatever is read next, the error names what has happened, and what to do."""
    told = {"storage_options": options(moto), "progress": False, "layers": ["doubled"]}
    dao.write_store(place, make_study(), **told)
    opened = {
        how: dao.load_store(
            place,
            backend,
            storage_options=options(moto),
            **({"cache_size": 0} if backend == "cloud" else {}),
        )
        for how in READS
    }
    dao.write_store(place, make_study(1), mode="overwrite", **told)
    for how, read in READS.items():
        with pytest.raises(StoreChangedError, match=r"was overwritten.*Call dao\.load_store again"):
            read(opened[how])


def test_a_stream_of_a_store_that_is_overwritten(moto: str, place: str, make_study: Any) -> None:
    """An epoch that is under way ends with the same error, also on shards that were begun."""
    told = {"storage_options": options(moto), "progress": False}
    dao.write_store(place, {k: make_study(n_obs=300) for k in "abcdef"}, **told)
    store = dao.load_store(place, storage_options=options(moto), cache_size=0)
    stream = iter(store.generator(100, sampler=dao.samplers.Sequential(window=200)))
    next(stream)
    dao.write_store(place, make_study(1), mode="overwrite", **told)
    with pytest.raises(StoreChangedError, match="overwritten"):
        list(stream)


@pytest.mark.parametrize("where", ["at a URL", "in a folder"])
@pytest.mark.parametrize("what", ["written again", "removed", "damaged"])
def test_a_folder_that_holds_another_store(
    web_server: Any, write: Any, make_study: Any, what: str, where: str
) -> None:
    """The same names may hold other bytes: that is not damage. Real damage still is."""
    local = write({"study": make_study(n_obs=300)}, layers=["doubled"])
    url = web_server.url(local.path) if where == "at a URL" else local.path
    more = {"cache_size": 0} if where == "at a URL" else {}
    opened = {how: dao.load_store(url, **more) for how in READS if how not in {"uns", "var"}}
    if what == "damaged":
        for file in Path(local.path).glob("datasets/**/*"):
            if file.is_file() and file.name != "zarr.json":
                file.write_bytes(file.read_bytes()[:-9])
    else:
        shutil.rmtree(local.path)
    if what == "written again":
        write({"study": make_study(1, n_obs=250)}, layers=["doubled"])
    error, match = {
        "written again": (StoreChangedError, "overwritten"),
        "removed": (StoreNotFoundError, "not there any more"),
        "damaged": (CorruptStoreError, "datasets"),
    }[what]
    for how, store in opened.items():
        with pytest.raises(error, match=match):
            READS[how](store)


def test_a_store_that_was_changed_behind_a_url(
    web_server: Any, write: Any, make_study: Any
) -> None:
    """Datasets that are gone are not missing files."""
    studies = {"a": make_study(0), "b": make_study(1)}
    local = write(studies, layers=["doubled"])
    store = dao.load_store(web_server.url(local.path), cache_size=0)
    local.remove("a")
    shutil.rmtree(Path(local.path) / local.manifest.dataset("a").path)
    with pytest.raises(StoreChangedError, match=r"was changed \(remove\)"):
        store.obs  # noqa: B018


def test_killed_uploads_leave_no_folder(
    moto: str, place: str, make_study: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next upload removes what a killed one left, and leaves alone what is in use."""
    import dao.scratch

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("dao.scratch._cleared", set())
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        with dao.scratch.scratch_folder("dao-write-") as folder:
            (folder / "much").write_bytes(bytes(1000))
            os.write(theirs, b"x")
            time.sleep(60)
        os._exit(0)
    try:
        os.read(ours, 1)
        (tmp_path / "dao-write-other").mkdir()
        (tmp_path / "dao-write-other" / "mine").write_text("not of dao")
        told = {"storage_options": options(moto), "progress": False, "layers": ["doubled"]}
        dao.write_store(place, make_study(), **told)
        assert len(list(tmp_path.glob("dao-write-*"))) == 2
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)
    monkeypatch.setattr("dao.scratch._cleared", set())
    dao.write_store(place, make_study(), mode="overwrite", **told)
    assert [p.name for p in tmp_path.glob("dao-write-*")] == ["dao-write-other"]


# --- errors, in words, without secrets ------------------------------------------------------------


def test_errors(moto: str, proxy: Proxy, place: str, make_study: Any) -> None:
    """Each says what is wrong and where; none shows a secret, nor does the chain behind it."""
    dao.write_store(place, make_study(), storage_options=options(moto), progress=False)
    there = f"http://127.0.0.1:{proxy.port}"
    cases: list[tuple[str, dict[str, Any], int | None, type[Exception], str]] = [
        ("s3://nowhere/a.dao", {}, None, StorageError, "no such bucket"),
        (f"s3://{BUCKET}/none.dao", {}, None, StoreNotFoundError, r"has no dao\.json"),
        (place, {}, 403, StorageError, "AWS_ACCESS_KEY_ID"),
        (place, {}, 503, StorageError, "Try again"),
        (place, {"endpoint": "http://127.0.0.1:9"}, None, StorageError, "cannot be reached"),
        (place, {"colour": SECRET}, None, ArgumentError, "'colour'"),
        (place, {"region": object()}, None, ArgumentError, "storage_options"),
    ]
    for url, more, status, error, match in cases:
        proxy.fails = lambda method, path, status=status: status
        with pytest.raises(error, match=match) as caught:
            dao.load_store(url, storage_options=options(there, **more))
        assert isinstance(caught.value, DaoError)
        chain: BaseException | None = caught.value
        while chain is not None:
            assert SECRET not in str(chain)
            chain = chain.__cause__


def test_retries(moto: str, proxy: Proxy, place: str, make_study: Any) -> None:
    """A server that fails now and then is asked again."""
    dao.write_store(place, make_study(), storage_options=options(moto), progress=False)
    failed: set[str] = set()

    def once(method: str, path: str) -> int | None:
        return None if path in failed or failed.add(path) else 503

    proxy.fails = once
    given = options(f"http://127.0.0.1:{proxy.port}")
    del given["retry_config"]
    store = dao.load_store(place, storage_options=given)
    assert store.to_anndata().n_obs == 50
    assert len(failed) > 3


def test_no_secret_is_kept(
    moto: str, place: str, make_study: Any, cache_home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither in the store, nor in the cache, a log or what is printed."""
    with caplog.at_level(logging.DEBUG):
        store = dao.write_store(place, make_study(), storage_options=options(moto), progress=False)
        shown = f"{store!r} {store.describe()!r} {store.generator().explain()}"
        list(store.generator(16))
    assert SECRET not in shown
    assert SECRET not in caplog.text
    assert SECRET not in json.dumps(store.manifest.to_json())
    assert files_of(cache_home)
    assert not [p for p in files_of(cache_home) if SECRET.encode() in p.read_bytes()]


@pytest.mark.parametrize(
    ("url", "match"),
    [
        (f"s3://me:{SECRET}@cells/a.dao", "leave out user"),
        (f"https://host/a.dao?sig={SECRET}", "from \\? on"),
        ("s4://cells/a.dao", "Did you mean 's3://'"),
        ("s3://cells", "bucket and the folder"),
    ],
)
def test_urls_that_are_none(url: str, match: str, make_study: Any) -> None:
    """What is wrong with a URL is told without repeating what may be secret."""
    for attempt in (dao.load_store, lambda u: dao.write_store(u, make_study(), progress=False)):
        with pytest.raises(ArgumentError, match=match) as caught:
            attempt(url)
        assert SECRET not in str(caught.value)


def test_options_that_do_not_fit(write: Any, make_study: Any, web_server: Any) -> None:
    """Options of URLs on local folders, and the other way round."""
    store = write(make_study())
    with pytest.raises(ArgumentError, match="not a URL"):
        dao.load_store(store.path, storage_options={"region": "x"})
    with pytest.raises(ArgumentError, match="not a URL"):
        dao.load_store(store.path, backend="cloud")
    with pytest.raises(ArgumentError, match="local folders only"):
        dao.load_store(web_server.url(store.path), backend="local")
    with pytest.raises(ArgumentError, match="no option 'cache_sice'"):
        dao.load_store(web_server.url(store.path), cache_sice=3)
    with pytest.raises(ArgumentError, match="cache_size"):
        dao.load_store(web_server.url(store.path), cache_size="much")
