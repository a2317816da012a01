"""Stores that sfaira wrote: every variant of its versions, as sources and as a backend."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import sys
import types
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import numcodecs
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import zarr

import dao
from dao.cli import main
from dao.errors import ArgumentError, DatasetIdError, SourceError, StoreNotFoundError
from dao.write.unpickle import unpickle

if TYPE_CHECKING:
    from pathlib import Path

BLOSC = numcodecs.Blosc("lz4", 5)
GENES = [f"ENSG{i:011d}" for i in range(12)]
Array = np.ndarray[Any, Any]


def counts(n_obs: int, seed: int = 0, dtype: str = "<f4") -> Array:
    """Return random counts of twelve genes."""
    return np.random.default_rng(seed).poisson(1.0, (n_obs, len(GENES))).astype(dtype)


def write_zarr(
    folder: Path,
    x: Array,
    chunks: tuple[int, int] = (10, 12),
    compressor: Any = BLOSC,
    order: str = "C",
    separator: str | None = None,
) -> None:
    """Write a Zarr v2 array file by file, as its specification says."""
    folder.mkdir(parents=True)
    (folder.parent / ".zgroup").write_text('{"zarr_format": 2}')
    meta = {
        "zarr_format": 2,
        "shape": x.shape,
        "chunks": chunks,
        "dtype": x.dtype.str,
        "fill_value": 0.0,
        "order": order,
        "filters": None,
        "compressor": compressor.get_config() if compressor else None,
    }
    if separator is not None:
        meta["dimension_separator"] = separator
    (folder / ".zarray").write_text(json.dumps(meta))
    for i in range(-(-x.shape[0] // chunks[0])):
        for j in range(-(-x.shape[1] // chunks[1])):
            chunk = np.zeros(chunks, x.dtype)
            part = x[i * chunks[0] : (i + 1) * chunks[0], j * chunks[1] : (j + 1) * chunks[1]]
            chunk[: part.shape[0], : part.shape[1]] = part
            raw = chunk.tobytes(order=order)
            path = folder / f"{i}{separator or '.'}{j}"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(compressor.encode(raw) if compressor else raw)


def write_dataset(
    folder: Path, x: Array, obs: pd.DataFrame, uns: Any, var: pd.DataFrame | None = None, **how: Any
) -> None:
    """Write a dataset in sfaira's layout."""
    write_zarr(folder / "zarr" / "X", x, **how)
    (folder / "parquet").mkdir()
    (folder / "pickle").mkdir()
    if var is None:
        # sfaira's var has a column and an index of one name.
        var = pd.DataFrame({"gene_symbol": [f"S{g[-2:]}" for g in GENES], "ensembl": GENES}, GENES)
    obs.to_parquet(folder / "parquet" / "obs.parquet")
    var.to_parquet(folder / "parquet" / "var.parquet")
    content = uns if isinstance(uns, bytes) else pickle.dumps(uns)
    (folder / "pickle" / "uns.pickle").write_bytes(content)


def obs_of(n_obs: int, **columns: Any) -> pd.DataFrame:
    """Return obs as 0.3.11 and later write it: texts as categories."""
    names = [f"cell_{i}" for i in range(1, n_obs + 1)]
    kinds = np.resize(["B cell", "T cell", "unknown"], n_obs)
    return pd.DataFrame({"cell_type": pd.Categorical(kinds), **columns}, index=names)


def uns_of(name: str, **more: Any) -> dict[str, Any]:
    """Return uns as streamlining leaves it."""
    return {"id": name, "organism": "Homo sapiens", "year": 2020, "organ": "lung", **more}


def matrix_of(store: dao.Store) -> Array:
    """Return X in source order over `GENES`, in the rows of the source."""
    adata = store.select_features(GENES).to_anndata()
    adata = adata[np.argsort(adata.obs["_source_row"].to_numpy())]
    return np.asarray(adata.X.toarray() if hasattr(adata.X, "toarray") else adata.X)


