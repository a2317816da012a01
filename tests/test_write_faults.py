"""Bad input and bad luck while writing: a clear error, and the disk as it was before."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import dao
from dao import errors

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Make = Any


def snapshot(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder with its content."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def refused(
    tmp_path: Path, error: type[Exception], match: str, sources: Any, **options: Any
) -> None:
    """Check that a write is refused, in words, and leaves nothing behind."""
    before = snapshot(tmp_path)
    folders = {p for p in tmp_path.rglob("*") if p.is_dir()}
    with pytest.raises(error, match=match) as caught:
        dao.write_store(tmp_path / "s.dao", sources, progress=False, **options)
    assert isinstance(caught.value, errors.DaoError)
    assert snapshot(tmp_path) == before
    assert {p for p in tmp_path.rglob("*") if p.is_dir()} == folders


def test_missing_file(tmp_path: Path, make_study: Make) -> None:
    """A file that is not there is named, with those that are."""
    make_study().write_h5ad(tmp_path / "blood.h5ad")
    refused(
        tmp_path, errors.SourceError, r"no file .*blod\.h5ad.*blood\.h5ad", tmp_path / "blod.h5ad"
    )


def test_files_that_are_something_else(tmp_path: Path, make_study: Make) -> None:
    """Text, other HDF5, a broken h5ad and a folder are no sources."""
    (tmp_path / "text.h5ad").write_text("not HDF5")
    with h5py.File(tmp_path / "other.h5ad", "w") as file:
        file["x"] = [1, 2, 3]
    make_study().write_h5ad(tmp_path / "cut.h5ad")
    content = (tmp_path / "cut.h5ad").read_bytes()
    (tmp_path / "cut.h5ad").write_bytes(content[: len(content) // 2])
    (tmp_path / "folder").mkdir()
    for name in ("text.h5ad", "other.h5ad", "cut.h5ad", "folder"):
        refused(tmp_path, errors.SourceError, name, tmp_path / name)


def test_damaged_matrix(tmp_path: Path, make_study: Make) -> None:
    """An h5ad whose indices or indptr lie is refused."""
    for key, value in (("indices", 10_000), ("indptr", -5)):
        path = tmp_path / f"{key}.h5ad"
        make_study().write_h5ad(path)
        with h5py.File(path, "r+") as file:
            file[f"X/{key}"][7] = value
        refused(tmp_path, errors.SourceError, "damaged", path)


def test_no_gene_in_common(tmp_path: Path, make_study: Make) -> None:
    """Inner features of studies that share none, and a list of genes that nobody has."""
    a, b = make_study(0), make_study(1, genes=[f"OTHER{i}" for i in range(40)])
    refused(
        tmp_path, errors.NoCommonFeaturesError, "feature_key", {"a": a, "b": b}, features="inner"
    )
    refused(tmp_path, errors.NoCommonFeaturesError, "no feature in common", a, features=["x", "y"])


@pytest.mark.parametrize("bad", ["", "a/b", "..", ".hidden", "a\\b", "x" * 300, "con", "tab\t", 7])
def test_ids_that_are_no_folder_names(tmp_path: Path, make_study: Make, bad: Any) -> None:
    """An id that cannot be a folder, or that leaves the store, is refused."""
    refused(tmp_path, errors.DatasetIdError, "dataset id", {bad: make_study()})


def test_duplicate_ids(tmp_path: Path, make_study: Make) -> None:
    """Two studies of one id, also from two files of one name or in another case."""
    study = make_study()
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        study.write_h5ad(tmp_path / folder / "gut.h5ad")
    files = [tmp_path / "x" / "gut.h5ad", tmp_path / "y" / "gut.h5ad"]
    refused(tmp_path, errors.DatasetIdError, "'gut'", files)
    refused(tmp_path, errors.DatasetIdError, "'Gut'", {"gut": study, "Gut": study})
    refused(tmp_path, errors.DatasetIdError, "'s'", [dao.Source(study, id="s")] * 2)
    refused(tmp_path, errors.ArgumentError, "another id", {"a": dao.Source(study, id="b")})


@pytest.mark.parametrize(
    "values",
    [["a", 1, 2.0], [1j, 2j, 3j], [{"a": 1}, {}, {}], [object(), None, 1], [[1], [2], [3]]],
)
def test_obs_that_parquet_cannot_hold(tmp_path: Path, values: list[Any]) -> None:
    """A column of mixed or strange objects is named, with the dataset."""
    study = ad.AnnData(np.eye(3, dtype="f4"), obs=pd.DataFrame(index=list("abc")))
    study.obs["odd"] = pd.Series(
        values, index=study.obs_names, dtype=object if not isinstance(values[0], complex) else None
    )
    refused(tmp_path, errors.ObsTypeError, r"'odd' of dataset 'mine'.*obs_columns", {"mine": study})
    store = dao.write_store(tmp_path / "ok.dao", study, obs_columns=[], progress=False)
    assert store.obs_columns == ()


def test_obs_types_that_conflict(tmp_path: Path, make_study: Make) -> None:
    """Text in one study and numbers in another are not united; both studies are named."""
    a, b = make_study(0), make_study(1)
    b.obs["n_genes"] = pd.Categorical(["many"] * b.n_obs)
    refused(tmp_path, errors.ObsTypeError, r"'n_genes'.*'a'.*'b'", {"a": a, "b": b})
    b.obs["n_genes"] = a.obs["n_genes"].to_numpy()
    b.obs["stage"] = b.obs["stage"].cat.reorder_categories(["late", "mid", "early"])
    refused(tmp_path, errors.ObsTypeError, r"'stage'.*contradict", {"a": a, "b": b})


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"mode": "replace"}, "mode"),
        ({"profile": "fastest"}, "profile"),
        ({"features": "all"}, "features"),
        ({"features": ["G1", "G1"]}, "twice"),
        ({"memory": "much"}, "memory"),
        ({"seed": -1}, "seed"),
        ({"seed": True}, "seed"),
        ({"layers": ["a", "a"]}, "layers"),
        ({"layers": ["nope"]}, "nope"),
        ({"obsm": ["X_pcb"]}, "Did you mean 'X_pca'"),
        ({"layer": "doubles"}, "Did you mean 'doubled'"),
        ({"layer": "raw"}, "no raw"),
        ({"feature_key": "ids"}, "no column 'ids'"),
        ({"cluster_by": "celltype"}, "Did you mean 'cell_type'"),
        ({"obs_columns": ["celltype"]}, "celltype"),
        ({"client": object()}, "client"),
    ],
)
def test_arguments(tmp_path: Path, make_study: Make, options: dict[str, Any], match: str) -> None:
    """Arguments that cannot be used are named, with what can."""
    refused(tmp_path, errors.DaoError, match, make_study(), **options)


def test_sources_that_are_none(tmp_path: Path, make_study: Make) -> None:
    """Nothing, numbers and conflicting renames are refused."""
    refused(tmp_path, errors.SourceError, "no sources", [])
    refused(tmp_path, errors.SourceError, "not a source", 3)
    refused(tmp_path, errors.SourceError, "not a source", {"a": None})
    study = make_study()
    for obs, match in (
        ({"x": "celltype"}, "Did you mean 'cell_type'"),
        ({"score": "batch"}, "already"),
    ):
        refused(tmp_path, errors.DaoError, match, dao.Source(study, obs=obs))
    for subset, match in (
        ("celltype == 'B'", "cell_type"),
        ("cell_type == 'X'", "No cell"),
        (3, "text"),
    ):
        refused(tmp_path, errors.DaoError, match, dao.Source(study, subset=subset))
    refused(tmp_path, errors.ArgumentError, "constant", dao.Source(study, constants={"score": 1}))


def test_existing_store_is_refused(tmp_path: Path, make_study: Make) -> None:
    """A store, a file and a folder with other things are not written over."""
    dao.write_store(tmp_path / "s.dao", {"a": make_study()}, progress=False)
    refused(tmp_path, errors.StoreExistsError, "append", {"b": make_study(1)})
    (tmp_path / "s.dao" / "dao.json").unlink()
    (tmp_path / "s.dao" / "notes.txt").write_text("mine")
    refused(
        tmp_path, errors.StoreExistsError, r"notes\.txt", {"b": make_study(1)}, mode="overwrite"
    )


def test_append_and_overwrite(tmp_path: Path, make_study: Make, assert_holds: Any) -> None:
    """Appending adds datasets and genes and rewrites nothing; overwriting replaces all."""
    path = tmp_path / "s.dao"
    a, b = make_study(0), make_study(1, genes=[f"G{i}" for i in range(20, 60)])
    first = dao.write_store(path, {"a": a}, progress=False)
    before = snapshot(path / "datasets" / "a")
    both = dao.write_store(path, {"b": b}, mode="append", progress=False)
    assert snapshot(path / "datasets" / "a") == before
    assert list(both.var_names[: first.n_vars]) == list(first.var_names)
    assert both.n_vars == 60
    assert both.manifest.generation == 2
    assert_holds(both, {"a": a, "b": b})
    refused(tmp_path, errors.DatasetIdError, "'b'", {"b": b}, mode="append")
    del first, both  # who has them open would keep their files
    only = dao.write_store(path, {"b": b}, mode="overwrite", progress=False)
    assert_holds(only, {"b": b})
    assert not dao.validate_store(path).garbage
    assert not (path / "datasets" / "a").exists()


def test_failed_append_leaves_the_store(
    tmp_path: Path, make_study: Make, assert_holds: Any
) -> None:
    """An error in the middle of an append takes back what was written."""
    path = tmp_path / "s.dao"
    a = make_study(0)
    dao.write_store(path, {"a": a}, progress=False)
    make_study(1).write_h5ad(tmp_path / "b.h5ad")
    with h5py.File(tmp_path / "b.h5ad", "r+") as file:
        file["X/indices"][-1] = 10_000
    refused(
        tmp_path,
        errors.SourceError,
        "damaged",
        {"c": make_study(2), "b": tmp_path / "b.h5ad"},
        mode="append",
    )
    assert_holds(dao.load_store(path), {"a": a})


@contextmanager
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a file system of two megabytes for a while."""
    mount = tmp_path / "small"
    mount.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(mount)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a small file system")
    try:
        yield mount
    finally:
        subprocess.run(["umount", "-l", str(mount)], check=False)


