"""Cells one by one, in any order, at random, and as sets: against pandas and NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow.compute as pc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import dao
from dao import errors
from dao.selection import Selection

Make = Any


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, make_study: Make) -> dao.Store:
    """Three studies of one organism, 60 cells each; only two have a tissue."""
    studies = {name: make_study(i, 60) for i, name in enumerate("abc")}
    studies["a"].obs["tissue"] = "lung"
    studies["b"].obs["tissue"] = pd.Categorical(["lung", "blood", None] * 20)
    path = tmp_path_factory.mktemp("choosing") / "store.dao"
    return dao.write_store(path, studies, organism="human", progress=False)


def index(store: dao.Store) -> list[int]:
    """Return the positions of the cells in the whole store, in the order of the selection."""
    return store.selection.positions(store.manifest).tolist()


# --- positions, order, names ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "which",
    [
        [5, 3, 170, 3, 0],
        np.array([179, 0, -1, -180]),
        np.array([7], np.uint8),
        pd.Series([3, 1]),
        range(10, 0, -3),
        slice(3, 100, 7),
        slice(None, None, -1),
        [],
        np.arange(180) % 3 == 0,
        [True] * 180,
    ],
)
def test_take_is_numpy_indexing(store: dao.Store, which: Any) -> None:
    """Positions, slices and masks pick what they pick of an array; `[]` does the same."""
    key = which if isinstance(which, slice) else np.array(list(which), None if len(which) else int)
    expected = np.arange(180)[key]
    assert index(store.take(which)) == index(store[which]) == expected.tolist()
    assert store.take(which).obs.index.tolist() == store.obs.index[expected].tolist()


@given(st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_takes_and_subsets_in_a_row(store: dao.Store, data: st.DataObject) -> None:
    """Orders and conditions on top of each other are those of a DataFrame."""
    chosen, table = store, store.obs.assign(at=np.arange(180))
    for _ in range(data.draw(st.integers(1, 4))):
        if data.draw(st.booleans()):
            cell_type = data.draw(st.sampled_from(["B", "T", "NK"]))
            chosen = chosen.subset(exclude={"cell_type": cell_type})
            table = table[table["cell_type"] != cell_type]
        elif len(table):
            places = data.draw(st.lists(st.integers(0, len(table) - 1), max_size=30))
            chosen, table = chosen.take(places), table.iloc[places]
    assert index(chosen) == table["at"].tolist()
    assert chosen.n_obs == len(chosen) == len(table)
    assert chosen.obs["score"].to_numpy() == pytest.approx(table["score"].to_numpy(), nan_ok=True)
    assert chosen.obs["cell_type"].tolist() == table["cell_type"].tolist()
    assert chosen.obs_column("barcode").to_pandas().tolist() == table["barcode"].tolist()
    assert chosen.datasets == [d for d in "abc" if d in set(table["dataset"])]


def test_store_order_needs_no_order(store: dao.Store) -> None:
    """What comes in store order is kept without one; four bytes per cell are enough else."""
    assert store.take(np.arange(180)).selection.order is None
    assert store.take([3, 80, 100]).selection.order is None
    assert store.take([1, 1]).selection.order is not None
    shuffled = store.take(np.random.default_rng(0).permutation(180)).selection
    assert shuffled.order is not None
    assert shuffled.order.dtype == np.uint32
    assert all(rows is None for rows in shuffled.chosen)


def test_names(store: dao.Store) -> None:
    """obs names pick their cells in the order named; a name of several cells gives all."""
    names = store.obs.index[[100, 3, 100, 50]].tolist()
    assert store.take(names).obs.index.tolist() == names
    with pytest.raises(errors.UnknownValueError, match=r"1 names .*'s0c99'.*Did you mean"):
        store.take([names[0], "s0c99"])


def test_names_that_repeat(make_study: Make, write: Make) -> None:
    """Two studies with the same names: both cells come, in the order of the store."""
    studies = {name: make_study(0, 5) for name in "xy"}
    store = write(studies, organism="human", shuffle=False)
    with pytest.warns(errors.DaoWarning, match="'s0c1' to 2|'s0c3' to 2"):
        assert index(store.take(["s0c3", "s0c1", "s0c3"])) == [3, 8, 1, 6, 3, 8]
    with pytest.warns(errors.DaoWarning, match="1 of 1 names"):
        assert store.take(["s0c3"]).datasets == ["x", "y"]


@pytest.mark.parametrize(
    ("which", "match"),
    [
        ([180], "no position 180 in a selection of 180"),
        ([-181], "no position -181"),
        ([True, False], "2 booleans were given for 180"),
        ([1.5], "whole numbers, booleans or names"),
        ([[1, 2]], "not by 2 axes"),
        ([1, "a"], "no selected cell|whole numbers"),
    ],
)
def test_takes_that_cannot_be(store: dao.Store, which: Any, match: str) -> None:
    """Positions outside and masks of another length are errors that say so."""
    with pytest.raises((errors.ArgumentError, errors.UnknownValueError), match=match):
        store.take(which)


@pytest.mark.parametrize("backend", ["local", "zarr", "zarrs"])
@pytest.mark.parametrize("x_format", ["csr", "dense"])
@pytest.mark.parametrize("sampler", ["sequential", "shuffle", "random"])
def test_any_order_streams(store: dao.Store, backend: str, sampler: str, x_format: str) -> None:
    """Rows in any order and with repeats come out of generators as often as they were taken."""
    store = dao.load_store(store.path, backend)
    whole = store.to_anndata()
    places = np.random.default_rng(1).integers(0, 180, 400)
    taken = store.take(places)
    generator = taken.generator(
        64, sampler=sampler, x_format=x_format, obs_keys=["cell_type", "n_genes"]
    )
    got = list(generator)
    at = np.concatenate([b["index"] for b in got])
    assert sorted(at) == sorted(places)
    if sampler == "sequential":
        np.testing.assert_array_equal(at, places)
    x = np.concatenate([b["X"] if x_format == "dense" else b["X"].toarray() for b in got])
    np.testing.assert_array_equal(x, whole.X.toarray()[at])
    obs = pd.concat([b["obs"] for b in got])
    assert obs["n_genes"].tolist() == whole.obs["n_genes"].iloc[at].tolist()
    assert obs["cell_type"].tolist() == whole.obs["cell_type"].iloc[at].tolist()
    state = generator.state_dict()
    taken.generator(64, sampler=sampler, x_format=x_format, obs_keys=["cell_type"]).load_state_dict(
        state
    )
    with pytest.raises(errors.ArgumentError, match="selection"):
        taken.take(slice(None, None, -1)).generator(64, sampler=sampler).load_state_dict(state)


def test_any_order_in_memory(store: dao.Store) -> None:
    """to_anndata has the order too, layers and obsm included."""
    places = [170, 3, 3, 65]
    with pytest.warns(UserWarning, match="not unique"):  # of anndata, because a cell comes twice
        mine = store.take(places).to_anndata()
    whole = store.to_anndata()
    np.testing.assert_array_equal(mine.X.toarray(), whole.X.toarray()[places])
    assert mine.obs_names.tolist() == whole.obs_names[places].tolist()


def test_head(store: dao.Store) -> None:
    """The first cells of the selection, in its order."""
    assert index(store.head(3)) == [0, 1, 2]
    assert index(store.take([9, 2, 5]).head(2)) == [9, 2]
    assert store.head(1000).n_obs == 180
    assert store.head(0).n_obs == 0


# --- sets ------------------------------------------------------------------------------------------


@given(st.sets(st.integers(0, 179)), st.sets(st.integers(0, 179)))
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
def test_set_algebra_is_that_of_sets(store: dao.Store, left: set[int], right: set[int]) -> None:
    """Unions, intersections, differences and complements, in store order."""
    a, b = store.take(list(left)), store.take([*right, *right])
    assert index(a | b) == sorted(left | right)
    assert index(a & b) == sorted(left & right)
    assert index(a - b) == sorted(left - right)
    assert index(~a) == sorted(set(range(180)) - left)
    assert index(~~b) == sorted(right)


def test_set_algebra_across_organisms(make_study: Make, write: Make) -> None:
    """Organisms come and go with the cells; with features chosen they stay."""
    sources = [
        dao.Source(make_study(i, 20), id=o, organism=o) for i, o in enumerate(["human", "mouse"])
    ]
    store = write(sources)
    human = store["human"]
    assert (~human).organisms == ("Mus musculus",)
    assert (human | store["mouse"]).organisms == store.organisms
    few = human.head(5).select_features(["G3", "G1"])
    assert (~few).shape == (15, 2)
    assert (human - few).n_vars == 40
    assert (few - human.head(2)).var_names.tolist() == ["G3", "G1"]
    with pytest.raises(errors.ArgumentError, match="other features"):
        few | human


def test_only_one_store(store: dao.Store, make_study: Make, write: Make) -> None:
    """Cells of two stores, or of anything else, are not joined."""
    other = write(make_study(0))
    with pytest.raises(errors.ArgumentError, match="not the same generation"):
        store | other
    with pytest.raises(TypeError):
        store & {1, 2}  # type: ignore[operator]
    again = dao.load_store(store.path)
    assert (store - again).n_obs == 0


# --- samples ---------------------------------------------------------------------------------------


def test_sample(store: dao.Store) -> None:
    """As many as asked for, no cell twice, the same ones for the same seed, their order kept."""
    drawn = store.sample(50)
    assert len(set(index(drawn))) == 50
    assert index(drawn) == index(store.sample(50)) == sorted(index(drawn))
    assert index(drawn) != index(store.sample(50, seed=1))
    assert store.sample(0.25).n_obs == 45
    assert store.sample(180).n_obs == store.sample(1.0).n_obs == 180
    assert store.sample(0).n_obs == 0
    backwards = store.take(np.arange(180)[::-1])
    assert index(backwards.sample(30)) == sorted(index(backwards.sample(30)), reverse=True)


def test_samples_of_groups(store: dao.Store) -> None:
    """`by` draws from each group, missing values being one, and takes all of small ones."""
    counts = store.sample(7, by="cell_type").obs["cell_type"].value_counts()
    assert (counts == 7).all()
    tissues = store.sample(25, by="tissue").obs["tissue"]
    assert (tissues == "lung").sum() == 25
    assert (tissues == "blood").sum() == 20
    assert tissues.isna().sum() == 25
    both = store.sample(2, by=["dataset", "cell_type"]).obs
    assert (both.groupby(["dataset", "cell_type"], observed=True).size() == 2).all()
    half, whole = (
        s.obs["n_genes"].value_counts() for s in (store.sample(0.5, by="n_genes"), store)
    )
    assert half.to_dict() == {v: int(n / 2 + 0.5) for v, n in whole.items()}


def test_every_cell_is_drawn_equally_often(store: dao.Store) -> None:
    """Over many seeds each cell comes about as often as the others."""
    drawn = np.concatenate([index(store.sample(60, seed=s)) for s in range(300)])
    counts = np.bincount(drawn, minlength=180)
    # binomial(300, 1/3): mean 100, standard deviation 8.2
    assert counts.min() > 60
    assert counts.max() < 140


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"n": 181}, errors.ArgumentError, "181 of 180 cells"),
        ({"n": -1}, errors.ArgumentError, "n=-1"),
        ({"n": 1.5}, errors.ArgumentError, "n=1.5"),
        ({"n": "many"}, errors.ArgumentError, "n='many'"),
        ({"n": 3, "seed": -1}, errors.ArgumentError, "seed=-1"),
        ({"n": 3, "by": "tisue"}, errors.UnknownColumnError, "Did you mean 'tissue'"),
    ],
)
def test_samples_that_cannot_be(
    store: dao.Store, arguments: dict[str, Any], error: type[Exception], match: str
) -> None:
    """More cells than there are, and numbers that make no sense, are errors."""
    with pytest.raises(error, match=match):
        store.sample(**arguments)


# --- conditions ------------------------------------------------------------------------------------

ARROW = [
    (pc.field("n_genes") > 12, "n_genes > 12"),
    (pc.field("cell_type") == "B", "cell_type == 'B'"),
    (pc.field("cell_type").isin(["B", "NK"]) & ~pc.field("doublet"), "cell_type in ['B', 'NK'] and not doublet"),
    (pc.field("tissue").is_null(), "tissue.isna()"),
    (pc.starts_with(pc.field("tissue"), "lu"), "tissue.startswith('lu')"),
    ((pc.field("dataset") == "a") | (pc.field("score") < 0.5), "dataset == 'a' or score < 0.5"),
    (pc.field("barcode") == "AC000007-0", "barcode == 'AC000007-0'"),
    (pc.field("batch") * 2 > 5, "batch > 2.5"),
    (pc.scalar(True), ""),
]  # fmt: skip


@pytest.mark.parametrize(("expression", "same"), ARROW)
def test_expressions_of_pyarrow(store: dao.Store, expression: pc.Expression, same: str) -> None:
    """An expression of pyarrow picks what the same words pick, missing values apart."""
    expected = store.subset(same) if same else store
    assert index(store.subset(expression)) == index(expected)
    assert index(store.subset(expression, dataset="b")) == index(expected.subset(dataset="b"))


def test_expressions_of_pyarrow_read_only_their_columns(
    store: dao.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pyarrow does not say which columns an expression uses; they are found out."""
    read: set[str] = set()
    original = type(store.reader).table

    def table(reader: Any, path: str, columns: Any = None) -> Any:
        read.update(columns or ())
        return original(reader, path, columns)

    monkeypatch.setattr(type(store.reader), "table", table)
    store.subset((pc.field("n_genes") > 3) & (pc.field("score") > 0.1))
    assert read == {"n_genes", "score"}
    read.clear()
    _ = dao.load_store(store.path, columns=["stage"]).obs
    assert read == {"stage", "_index", "_source_row"}