def both_ways(folder: Path, tmp_path: Path) -> list[dao.Store]:
    """Return a store that was written of a folder, and the folder as a store."""
    written = dao.write_store(tmp_path / "new.dao", folder, progress=False)
    return [written, dao.load_store(folder)]


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"chunks": (7, 5)},
        {"chunks": (64, 12), "compressor": None},
        {"compressor": numcodecs.Zstd(3)},
        {"compressor": numcodecs.GZip(2)},
        {"compressor": numcodecs.LZMA()},
        {"compressor": numcodecs.Blosc("zstd", 3, 2)},
        {"order": "F"},
        {"separator": "/"},
    ],
    ids=str,
)
def test_chunks_and_compressors_of_all_kinds(tmp_path: Path, how: dict[str, Any]) -> None:
    """Any chunk shape, compressor and order of Zarr v2 gives the same counts."""
    x = counts(45)
    write_dataset(tmp_path / "old" / "a", x, obs_of(45), uns_of("a"), **how)
    for store in both_ways(tmp_path / "old", tmp_path):
        np.testing.assert_array_equal(matrix_of(store), x)
        assert store.to_anndata().X.dtype == np.float32


@pytest.mark.parametrize("dtype", ["<f8", ">f4", "<i8", "<i4", "|u1", "<f2"])
def test_dtypes(tmp_path: Path, dtype: str) -> None:
    """X of any dtype comes back in it."""
    x = counts(20, dtype=dtype)
    write_dataset(tmp_path / "old" / "a", x, obs_of(20), uns_of("a"))
    for store in both_ways(tmp_path / "old", tmp_path):
        np.testing.assert_array_equal(matrix_of(store), x)


def test_the_third_version_of_zarr(tmp_path: Path) -> None:
    """sfaira on zarr-python 3 writes it where neither chunks nor compression are asked for."""
    x = counts(20)
    folder = tmp_path / "old" / "a"
    write_dataset(folder, x, obs_of(20), uns_of("a"))
    shutil.rmtree(folder / "zarr")
    zarr.open_group(folder / "zarr", mode="w", zarr_format=3).create_array("X", data=x)
    for store in both_ways(tmp_path / "old", tmp_path):
        np.testing.assert_array_equal(matrix_of(store), x)


def test_a_chunk_without_a_file_is_zeros(tmp_path: Path) -> None:
    """As the specification of Zarr says."""
    x = counts(45)
    write_dataset(tmp_path / "old" / "a", x, obs_of(45), uns_of("a"))
    (tmp_path / "old" / "a" / "zarr" / "X" / "2.0").unlink()
    x[20:30] = 0
    for store in both_ways(tmp_path / "old", tmp_path):
        np.testing.assert_array_equal(matrix_of(store), x)


def test_shuffled_rows_say_where_they_were(tmp_path: Path) -> None:
    """The stored column is an inverse permutation; what it says of a cell is its original row."""
    x = counts(30)
    order = np.random.default_rng(1).permutation(30)
    obs = obs_of(30).iloc[order]
    shuffled = obs.assign(permutation_original_data=np.argsort(order))
    write_dataset(tmp_path / "old" / "a", x[order], shuffled, uns_of("a"))
    # 0.3.10 wrote the column before it shuffled.
    write_dataset(
        tmp_path / "old" / "b",
        x[order],
        obs.assign(permutation_original_data=np.arange(30)),
        uns_of("b"),
    )
    for store in both_ways(tmp_path / "old", tmp_path):
        known = store.subset(dataset="a").to_anndata()
        np.testing.assert_array_equal(
            known.obs["original_row"], [int(n[5:]) - 1 for n in known.obs_names]
        )
        back = known[np.argsort(known.obs["original_row"].to_numpy()), GENES]
        np.testing.assert_array_equal(back.X.toarray() if hasattr(back.X, "toarray") else back.X, x)
        assert "permutation_original_data" not in store.obs
        assert store.subset(dataset="b").obs["original_row"].isna().all()