@pytest.mark.parametrize("form", [np.asarray, sp.csc_matrix])
@pytest.mark.parametrize("memory", ["2GiB", "1MB"])
def test_full_disk(make_study: Make, tmp_path: Path, form: Any, memory: str) -> None:
    """On a full disk the error says so, and the old store is as it was."""
    with small_disk(tmp_path) as mount:
        dao.write_store(mount / "s.dao", {"a": make_study(0)}, progress=False)
        before = snapshot(mount)
        big = ad.AnnData(form(np.random.default_rng(0).random((3_000, 300), np.float32)))
        big.var_names = [f"G{i}" for i in range(300)]
        with pytest.raises(errors.StorageError, match=r"full|space|os error 28"):
            dao.write_store(
                mount / "s.dao", {"b": big}, mode="append", memory=memory, progress=False
            )
        assert snapshot(mount) == before
        with pytest.raises(errors.StorageError):
            dao.write_store(mount / "t.dao", {"b": big}, memory=memory, progress=False)
        assert not (mount / "t.dao").exists()


def test_read_only_file_system(make_study: Make, tmp_path: Path) -> None:
    """Every change is refused in words, and the store can be read as before."""
    with small_disk(tmp_path) as mount:
        path = mount / "s.dao"
        dao.write_store(path, {"a": make_study(0)}, progress=False)
        before = snapshot(mount)
        subprocess.run(["mount", "-o", "remount,ro", str(mount)], check=True)
        for place, mode in ((path, "append"), (path, "overwrite"), (mount / "t.dao", "create")):
            with pytest.raises(errors.StorageError, match="read-only"):
                dao.write_store(place, {"b": make_study(1)}, mode=mode, progress=False)
        with pytest.raises(errors.StorageError, match="read-only"):
            dao.load_store(path).remove("a")
        assert snapshot(mount) == before
        total = dao.load_store(path).to_anndata().X.sum()
        assert total == make_study(0).X.sum()
        assert dao.validate_store(path).ok