@pytest.mark.parametrize(
    ("expression", "error", "match"),
    [
        (pc.field("n_gene") > 3, errors.UnknownColumnError, "Did you mean 'n_genes'"),
        (pc.field("n_genes") + 1, errors.ExpressionError, "must give booleans"),
        (pc.field("n_genes") == "B", errors.ExpressionError, "pyarrow cannot evaluate"),
        (pc.field("cell_type", "x") == "B", errors.ExpressionError, "pyarrow cannot evaluate"),
    ],
)
def test_expressions_of_pyarrow_that_cannot_be(
    store: dao.Store, expression: pc.Expression, error: type[Exception], match: str
) -> None:
    """Unknown columns, numbers instead of booleans and comparisons that make no sense."""
    with pytest.raises(error, match=match):
        store.subset(expression)


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("organism == 'human'", "organism == 'Homo sapiens'"),
        ("organism in ['human', 'Homo sapiens']", "organism == 'Homo sapiens'"),
        ("not organism != 'Human'", "organism == 'Homo sapiens'"),
        ("barcode.match('AC0+[13]-')", "barcode in ['AC000001-0', 'AC000003-0', 'AC000001-1', 'AC000003-1', 'AC000001-2', 'AC000003-2']"),
        ("cell_type.fullmatch('N.')", "cell_type == 'NK'"),
        ("cell_type.fullmatch('N')", "cell_type in []"),
        ("cell_type.match('B|T')", "cell_type in ['B', 'T']"),
        ("-3 < n_genes", "n_genes > -3"),
        ("cell_type > 'B'", "cell_type in ['T', 'NK']"),
    ],
)  # fmt: skip
def test_texts_that_mean_the_same(store: dao.Store, text: str, same: str) -> None:
    """English names of organisms, patterns and numbers with a sign."""
    assert index(store.subset(text)) == index(store.subset(same))


