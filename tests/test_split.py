"""Exact splits: disjoint, complete, of the sizes asked for, as in version 0.1."""

from __future__ import annotations

from functools import partial
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dao import errors
from dao.samplers import Labels
from dao.split import check_fractions, split_groups, split_rows

if TYPE_CHECKING:
    from collections.abc import Callable

    import dao

THREE = {"train": 0.8, "val": 0.1, "test": 0.1}


@pytest.fixture
def store(write: Callable[..., dao.Store], make_study: Any) -> dao.Store:
    """Two studies of donors, 400 cells."""
    studies = {name: make_study(i, 200) for i, name in enumerate(["a", "b"])}
    for i, study in enumerate(studies.values()):
        study.obs["donor_id"] = [f"donor{3 * i + d % 3}" for d in range(200)]
    return write(studies)


@given(
    n=st.integers(0, 500),
    shares=st.lists(st.integers(1, 20), min_size=1, max_size=5),
    n_strata=st.one_of(st.none(), st.integers(1, 80)),
    seed=st.integers(0, 2**40),
)
@settings(max_examples=200, deadline=None)
def test_sizes(n: int, shares: list[int], n_strata: int | None, seed: int) -> None:
    """Parts are as large as asked for to a row, and have their share of each stratum."""
    fractions = np.array(shares) / sum(shares)
    strata = None
    if n_strata is not None:
        strata = np.random.default_rng(seed).integers(-1, n_strata, n)
    parts = split_rows(n, fractions, strata, seed)
    counts = np.bincount(parts, minlength=len(shares))
    assert counts.sum() == n
    assert abs(counts - fractions * n).max() <= 1
    if strata is not None and n:
        for stratum in np.unique(strata):
            own = np.bincount(parts[strata == stratum], minlength=len(shares))
            assert abs(own - fractions * own.sum()).max() <= 3


@given(
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=40),
    shares=st.lists(st.integers(1, 10), min_size=1, max_size=4),
    seed=st.integers(0, 2**40),
)
@settings(max_examples=200, deadline=None)
def test_groups_stay_whole(sizes: list[int], shares: list[int], seed: int) -> None:
    """No group is in two parts, no part is empty, and sizes are within the largest group."""
    codes = np.repeat(np.arange(len(sizes)), sizes).astype(np.int32)
    groups = Labels(codes, list(range(len(sizes) + 3)))
    fractions = np.array(shares) / sum(shares)
    if len(sizes) < len(shares):
        with pytest.raises(errors.ArgumentError, match="cannot be divided"):
            split_groups(groups, fractions, None, seed)
        return
    parts = split_groups(groups, fractions, None, seed)
    assert all(len(set(parts[codes == g])) == 1 for g in range(len(sizes)))
    assert set(parts) == set(range(len(shares)))
    counts = np.bincount(parts)
    # Parts that would have got nothing take a group from the others.
    slack = max(sizes) * (1 + len(shares))
    assert abs(counts - fractions * len(codes)).max() <= slack


def test_parts_of_a_store(store: dao.Store) -> None:
    """Stores whose cells are disjoint and complete, and which can be split again."""
    parts = store.split(THREE, method="exact")
    assert list(parts) == list(THREE)
    assert [p.n_obs for p in parts.values()] == [320, 40, 40]
    names = [list(p.obs.index) for p in parts.values()]
    assert sorted(n for part in names for n in part) == sorted(store.obs.index)
    halves = parts["train"].split({"left": 0.5, "right": 0.5}, seed=3, method="exact")
    assert sorted([*halves["left"].obs.index, *halves["right"].obs.index]) == sorted(names[0])
    again = store.split(THREE, method="exact")
    assert all(list(again[k].obs.index) == list(parts[k].obs.index) for k in THREE)
    other = store.split(THREE, seed=1, method="exact")
    assert list(other["val"].obs.index) != list(parts["val"].obs.index)