SLOW_WRITE = """
import os, signal, sys, time, numpy as np, anndata as ad, dao
signal.signal(signal.SIGINT, signal.default_int_handler)  # what runs in the background ignores it
from dao.write import matrices
path, mode = sys.argv[1:]
original = matrices.Arrangement.__call__
calls = []
def slowly(*a, **k):
    calls.append(1)
    if len(calls) < 12:
        os.write(1, b"writing\\n")  # whole, whichever thread it is
        time.sleep(0.2)
    return original(*a, **k)
matrices.Arrangement.__call__ = slowly
x = np.random.default_rng(0).poisson(1.0, (4000, 200)).astype("f4")
dao.write_store(path, {"slow": ad.AnnData(x)}, mode=mode, memory="500kB", progress=False)
"""


def start_slow_write(path: Path, mode: str) -> subprocess.Popen[str]:
    """Start a process that writes, and wait until it is in the middle of that."""
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW_WRITE, str(path), mode],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    for _ in range(3):
        assert process.stdout.readline() == "writing\n"
    return process


@pytest.mark.parametrize("old", [True, False])
def test_killed_writer(tmp_path: Path, make_study: Make, assert_holds: Any, old: bool) -> None:
    """After SIGKILL there is the old store or none, and the next write works."""
    path = tmp_path / "s.dao"
    a = make_study(0)
    if old:
        dao.write_store(path, {"a": a}, progress=False)
    process = start_slow_write(path, "append" if old else "create")
    process.kill()
    process.communicate()
    if old:
        assert_holds(dao.load_store(path), {"a": a})
        assert dao.validate_store(path).garbage
        assert dao.validate_store(path, repair=True).ok
        assert not dao.validate_store(path).garbage
    else:
        with pytest.raises(errors.StoreNotFoundError, match="not finished"):
            dao.load_store(path)
        assert_holds(dao.write_store(path, {"a": a}, progress=False), {"a": a})