def test_values_that_are_ranges(store: dao.Store) -> None:
    """Intervals of pandas and ranges of Python are values too."""
    obs = store.obs["n_genes"]
    interval = pd.Interval(10, 13, closed="left")
    assert store.subset(n_genes=interval).n_obs == ((obs >= 10) & (obs < 13)).sum()
    assert (
        store.subset(n_genes=[interval, 14]).n_obs
        == (((obs >= 10) & (obs < 13)) | (obs == 14)).sum()
    )
    assert store.subset(n_genes=range(10, 13)).n_obs == ((obs >= 10) & (obs < 13)).sum()
    assert store.subset(exclude={"n_genes": interval}).n_obs == (~((obs >= 10) & (obs < 13))).sum()


@pytest.mark.parametrize(
    ("where", "match"),
    [
        ("n_genes / n_counts > 0.5", "calculation"),
        ("2 * n_genes > 4", "calculation"),
        ("-n_genes < 3", "calculation"),
        ("n_genes > 2 * 500", "calculation"),
        ("abs(score) > 0.5", "calculation or function"),
        ("n_genes > 5 & doublet", "parentheses"),
        ("plate == '1'", "categories that are int64.*Numbers stand without quotes: 1"),
        ("plate == 'one'", "categories that are int64; it cannot be compared with 'one'"),
        ("cell_type == 3", "Text stands in quotes: '3'"),
        ("n_genes == '12'", "Numbers stand without quotes: 12"),
        ("cell_type.match('(')", "not a pattern"),
        ("cell_type in descendants('T')", "no ontology"),
    ],
)
def test_mistakes_in_expressions(make_study: Make, write: Make, where: str, match: str) -> None:
    """What was meant is said, not what the parser stumbled over."""
    study = make_study()
    study.obs["plate"] = pd.Categorical([1, 2] * 25)
    with pytest.raises((errors.ExpressionError, errors.ArgumentError), match=match):
        write(study).subset(where)


