"""What the tests share: studies in memory, oracles in plain scipy and anndata, real data."""

from __future__ import annotations

import logging
import os
import pty
import re
import subprocess
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import settings

import dao

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

# No example fails because other programs need the processor.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

SHARED = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real datasets that lies beside some checkouts."""
    if not SHARED.is_dir():
        pytest.skip("needs ../shared/data")
    return SHARED


@pytest.fixture(scope="session")
def make_study() -> Callable[..., ad.AnnData]:
    """Return a function that makes a random study of counts with obs of every kind."""

    def make(
        seed: int = 0, n_obs: int = 50, n_vars: int = 40, genes: list[str] | None = None
    ) -> ad.AnnData:
        random = np.random.default_rng(seed)
        counts = sp.random(n_obs, n_vars, 0.3, "csr", np.float32, rng=random)
        counts.data[:] = random.integers(1, 300, counts.nnz)
        missing = random.random(n_obs) < 0.2
        obs = pd.DataFrame(
            {
                "cell_type": pd.Categorical(random.choice(["B", "T", "NK"], n_obs)),
                "stage": pd.Categorical(
                    random.choice(["early", "late"], n_obs),
                    categories=["early", "mid", "late"],
                    ordered=True,
                ),
                "n_counts": np.asarray(counts.sum(axis=1)).ravel(),
                "n_genes": np.diff(counts.indptr).astype(np.int64),
                "doublet": random.random(n_obs) < 0.1,
                "score": np.where(missing, np.nan, random.random(n_obs)),
                "batch": pd.array(np.where(missing, None, 3), dtype="Int64"),
                "barcode": [f"AC{i:06d}-{seed}" for i in range(n_obs)],
            },
            index=[f"s{seed}c{i}" for i in range(n_obs)],
        )
        names = genes or [f"G{i}" for i in range(n_vars)]
        study = ad.AnnData(counts, obs=obs, var=pd.DataFrame(index=names))
        study.layers["doubled"] = counts * 2
        study.obsm["X_pca"] = random.normal(size=(n_obs, 5)).astype(np.float32)
        study.uns["title"] = f"study {seed}"
        return study

    return make


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., dao.Store]:
    """Return `dao.write_store` into a fresh folder, without a progress bar."""

    def write_store(sources: Any, name: str = "store.dao", **arguments: Any) -> dao.Store:
        arguments = {"progress": False, **arguments}
        return dao.write_store(tmp_path / name, sources, **arguments)

    return write_store


def as_array(matrix: Any) -> np.ndarray[Any, Any]:
    """Return a matrix as a dense array."""
    return matrix.toarray() if sp.issparse(matrix) else np.asarray(matrix)


@pytest.fixture
def assert_holds() -> Callable[[dao.Store, Mapping[str, ad.AnnData]], None]:
    """Return a check that a store gives back exactly the cells of some studies."""
    return check_holds


def check_holds(store: dao.Store, studies: Mapping[str, ad.AnnData]) -> None:
    """Compare X, genes, obs and dtypes with the sources, cell by cell, in both directions."""
    everything = store.to_anndata()
    assert list(everything.var_names) == list(store.var_names)
    assert set(store.datasets) == set(studies)
    for name, study in studies.items():
        mine = everything[(everything.obs["dataset"] == name).to_numpy()]
        rows = mine.obs["_source_row"].to_numpy()
        assert sorted(rows) == list(range(study.n_obs))
        theirs = study[rows]
        expected = expected_matrix(theirs, everything.var_names)
        np.testing.assert_array_equal(as_array(mine.X), expected)
        assert list(mine.obs_names) == list(theirs.obs_names)
        for column in study.obs.columns:
            same_column(mine.obs[column], theirs.obs[column])


def expected_matrix(study: ad.AnnData, genes: pd.Index) -> np.ndarray[Any, Any]:
    """Return X of a study over other genes: absent ones zero, repeated ones summed."""
    from dao.format.names import cut_version

    dense = as_array(study.X)
    out = np.zeros((study.n_obs, len(genes)), dense.dtype)
    place = {g: i for i, g in enumerate(genes)}
    for j, gene in enumerate(study.var_names):
        target = place.get(cut_version(gene))
        if target is not None:
            out[:, target] += dense[:, j]
    return out


def same_column(mine: pd.Series, theirs: pd.Series) -> None:
    """Compare values and what is missing; numbers may have become wider, never other ones."""
    missing = theirs.isna().to_numpy()
    np.testing.assert_array_equal(mine.isna().to_numpy(), missing)
    left = mine.to_numpy(object)[~missing]
    right = theirs.to_numpy(object)[~missing]
    assert list(left) == list(right), mine.name


@pytest.fixture
def oracle() -> Callable[[ad.AnnData, pd.Index], np.ndarray[Any, Any]]:
    """Return `expected_matrix`."""
    return expected_matrix


@pytest.fixture
def on_terminal() -> Callable[[list[str]], tuple[str, str]]:
    """Return a function that runs a command with stderr on a terminal: (stdout, what it shows).

    What it shows is the text at the end, without what moves the cursor.
    """

    def run(command: list[str]) -> tuple[str, str]:
        ours, theirs = pty.openpty()
        shown = bytearray()

        def read() -> None:
            with suppress(OSError):  # the end of a terminal is an error
                while piece := os.read(ours, 1 << 16):
                    shown.extend(piece)

        # A terminal holds little: somebody must read while the command runs.
        thread = threading.Thread(target=read)
        thread.start()
        env = {**os.environ, "TERM": "xterm", "COLUMNS": "120"}
        try:
            done = subprocess.run(
                command, stdout=subprocess.PIPE, stderr=theirs, check=False, env=env
            )
        finally:
            os.close(theirs)
            thread.join()
            os.close(ours)
        text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode()).replace("\r", "\n")
        assert done.returncode == 0, text
        return done.stdout.decode(), text

    return run


@dataclass
class WebServer:
    """A web server for the files of this machine, with ranges, that counts and can be slow.

    Attributes
    ----------
    asked
        Method, path and range of every request so far.
    seconds
        What each request waits.
    most
        The most requests that waited at the same time.
    """

    port: int = 0
    waiting: int = 0
    most: int = 0
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    seconds: float = 0.0

    def url(self, path: str | Path) -> str:
        """Return the URL of a file or folder."""
        return f"http://127.0.0.1:{self.port}{path}"

    def __call__(self, environ: Any, start_response: Any) -> Any:
        from werkzeug.exceptions import NotFound
        from werkzeug.utils import send_file

        path = environ["PATH_INFO"]
        self.asked.append((environ["REQUEST_METHOD"], path, environ.get("HTTP_RANGE", "")))
        self.waiting += 1
        self.most = max(self.most, self.waiting)
        time.sleep(self.seconds)
        self.waiting -= 1
        try:
            answer = send_file(path, environ, conditional=True, mimetype="application/binary")
        except FileNotFoundError:
            answer = NotFound()
        return answer(environ, start_response)


@pytest.fixture(scope="session")
def running_web_server() -> Iterator[WebServer]:
    """A server that all tests share."""
    pytest.importorskip("obstore")
    serving = pytest.importorskip("werkzeug.serving")
    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
    files = WebServer()
    server = serving.make_server("127.0.0.1", 0, files, threaded=True)
    files.port = server.port
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield files
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def web_server(running_web_server: WebServer) -> WebServer:
    """The server, fast and with nothing counted yet."""
    running_web_server.asked.clear()
    running_web_server.seconds = 0.0
    return running_web_server
