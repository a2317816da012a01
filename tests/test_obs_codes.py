"""Codes of a store stay, and orders of categories are those that studies state."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import dao
from dao import errors

if TYPE_CHECKING:
    from collections.abc import Sequence

Writer = Any


def study(prefix: str, **obs: Any) -> ad.AnnData:
    """Return a study with these obs columns."""
    n_obs = len(next(iter(obs.values())))
    frame = pd.DataFrame(obs, index=[f"{prefix}{i}" for i in range(n_obs)])
    x = np.ones((n_obs, 2), np.float32)
    return ad.AnnData(x, obs=frame, var=pd.DataFrame(index=["A", "B"]))


def ordered(*values: Any, order: Sequence[Any] | None = None) -> pd.Categorical:
    """Return ordered categories; in the order of the values unless another is given."""
    listed = list(dict.fromkeys(values)) if order is None else list(order)
    return pd.Categorical(values, categories=listed, ordered=True)


def codes(store: dao.Store, name: str = "k") -> dict[Any, int]:
    """Return value -> code as a model sees it."""
    known = store.generator(4, obs_keys=[name]).categories[name]
    return {value: code for code, value in enumerate(known)}


def column(store: dao.Store) -> list[Any]:
    """Return the column in the order of the studies; None where it is missing."""
    values = store.to_anndata().obs["k"].astype(object)
    return [None if pd.isna(v) else v for v in values]


def plain(values: Any) -> list[Any]:
    """Return values of a study as `column` does."""
    return [None if pd.isna(v) else v for v in pd.Series(values).astype(object)]


# --- codes ---------------------------------------------------------------------------------------


APPENDED = {
    "text": (pd.Categorical(["z", "b"]), np.array(["a", "z", None], object)),
    "string dtype": (pd.Categorical(["z", "b"]), pd.array(["a", None, "b"], "string")),
    "arrow text": (pd.Categorical(["z", "b"]), pd.array(["a", None, "b"], "string[pyarrow]")),
    "categories": (pd.Categorical(["z", "b"]), pd.Categorical(["a", "b", None])),
    "ordered categories": (pd.Categorical(["z", "b"]), ordered("b", "a")),
    "unused ones": (pd.Categorical(["z"], categories=["z", "y"]), pd.Categorical(["a", "y"])),
    "ints": (pd.Categorical([5, 3]), np.array([4, 5], np.int16)),
    "nullable ints": (pd.Categorical([5, 3]), pd.array([4, None], "Int64")),
    "ints some of which are missing": (pd.Categorical([5, 3]), np.array([4.0, np.nan])),
    "fractions": (pd.Categorical([5, 3]), np.array([0.5, 3.0])),
    "categories of fractions": (pd.Categorical([5, 3]), pd.Categorical([0.5, 3.0])),
    "uint64": (pd.Categorical([5, 3]), pd.Categorical(np.array([2**64 - 1], np.uint64))),
    "booleans": (pd.Categorical([True]), pd.array([False, None, True], "boolean")),
    "nothing": (pd.Categorical(["z", "b"]), np.array([np.nan, np.nan])),
    "to nothing": (pd.Categorical([None, None]), pd.Categorical(["b", "a"])),
    "text to text": (["z", "b"], ["a", "z"]),
    "categories to text": (["z", "b"], pd.Categorical(["a", "z"])),
    "ordered, at the end": (ordered("b", "z"), ordered("b", "z", "a")),
    "ordered, text": (ordered("b", "z"), ["z", "b"]),
    "ordered, without order": (ordered("z", "b"), pd.Categorical(["b", "z", None])),
    "ordered, some of them": (ordered("b", "c", "z"), ordered("b", "z")),
    "ordered numbers": (ordered(1, 3), ordered(3, 4)),
}


@pytest.mark.parametrize("case", APPENDED)
def test_an_append_changes_no_code(write: Writer, case: str) -> None:
    """Nor do replacing, compacting and removing; values are those of the studies."""
    first, second = APPENDED[case]
    store = write({"a": study("a", k=first), "n": study("n", x=[1])}, shuffle=False)
    before = codes(store)
    is_ordered = store.column_info("k").ordered
    grown = write({"b": study("b", k=second)}, mode="append", shuffle=False)
    after = codes(grown)
    assert {value: after[value] for value in before} == before
    assert column(grown) == [*plain(first), None, *plain(second)]
    assert grown.column_info("k").ordered == is_ordered
    assert dao.validate_store(grown.path).ok
    text = grown.column_info("k").kind == "string"
    for changed in (
        write({"b": study("b", k=second)}, mode="replace", shuffle=False),
        grown.compact(progress=False, shuffle=False),
        dao.load_store(grown.path).remove("a"),
    ):
        assert text or codes(changed) == after
        assert changed.column_info("k").kind == grown.column_info("k").kind
        assert dao.validate_store(grown.path).ok
    assert column(changed) == [None, *plain(second)]


def test_the_dataset_that_made_a_column_is_replaced(write: Writer) -> None:
    """Its categories keep their codes though nobody else has the column."""
    store = write({"a": study("a", k=pd.Categorical(["z", "b"])), "n": study("n", x=[1])})
    before = codes(store)
    store = write({"a": study("a", k=["a", "b"])}, mode="replace", shuffle=False)
    assert codes(store) == {**before, "a": 2}
    left = store.remove("a")
    assert left.obs_columns == ("x",)
    assert left.obs["x"].tolist() == [1]
    assert dao.validate_store(left.path).ok
    again = write({"a": study("a", k=pd.Categorical(["c"]))}, mode="append")
    assert column(again.subset(dataset="a")) == ["c"]


REFUSED = {
    "in the middle": (ordered("a", "c"), ordered("a", "b", "c"), r"'b'.*never change"),
    "before": (ordered("b", "c"), ordered("a", "b"), r"'a'.*never change"),
    "of unknown place": (ordered("a", "c"), ordered("a", "x"), r"'x'.*no known place"),
    "of another order": (ordered("I", "II"), ordered("III", "IV"), r"'III'.*no known place"),
    "between numbers": (ordered(1, 3), ordered(2, 3), r"2.*never change"),
    "text": (ordered("a", "c"), ["a", "b"], r"'b'.*unknown"),
    "without order": (ordered("a", "c"), pd.Categorical(["b"]), r"'b'.*unknown"),
    "contradiction": (ordered("a", "c"), ordered("c", "a"), "contradict"),
    "numbers to text": (pd.Categorical(["a"]), [1], "cannot be united"),
    "booleans to numbers": (pd.Categorical([1]), [True], "cannot be united"),
    "text to numbers": (pd.Categorical([1]), ["a"], "cannot be united"),
    "negative next to uint64": (pd.Categorical([-1]), pd.Categorical([2**63]), "no dtype"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_where_codes_cannot_stay(write: Writer, case: str) -> None:
    """The append is refused with the way out, and the store is as it was."""
    first, second, message = REFUSED[case]
    store = write({"a": study("a", k=first)}, shuffle=False)
    with pytest.raises(errors.ObsTypeError, match=message) as caught:
        write({"b": study("b", k=second)}, mode="append")
    assert "dao.Source" in str(caught.value)
    assert dao.load_store(store.path).datasets == ["a"]
    source = dao.Source(study("b", k=second), obs={"other": "k"})
    assert column(write({"b": source}, mode="append").subset(dataset="a")) == plain(first)


# --- orders --------------------------------------------------------------------------------------


COMMON = {
    "overlap": ([("I", "II"), ("II", "III"), ("III", "IV")], ["I", "II", "III", "IV"]),
    "one has all": ([("II", "III"), ("I", "II", "III"), ("I", "III")], ["I", "II", "III"]),
    "numbers": ([(1, 3), (2, 4), (10,)], [1, 2, 3, 4, 10]),
    "falling numbers": ([(3, 1), (4, 2)], [4, 3, 2, 1]),
    "fractions and whole": ([(1, 3), (0.5, 2.0)], [0.5, 1, 2, 3]),
}


@pytest.mark.parametrize("case", COMMON)
def test_a_common_order(write: Writer, case: str) -> None:
    """Where there is one it is kept, and comparisons find every cell, as pandas does."""
    orders, expected = COMMON[case]
    store = write({f"s{i}": study(f"s{i}", k=ordered(*o)) for i, o in enumerate(orders)})
    dtype = pd.CategoricalDtype(expected, ordered=True)
    assert store.obs["k"].cat.ordered
    assert store.obs["k"].cat.categories.tolist() == expected
    oracle = pd.Series([v for o in orders for v in o]).astype(dtype)
    for value in expected:
        assert store.subset(f"k >= {value!r}").n_obs == (oracle >= value).sum()


@pytest.mark.parametrize(
    "orders",
    [
        [("I", "II"), ("III", "IV")],
        [("a", "c"), ("a", "b")],
        [("a", "c"), ("b", "c")],
        [("low",), ("high",)],
        [(3, 1), (2, 4)],
    ],
)
def test_no_common_order(write: Writer, orders: list[tuple[Any, ...]]) -> None:
    """The column has none either, with a warning; obs_schema declares one."""
    sources = {f"s{i}": study(f"s{i}", k=ordered(*o)) for i, o in enumerate(orders)}
    with pytest.warns(errors.DaoWarning, match=r"'k' has no order.*obs_schema"):
        store = write(sources, shuffle=False)
    assert not store.obs["k"].cat.ordered
    assert column(store) == [v for o in orders for v in o]
    # Each study kept its own.
    alone = write(store.subset(dataset="s0"), "alone.dao")
    assert alone.obs["k"].dtype == ordered(*orders[0]).dtype
    if isinstance(orders[0][0], str):
        values = sorted({v for o in orders for v in o})
        schema = {"k": dao.ObsColumn("category", values=values, ordered=True)}
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            declared = write(sources, "declared.dao", obs_schema=schema)
        assert declared.obs["k"].cat.categories.tolist() == values


def test_ordered_in_some_studies_only(write: Writer) -> None:
    """A warning names those that are; text makes the column text, as documented."""
    sources = {"a": study("a", k=ordered("b", "a")), "b": study("b", k=pd.Categorical(["a"]))}
    with pytest.warns(errors.DaoWarning, match="ordered in 'a', but not in all"):
        assert not write(sources).obs["k"].cat.ordered