def test_columns_of_any_name(make_study: Make, write: Make) -> None:
    """Dots, quotes and brackets in names of columns mean nothing when they are read."""
    study = make_study()
    names = ["a.b", "a", "x'y", 'x"y', "list.element", "col[0]", "*", "日本"]
    for k, name in enumerate(names):
        study.obs[name] = pd.Categorical([str(k), "other"] * 25)
    store = write(study)
    for k, name in enumerate(names):
        assert store.subset(**{name: str(k)}).n_obs == 25
        assert store.subset(pc.field(name) == str(k)).n_obs == 25


def test_many_rows_are_read_in_threads(
    make_study: Make, write: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The way that large obs tables are read gives the same rows in the same order."""
    study = make_study(0, 2000)
    study.obs["a.b"] = pd.Categorical(["p", "q"] * 1000)
    store = write(study)
    expected = store.obs
    monkeypatch.setattr("dao.files._MANY_ROWS", 10)
    pd.testing.assert_frame_equal(dao.load_store(store.path).obs, expected)


# --- counts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "column", ["cell_type", "tissue", "stage", "doublet", "n_genes", "batch", "dataset"]
)
def test_value_counts_are_those_of_pandas(store: dao.Store, column: str) -> None:
    """Counts of pandas, frequent first, missing last; categories that do not occur left out."""
    chosen = store.take([*range(100), 3, 3])
    mine = chosen.value_counts(column)
    theirs = chosen.obs[column].value_counts(dropna=True)
    n_missing = int(chosen.obs[column].isna().sum())
    assert mine[mine.index.notna()].to_dict() == {k: n for k, n in theirs.items() if n}
    assert mine[mine.index.isna()].tolist() == ([n_missing] if n_missing else [])
    known = mine[mine.index.notna()]
    assert known.tolist() == sorted(known, reverse=True)
    assert mine.index.name == column
    assert not mine.index[:-1].isna().any()


def test_value_counts_by(store: dao.Store) -> None:
    """A table of two columns, as pandas.crosstab, with missing values."""
    mine = store.value_counts("cell_type", by="tissue")
    obs = store.obs
    theirs = pd.crosstab(obs["cell_type"].astype(object), obs["tissue"].astype(object).fillna("?"))
    for cell_type in ("B", "T", "NK"):
        assert mine.loc[cell_type, "lung"] == theirs.loc[cell_type, "lung"]
        assert mine.loc[cell_type].iloc[-1] == theirs.loc[cell_type, "?"]
    assert mine.to_numpy().sum() == 180
    empty = store.head(0)
    assert len(empty.value_counts("cell_type")) == 0
    assert empty.value_counts("cell_type", by="tissue").shape == (0, 0)
    with pytest.raises(errors.UnknownColumnError, match="cell_type"):
        store.value_counts("celltype")


def test_describe(store: dao.Store) -> None:
    """Cells, datasets and columns of the selection; also of an empty one."""
    said = store.subset(dataset=["a", "b"]).describe()
    assert said.n_obs == 120
    assert said.datasets["cells"].to_dict() == {"a": 60, "b": 60}
    assert said.columns.loc["tissue", "missing"] == 20
    assert said.columns.loc["tissue", "distinct"] == 2
    assert said.columns.loc["tissue", "values"] == "lung (67 %), blood (17 %)"
    assert str(said).startswith("120 cells in 2 datasets: Homo sapiens (40 features)")
    assert "n_genes" in repr(said)
    assert store.take([0, 0, 0]).describe().datasets["cells"].to_dict() == {"a": 3}
    assert store.head(0).describe().n_obs == 0


def test_cells_of_each_dataset(store: dao.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cells that come again count again, whichever way they are shown."""
    monkeypatch.setattr("dao.selection._BLOCK", 7)
    rows = np.random.default_rng(1).integers(0, 140, 50)
    taken = store.take(rows)
    counts = store.obs["dataset"].iloc[rows].value_counts()
    assert taken.describe().datasets["cells"].to_dict() == counts[counts > 0].to_dict()
    assert all(f"<td>{n}</td>" in taken._repr_html_() for n in counts)


def test_html_is_escaped(make_study: Make, write: Make) -> None:
    """Whatever a study calls its columns, values and itself, a notebook shows it as text."""
    study = make_study()
    evil = "<script>alert(1)</script>"
    study.obs[evil] = pd.Categorical([evil, "b"] * 25)
    store = write(dao.Source(study, id="plain", organism=evil))
    shown = [
        store.describe()._repr_html_(),
        store.value_counts(evil)._repr_html_(),
        store.value_counts(evil, by=evil)._repr_html_(),
    ]
    for html in shown:
        assert "<script>" not in html
        assert "&lt;script&gt;" in html
        assert "<table" in html


def test_a_selection_of_a_huge_store_is_small() -> None:
    """An order over four billion rows would need eight bytes; below that it is four."""
    everything = Selection((10, 5), (None, None))
    taken = everything.take(np.array([14, 2, 2]))
    assert taken.order is not None
    assert taken.order.dtype == np.uint32
    assert [None if r is None else r.tolist() for r in taken.chosen] == [[2], [4]]
    assert taken.order.tolist() == [1, 0, 0]
    assert [a.tolist() for a in taken.locate(np.arange(3))] == [[1, 0, 0], [4, 2, 2]]


@given(data=st.data())
def test_few_rows_are_taken_as_many_are(data: st.DataObject) -> None:
    """Sorting a few positions and marking them give the same selection."""
    sizes = tuple(data.draw(st.lists(st.integers(0, 40), min_size=1, max_size=5)))
    masks = [np.array(data.draw(st.lists(st.booleans(), min_size=n, max_size=n))) for n in sizes]
    everything = Selection(sizes, (None,) * len(sizes))
    some = everything.only(np.concatenate([np.empty(0, np.bool_), *masks]).astype(np.bool_))
    for selection in (everything, some):
        places = st.integers(0, max(0, selection.n_obs - 1))
        wanted = np.array(data.draw(st.lists(places, max_size=30)) if selection.n_obs else [], int)
        few, expected = selection._take_few(wanted), selection.locate(wanted)
        for mine, theirs in zip(few.locate(np.arange(few.n_obs)), expected, strict=True):
            np.testing.assert_array_equal(mine, theirs)
        assert (few.order is None) == bool((np.diff(wanted) > 0).all())


def test_counts_of_times_with_a_zone(write: Any, make_study: Any) -> None:
    """They are counted at the hour that obs shows, missing ones last."""
    study = make_study(0, 4)
    days = pd.to_datetime(["2024-01-01", "2024-01-02", None, "2024-01-01"])
    study.obs["day"] = days.tz_localize("Europe/Berlin")
    store = write({"a": study}, organism="human")
    expected = study.obs["day"].value_counts(dropna=False)
    counts = store.value_counts("day")
    assert counts.to_dict() == expected.to_dict()
    assert counts.index.dtype == store.obs["day"].dtype