def test_interrupted_writer(tmp_path: Path) -> None:
    """Ctrl-C removes what was written."""
    process = start_slow_write(tmp_path / "s.dao", "create")
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert "KeyboardInterrupt" in stderr
    assert not (tmp_path / "s.dao").exists()


@pytest.mark.parametrize("mode", ["create", "overwrite"])
def test_two_writers(tmp_path: Path, make_study: Make, mode: str) -> None:
    """The second writer, or a repair, is told of the first one, who goes on undisturbed."""
    path = tmp_path / "s.dao"
    if mode == "overwrite":
        dao.write_store(path, make_study(), progress=False)
    process = start_slow_write(path, mode)
    with pytest.raises(errors.StoreBusyError, match="Another process"):
        dao.write_store(path, {"a": make_study()}, mode="overwrite", progress=False)
    if (path / "dao.json").exists():  # else there is nothing to repair yet
        with pytest.raises(errors.StoreBusyError, match="Another process"):
            dao.validate_store(path, repair=True)
    process.communicate(timeout=120)
    assert process.returncode == 0
    assert dao.load_store(path).datasets == ["slow"]
    assert dao.validate_store(path).ok


def test_paths_that_cannot_be(tmp_path: Path, make_study: Make) -> None:
    """A store below a file is an error that says so."""
    (tmp_path / "file").write_text("")
    with pytest.raises(errors.StorageError, match="a part of the path is a file"):
        dao.write_store(tmp_path / "file" / "s.dao", make_study(), progress=False)


def test_read_only_folder(tmp_path: Path, make_study: Make) -> None:
    """A folder that cannot be written to is an error that says so."""
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(errors.StorageError, match="permission"):
        dao.write_store(tmp_path / "locked" / "s.dao", make_study(), progress=False)


def test_not_a_store(tmp_path: Path) -> None:
    """Nothing, a file and a folder are told apart."""
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder").mkdir()
    for name, match in (("no", "nothing"), ("file", "a file"), ("folder", r"no dao\.json")):
        with pytest.raises(errors.StoreNotFoundError, match=match):
            dao.load_store(tmp_path / name)


