"""Names of every kind of character: they come back as they were, or are refused; HTML is escaped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import dao
from dao import errors

if TYPE_CHECKING:
    from pathlib import Path

NAMES = [
    "", " ", ".", "..", "a/b", "../x", "a\\b", "'", '"', "`", "a`b", "<b>&amp;</b>", "<script>x</script>",
    "a\0b", "a\nb", "a\tb", "\x1b[31m", "\u202eabc", "é", "e\u0301", "😀", "漢字", "x" * 1000, "{}", "%s",
    "\ud800", "NaN", "None", "-1", "0", "con", "a:b", "_index2", "CON.txt", "\ufeff",
]  # fmt: skip
few = settings(
    deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
names = st.one_of(st.sampled_from(NAMES), st.text(max_size=6), st.text(max_size=6))


def study(column: str, categories: list[str], cells: list[str], genes: list[str]) -> ad.AnnData:
    """Return a study with these names; each cell has its own row of X."""
    codes = np.arange(len(cells)) % len(categories)
    kept = pd.Index(categories, dtype=object)
    plain = pd.Series(
        [categories[c] for c in codes], dtype=object
    )  # pandas 3 has a text of its own
    obs = pd.DataFrame({"plain": plain})
    obs[column] = pd.Categorical.from_codes(codes, kept)
    obs.index = pd.Index(cells, dtype=object)
    x = np.arange(len(cells) * len(genes), dtype=np.float32).reshape(len(cells), -1) % 251
    return ad.AnnData(x, obs=obs, var=pd.DataFrame(index=pd.Index(genes, dtype=object)))


def check(path: Path, column: str, made: ad.AnnData) -> None:
    """Write a study; what is not refused comes back, whole and by its names."""
    try:
        written = dao.write_store(path, {"a": made}, mode="overwrite", progress=False)
    except errors.DaoError:
        return
    store = dao.load_store(written.path)
    back = store.to_anndata()
    rows = back.obs["_source_row"].to_numpy()
    assert back.obs_names.tolist() == made.obs_names[rows].tolist()
    assert sorted(back.var_names) == sorted(made.var_names)
    np.testing.assert_array_equal(np.asarray(back[:, made.var_names].X), made.X[rows])
    for name in (column, "plain"):
        assert back.obs[name].tolist() == made.obs[name].iloc[rows].tolist()
    assert store.categories(column) == made.obs[column].cat.categories.tolist()
    for value in made.obs[column].unique():
        assert store.subset(**{column: value}).n_obs == (made.obs[column] == value).sum()
    assert dao.validate_store(written.path).ok
    shown = store.describe()._repr_html_() + store.value_counts(column)._repr_html_()
    assert "<script" not in shown
    assert "<b>" not in shown


@given(data=st.data())
@few
def test_any_names(tmp_path: Path, data: st.DataObject) -> None:
    """Of a column, its categories, cells and genes."""
    lists = [data.draw(st.lists(names, min_size=1, max_size=5, unique=True)) for _ in range(3)]
    column = data.draw(names.filter(lambda n: n not in {"plain", "dataset", "organism"}))
    check(tmp_path / "s.dao", column, study(column, *lists))


@pytest.mark.parametrize("column", ["<script>x</script>", "a\0b", "../x", "`", "x" * 1000])
def test_these_columns(tmp_path: Path, column: str) -> None:
    """Each kind of character by itself, with all of them as categories."""
    valid = [n for n in NAMES if n != "\ud800"]
    check(tmp_path / "s.dao", column, study(column, valid, [f"c{i}" for i in range(40)], ["g"]))


@pytest.mark.parametrize("identifier", NAMES)
def test_ids(tmp_path: Path, identifier: str) -> None:
    """What could be no folder on some system is refused, and nothing is written."""
    made: Any = study("t", ["x"], ["c"], ["g"])
    try:
        store = dao.write_store(tmp_path / "s.dao", {identifier: made}, progress=False)
    except errors.DatasetIdError:
        assert not list(tmp_path.iterdir())
    else:
        assert store.datasets == [identifier]
        assert {p.name for p in tmp_path.iterdir()} == {"s.dao"}


@pytest.mark.parametrize("where", ["obs", "cells", "var", "genes", "uns", "layers", "column"])
def test_text_that_has_no_bytes(tmp_path: Path, where: str) -> None:
    """Half of a surrogate pair is refused wherever it stands, and nothing is left behind."""
    made = study("t", ["x"], ["c"], ["g"])
    half = pd.Index(["\ud800"], dtype=object)
    match where:
        case "cells":
            made.obs.index = half
        case "genes":
            made.var.index = half
        case "column":
            made.obs.columns = pd.Index(["plain", "\ud800"], dtype=object)
        case "obs" | "var":
            frame = getattr(made, where)
            frame["text"] = pd.Series(half, index=frame.index, dtype=object)
        case _:
            getattr(made, where)["\ud800"] = made.X
    with pytest.raises(errors.DaoError):
        dao.write_store(tmp_path / "s.dao", {"a": made}, layers=list(made.layers), progress=False)
    with pytest.raises(errors.StoreNotFoundError):
        dao.load_store(tmp_path / "s.dao")
