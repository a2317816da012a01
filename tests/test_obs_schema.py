"""Columns and values renamed, and obs held to what a store declares."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import dao
from dao import errors

if TYPE_CHECKING:
    from pathlib import Path

Write = Any


def study(**obs: Any) -> ad.AnnData:
    """Return a study with these obs columns."""
    n_obs = len(next(iter(obs.values())))
    x = np.ones((n_obs, 2), np.float32)
    names = [f"c{i}" for i in range(n_obs)]
    return ad.AnnData(x, obs=pd.DataFrame(obs, index=names), var=pd.DataFrame(index=["A", "B"]))


def column(store: dao.Store, name: str, dataset: str | None = None) -> list[Any]:
    """Return a column with the rows as they were in the source; None where it is missing."""
    obs = store.obs if dataset is None else store.obs[store.obs["dataset"] == dataset]
    values = obs.sort_values("_source_row")[name]
    return [None if pd.isna(v) else v for v in values]


# --- values of a source -------------------------------------------------------------------------


def test_values_are_renamed(write: Write) -> None:
    """Text, categories, numbers and booleans become the store's values; others stay."""
    a = study(
        Sex=pd.Categorical(["M", "F", None, "M"]),
        label=["b", "t", "t", "nk"],
        code=[0, 1, 1, 0],
        flag=[True, False, True, True],
    )
    renames = {
        "sex": ("Sex", {"M": "male", "F": "female"}),
        "cell_type": ("label", {"b": "B cell", "nk": None}),
        "stage": ("code", {0: "early", "1": "late"}),
        "healthy": ("flag", {True: "yes", False: "no"}),
    }
    store = write({"a": dao.Source(a, obs=renames)})
    assert column(store, "sex") == ["male", "female", None, "male"]
    assert column(store, "cell_type") == ["B cell", "t", "t", None]
    assert column(store, "stage") == ["early", "late", "late", "early"]
    assert column(store, "healthy") == ["yes", "no", "yes", "yes"]
    assert store.obs_columns == tuple(renames)
    assert isinstance(store.obs["stage"].dtype, pd.CategoricalDtype)


def test_order_of_categories_is_kept(write: Write) -> None:
    """Merged categories keep their order, unless merging contradicts it."""
    stages = pd.Categorical(["c", "a", "b"], categories=["a", "b", "c"], ordered=True)
    a = study(stage=stages, other=stages)
    source = dao.Source(
        a,
        obs={"stage": ("stage", {"a": "early", "b": "early"}),
             "other": ("other", {"a": "x", "c": "x"})},
    )  # fmt: skip
    store = write({"a": source})
    assert store.obs["stage"].dtype == pd.CategoricalDtype(["early", "c"], ordered=True)
    assert not store.obs["other"].dtype.ordered
    assert column(store, "other") == ["x", "x", "b"]


def test_one_column_may_become_two(write: Write) -> None:
    """A source column gives several store columns, each with its own values."""
    a = study(batch=["CO_EPI", "TI_IMM"])
    obs = {"batch": "batch", "site": ("batch", {"CO_EPI": "colon", "TI_IMM": "ileum"})}
    store = write({"a": dao.Source(a, obs=obs)})
    assert column(store, "batch") == ["CO_EPI", "TI_IMM"]
    assert column(store, "site") == ["colon", "ileum"]
    swapped = dao.Source(study(x=[1], y=[2]), obs={"x": "y", "y": "x"})
    store = write({"a": swapped}, "t.dao")
    assert (column(store, "x"), column(store, "y")) == ([2], [1])


def test_values_that_no_cell_has(write: Write) -> None:
    """A map of which nothing fits is an error; one value that nearly fits is a warning."""
    a = study(sex=["male", "female"])
    with pytest.raises(errors.UnknownValueError, match=r"sex = 'mal'.*Did you mean 'male'"):
        write({"a": dao.Source(a, obs={"sex": ("sex", {"mal": "M"})})})
    with pytest.warns(errors.DaoWarning, match=r"'femal'.*Did you mean 'female'"):
        write({"a": dao.Source(a, obs={"sex": ("sex", {"male": "M", "femal": "F"})})})
    write({"a": dao.Source(a, obs={"sex": ("sex", {"male": "M", "3rd": "X"})})}, "s.dao")