def test_obs_and_uns(tmp_path: Path) -> None:
    """obs comes as it is, what uns says of all cells can be chosen by, per-cell flags are followed."""
    write_dataset(
        tmp_path / "old" / "new",
        counts(30),
        obs_of(30, num=pd.Categorical([str(i / 4) for i in range(30)])),
        uns_of("new", author=["Ann"], title=None, mapped_features="104"),
    )
    # 0.3.0: other names, plain values, what is per cell is flagged in uns.
    old = pd.DataFrame(
        {
            "cell_ontology_class": ["T cell", "UNKNOWN"] * 10,
            "age": np.arange(20),
            "organ": ["lung", "liver"] * 10,
            "organism": ["Mus musculus"] * 20,
        },
        index=[str(i) for i in range(20)],
    )
    names = [f"ENSMUSG{i:011d}" for i in range(12)]
    var = pd.DataFrame(
        {"names": [f"s{i}" for i in range(12)], "ensembl": names},
        index=[f"s{i}" for i in range(12)],
    )
    uns = {"id": "first", "organism": "__obs__", "organ": "__obs__", "doi": "10.1/x"}
    write_dataset(tmp_path / "old" / "doi_10_1_x", counts(20), old, uns, var)
    (tmp_path / "old" / "stray").mkdir()
    (tmp_path / "old" / "notes.txt").write_text("hello")
    for store in both_ways(tmp_path / "old", tmp_path):
        assert store.datasets == ["first", "new"]
        assert store.organisms == ("Mus musculus", "Homo sapiens")
        assert store["mouse"].var_names.isin(names).all()
        assert store.subset(organ="lung").n_obs == 40
        assert store.subset(organ="liver", doi="10.1/x").n_obs == 10
        assert store.subset("age >= 5 and organism == 'mouse'").n_obs == 15
        assert store.subset(author="Ann", year=2020, cell_type="T cell").n_obs == 10
        assert set(store["human"].obs["num"]) == {str(i / 4) for i in range(30)}
        assert store.uns["new"]["mapped_features"] == "104"
        assert store.uns["first"] == {"id": "first", "organism": "Mus musculus", "doi": "10.1/x"}
    declared = dao.write_store(
        tmp_path / "numbers.dao",
        tmp_path / "old" / "new",
        obs_schema={"num": "float64", "cell_type": "category"},
        progress=False,
    )
    assert declared.obs["num"].sum() == sum(i / 4 for i in range(30))


def test_without_uns(tmp_path: Path) -> None:
    """The folder then gives the id, and the user the organism."""
    write_dataset(tmp_path / "old" / "a", counts(20), obs_of(20), {})
    (tmp_path / "old" / "a" / "pickle" / "uns.pickle").unlink()
    store = dao.load_store(tmp_path / "old", backend="sfaira", organism="human")
    assert (store.datasets, store.organisms) == (["a"], ("Homo sapiens",))


def test_ids_and_sources(tmp_path: Path) -> None:
    """Ids are unique; one dataset may be named, a store of several cannot."""
    for name in ("a", "b"):
        write_dataset(tmp_path / "old" / name, counts(20), obs_of(20), uns_of("same"))
    with pytest.raises(DatasetIdError, match="'same'"):
        dao.write_store(tmp_path / "new.dao", tmp_path / "old", progress=False)
    with pytest.raises(ArgumentError, match="2 datasets"):
        dao.write_store(tmp_path / "new.dao", {"x": tmp_path / "old"}, progress=False)
    named = {
        "x": tmp_path / "old" / "a",
        "y": dao.Source(tmp_path / "old" / "b", subset="cell_type == 'B cell'"),
    }
    assert dao.load_store(named, backend="sfaira").value_counts("dataset").to_dict() == {
        "x": 20,
        "y": 7,
    }
    with pytest.raises(StoreNotFoundError, match="holds no dataset"):
        dao.load_store(tmp_path, backend="sfaira")


