"""Generations: each commit leaves the ones before it readable, until they are removed."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

import dao
from dao import errors
from dao.cli import main
from dao.generations import is_held, written_by

if TYPE_CHECKING:
    from collections.abc import Callable

Write = Any


@pytest.fixture
def studies(make_study: Callable[..., Any]) -> dict[str, Any]:
    """Three studies of the same genes."""
    return {name: make_study(seed, 20 + seed) for seed, name in enumerate("abc")}


@pytest.fixture
def path(write: Write, studies: dict[str, Any]) -> Path:
    """A store of two generations, a and b, then c, that nobody has open."""
    first = write({n: studies[n] for n in "ab"})
    dao.write_store(first.path, {"c": studies["c"]}, mode="append", progress=False)
    return Path(first.path)


@pytest.fixture
def store(path: Path) -> dao.Store:
    """The same, open until the test has ended."""
    return dao.load_store(path)


def rows(store: dao.Store) -> pd.DataFrame:
    """Return X in source order, by dataset."""
    adata = store.to_anndata()
    frame = pd.DataFrame(adata.X.toarray(), columns=adata.var_names)
    order = np.lexsort([adata.obs["_source_row"], adata.obs["dataset"].astype(str)])
    return frame.iloc[order].reset_index(drop=True)


def test_an_earlier_generation_can_be_opened(store: dao.Store, assert_holds: Any) -> None:
    """Before the append, after a removal: each as it was."""
    left = store.remove("a")
    assert left.datasets == ["b", "c"]
    for generation, datasets in ((1, ["a", "b"]), (2, ["a", "b", "c"]), (3, ["b", "c"])):
        opened = dao.load_store(store.path, generation=generation)
        assert opened.datasets == datasets
        assert opened.manifest.generation == generation
    pd.testing.assert_frame_equal(rows(dao.load_store(store.path, generation=2)), rows(store))


def test_history(path: Path) -> None:
    """A row for each commit, and whether it can still be opened."""
    left = dao.load_store(path).remove(["a"])
    table = left.history
    assert table["generation"].tolist() == [1, 2, 3]
    assert table["action"].tolist() == ["create", "append", "remove"]
    assert table["datasets"].tolist() == [["a", "b"], ["c"], ["a"]]
    assert table["kept"].all()
    dao.validate_store(left.path, repair=True, old_generations=True)
    assert left.history["kept"].tolist() == [False, False, True]


@pytest.mark.parametrize("backend", ["local", "zarrs", "zarr"])
def test_an_open_reader_keeps_its_files(path: Path, studies: dict[str, Any], backend: str) -> None:
    """Whatever is committed and tidied up, what is open goes on as before."""
    opened = dao.load_store(path, backend)
    expected = rows(dao.load_store(path))
    fresh = opened.remove("a")
    dao.write_store(path, {"b": studies["a"]}, mode="replace", progress=False)
    dao.validate_store(path, repair=True, old_generations=True)
    pd.testing.assert_frame_equal(rows(opened), expected)
    assert fresh.datasets == ["b", "c"]
    assert fresh.n_obs == 21 + 22
    del opened, fresh
    report = dao.validate_store(path, repair=True, old_generations=True)
    assert any(r.startswith("datasets/a") for r in report.removed)
    with pytest.raises(errors.StoreNotFoundError, match=r"no generation 2 \(any more\)"):
        dao.load_store(path, generation=2)


def test_an_overwritten_store_is_still_there_for_who_has_it_open(
    path: Path, studies: dict[str, Any]
) -> None:
    """And gone with the next overwrite, when nobody has it any more."""
    store = dao.load_store(path)
    expected = rows(store)
    new = dao.write_store(store.path, {"x": studies["a"]}, mode="overwrite", progress=False)
    assert new.manifest.uuid != store.manifest.uuid
    pd.testing.assert_frame_equal(rows(store), expected)
    del store
    dao.write_store(path, {"y": studies["a"]}, mode="overwrite", progress=False)
    assert {p.name for p in (path / "datasets").iterdir()} == {"x.g3", "y.g4"}
    assert new.datasets == ["x"]


def test_a_reader_in_another_process_holds_its_generation(path: Path) -> None:
    """Its lock ends with it, also when it is killed."""
    store = dao.load_store(path)
    script = (
        "import dao, sys; store = dao.load_store(sys.argv[1]); print(store.n_obs, flush=True); "
        "sys.stdin.read()"
    )
    command = [sys.executable, "-c", script, store.path]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=os.environ.copy()
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        copied = pickle.dumps(store.reader)
        left = store.remove("c")
        del store
        assert is_held(path, 2)
        process.kill()
        process.wait()
    assert not is_held(path, 2)
    again = pickle.loads(copied)
    assert is_held(path, 2)
    assert again.manifest().generation == 2
    del left


def test_replaced_datasets_keep_their_place(
    store: dao.Store, studies: dict[str, Any], make_study: Callable[..., Any]
) -> None:
    """One dataset is another one now, with a new gene; the others are not written again."""
    new = make_study(9, 33, genes=[*(f"G{i}" for i in range(39)), "NEW"])
    after = dao.write_store(store.path, {"a": new}, mode="replace", progress=False)
    assert after.datasets == ["a", "b", "c"]
    assert after.subset(dataset="a").n_obs == 33
    assert after.var_names.tolist() == [*store.var_names, "NEW"]
    kept = [d.path for d in after.manifest.datasets[1:]]
    assert kept == [d.path for d in store.manifest.datasets[1:]]
    mine = after.subset(dataset="a").to_anndata()
    order = mine.obs["_source_row"].to_numpy()
    np.testing.assert_array_equal(mine[:, new.var_names].X.toarray(), new.X.toarray()[order])
    assert dao.validate_store(store.path).ok
    with pytest.raises(errors.UnknownDatasetError, match=r"no dataset 'aa'\. Did you mean 'a'"):
        dao.write_store(store.path, {"aa": new}, mode="replace", progress=False)
    with pytest.raises(errors.StoreNotFoundError, match="no store"):
        dao.write_store(Path(store.path) / "none", {"a": new}, mode="replace", progress=False)


def test_removing_keeps_the_selection(store: dao.Store) -> None:
    """Cells, their order and features stay, but for the datasets that are gone."""
    chosen = store.take([60, 3, 25, 3]).select_features(["G3", "G1"])
    expected = [i for i in (60, 3, 25, 3) if i >= 20]
    left = chosen.remove("a")
    assert left.obs.index.tolist() == store.obs.index[expected].tolist()
    assert left.var_names.tolist() == ["G3", "G1"]


def test_what_only_a_removed_dataset_had_is_gone(
    write: Write, make_study: Callable[..., Any]
) -> None:
    """Columns, organisms; and the store is sound."""
    human, mouse = make_study(0, 20), make_study(1, 20)
    mouse.obs["strain"] = "C57"
    store = write([dao.Source(human, "h", "human"), dao.Source(mouse, "m", "mouse")])
    left = store.remove("m")
    assert left.organisms == ("Homo sapiens",)
    assert "strain" not in left.obs_columns
    assert dao.validate_store(left.path).ok


def test_what_cannot_be_removed(store: dao.Store) -> None:
    """Unknown ids, everything, a store that was replaced, numbers that are none."""
    with pytest.raises(errors.UnknownDatasetError, match="no dataset 'z'"):
        store.remove("z")
    with pytest.raises(errors.ArgumentError, match="Nothing would be left"):
        store.remove(["a", "b", "c"])
    with pytest.raises(errors.ArgumentError, match="at least one dataset"):
        store.remove([])
    for generation in (0, "2", True):
        with pytest.raises(errors.ArgumentError, match="whole number of at least 1"):
            dao.load_store(store.path, generation=generation)
    with pytest.raises(errors.StoreNotFoundError, match=r"no generation 7 .*has: 1, 2"):
        dao.load_store(store.path, generation=7)
    assert dao.load_store(store.path).manifest.generation == 2


def test_ids_that_look_like_generations(write: Write, make_study: Callable[..., Any]) -> None:
    """A dataset may be called x.g7; its files are not taken for those of a killed writer."""
    first = write({"x": make_study(0, 20), "x.g7": make_study(1, 21)})
    left = first.remove("x.g7")
    path = left.path
    dao.write_store(path, {"y": make_study(2, 22)}, mode="append", progress=False)
    assert dao.load_store(path, generation=1).to_anndata().n_obs == 41
    assert [written_by(Path(p)) for p in ("a", "a.g7", "a.g7.g1", "b-3.parquet", "4.json")] == [
        1, 7, 1, 3, 4,
    ]  # fmt: skip


def test_stores_of_a_dao_that_kept_no_manifests(store: dao.Store) -> None:
    """They open, and the next commit keeps what is current."""
    path = Path(store.path)
    for kept in (path / "generations").iterdir():
        kept.unlink()
    (path / "generations").rmdir()
    opened = dao.load_store(path)
    left = opened.remove("b")
    assert left.history["kept"].tolist() == [False, True, True]
    assert dao.load_store(path, generation=2).datasets == ["a", "b", "c"]


def test_validate_looks_at_the_copies(store: dao.Store) -> None:
    """One that is missing or altered is named."""
    path = Path(store.path)
    copy = path / "generations" / "2.json"
    content = copy.read_text()
    copy.write_text(content.replace('"dao-store', '"dao_store'))
    assert "generations/2.json is not what dao.json is" in str(dao.validate_store(path))
    copy.unlink()
    assert "no generation 2" in str(dao.validate_store(path))
    copy.write_text(content)
    (path / "generations" / "1.json").write_text("{")
    assert "generations/1.json" in str(dao.validate_store(path))


def test_commands(path: Path, tmp_path: Path, studies: dict[str, Any]) -> None:
    """dao remove, dao history, dao write --replace, dao validate --repair --old-generations."""

    def run(command: Any, arguments: list[Any]) -> Any:
        return CliRunner().invoke(command, list(map(str, arguments)))

    assert run(main, ["remove", path, "a"]).exit_code == 0
    studies["a"].write_h5ad(tmp_path / "b.h5ad")
    assert run(main, ["write", "--replace", str(tmp_path / "b.h5ad"), path]).exit_code == 0
    shown = run(main, ["history", path, "--json"]).output
    assert [entry["action"] for entry in json.loads(shown)] == [
        "create", "append", "remove", "replace",
    ]  # fmt: skip
    assert "replace" in run(main, ["history", path]).output
    assert run(main, ["validate", path, "--old-generations"]).exit_code == 2
    assert "earlier generations only" in run(main, ["validate", path]).output
    tidied = run(main, ["validate", path, "--repair", "--old-generations"])
    assert "removed: datasets/a" in tidied.output
    assert [e["kept"] for e in json.loads(run(main, ["history", path, "--json"]).output)] == [
        False, False, False, True,
    ]  # fmt: skip
    assert "Error: There is no dataset 'z'" in run(main, ["remove", path, "z"]).output
