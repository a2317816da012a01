"""Types of obs columns: what is written is what is read, through renames and rewrites too."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import dao
from dao import errors

Writer = Any
NA, NAT = pd.NA, pd.NaT
BIG = 2**53 + 1


def study(prefix: str = "a", **obs: Any) -> ad.AnnData:
    """Return a study with these obs columns."""
    n_obs = len(next(iter(obs.values())))
    frame = pd.DataFrame(obs, index=[f"{prefix}{i}" for i in range(n_obs)])
    x = np.ones((n_obs, 2), np.float32)
    return ad.AnnData(x, obs=frame, var=pd.DataFrame(index=["A", "B"]))


def objects(*values: Any) -> Any:
    """Return an array of Python's objects."""
    array = np.empty(len(values), object)
    array[:] = values
    return array


def plain(values: Any) -> list[Any]:
    """Return values with None where they are missing."""
    return [None if pd.isna(v) else v for v in pd.Series(values).astype(object)]


def arrow(values: list[Any], type_: pa.DataType) -> Any:
    """Return a column of pandas that is held by Arrow."""
    return pd.arrays.ArrowExtensionArray(pa.array(values, type_))


HELD = {
    **{f"int{b}": (np.array([-(2 ** (b - 1)), 2 ** (b - 1) - 1], f"int{b}"), f"int{b}")
       for b in (8, 16, 32, 64)},
    **{f"uint{b}": (np.array([0, 2**b - 1], f"uint{b}"), f"uint{b}") for b in (8, 16, 32, 64)},
    "float16": (np.array([0.5, np.nan], "f2"), "float32"),
    "float32": (np.array([0.1, np.inf], "f4"), "float32"),
    "big-endian": (np.array([1, 2], ">i4"), "int32"),
    "Int8 NA": (pd.array([1, NA], "Int8"), "Int8"),
    "UInt64 NA": (pd.array([2**64 - 1, NA], "UInt64"), "UInt64"),
    "Float32 NaN and NA": (pd.arrays.FloatingArray(
        np.array([np.nan, 1, 0.5], "f4"), np.array([False, True, False])), "float32"),
    "boolean": (pd.array([True, NA], "boolean"), "boolean"),
    "objects: bool": (objects(True, np.nan, False), "boolean"),
    "objects: ints": (objects(1, None, 2), "Int64"),
    "objects: large ints": (objects(2**64 - 1, 0), "uint64"),
    "objects: ints and fractions": (objects(2**60, 0.5, NA), "float64"),
    "objects: text": (objects("a", np.nan, None, NA, NAT, ""), "object"),
    "string[python]": (pd.array(["a", NA], "string[python]"), "object"),
    "string[pyarrow]": (pd.array(["a", NA], "string[pyarrow]"), "object"),
    "sparse": (pd.arrays.SparseArray([0, 0, 5]), "int64"),
    "sparse nan": (pd.arrays.SparseArray([0.5, np.nan]), "float64"),
    "arrow large_string": (arrow(["a", None], pa.large_string()), "object"),
    "arrow bool": (arrow([True, None], pa.bool_()), "boolean"),
    "arrow uint8": (arrow([3, None], pa.uint8()), "UInt8"),
    "arrow double": (arrow([0.5, None, float("nan")], pa.float64()), "float64"),
    "arrow dictionary": (arrow(["b", None, "a"], pa.dictionary(pa.int8(), pa.string())), "category"),
    "arrow null": (arrow([None, None], pa.null()), "object"),
    "arrow decimal": (arrow([1, None], pa.decimal128(5, 2)), "object"),
    "arrow date32": (arrow([0, None], pa.date32()), "object"),
    "arrow duration": (arrow([5, None], pa.duration("ms")), "timedelta64[ms]"),
    "arrow timestamp": (arrow([5, None], pa.timestamp("us")), "datetime64[us]"),
    "categories: bool": (pd.Categorical([True, None, False]), "category"),
    "categories: empty text": (pd.Categorical(["", "nan", None, "None"]), "category"),
    "categories: nullable ints": (pd.Series([1, NA, 3], dtype="Int64").astype("category").array,
                                  "category"),
    "categories: uint64": (pd.Categorical([2**64 - 1, 1]), "category"),
    "categories: floats": (pd.Categorical([1e300, -0.1, np.inf, 1e-320]), "category"),
    "categories: ints and fractions": (
        pd.Categorical.from_codes([0, 1, -1], pd.Index([1, 2.5], dtype=object)), "category"),
    "categories: none": (pd.Categorical([None, None]), "category"),
}  # fmt: skip