def test_the_command_converts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """``dao write old_store new.dao``."""
    for seed, name in enumerate("ab"):
        write_dataset(tmp_path / "old" / name, counts(25, seed), obs_of(25), uns_of(name))
    with pytest.raises(SystemExit) as ended:
        main(["write", str(tmp_path / "old"), str(tmp_path / "new.dao")])
    assert not ended.value.code, capsys.readouterr()
    store = dao.load_store(tmp_path / "new.dao")
    assert store.validate().ok
    np.testing.assert_array_equal(matrix_of(store.subset(dataset="b")), counts(25, 1))


def test_the_backend_streams_what_a_written_store_does(tmp_path: Path) -> None:
    """The same rows in the same order, from an unshuffled store of the same datasets."""
    for seed, name in enumerate("abc"):
        write_dataset(tmp_path / "old" / name, counts(50, seed), obs_of(50), uns_of(name))
    old = dao.load_store(tmp_path / "old", backend="sfaira")
    new = dao.write_store(tmp_path / "new.dao", tmp_path / "old", shuffle=False, progress=False)
    arguments = {
        "batch_size": 16,
        "obs_keys": ["cell_type", "year"],
        "x_format": "dense",
        "seed": 3,
    }
    for mine, theirs in zip(old.generator(**arguments), new.generator(**arguments), strict=True):
        np.testing.assert_array_equal(mine["index"], theirs["index"])
        np.testing.assert_array_equal(mine["X"], theirs["X"])
        pd.testing.assert_frame_equal(mine["obs"], theirs["obs"])


# --- pickles ----------------------------------------------------------------------------------


class Hostile:
    """Calls a function when it is unpickled."""

    def __reduce__(self) -> Any:
        return eval, ("__import__('os').environ.update(HOSTILE='1')",)


@pytest.mark.parametrize(
    "uns",
    [Hostile(), {"id": Hostile()}, {"id": "a", "x": [{Hostile}]}],
    ids=range(3),
)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_hostile_pickle_does_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uns: Any, protocol: int
) -> None:
    """Whatever a pickle asks for is refused, and named."""
    monkeypatch.delenv("HOSTILE", raising=False)
    content = pickle.dumps(uns, protocol)
    write_dataset(tmp_path / "old" / "a", counts(20), obs_of(20), content)
    with pytest.raises(SourceError, match=r"uns.pickle asks for .*Nothing of it was run"):
        dao.write_store(tmp_path / "new.dao", tmp_path / "old", progress=False)
    with pytest.raises(SourceError, match="asks for"):
        dao.load_store(tmp_path / "old", backend="sfaira")
    assert "HOSTILE" not in os.environ
    assert not (tmp_path / "new.dao").exists()


@pytest.mark.parametrize(
    "opcodes",
    [
        b"cos\nsystem\n(S'touch hacked'\ntR.",
        b"c__builtin__\neval\n(S'1'\ntR.",
        b"cdao.write.unpickle\nio.BytesIO\n(tR.",
        b"(S'x'\nios\nsystem\n.",
        b"\x80\x04\x8c\x08builtins\x8c\x07getattr\x93.",
        b"\x80\x04\x8c\x05numpy\x8c\x04load\x93\x8c\x01x\x85R.",
        b"cbuiltins\nbytes\n(I1000000000000\ntR0cnumpy\nfromfile\n.",
        b"P1\n.",
        b"\x80\x04garbage",
        b"",
    ],
    ids=range(10),
)
def test_pickles_by_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opcodes: bytes) -> None:
    """The same for opcodes that Python itself would not write, and for damage."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SourceError, match=r"asks for|damaged"):
        unpickle(opcodes, "it")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_pickles_come_back(protocol: int) -> None:
    """Containers, texts, numbers, and NumPy's numbers and arrays as plain ones."""
    value = {
        "text": "ä", "none": None, "yes": True, "n": 2**70, "x": 1.5, "bytes": b"\xff", "pair": (1, "b"),
        "set": {1, 2}, "frozen": frozenset("a"), "nested": [{"a": [1]}], "ordered": OrderedDict(a=1),
        "int64": np.int64(7), "float32": np.float32(0.5), "bool": np.bool_(False), "str": np.str_("s"),
        "numbers": np.arange(6, dtype=">i4").reshape(2, 3), "columns": np.asfortranarray([[1, 2], [3, 4]]),
        "texts": np.array(["a", "bc"]), "objects": np.array(["a", None], object), "empty": np.empty(0),
    }  # fmt: skip
    wanted = {
        **value, "ordered": {"a": 1}, "int64": 7, "float32": 0.5, "bool": False, "str": "s",
        "numbers": [[0, 1, 2], [3, 4, 5]], "columns": [[1, 2], [3, 4]], "texts": ["a", "bc"],
        "objects": ["a", None], "empty": [],
    }  # fmt: skip
    assert unpickle(pickle.dumps(value, protocol), "it") == wanted


