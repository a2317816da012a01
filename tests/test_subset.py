"""Choosing cells and features: against pandas, and the errors of those who mistype."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dao
from dao import errors
from dao.format.manifest import ColumnInfo
from dao.frames import frame_columns
from dao.where import evaluate, parse

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import anndata as ad

Make = Any


@pytest.fixture
def store(write: Callable[..., dao.Store], make_study: Make) -> dao.Store:
    """Two human studies and a mouse one, 160 cells; only two have a tissue."""
    studies = {name: make_study(i, 40 + 20 * i) for i, name in enumerate(("a", "b", "m"))}
    studies["a"].obs["tissue"] = "lung"
    studies["b"].obs["tissue"] = pd.Categorical(["lung", "blood"] * 30)
    sources = [
        dao.Source(study, id=name, organism="mouse" if name == "m" else "human")
        for name, study in studies.items()
    ]
    return write(sources)


QUERIES = [
    "n_genes > 12",
    "n_genes >= 12 and cell_type == 'B'",
    "cell_type != 'B'",
    "cell_type in ['B', 'NK'] or doublet",
    "not doublet",
    "not (cell_type == 'T' or n_counts < 1000)",
    "10 <= n_genes < 14",
    "500 < n_counts and n_counts <= 2e3",
    "score > 0.5",
    "score.isna()",
    "score.notna() and score < 0.25",
    "stage == 'early'",
    "barcode.str.endswith('7-0')",
    "cell_type.isin(['T'])",
    "n_genes.between(10, 12)",
    "(n_genes > 12) & (doublet | (cell_type == 'T'))",
    "~doublet & (score != 0.1)",
    "cell_type not in ['B']",
]


@pytest.mark.parametrize("query", QUERIES)
def test_expressions_mean_what_pandas_means(store: dao.Store, query: str) -> None:
    """Every expression picks the cells that DataFrame.query picks."""
    obs = store.obs.reset_index(drop=True)
    expected = np.flatnonzero(obs.eval(query, engine="python").fillna(False).to_numpy(bool))
    chosen = store.subset(query)
    np.testing.assert_array_equal(chosen.selection.positions(store.manifest), expected)
    assert chosen.n_obs == len(chosen.obs) == len(expected)


def test_keywords_exclusions_and_calls_and_together(store: dao.Store) -> None:
    """Values, lists, missing values, exclusions and repeated calls are all conditions."""
    obs = store.obs
    chosen = store.subset(cell_type=["B", "T"], exclude={"dataset": "m"}).subset(stage="late")
    expected = (
        obs["cell_type"].isin(["B", "T"]) & (obs["dataset"] != "m") & (obs["stage"] == "late")
    )
    assert list(chosen.obs.index) == list(obs.index[expected])
    assert store.subset(tissue=None).n_obs == int(obs["tissue"].isna().sum())
    assert store.subset(exclude={"tissue": ["lung", None]}).n_obs == int(
        (obs["tissue"] == "blood").sum()
    )
    assert store.subset(batch=3).n_obs == int((obs["batch"] == 3).sum())
    assert store.subset(doublet=True).n_obs == int(obs["doublet"].sum())
    assert (
        store.subset(cell_type=np.array(["B"])).n_obs
        == store.subset(cell_type=pd.Index(["B"])).n_obs
    )
    assert store.subset().n_obs == store.n_obs == 180
    ordered = store.subset("stage >= 'late'")
    assert set(ordered.obs["stage"]) == {"late"}


def test_a_view_changes_nothing(store: dao.Store) -> None:
    """Operations return new stores; the old one and its obs stay."""
    before = store.obs.copy()
    store.subset(cell_type="B").select_features  # noqa: B018 - a multi-organism view may exist
    pd.testing.assert_frame_equal(store.obs, before)
    with pytest.raises(AttributeError):
        store.memory = 3  # type: ignore[misc]


def test_organisms(store: dao.Store) -> None:
    """Each organism is a feature space; what needs one says so."""
    assert store.organisms == ("Homo sapiens", "Mus musculus")
    for what in (
        lambda: store.n_vars,
        lambda: store.var,
        store.to_anndata,
        store.generator,
        lambda: store.select_features(["G1"]),
    ):
        with pytest.raises(errors.MultipleFeatureSpacesError, match="Homo sapiens"):
            what()
    human = store["Homo sapiens"]
    assert (
        human.datasets
        == store["human"].datasets
        == store.subset(organism="human").datasets
        == ["a", "b"]
    )
    assert human.shape == (100, 40)
    assert store.subset(dataset="m").organisms == ("Mus musculus",)
    with pytest.raises(errors.UnknownDatasetError, match="Mus musculus"):
        store["mice"]
    assert sum(len(b["index"]) for b in store["mouse"].generator(7)) == 80


def test_nothing_is_left(store: dao.Store) -> None:
    """An empty selection is a store without cells, not an error."""
    empty = store["human"].subset("n_genes > 1000")
    assert empty.shape == (0, 40)
    assert empty.datasets == []
    with pytest.warns(errors.DaoWarning, match="No cell is selected") as caught:
        batches = empty.generator(5)
    assert caught[0].filename == __file__
    assert list(batches) == []
    assert len(batches) == 0
    assert empty.to_anndata().shape == (0, 40)
    assert len(empty.obs) == 0
    assert empty.subset(cell_type="B").n_obs == 0


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"celltype": "B"}, errors.UnknownColumnError, "Did you mean 'cell_type'"),
        ({"cell_type": "NKT"}, errors.UnknownValueError, "Did you mean 'NK'"),
        ({"dataset": "c"}, errors.UnknownValueError, "Known: 'a', 'b', 'm'"),
        ({"organism": "rat"}, errors.UnknownValueError, "Homo sapiens"),
        ({"exclude": {"cell_type": "NKT"}}, errors.UnknownValueError, "NK"),
        ({"exclude": {"cell_type": "B"}, "cell_type": "B"}, errors.ArgumentError, "both"),
        ({"n_genes": "many"}, errors.ExpressionError, "n_genes"),
        ({"where": "cell_type = 'B'"}, errors.ExpressionError, "Cannot understand"),
        ({"where": "cell_type == B"}, errors.ExpressionError, "quotes"),
        ({"where": "celltype == 'B'"}, errors.UnknownColumnError, "cell_type"),
        ({"where": "cell_type == 'NKT'"}, errors.UnknownValueError, "NK"),
        ({"where": "cell_type"}, errors.ExpressionError, "compare it"),
        ({"where": "n_genes > 'a'"}, errors.ExpressionError, "int64"),
        ({"where": "n_genes.startswith('a')"}, errors.ExpressionError, "no text"),
        ({"where": "n_genes.mean() > 3"}, errors.ExpressionError, "mean"),
        (
            {"where": "__import__('os').system('true')"},
            errors.ExpressionError,
            "calculation or function",
        ),
        ({"where": "(lambda: 1)() == 1"}, errors.ExpressionError, "column"),
        ({"where": "[c for c in x] == 1"}, errors.ExpressionError, "column"),
        ({"where": "n_genes + 1 > 3"}, errors.ExpressionError, "calculation"),
        ({"where": ""}, errors.ExpressionError, "Cannot understand"),
        ({"where": "cell_type in 'B'"}, errors.ExpressionError, "list"),
        ({"where": "stage < 'never'"}, errors.UnknownValueError, "early"),
        ({"where": 3}, errors.ArgumentError, "text"),
        ({"exclude": ["a"]}, errors.ArgumentError, "exclude"),
        ({"cell_type": {"B": 1}}, errors.ExpressionError, "list of values"),
        ({"where": "(" * 500 + "doublet" + ")" * 500}, errors.ExpressionError, "Cannot"),
    ],
)
def test_mistakes_are_named(
    store: dao.Store, arguments: dict[str, Any], error: type[Exception], match: str
) -> None:
    """Unknown columns and values bring the near ones; nothing is executed."""
    with pytest.raises(error, match=match):
        store.subset(**arguments)


def test_only_what_is_needed_is_read(store: dao.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A filter reads its own columns, of the datasets that can still match."""
    read: list[tuple[str, Any]] = []
    original = type(store.reader).table

    def table(reader: Any, path: str, columns: Any = None) -> Any:
        if path.endswith("obs.parquet"):
            read.append((path.split("/")[1], tuple(columns)))
        return original(reader, path, columns)

    monkeypatch.setattr(type(store.reader), "table", table)
    store.subset("n_genes > 10 and dataset == 'b'")
    assert read == [("b", ("n_genes",))]
    read.clear()
    store.subset(dataset="a").subset(cell_type="B")
    assert read == [("a", ("cell_type",))]
    read.clear()
    store.subset("tissue == 'lung' and n_counts > 1e9")
    assert {c for _, c in read} == {("n_counts", "tissue")}
    assert "m" not in {d for d, _ in read}