def test_held_out_groups(store: dao.Store) -> None:
    """Donors are not shared; a study as a whole can be held out; strata go along."""
    exact = partial(store.split, method="exact")
    parts = exact({"train": 0.6, "test": 0.4}, group_by="donor_id")
    donors = [set(p.obs["donor_id"]) for p in parts.values()]
    assert not donors[0] & donors[1]
    assert donors[0] | donors[1] == set(store.obs["donor_id"])
    parts = exact({"train": 0.5, "test": 0.5}, group_by="dataset")
    assert sorted(p.datasets for p in parts.values()) == [["a"], ["b"]]
    parts = exact(
        {"train": 0.5, "test": 0.5}, group_by="donor_id", stratify_by=["dataset", "cell_type"]
    )
    assert all(p.datasets == ["a", "b"] for p in parts.values())


def test_strata(store: dao.Store) -> None:
    """Each part has its fraction of every value, missing ones included."""
    halves = {"train": 0.75, "test": 0.25}
    parts = store.split(halves, stratify_by="cell_type", seed=2, method="exact")
    whole = store.obs["cell_type"].value_counts()
    own = parts["test"].obs["cell_type"].value_counts()
    assert (abs(own - whole / 4) <= 2).all()


@pytest.mark.parametrize(
    ("fractions", "arguments", "match"),
    [
        ({}, {}, "Give the fraction"),
        ({"a": 0.5, "b": 0.4}, {}, r"0.5 \+ 0.4 = 0.9"),
        ({"a": 1.2, "b": -0.2}, {}, "above 0"),
        ({"a": 0.5, "b": 0.5}, {"group_by": "donor"}, "Did you mean 'donor_id'"),
        ({str(i): 0.1 for i in range(10)}, {"group_by": "donor_id"}, "6 groups cannot"),
    ],
)
def test_what_cannot_be(
    store: dao.Store, fractions: dict[str, float], arguments: dict[str, Any], match: str
) -> None:
    """Said before anything is done."""
    with pytest.raises(errors.DaoError, match=match):
        store.split(fractions, **arguments, method="exact")


def test_repeats_stay_in_one_part(store: dao.Store) -> None:
    """Parts are disjoint as sets of cells; without repeats nothing differs from version 0.1."""
    which = np.random.default_rng(0).integers(0, 400, 900)
    taken = store.take(which)
    for arguments in ({}, {"stratify_by": "cell_type"}, {"group_by": "donor_id"}):
        parts = taken.split(THREE, method="exact", **arguments)
        held = [part.obs.index for part in parts.values()]
        assert not any(set(a) & set(b) for a, b in combinations(held, 2))
        joined = pd.Index(np.concatenate(held)).value_counts().sort_index()
        pd.testing.assert_series_equal(joined, taken.obs.index.value_counts().sort_index())
    order = np.random.default_rng(1).permutation(400)
    parts = store.take(order).split(THREE, method="exact", seed=4)
    expected = split_rows(400, check_fractions(THREE), None, 4)
    for i, part in enumerate(parts.values()):
        assert part.obs.index.tolist() == store.obs.index[order[expected == i]].tolist()


def test_a_part_of_no_cells_is_named(store: dao.Store) -> None:
    """Three cells do not fill a part of a tenth."""
    with pytest.warns(errors.DaoWarning, match="'test' is empty"):
        assert store.head(3).split(THREE, method="exact")["test"].n_obs == 0


def test_fixed_for_ever() -> None:
    """Which row is in which part is part of what versions promise."""
    fractions = check_fractions(THREE)
    strata = np.array([0, 1] * 10)
    assert split_rows(20, fractions, None, 7).tolist() == GOLDEN[0]
    assert split_rows(20, fractions, strata, 7).tolist() == GOLDEN[1]
    groups = Labels(np.arange(20, dtype=np.int32) // 3, list(range(7)))
    assert split_groups(groups, fractions, None, 7).tolist() == GOLDEN[2]


GOLDEN = [
    [0, 0, 0, 0, 0, 0, 0, 2, 1, 0, 0, 0, 2, 0, 1, 0, 0, 0, 0, 0],
    [0, 0, 0, 0, 2, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 2, 0, 0, 0, 0],
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 2, 2, 0, 0, 0, 1, 1, 1, 0, 0],
]