def test_dicts_of_old_anndata(monkeypatch: pytest.MonkeyPatch) -> None:
    """0.3.0 to 0.3.9 pickled classes of anndata that are not there any more."""
    module = types.ModuleType("anndata.compat._overloaded_dict")

    class OverloadedDict:
        def __init__(self, data: dict[str, Any]) -> None:
            self.data, self.overloaded = data, {"neighbors": self}

    class DictView(dict[str, Any]):
        pass

    for one in (OverloadedDict, DictView):
        one.__module__, one.__qualname__ = module.__name__, one.__name__
        setattr(module, one.__name__, one)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    values = {"id": "x", "inner": DictView(year=2019)}
    contents = [pickle.dumps(o) for o in (OverloadedDict(values), DictView(values))]
    monkeypatch.delitem(sys.modules, module.__name__)
    for content in contents:
        assert unpickle(content, "it") == {"id": "x", "inner": {"year": 2019}}


# --- what sfaira itself wrote -----------------------------------------------------------------


@pytest.fixture(scope="module")
def real(shared_data: Path) -> Path:
    """A store that sfaira 0.3.13 wrote."""
    return shared_data / "sfaira_dao_v2"


def test_a_store_of_sfaira_itself(real: Path, tmp_path: Path) -> None:
    """Everything equals what numcodecs and pyarrow read of its files."""
    for store in both_ways(real, tmp_path):
        assert store.value_counts("organism").to_dict() == {"Homo sapiens": 198, "Mus musculus": 30}
        for name in ("d0", "d1", "d2", "d9"):
            meta = json.loads((real / name / "zarr" / "X" / ".zarray").read_text())
            codec = numcodecs.get_codec(meta["compressor"])
            chunks = [
                (real / name / "zarr" / "X" / f"{i}.0").read_bytes()
                for i in range(-(-meta["shape"][0] // meta["chunks"][0]))
            ]
            x = np.concatenate(
                [np.frombuffer(codec.decode(c), "<f4").reshape(meta["chunks"]) for c in chunks]
            )[: meta["shape"][0]]
            obs = pq.read_table(real / name / "parquet" / "obs.parquet").to_pandas()
            var = pq.read_table(real / name / "parquet" / "var.parquet").to_pandas()
            mine = store.subset(dataset=name).select_features(var["ensembl"]).to_anndata()
            mine = mine[np.argsort(mine.obs["_source_row"].to_numpy())]
            np.testing.assert_array_equal(
                mine.X.toarray() if hasattr(mine.X, "toarray") else mine.X, x
            )
            assert list(mine.obs["cell_type"]) == list(obs["cell_type"])
            assert list(mine.obs["num"]) == list(obs["num"])
            assert list(mine.obs_names) == list(obs.index)
            assert list(mine.var["gene_symbol"]) == list(var["gene_symbol"])