def test_columns_limit_what_is_offered(store: dao.Store) -> None:
    """load_store(columns=) leaves the other columns out, and an unknown one is an error."""
    small = dao.load_store(store.path, columns=["cell_type"])
    assert small.obs_columns == ("cell_type",)
    assert set(small.obs) == {"dataset", "organism", "cell_type", "_source_row"}
    with pytest.raises(errors.UnknownColumnError):
        small.subset("n_genes > 3")
    with pytest.raises(errors.UnknownColumnError, match="cell_type"):
        dao.load_store(store.path, columns=["celltype"])


def test_select_features_keeps_the_order(store: dao.Store) -> None:
    """The order asked for is the order delivered, everywhere."""
    human = store["human"]
    genes = ["G30", "G2", "G17"]
    chosen = human.select_features(genes)
    whole = human.to_anndata()
    assert list(chosen.var_names) == list(chosen.var.index) == genes
    assert chosen.shape == (100, 3)
    np.testing.assert_array_equal(chosen.to_anndata().X.toarray(), whole[:, genes].X.toarray())
    again = chosen.select_features(["G17", "G30"])
    batch = next(iter(again.generator(100, sampler="sequential", x_format="dense")))
    np.testing.assert_array_equal(batch["X"], whole[:, ["G17", "G30"]].X.toarray())
    sparse = next(iter(chosen.generator(100, sampler="sequential")))["X"]
    assert sparse.has_canonical_format
    np.testing.assert_array_equal(sparse.toarray(), whole[:, genes].X.toarray())


