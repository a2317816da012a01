"""Hostile stores: whatever a manifest says, the answer is exact or an error of dao."""

from __future__ import annotations

import copy
import json
import math
import shutil
import subprocess
import sys
import textwrap
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import dao
from dao import errors
from dao.format.manifest import Manifest

if TYPE_CHECKING:
    from collections.abc import Iterator

GOLDEN = Path(__file__).parent / "golden" / "v1" / "store.dao"
BACKENDS = ("local", "zarrs", "zarr")
QUICK = settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
HOSTILE_PATHS = [
    "", ".", "..", "/", "../x", "a/../../b", "/etc/passwd", "a//b", "./a", "C:/x", "C:\\x", "a\\b",
    "a\0b", "\ud800", "//host/x", "file:///etc/passwd", "datasets/..", "x/",
]  # fmt: skip
HOSTILE = [
    None, True, False, -1, 0, 1, 2**31, 2**40, 2**62, 2**63, 10**400, 1.5, 1e308, math.nan,
    math.inf, "<b>", "\ud800", "x" * 5000, [], {}, [[]], [{}], {"a": {}}, "float32", "U4", "<M8[ns]",
    "object", "f4,(2", "uint8", "csr", "dense", "categorical", "dao.json", *HOSTILE_PATHS,
]  # fmt: skip
Path_ = tuple[Any, ...]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A golden store whose manifest the tests replace."""
    return shutil.copytree(GOLDEN, tmp_path_factory.mktemp("hostile") / "store.dao")


@pytest.fixture(scope="module")
def manifest(store: Path) -> dict[str, Any]:
    """Its manifest without the checksum, which one who forges a store would compute."""
    content = json.loads((store / "dao.json").read_text(encoding="utf-8"))
    del content["checksum"]
    return content


def places(value: Any, path: Path_ = ()) -> Iterator[Path_]:
    """Yield the path to every value in a JSON document, but the whole."""
    items = value.items() if isinstance(value, dict) else ()
    items = enumerate(value) if isinstance(value, list) else items
    for key, item in items:
        yield (*path, key)
        yield from places(item, (*path, key))


def holder(document: Any, path: Path_) -> Any:
    """Return the object or list that holds a value."""
    for key in path[:-1]:
        document = document[key]
    return document


@st.composite
def forged(draw: st.DrawFn, good: dict[str, Any]) -> dict[str, Any]:
    """A manifest with up to three values replaced, removed or doubled."""
    document = copy.deepcopy(good)
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(list(places(document))))
        inside, key = holder(document, path), path[-1]
        what = draw(st.sampled_from(["replace", "replace", "replace", "nudge", "remove", "double"]))
        if what == "remove":
            del inside[key]
        elif what == "double" and isinstance(inside, list):
            inside.append(copy.deepcopy(inside[key]))
        elif what == "nudge" and type(inside[key]) is int:
            inside[key] += draw(st.sampled_from([-5, -1, 1, 2, 100, 10**9, 2**40]))
        else:
            inside[key] = copy.deepcopy(draw(st.sampled_from(HOSTILE)))
    return document


def read_everything(path: Path, backend: str) -> None:
    """Ask a store for all it has."""
    store = dao.load_store(path, backend)
    _ = repr(store), store.describe()._repr_html_(), store.obs, store.uns, store.history
    store.matching()
    for organism in store.organisms:
        part = store[organism]
        _ = part.to_anndata(), part.var, part.measured()
        for _ in part.generator(batch_size=8, x_format="dense"):
            pass


@given(data=st.data(), backend=st.sampled_from(BACKENDS))
@QUICK
def test_forged_manifests(
    store: Path, manifest: dict[str, Any], data: st.DataObject, backend: str
) -> None:
    """They are refused, or the store is read; validating never fails either."""
    document = data.draw(forged(manifest))
    (store / "dao.json").write_text(json.dumps(document), encoding="utf-8")
    for ask in (lambda: read_everything(store, backend), lambda: dao.validate_store(store)):
        with suppress(errors.DaoError):
            ask()


def test_no_path_leaves_the_store(manifest: dict[str, Any]) -> None:
    """Every path in a manifest, and every name that becomes one, is refused if it could."""
    found = [p for p in places(manifest) if p[-1] in {"path", "id"}]
    assert len(found) >= 38
    for path in found:
        for hostile in HOSTILE_PATHS if path == found[0] else HOSTILE_PATHS[3:6]:
            document = copy.deepcopy(manifest)
            holder(document, path)[path[-1]] = hostile
            with pytest.raises(errors.FormatError, match=r"path|cannot be a dataset id"):
                Manifest.from_json(json.dumps(document))
    for hostile in HOSTILE_PATHS:
        document = copy.deepcopy(manifest)
        matrices = document["datasets"][0]["matrices"]
        matrices[f"layers/{hostile}"] = matrices["layers/halved"]
        with pytest.raises(errors.FormatError, match="is not X, layers"):
            Manifest.from_json(json.dumps(document))


LIES = """
import copy, json, resource, sys
from pathlib import Path
import dao
from dao import errors