# --- a declared schema --------------------------------------------------------------------------


SCHEMA = {
    "cell_type": dao.ObsColumn("category", values=["T", "B", "NK"], required=True),
    "donor": dao.ObsColumn("string", default="unknown"),
    "n_counts": "float32",
    "stage": dao.ObsColumn("category", values=["early", "late"], ordered=True),
    "age": "int16",
    "ok": "bool",
    "any": dao.ObsColumn(),
}


def test_studies_are_brought_to_the_schema(write: Write) -> None:
    """Types, order of categories, defaults; columns that it does not name are left out."""
    a = study(
        n_counts=[1, 2, 3],
        cell_type=["B", "T", None],
        extra=[1, 2, 3],
        age=[30.0, np.nan, 41.0],
        ok=[1, 0, 1],
        any=["x", "y", "z"],
    )
    b = study(cell_type=pd.Categorical(["NK"]), donor=["d1"], stage=["late"], age=["7"])
    store = write({"a": a, "b": b}, obs_schema=SCHEMA)
    assert store.obs_columns == ("cell_type", "donor", "n_counts", "age", "ok", "any", "stage")
    assert store.categories("cell_type") == ["T", "B", "NK"]
    assert column(store, "cell_type", "a") == ["B", "T", None]
    assert column(store, "donor", "a") == ["unknown"] * 3
    assert column(store, "age", "a") == [30, None, 41]
    assert column(store, "age", "b") == [7]
    assert column(store, "ok", "a") == [True, False, True]
    assert store.obs["stage"].dtype == pd.CategoricalDtype(["early", "late"], ordered=True)
    infos = store.manifest.obs_columns
    assert (infos["n_counts"].dtype, infos["age"].dtype, infos["ok"].kind) == (
        "float32", "int16", "bool",
    )  # fmt: skip
    [batch] = store.generator(9, obs_keys=["cell_type"], sampler="sequential")
    codes = {"T": 0, "B": 1, "NK": 2, None: -1}
    expected = [codes[None if pd.isna(v) else v] for v in store.obs["cell_type"]]
    assert batch["obs"]["cell_type"].cat.codes.tolist() == expected


def test_all_that_does_not_fit_is_said_at_once(write: Write, tmp_path: Path) -> None:
    """Every column of every study that does not follow the schema is in one error."""
    a = study(celltype=["B"], age=[1.5], ok=["maybe"], stage=["lat"])
    b = study(cell_type=["Bx"], n_counts=["many"], age=[70_000])
    with pytest.raises(errors.SourceError) as caught:
        write({"a": a, "b": b}, obs_schema=SCHEMA)
    message = str(caught.value)
    for part in (
        "'a'", "'cell_type' is required and missing. Did you mean 'celltype'", "1.5", "'maybe'",
        "'lat' (1 cells). Did you mean 'late'", "'b'", "'Bx' (1 cells)", "no number",
        "beyond int16",
    ):  # fmt: skip
        assert part in message
    assert not (tmp_path / "store.dao").exists()


def test_whole_numbers_keep_their_digits(write: Write) -> None:
    """Large numbers beside missing ones go through no float."""
    large = 2**62 + 1
    store = write({"a": study(n=pd.array([large, None], dtype="Int64"))}, obs_schema={"n": "int64"})
    assert column(store, "n") == [large, None]