def test_select_features_that_are_missing(store: dao.Store) -> None:
    """Unknown ids are an error with near ones, or zeros where that is asked for."""
    human = store["human"]
    with pytest.raises(errors.UnknownFeatureError, match=r"'GG3'.*Did you mean"):
        human.select_features(["G1", "GG3"])
    for bad in (["G1", "G1"], "G1", [], [3]):
        with pytest.raises(errors.ArgumentError):
            human.select_features(bad)
    with pytest.raises(errors.ArgumentError, match="missing"):
        human.select_features(["G1"], missing="nan")
    filled = human.select_features(["new", "G3", "newer"], missing="zero")
    for x_format in ("csr", "dense"):
        batch = next(iter(filled.generator(100, sampler="sequential", x_format=x_format)))["X"]
        x = batch if x_format == "dense" else batch.toarray()
        np.testing.assert_array_equal(x[:, 1], human.to_anndata()[:, "G3"].X.toarray()[:, 0])
        assert not x[:, [0, 2]].any()
    with pytest.raises(errors.UnknownFeatureError):
        human.select_features(["G1"]).select_features(["G2"])


def test_obs_keeps_its_types(store: dao.Store, tmp_path: Path) -> None:
    """Categories with their order, numbers, booleans, text and missing values come back."""
    obs = store.obs
    assert obs["stage"].dtype == pd.CategoricalDtype(["early", "mid", "late"], ordered=True)
    assert obs["n_genes"].dtype == np.int64
    assert obs["n_counts"].dtype == np.float32
    assert obs["doublet"].dtype == np.bool_
    assert obs["batch"].dtype == pd.Int64Dtype()
    assert obs["barcode"].map(type).eq(str).all()
    study = store.subset(dataset="b").to_anndata()
    numbers = pd.Categorical([3, 1, 3], categories=[3, 2, 1], ordered=True)
    flags = pd.Categorical([True, False, None])
    times = pd.to_datetime(["2020-01-01", None, "2021-05-05"])
    frame = pd.DataFrame({"numbers": numbers, "flags": flags, "times": times}, index=list("xyz"))
    small = type(study)(np.eye(3, dtype="f4"), obs=frame)
    back = dao.write_store(tmp_path / "t.dao", small, shuffle=False, progress=False).obs
    assert back["numbers"].dtype == numbers.dtype
    assert list(back["numbers"]) == [3, 1, 3]
    assert list(back["flags"].astype(object).fillna("?")) == [True, False, "?"]
    assert (back["times"].isna() == [False, True, False]).all()
    assert back["times"].iloc[2] == pd.Timestamp("2021-05-05")