path = Path(sys.argv[1])
good = json.loads((path / "dao.json").read_text())
del good["checksum"]

def everything(backend):
    store = dao.load_store(path, backend)
    store.describe(), store.obs, store["human"].to_anndata(), store["human"].measured()
    for x_format in ("csr", "dense"):
        for _ in store["human"].generator(batch_size=8, obsm=["X_pca"], x_format=x_format):
            pass
    dao.validate_store(path)

def sized(items, n, keys):
    for item in items:
        for key in keys:
            item[key] = [n, *item[key][1:]] if isinstance(item[key], list) else n

def lies(d, n):
    first = d["datasets"][0]
    x = first["matrices"]["X"]
    values = [x["arrays"][k] for k in ("data", "indices")]
    every = [a for m in first["matrices"].values() for a in m["arrays"].values()]
    yield lambda: sized(values, n, ["chunk", "shard"])
    yield lambda: (sized(values, n, ["shape", "chunk", "shard"]), x.update(nnz=n))
    yield lambda: (sized(values, n, ["shape", "shard"]), sized(values, 1, ["chunk"]), x.update(nnz=n))
    yield lambda: (sized(values, n, ["shape", "shard"]), sized(values, 0, ["shard_sizes"]), x.update(nnz=n))
    yield lambda: (sized(every, n, ["shape", "chunk", "shard"]), first.update(n_obs=n),
                   sized([x["arrays"]["indptr"]], n + 1, ["shape"]),
                   sized([first["matrices"]["layers/halved"]["arrays"]["indptr"]], n + 1, ["shape"]),
                   sized(first["matrices"].values(), n, ["shape"]))
    yield lambda: (d["feature_spaces"][0].update(n_vars=n), x.update(shape=[24, n]))
    yield lambda: (first["matrices"]["obsm/X_pca"].update(shape=[24, n]),
                   first["matrices"]["obsm/X_pca"]["arrays"][""].update(shape=[24, n]))
    yield lambda: sized(every, n, ["shard_sizes"])
    yield lambda: (d["vocabulary"].update(size=n), first["uns"].update(size=n),
                   first["obs"]["file"].update(size=n))

for backend in ("local", "zarrs", "zarr"):
    everything(backend)
now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (now + 2**30, resource.RLIM_INFINITY))
for n in (2**31, 2**61):
    for i in range(9):
        document = copy.deepcopy(good)
        list(lies(document, n))[i]()
        (path / "dao.json").write_text(json.dumps(document))
        for backend in ("local", "zarrs", "zarr"):
            try:
                everything(backend)
            except errors.DaoError:
                continue
            sys.exit(f"{n}, lie {i}, {backend}: believed")
print("refused")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits the memory of a child by /proc")
def test_sizes_that_lie_take_no_memory(tmp_path: Path) -> None:
    """Rows, features, values, chunks and files of any size: refused within a GiB."""
    path = shutil.copytree(GOLDEN, tmp_path / "store.dao")
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(LIES), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout == "refused\n", done.stderr[-2000:]
