"""var columns of every type: kept, and given back with their types where studies agree."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import dao
from dao.errors import ArgumentError

if TYPE_CHECKING:
    from pathlib import Path

Write = Any
Make = Any

N = 40


def table(index: Any) -> pd.DataFrame:
    """Return columns of every type."""
    i = np.arange(len(index))
    stage = pd.Categorical.from_codes(i % 3, ["late", "mid", "early"], ordered=True)
    return pd.DataFrame(
        {
            "flag": i % 2 == 0,
            "count": i.astype(np.int16) - 5,
            "large": i + 2**60,
            "mean": i / 3,
            "single": (i / 3).astype(np.float32),
            "holes": np.where(i % 4 == 0, np.nan, i),
            "maybe": pd.array([None if k % 5 == 0 else k for k in i], dtype="Int32"),
            "yes": pd.array([None if k % 5 == 0 else k % 2 == 0 for k in i], dtype="boolean"),
            "kind": pd.Categorical(np.where(i % 2, "coding", "other"), ["coding", "none", "other"]),
            "stage": stage,
            "codes": pd.Categorical(i % 4),
            "day": pd.to_datetime("2020-01-01") + pd.to_timedelta(i, unit="D"),
            "symbol": [f"S{k}" for k in i],
            "notes": [None if k % 3 else f"n{k}" for k in i],
        },
        index=index,
    )


def same(got: pd.DataFrame, wanted: pd.DataFrame) -> None:
    """Compare values and dtypes of the columns that are wanted."""
    got = got.loc[wanted.index, wanted.columns]
    for name in wanted:
        left, right = got[name], wanted[name]
        if right.dtype == object or str(right.dtype) in {"str", "string"}:
            np.testing.assert_array_equal(left.isna(), right.isna(), name)
            assert left.dropna().tolist() == right.dropna().tolist(), name
        else:
            pd.testing.assert_series_equal(left, right, check_names=False, check_index_type=False)


@pytest.fixture
def study(make_study: Make) -> ad.AnnData:
    """A study with such a table."""
    adata: ad.AnnData = make_study()
    adata.var = table(adata.var_names)
    return adata


@pytest.mark.parametrize("place", ["memory", "h5ad", "zarr"])
def test_types_come_back(tmp_path: Path, write: Write, study: ad.AnnData, place: str) -> None:
    """From every source, in `var`, in exports, after compact, copy, and through a backend."""
    wanted, given = study.var.copy(), study
    if place != "memory":
        study.var = study.var.drop(columns=["day", "codes"])  # anndata files cannot hold them
        wanted, given = study.var.copy(), tmp_path / f"s.{place}"
        getattr(study, f"write_{place}")(given)
        wanted = getattr(ad, f"read_{place}")(given).var
    store = write({"s": given})
    same(store.var, wanted)
    same(store.to_anndata().var, wanted)
    same(store.select_features(["G7", "G3"]).var, wanted.loc[["G7", "G3"]])
    same(write(store, name="copy.dao").var, wanted)
    same(store.compact(progress=False).var, wanted)
    if place == "h5ad":
        same(dao.load_store(given, backend="h5ad").var, wanted)
        assert store.select_features(flag=True).n_vars == 20
        assert store.select_features(where="mean > 10 and flag").n_vars == 4


def test_studies_that_agree_are_united(write: Write, make_study: Make) -> None:
    """Each feature has the value of a study that has one; what nobody has is missing."""
    a, b = make_study(0), make_study(1, genes=[f"G{i}" for i in range(30, 70)])
    every = table(pd.Index([f"G{i}" for i in range(70)]))
    a.var, b.var = every.loc[a.var_names], every.loc[b.var_names]
    store = write({"a": a, "b": b})
    same(store.var, every)
    b.var = b.var[["flag", "count"]]
    appended = write({"a": a}, name="g.dao")
    appended = write({"b": b}, name="g.dao", mode="append")
    same(appended.var, every[["flag", "count"]])
    assert appended.var["large"].dtype == "Int64"
    assert appended.var["large"].isna().sum() == 30
    assert appended.var.loc["G3", "large"] == 2**60 + 3
    assert appended.var["mean"].dtype == np.float64
    assert appended.var["day"].isna().sum() == 30
    alone = appended.subset(dataset="a").var.loc[a.var_names]  # others have no value there
    same(alone.astype({"flag": bool, "large": np.int64}), a.var[["flag", "large", "mean"]])


def test_studies_that_disagree_keep_their_own(write: Write, make_study: Make) -> None:
    """What speaks of one study is not said of both, and is there for each."""
    a, b = make_study(0), make_study(1)
    for k, one in enumerate((a, b)):
        one.var["mean"] = np.arange(N) * (k + 1.0)
        one.var["variable"] = np.arange(N) % (k + 2) == 0
        one.var["length"] = np.arange(N) * 7
        one.var["kind"] = pd.Categorical([["x", "y"][k]] * N)
    store = write({"a": a, "b": b})
    assert not {"mean", "variable"} & set(store.var)
    same(store.var, a.var[["length"]])
    assert set(store.var["kind"]) == {"x"}  # text: the first study to know
    for name, one in (("a", a), ("b", b)):
        part = store.subset(dataset=name)
        same(part.var, one.var[["mean", "variable", "length"]])
        same(part.to_anndata().var, one.var[["mean", "variable", "length"]])
    store = write({"b": a}, mode="replace")
    same(store.var, a.var[["mean", "variable", "length"]])
    merged = write({"a": a, "b": b}, name="m.dao").compact(merge={"m": ["a", "b"]}, progress=False)
    assert not {"mean", "variable"} & set(merged.var)
    same(merged.var, a.var[["length"]])


def test_whole_numbers_beside_fractions(write: Write, make_study: Make) -> None:
    """Equal numbers of two types agree where a common type holds them exactly."""
    a, b = make_study(0), make_study(1, genes=[f"G{i}" for i in range(20, 60)])
    a.var["n"], b.var["n"] = np.arange(N), np.arange(20, 60) * 1.0
    a.var["m"], b.var["m"] = np.arange(N) + 2**60, np.arange(N) / 2
    a.var["k"], b.var["k"] = np.arange(N), [f"text {i}" for i in range(N)]
    var = write({"a": a, "b": b}).var
    assert var.loc[[f"G{i}" for i in range(60)], "n"].tolist() == list(range(60))
    assert "m" not in var


def test_columns_without_a_type_of_their_own(write: Write, make_study: Make) -> None:
    """Objects of one kind get its dtype, others become text; a name that is there twice is refused."""
    study = make_study()
    study.var["flags"] = pd.Series([True, None] * 20, index=study.var_names, dtype=object)
    study.var["mixed"] = pd.Series([1, "a"] * 20, index=study.var_names, dtype=object)
    study.var["bins"] = pd.cut(np.arange(N), 4)
    study.var["lists"] = [[1]] * N
    study.var["empty"] = None
    store = write(study)
    assert store.var["flags"].dtype == "boolean"
    assert store.var.loc["G0", "mixed"] == "1"
    assert store.var.loc["G0", "lists"] == "[1]"
    assert store.var.loc["G0", "bins"] == str(study.var["bins"].iloc[0])
    study.var.columns = [*study.var.columns[:-1], "mixed"]
    with pytest.raises(ArgumentError, match="'mixed' twice"):
        write(study, name="t.dao")


def test_columns_of_zeros_have_missing_values(write: Write, study: ad.AnnData) -> None:
    """A feature that no study has does not make whole numbers of the others fractions."""
    chosen = write(study).select_features(["G3", "new"], missing="zero")
    assert chosen.var.loc["G3", "large"] == 2**60 + 3
    assert (chosen.var["large"].dtype, chosen.var["flag"].dtype) == ("Int64", "boolean")
    assert chosen.var.loc["new"].isna().all()
    assert chosen.to_anndata().var.loc["G3", "large"] == 2**60 + 3