NAMES = st.sampled_from(["x", "y", "kind", "flag"])
ATOMS = st.one_of(
    st.builds(
        lambda c, o, v: f"{c} {o} {v}",
        st.sampled_from(["x", "y"]),
        st.sampled_from(["==", "!=", "<", "<=", ">", ">="]),
        st.integers(-2, 3),
    ),
    st.builds(
        lambda o, v: f"kind {o} '{v}'", st.sampled_from(["==", "!="]), st.sampled_from("abc")
    ),
    st.just("flag"),
    st.builds(lambda c: f"{c}.isna()", st.sampled_from(["y", "kind"])),
    st.just("kind in ['a', 'c']"),
)
TREES = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.builds(lambda a, b: f"({a} and {b})", inner, inner),
        st.builds(lambda a, b: f"({a} or {b})", inner, inner),
        st.builds(lambda a: f"(not {a})", inner),
    ),
    max_leaves=8,
)


@given(TREES, st.integers(0, 2**32))
@settings(max_examples=150, deadline=None)
def test_any_expression_equals_pandas(query: str, seed: int) -> None:
    """Random trees of and, or, not over columns with missing values: the mask of pandas."""
    random = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "x": random.integers(-2, 4, 30),
            "y": np.where(random.random(30) < 0.3, np.nan, random.integers(-2, 4, 30)),
            "kind": pd.Categorical(random.choice(["a", "b", "c", None], 30)),
            "flag": random.random(30) < 0.5,
        }
    )
    frame["kind"] = frame["kind"].cat.set_categories(["a", "b", "c"])
    expected = frame.eval(query, engine="python").to_numpy(bool)
    np.testing.assert_array_equal(evaluate(parse(query), frame_columns(frame), 30), expected)
    assert isinstance(frame_columns(frame)["x"].info, ColumnInfo)


def test_backticks_and_text_with_anything(
    make_study: Callable[..., ad.AnnData], write: Any
) -> None:
    """Columns with spaces and values with quotes, backticks and unicode can be asked for."""
    study = make_study()
    values = ["it's", 'a "b"', "x`y`z", "naïve — 日本", "<b>"]
    study.obs["a column/with: all"] = pd.Categorical((values * 10)[: study.n_obs])
    store = write(study)
    for value in values:
        text = value.replace("'", "\\'")
        chosen = store.subset(f"`a column/with: all` == '{text}'")
        assert chosen.n_obs == 10
        assert store.subset(**{"a column/with: all": value}).n_obs == 10