@pytest.mark.parametrize("case", HELD)
def test_values_come_back(write: Writer, case: str) -> None:
    """As they were, with a dtype that pandas users expect; also next to a study without them."""
    values, dtype = HELD[case]
    store = write({"a": study(k=values), "b": study("b", x=[1])}, shuffle=False)
    alone = store.subset(dataset="a")
    for obs in (alone.obs, alone.to_anndata().obs):
        assert plain(obs["k"]) == plain(values)
        missing = any(v is None for v in plain(values))
        assert str(obs["k"].dtype) == dtype or (dtype == "object" and str(obs["k"].dtype) == "str")
        assert missing or str(obs["k"].dtype).islower()
    assert plain(store.obs["k"]) == [*plain(values), None]
    assert dao.validate_store(store.path).ok
    again = write(alone, "again.dao", shuffle=False)
    assert (plain(again.obs["k"]), again.obs["k"].dtype) == (plain(values), alone.obs["k"].dtype)


REFUSED = {
    "text and ints": (objects("a", 1), "mixes.*str, int"),
    "bool and text": (objects(True, "a"), "mixes.*bool, str"),
    "lists": (objects([1], [2]), "list"),
    "tuples": (objects((1, 2), (3,)), "tuple"),
    "dicts": (objects({}, {}), "dict"),
    "bytes": (objects(b"a", b"b"), "decode"),
    "complex": (np.array([1j, 2]), "imaginary"),
    "ints of 70 bits": (objects(2**70, 1), "64 bits"),
    "negative and above 2^63": (objects(2**63, -1), "64 bits"),
    "large ints and fractions": (objects(BIG, 0.5), r"2\^53"),
    "arrow list": (arrow([[1], [2]], pa.list_(pa.int64())), "list"),
    "arrow struct": (arrow([{"a": 1}], pa.struct([("a", pa.int64())])), "struct"),
    "arrow binary": (arrow([b"a"], pa.binary()), "binary"),
    "categories: mixed": (pd.Categorical([1, "1"]), "mixed"),
    "categories: 70 bits": (pd.Categorical([1, 2**70]), "64 bits"),
    "categories: bytes": (pd.Categorical([b"a"]), "bytes"),
    "categories: intervals": (pd.cut(pd.Series([1.0, 2.0]), 2).array, "interval"),
    "categories: tuples": (pd.Categorical.from_codes(
        [0], pd.Index([(1, 2)], tupleize_cols=False)), "mixed"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_come_back_is_refused(write: Writer, tmp_path: Path, case: str) -> None:
    """Before anything is written, with the column and what to do; an append changes nothing."""
    values, message = REFUSED[case]
    with pytest.raises(errors.ObsTypeError, match=rf"'k' of dataset 'a' cannot be.*{message}"):
        write({"a": study(k=values)})
    assert not list(tmp_path.iterdir())
    store = write({"b": study("b", x=[1])})
    with pytest.raises(errors.ObsTypeError, match=message):
        write({"a": study(k=values)}, mode="append")
    assert dao.load_store(store.path).obs["x"].tolist() == [1]


UNITED = {
    "int, float": ([1, 2], [0.5], "float64"),
    "even int, float": ([BIG + 1], [0.5], "float64"),
    "int64, float32": (np.array([2**30 + 1]), np.array([0.5], "f4"), "float64"),
    "int16, float32": (np.array([1], "i2"), np.array([0.5], "f4"), "float32"),
    "float32, float64": (np.array([0.1], "f4"), [0.1], "float64"),
    "Int64 NA, float": (pd.array([1, NA], "Int64"), [0.5], "float64"),
    "uint64, int64": (np.array([5], "u8"), [-5], "int64"),
    "large uint64, int64": (np.array([2**64 - 1], "u8"), [5], "uint64"),
    "large uint64, int8": (np.array([2**64 - 1], "u8"), np.array([5], "i1"), "uint64"),
    "uint8, int8": (np.array([255], "u1"), np.array([-1], "i1"), "int16"),
    "large int, float": ([BIG], [0.5], None),
    "large uint64, float": (np.array([2**64 - 1], "u8"), [0.5], None),
    "large uint64, negative": (np.array([2**64 - 1], "u8"), [-1], None),
    "bool, int": ([True], [1], None),
    "nothing, text": ([np.nan, np.nan], ["a"], "object"),
    "nothing, int": (objects(None, None), [3], "Int64"),
    "nothing, bool": (pd.array([NA], "Int64"), [True], "boolean"),
    "nothing, categories": (pd.array([NA], "string"), pd.Categorical(["a"]), "category"),
    "nothing, numbers": (pd.Categorical([None]), [0.5], "float64"),
    "nothing, times": (objects(NAT, NA), np.array(["2020"], "M8[us]"), "datetime64[us]"),
    "nothing, nothing": ([np.nan], objects(None), "float64"),
}


@pytest.mark.parametrize("mode", ["create", "append", "swapped"])
@pytest.mark.parametrize("case", UNITED)
def test_types_of_two_studies(write: Writer, case: str, mode: str) -> None:
    """Every value is exact in the dtype of the store, or both studies are named."""
    first, second, dtype = UNITED[case]
    first, second = (second, first) if mode == "swapped" else (first, second)
    a, b = study(k=first), study("b", k=second)

    def both() -> dao.Store:
        if mode != "append":
            return write({"a": a, "b": b}, shuffle=False)
        write({"a": a}, shuffle=False)
        return write({"b": b}, mode="append", shuffle=False)

    if dtype is None:
        with pytest.raises(errors.ObsTypeError, match=r"'k'.*'b'.*dao\.Source"):
            both()
        return
    store = both()
    assert plain(store.obs["k"]) == [*plain(first), *plain(second)]
    assert str(store.obs["k"].dtype) in {dtype, "str" if dtype == "object" else dtype}
    assert dao.validate_store(store.path).ok


# --- renames -------------------------------------------------------------------------------------


RENAMED = {
    "Int64": (pd.array([1, 3, NA], "Int64"), {1: 2}, [2, 3, None], "Int64"),
    "Int8": (pd.array([1, 3, NA], "Int8"), {"1": 2}, [2, 3, None], "Int8"),
    "int64": (np.array([1, 3]), {1: 2}, [2, 3], "int64"),
    "uint16": (np.array([1, 3], "u2"), {1: 70_000}, [70_000, 3], "int64"),
    "large ints": (np.array([BIG, 3]), {3: BIG + 2}, [BIG, BIG + 2], "int64"),
    "int to missing": (np.array([BIG, 3]), {3: NA}, [BIG, None], "Int64"),
    "float32": (np.array([0.5, np.nan, 1.5], "f4"), {0.5: 2}, [2.0, None, 1.5], "float32"),
    "int to fraction": (np.array([1, 3]), {1: 0.5}, [0.5, 3.0], "float64"),
    "boolean": (pd.array([True, NA], "boolean"), {True: False}, [False, None], "boolean"),
    "bool to missing": (np.array([True, False]), {True: None}, [None, False], "boolean"),
    "times": (np.array(["2020", "2021"], "M8[us]"),
              {pd.Timestamp("2020"): pd.Timestamp("1999")},
              [pd.Timestamp("1999"), pd.Timestamp("2021")], "datetime64[us]"),
    "text": (objects("a", None, "b"), {"a": "x"}, ["x", None, "b"], "category"),
    "text to nan": (objects("a", None, "b"), {"a": np.nan}, [None, None, "b"], "category"),
    "category to NA": (pd.Categorical(["a", "b"]), {"a": NA}, [None, "b"], "category"),
    "category to NaT": (pd.Categorical(["a", "b"]), {"b": NAT}, ["a", None], "category"),
    "missing to text": (objects("a", None), {np.nan: "unknown"}, ["a", "unknown"], "category"),
    "missing of categories": (pd.Categorical(["a", None]), {None: "b"}, ["a", "b"], "category"),
    "missing ints": (pd.array([1, NA], "Int64"), {NA: 0}, [1, 0], "int64"),
}  # fmt: skip


@pytest.mark.parametrize("case", RENAMED)
def test_renamed_values_keep_their_type(write: Writer, case: str) -> None:
    """Also where some are missing; what stands for missing means that on both sides."""
    values, names, expected, dtype = RENAMED[case]
    store = write({"a": dao.Source(study(k=values), obs={"k": ("k", names)})}, shuffle=False)
    assert plain(store.obs["k"]) == expected
    assert str(store.obs["k"].dtype) == dtype


def test_renamed_categories_keep_their_order(write: Writer) -> None:
    """Ordered numbers, too."""
    grades = pd.Categorical([3, 1, 2], categories=[3, 2, 1], ordered=True)
    store = write({"a": dao.Source(study(k=grades), obs={"k": ("k", {3: 30})})}, shuffle=False)
    assert store.obs["k"].dtype == pd.CategoricalDtype([30, 2, 1], ordered=True)
    assert plain(store.obs["k"]) == [30, 1, 2]


@pytest.mark.parametrize("missing", [None, np.nan, NA, NAT, float("nan")])
def test_what_stands_for_missing(write: Writer, missing: Any) -> None:
    """Constants, defaults and allowed values: it is missing everywhere."""
    first = dao.Source(study(x=["a"]), constants={"k": missing})
    second = dao.Source(study("b", x=["b"]), constants={"k": "text"})
    store = write({"a": first, "b": second}, shuffle=False)
    assert plain(store.obs["k"]) == [None, "text"]
    assert dao.ObsColumn("category", values=["a", missing], default=missing) == dao.ObsColumn(
        "category", values=["a"]
    )
    schema = {"x": dao.ObsColumn("category", values=["a", "b", missing], default=missing)}
    assert plain(
        write({"a": study(x=["a", None])}, "s.dao", obs_schema=schema, shuffle=False).obs["x"]
    ) == ["a", None]


def test_declared_floats_hold_whole_numbers_exactly(write: Writer) -> None:
    """Fractions may be rounded to what was asked for, whole numbers may not."""

    def declared(values: Any, dtype: str, name: str) -> Any:
        return write({"a": study(k=values)}, name, obs_schema={"k": dtype}, shuffle=False).obs["k"]

    assert declared([0.1, 3], "float32", "a").tolist() == [np.float32(0.1), 3]
    assert declared([2**24 + 2], "float32", "b").tolist() == [2**24 + 2]
    for values, dtype in (([2**24 + 1], "float32"), ([BIG], "float64"), ([1e300], "float32")):
        with pytest.raises(errors.ObsTypeError, match=r"round|beyond"):
            declared(values, dtype, "c")


# --- names that dao uses itself ------------------------------------------------------------------


def test_own_columns_survive_rewrites(write: Writer, tmp_path: Path) -> None:
    """An organism or dataset of a study is the same after three rounds, and names do not pile up."""
    own = {"dataset": ["x", "y"], "organism": ["mouse", "mouse"], "k": [1, 2]}
    with pytest.warns(errors.DaoWarning, match="_original"):
        store = write({"a": study(**own)}, shuffle=False)
    columns = None
    for number in range(3):
        exported = store.to_anndata()
        if number == 1:
            exported.write_h5ad(tmp_path / "x.h5ad")
            exported = ad.read_h5ad(tmp_path / "x.h5ad")
        with pytest.warns(errors.DaoWarning):
            store = write({f"r{number}": exported}, f"{number}.dao", shuffle=False)
        assert store.obs["dataset_original"].tolist() == ["x", "y"]
        assert store.obs["organism_original"].tolist() == ["mouse", "mouse"]
        assert columns in (None, store.obs_columns)
        columns = store.obs_columns
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            again = write(store, f"again{number}.dao", shuffle=False)
        assert again.obs_columns == columns
    assert set(columns or ()) == {
        "dataset_original",
        "organism_original",
        "source_row_original",
        "k",
    }


def test_a_study_with_both_names(write: Writer) -> None:
    """Neither is lost where they are the study's own."""
    own = study(dataset=["x"], dataset_original=["y"])
    with pytest.warns(errors.DaoWarning, match="'dataset_original_2'"):
        store = write({"a": own})
    assert store.obs["dataset_original"].tolist() == ["y"]
    assert store.obs["dataset_original_2"].tolist() == ["x"]


def test_no_warning_for_what_is_not_stored(write: Writer) -> None:
    """Columns that the store does not keep are not said to be renamed."""
    own = study(dataset=["x"], k=["a"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        write({"a": own}, "a.dao", obs_columns=["k"])
        write({"a": own}, "b.dao", obs_schema={"k": "string"})


def test_validate_reads_what_users_read(write: Writer) -> None:
    """Checksums may be right where categories cannot be read."""
    store = write({"a": study(k=pd.Categorical([1, 2**40]))})
    narrow = replace(store.manifest.obs_columns["k"], dtype="uint8")
    forged = replace(store.manifest, obs_columns={"k": narrow})
    for file in (Path(store.path) / "dao.json", *Path(store.path).glob("generations/*.json")):
        file.write_text(forged.to_json())
    assert any("is not uint8" in p for p in dao.validate_store(store.path).problems)