CATEGORIES: dict[str, tuple[Any, list[Any], dict[str, Any]]] = {
    # What the study has, the categories of the store, and what is declared of them.
    "ints": ([10, 9, 2, 10], [2, 9, 10], {}),
    "int8": (np.array([10, 9, -2, 10], "i1"), [-2, 9, 10], {}),
    "large": (np.array([2**64 - 1, 2**53 + 1, 2**53, 0], "u8"),
              [0, 2**53, 2**53 + 1, 2**64 - 1], {}),
    "Int64": (pd.array([10, None, 2**53 + 1, 2], "Int64"), [2, 10, 2**53 + 1], {}),
    "objects": (np.array([10, None, 9, True], object)[[0, 1, 2, 0]], [9, 10], {}),
    "bools": ([True, False, True, True], [False, True], {}),
    "boolean": (pd.array([True, None, False, True], "boolean"), [False, True], {}),
    "floats": ([10.5, 9.0, np.nan, 10.5], [9.0, 10.5], {}),
    "int categories": (pd.Categorical([10, 9, 2, 10], categories=[10, 2, 9, 7]), [10, 2, 9, 7], {}),
    "bool categories": (pd.Categorical([True, False, None, True]), [False, True], {}),
    "text": (["10", "9", "2", "10"], ["10", "2", "9"], {}),
    "mixed": (np.array([10, "a", None, 10], object), ["10", "a"], {}),
    "times": (pd.to_datetime(["2024-01-02"] * 4), ["2024-01-02 00:00:00"], {}),
    "declared ints": ([2, 0, 1, 0], [0, 1, 2], {"values": [0, 1, 2]}),
    "declared numpy": ([2, 0, 1, 0], [2, 1, 0, 5], {"values": np.array([2, 1, 0, 5])}),
    "declared order": ([2, 0, 1, 0], [2, 1, 0], {"values": [2, 1, 0], "ordered": True}),
    "declared for floats": ([2.0, np.nan, 1, 0], [0, 1, 2], {"values": [0, 1, 2]}),
    "declared floats": ([0, 1, 1, 0], [0.0, 0.5, 1.0], {"values": [0.0, 0.5, 1.0]}),
    "declared bools": ([True, False, True, True], [True, False], {"values": [True, False]}),
    "declared text": ([2, 0, 1, 0], ["0", "1", "2"], {"values": ["0", "1", "2"]}),
    "number as default": ([5.0, np.nan, 3.0, 5.0], [-1.0, 3.0, 5.0], {"default": -1}),
    "text as default": ([5, 3, 5, 3], ["3", "5"], {"values": ["3", "5"], "default": "3"}),
}  # fmt: skip


@pytest.mark.parametrize("name", CATEGORIES)
def test_categories_keep_the_type_of_their_values(write: Write, name: str) -> None:
    """Numbers and booleans stay what they are, in the order of numbers, through an append, too."""
    values, categories, more = CATEGORIES[name]
    store = write({"a": study(n=values)}, obs_schema={"n": {"dtype": "category", **more}})
    assert store.categories("n") == categories
    assert list(map(type, store.categories("n"))) == list(map(type, categories))
    assert store.obs["n"].dtype.ordered == bool(more.get("ordered"))
    kind = type(categories[0])
    plain = [None if pd.isna(v) else v for v in pd.Series(values, dtype=object)]
    expected = [more.get("default") if v is None else kind(v) for v in plain]
    assert column(store, "n") == expected
    again = write({"b": study(n=values)}, mode="append")
    assert again.manifest.obs_schema == store.manifest.obs_schema
    assert again.categories("n") == categories
    assert column(again, "n", "b") == expected


def test_categories_that_cannot_be(write: Write) -> None:
    """Text where numbers are declared, other numbers, and numbers that would be rounded."""
    schema = {"n": dao.ObsColumn("category", values=[0, 1, 2])}
    with pytest.raises(errors.ObsTypeError, match=r"'1' \(2 cells\), which is text"):
        write({"a": study(n=["1", "1"])}, obs_schema=schema)
    with pytest.raises(errors.ObsTypeError, match=r"3 \(1 cells\)"):
        write({"a": study(n=[1, 3])}, obs_schema=schema)
    numbers = pd.Series([2**53 + 1, 0.5], dtype=object).to_numpy()
    with pytest.raises(errors.ObsTypeError, match="would round"):
        write({"a": study(n=numbers)}, obs_schema={"n": "category"})
    with pytest.raises(errors.ObsTypeError, match="'n'"):
        write({"a": study(n=["x"]), "b": study(n=[1])}, obs_schema={"n": "category"})
    assert column(write({"a": study(n=["x"])}, obs_schema={"n": "category"}), "n") == ["x"]
    store = write({"b": study(n=[1])}, mode="append")
    assert store.categories("n") == ["x", "1"]  # the store has text already