def test_paths_that_are_none(tmp_path: Path, make_study: Make) -> None:
    """URLs, lists and options of a backend that has none are errors that say so."""
    with pytest.raises(errors.ArgumentError, match="ftp"):
        dao.load_store("ftp://server/atlas.dao")
    with pytest.raises(errors.ArgumentError, match="ftp"):
        dao.write_store("ftp://server/atlas.dao", make_study())
    dao.write_store(tmp_path / "a.dao", make_study(), progress=False)
    with pytest.raises(errors.ArgumentError, match="opens one store"):
        dao.load_store([tmp_path / "a.dao"])
    with pytest.raises(errors.SourceError, match="is a folder without"):
        dao.load_store([tmp_path])
    for bad in ("", None, [tmp_path]):
        if not bad:
            with pytest.raises(errors.ArgumentError, match="path"):
                dao.load_store(bad)
        with pytest.raises(errors.ArgumentError, match="path"):
            dao.write_store(bad, make_study())  # type: ignore[arg-type]
    dao.write_store(tmp_path / "s.dao", make_study(), progress=False)
    with pytest.raises(errors.ArgumentError, match="no option 'threads'"):
        dao.load_store(tmp_path / "s.dao", threads=3)
    with pytest.raises(errors.ArgumentError, match="memory"):
        dao.load_store(tmp_path / "s.dao", memory="-1")


def test_manifests_that_lie(tmp_path: Path, make_study: Make) -> None:
    """A newer version asks for an update; every other problem is listed at once."""
    path = tmp_path / "s.dao"
    dao.write_store(path, {"a": make_study()}, progress=False)
    good = json.loads((path / "dao.json").read_text())
    del good["checksum"]

    def load(**changes: Any) -> None:
        (path / "dao.json").write_text(json.dumps({**good, **changes}))
        dao.load_store(path)

    with pytest.raises(errors.FormatVersionError, match="pip install --upgrade"):
        load(format_version=2)
    with pytest.raises(errors.FormatVersionError):
        dao.validate_store(path)
    dataset = {**good["datasets"][0], "path": "../../etc", "organism": "nobody", "n_obs": -1}
    with pytest.raises(errors.FormatError) as caught:
        load(datasets=[dataset], generation="one")
    for place in ("datasets[0].path", "datasets[0].organism", "n_obs", "generation"):
        assert place in str(caught.value)
    for text in ("", "{", "[]", '{"format": "zarr"}', "null"):
        (path / "dao.json").write_text(text)
        with pytest.raises(errors.FormatError):
            dao.load_store(path)


def test_seed_decides_the_order(tmp_path: Path, make_study: Make) -> None:
    """The same sources and seed give the same rows in the same order, another seed does not."""
    orders = [
        dao.write_store(tmp_path / f"{i}.dao", {"a": make_study()}, seed=s, progress=False)
        .obs["_source_row"]
        .tolist()
        for i, s in enumerate((1, 1, 2))
    ]
    assert orders[0] == orders[1] != orders[2]


@pytest.mark.parametrize("backend", ["zarr", "zarrs"])
def test_files_that_go_while_a_reader_is_open(
    tmp_path: Path, make_study: Make, backend: str
) -> None:
    """A shard that is deleted is an error for an open reader; a store that is replaced is none."""
    path = tmp_path / "s.dao"
    dao.write_store(path, {"a": make_study(0)}, progress=False)
    store = dao.load_store(path, backend)
    before = store.to_anndata().X.sum()
    assert before > 0
    shard = path / "datasets" / "a" / "X" / "data" / "c" / "0"
    content = shard.read_bytes()
    shard.unlink()
    with pytest.raises(errors.CorruptStoreError, match="missing"):
        store.to_anndata()
    shard.write_bytes(content)
    assert store.to_anndata().X.sum() == before
    for seed in (1, 2):
        dao.write_store(path, {"a": make_study(seed)}, mode="overwrite", progress=False)
        assert store.to_anndata().X.sum() == before