def test_the_store_remembers_its_schema(tmp_path: Path, write: Write) -> None:
    """Appended studies are held to it; another schema is refused; overwriting forgets it."""
    schema = {"sex": {"dtype": "category", "values": ["male", "female"], "required": True}}
    write({"a": study(sex=["female"])}, obs_schema=schema)
    content = json.loads((tmp_path / "store.dao" / "dao.json").read_text())
    assert content["obs_schema"]["sex"]["values"] == ["male", "female"]
    with pytest.raises(errors.ObsTypeError, match="'F'"):
        write({"b": study(sex=["F"])}, mode="append")
    with pytest.raises(errors.ArgumentError, match="has its own"):
        write({"b": study(sex=["male"])}, mode="append", obs_schema={"sex": "string"})
    with pytest.raises(errors.ArgumentError, match="obs_columns"):
        write({"b": study(sex=["male"])}, mode="append", obs_columns=["sex"])
    store = write({"b": study(sex=["male"], more=[1])}, mode="append", obs_schema=schema)
    assert store.obs_columns == ("sex",)
    assert store.obs["sex"].cat.codes.tolist() == [1, 0]
    assert write({"b": study(x=[1])}, mode="overwrite").obs_columns == ("x",)
    with pytest.raises(errors.ArgumentError, match="without an obs_schema"):
        write({"c": study(sex=["male"])}, mode="append", obs_schema=schema)


@pytest.mark.parametrize(
    ("schema", "match"),
    [
        ({"a": "flota32"}, "Did you mean 'float32'"),
        ({"a": {"dtyp": "int"}}, "Did you mean 'dtype'"),
        ({"a": {"values": "B"}}, "a list"),
        ({"a": {"values": ["B", "B"]}}, "twice"),
        ({"a": {"dtype": "int8", "default": 300}}, "300"),
        ({"a": {"dtype": []}}, "dtype must be text"),
        ({"a": {"dtype": "int8", "default": float("inf")}}, "inf"),
        ({"a": {"dtype": "float32", "default": 10**40}}, "no value of dtype"),
        ({"a": {"dtype": "bool", "default": "no"}}, "'no'"),
        ({"a": {"dtype": "category", "values": ["x"], "default": "y"}}, "'y'"),
        ({"a": {"dtype": "category", "ordered": True}}, "ordered"),
        ({"a": {"dtype": "category", "values": [1, "1"]}}, "all texts, all numbers"),
        ({"a": {"dtype": "category", "values": [True, 1]}}, "all texts, all numbers"),
        ({"a": {"dtype": "category", "values": [1, 1.0]}}, "each once"),
        ({"a": {"dtype": "category", "values": [2**64]}}, "no value of dtype"),
        ({"a": {"dtype": "category", "values": [1.0, float("inf")]}}, "no value of dtype"),
        ({"dataset": "string"}, "name of a column"),
        ({"a": 3}, "give a dtype"),
        (["a"], "must map"),
    ],
)
def test_schemas_that_cannot_be(write: Write, schema: Any, match: str) -> None:
    """A schema that contradicts itself is refused before any source is opened."""
    with pytest.raises(errors.ArgumentError, match=match):
        write({"a": "no such file.h5ad"}, obs_schema=schema)
    with pytest.raises(errors.ArgumentError, match="leave out obs_columns"):
        write({"a": study(x=[1])}, obs_schema={"x": "int"}, obs_columns=["x"])


def test_codes_are_shared_over_datasets(write: Write) -> None:
    """The code of a category is the same in every study, whatever its own order is."""
    a = study(t=pd.Categorical(["x", "y"], categories=["y", "x"]))
    b = study(t=pd.Categorical(["x", "z"], categories=["z", "x"]))
    store = write({"a": a, "b": b}, shuffle=False)
    assert store.categories("t") == ["y", "x", "z"]
    [batch] = store.generator(4, obs_keys=["t"], sampler="sequential")
    assert batch["obs"]["t"].cat.codes.tolist() == [1, 0, 1, 2]


def test_conflicting_types_name_the_datasets(write: Write) -> None:
    """Without a schema numbers and text in one column are refused, with both datasets."""
    with pytest.raises(errors.ObsTypeError, match=r"'age'.*'one'.*'two'"):
        write({"one": study(age=[1]), "two": study(age=["old"])})
    store = write({"one": study(age=[1]), "two": study(age=[1.5])})
    assert store.obs["age"].dtype == np.float64
