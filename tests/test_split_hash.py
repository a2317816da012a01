"""Splits by hash: what was held out stays held out, whatever becomes of the store."""

from __future__ import annotations

from decimal import Decimal
from itertools import combinations
from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import dao
from dao.column import Column
from dao.errors import ArgumentError, DaoError, DaoWarning
from dao.format.manifest import ColumnInfo
from dao.split.hashed import cell_numbers, group_numbers, parts_of
from dao.split.values import canonical, grouped

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

TWO = {"train": 0.7, "test": 0.3}
THREE = {"train": 0.6, "val": 0.2, "test": 0.2}


def study(seed: int, n_obs: int = 60) -> ad.AnnData:
    """Return cells with names that no other study has, of donors that studies share."""
    random = np.random.default_rng(seed)
    donors = [f"d{i}" for i in random.integers(0, 30, n_obs)]
    obs = pd.DataFrame(
        {"donor": donors, "type": pd.Categorical(random.choice(["B", "T"], n_obs))},
        index=[f"{seed}-{i}" for i in range(n_obs)],
    )
    counts = random.poisson(1.0, (n_obs, 5)).astype(np.float32)
    return ad.AnnData(counts, obs, pd.DataFrame(index=[f"G{i}" for i in range(5)]))


def part_by(parts: Mapping[str, dao.Store], column: str | None = None) -> dict[str, str]:
    """Return the part of each cell, or of each value; checks that none is in two parts."""
    held = {}
    for name, part in parts.items():
        keys = part.obs.index if column is None else part.obs[column].dropna()
        for key in set(map(str, keys)):
            assert held.setdefault(key, name) == name
    return held


def assert_kept(before: dict[str, str], after: dict[str, str]) -> None:
    """Compare the parts of all that is in both."""
    both = before.keys() & after.keys()
    assert both
    assert {k: before[k] for k in both} == {k: after[k] for k in both}


def all_parts(store: dao.Store) -> list[dict[str, str]]:
    """Return the parts of cells, of donors, and of cells by the dataset they came from."""
    return [
        part_by(store.split(THREE)),
        part_by(store.split(TWO, group_by="donor"), "donor"),
        part_by(store.split(TWO, group_by=["dataset", "donor"])),
    ]


def test_nothing_moves(tmp_path: Path) -> None:
    """Write, append, compact in every way, remove, replace, copy: each cell stays in its part."""
    path = tmp_path / "atlas.dao"
    studies = {name: study(i) for i, name in enumerate("abcd")}
    first = dao.write_store(path, {k: studies[k] for k in "ab"}, organism="human", progress=False)
    expected = all_parts(first)

    def check(store: dao.Store) -> None:
        for before, after in zip(expected, all_parts(store), strict=True):
            assert_kept(before, after)
            before.update(after)

    more = {k: studies[k] for k in "cd"}
    store = dao.write_store(path, more, organism="human", mode="append", progress=False)
    check(store)
    check(store.compact(seed=4, progress=False))
    check(store := dao.load_store(path).compact({"ca": ["c", "a"]}, progress=False))
    assert [(o.id, o.first, o.rows) for o in store.manifest.dataset("ca").origins] == [
        ("a", 0, 60), ("c", 60, 60),
    ]  # fmt: skip
    check(store := store.compact({"cab": ["b", "ca"]}, progress=False, keep_ids="again"))
    assert [o.id for o in store.manifest.dataset("cab").origins] == ["a", "c", "b"]
    assert dao.validate_store(path).ok
    check(store.compact(cluster_by="donor", progress=False))
    store = dao.load_store(path).remove("d")
    check(store)
    other = {"e": study(9)}
    check(dao.write_store(path, other, organism="human", mode="append", progress=False))
    replaced = {"e": study(10)}
    check(dao.write_store(path, replaced, organism="human", mode="replace", progress=False))
    store = dao.load_store(path)
    # Parts of a store as stores of their own, under other names.
    some = store.subset(dataset="cab", type="B")
    check(dao.write_store(tmp_path / "copy.dao", {"x": some}, progress=False))
    copy = dao.load_store(tmp_path / "copy.dao")
    assert [o.id for o in copy.manifest.dataset("x").origins] == ["a", "c", "b"]
    check(dao.write_store(tmp_path / "third.dao", {"y": copy}, progress=False))
    # The same studies in another order, as files on their own.
    again = {k: studies[k] for k in "dbca"}
    check(dao.write_store(tmp_path / "again.dao", again, organism="human", progress=False))
    for name, adata in again.items():
        adata.write_h5ad(tmp_path / f"{name}.h5ad")
    files = [tmp_path / f"{name}.h5ad" for name in again]
    foreign = dao.load_store(files, backend="h5ad")
    for before, after in zip(expected, all_parts(foreign), strict=True):
        assert_kept(before, after)


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> dao.Store:
    """1,200 cells of 30 donors in three studies."""
    path = tmp_path_factory.mktemp("split") / "cells.dao"
    return dao.write_store(path, {k: study(i, 400) for i, k in enumerate("abc")}, progress=False)


@given(
    shares=st.lists(st.integers(1, 5), min_size=1, max_size=4),
    by=st.sampled_from([None, "donor", ["type", "donor"]]),
    seed=st.integers(0, 1 << 70),
    data=st.data(),
)
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
def test_invariants(
    cells: dao.Store, shares: list[int], by: Any, seed: int, data: st.DataObject
) -> None:
    """Disjoint, complete, groups whole, of about the right size, whatever else is selected."""
    fractions = {f"p{i}": share / sum(shares) for i, share in enumerate(shares)}
    try:
        parts = cells.split(fractions, group_by=by, seed=seed)
    except ArgumentError:
        assert by is not None  # few groups, of which none falls into a small part
        return
    held = [part.obs.index for part in parts.values()]
    assert sorted(np.concatenate(held)) == sorted(cells.obs.index)
    if by is None:
        n, f = cells.n_obs, np.array(list(fractions.values()))
        errors = np.sqrt(n * f * (1 - f))
        assert (abs(np.array([len(h) for h in held]) - n * f) <= 5 * errors + 1e-6).all()
    else:
        columns = [by] if isinstance(by, str) else by
        groups = [set(map(tuple, p.obs[columns].astype(str).to_numpy())) for p in parts.values()]
        assert not any(a & b for a, b in combinations(groups, 2))
    which = data.draw(st.lists(st.integers(0, cells.n_obs - 1), min_size=300, max_size=400))
    try:
        some = cells.take(which).split(fractions, group_by=by, seed=seed)
    except ArgumentError:
        return
    expected = part_by(parts)
    for name, part in some.items():
        taken = cells.obs.index[which]
        assert part.obs.index.tolist() == [c for c in taken if expected[c] == name]


def test_names_do_not_matter_and_the_order_does(cells: dao.Store) -> None:
    """Parts are intervals: the last stays when others before it are divided or renamed."""
    parts = part_by(cells.split({"a": 0.8, "b": 0.2}))
    divided = part_by(cells.split({"train": 0.7, "val": 0.1, "b": 0.2}))
    assert {k for k, v in parts.items() if v == "b"} == {k for k, v in divided.items() if v == "b"}
    turned = part_by(cells.split({"b": 0.2, "a": 0.8}))
    assert turned != parts


def test_strata_are_held_by_chance_or_exactly(cells: dao.Store) -> None:
    """stratify_by changes no part; values that a part lacks are named."""
    plain, strata = cells.split(TWO), cells.split(TWO, stratify_by="type")
    assert part_by(plain) == part_by(strata)
    few = cells.take(np.r_[np.arange(30), np.flatnonzero(cells.obs["donor"] == "d3")[:5]])
    with pytest.warns(DaoWarning, match="values of stratify_by= are not in every part"):
        few.split({"a": 0.5, "b": 0.5}, stratify_by="donor")
    with pytest.raises(ArgumentError, match="method='exact'"):
        cells.split(TWO, group_by="donor", stratify_by="type")


def test_a_part_of_a_part_needs_another_seed(cells: dao.Store) -> None:
    """The same hash would give all cells to one part, or too few to another: nothing silent."""
    train = cells.split({"train": 0.8, "test": 0.2})["train"]
    with pytest.raises(ArgumentError, match="pass another seed="):
        train.split({"train": 0.8, "val": 0.2})
    with pytest.warns(DaoWarning, match="pass another seed="):
        train.split({"train": 0.7, "val": 0.3})
    assert 0.15 < train.split({"train": 0.8, "val": 0.2}, seed=1)["val"].n_obs / train.n_obs < 0.25


def test_cells_without_a_group_are_one(tmp_path: Path) -> None:
    """A missing value is a group of its own, and is named."""
    adata = study(0, 90)
    adata.obs.loc[adata.obs.index[:20], "donor"] = None
    store = dao.write_store(tmp_path / "a.dao", {"a": adata}, organism="human", progress=False)
    with pytest.warns(DaoWarning, match="20 of 90 cells have no value of donor"):
        parts = store.split(TWO, group_by="donor")
    assert sorted(int(p.obs["donor"].isna().sum()) for p in parts.values()) == [0, 20]


@pytest.mark.parametrize(
    ("values", "n_groups"),
    [
        ([3, 3.0, np.int8(3), np.float32(3), np.uint64(3), Decimal("3.00"), "3"], 1),
        ([2**60, float(2**60), np.uint64(2**60)], 1),
        ([2**53, 2**53 + 1], 2),
        ([True, np.True_, "True"], 1),
        ([True, 1], 2),
        ([None, float("nan"), pd.NA, pd.NaT, np.datetime64("NaT", "ns")], 1),
        ([None, "", "nan", "None"], 4),
        ([0.0, -0.0, 0], 1),
        ([0.1, Decimal("0.10"), "0.1"], 1),
        ([np.datetime64("2020-01-01", u) for u in ("D", "s", "us", "ns")], 1),
        ([pd.Timestamp("2020-01-01", tz="UTC"), pd.Timestamp("2020-01-01 02:00+02:00")], 1),
        ([np.timedelta64(1, "D"), np.timedelta64(86_400, "s"), pd.Timedelta("1D")], 1),
    ],
)
def test_values_count_not_types(values: list[Any], n_groups: int) -> None:
    """Equal values are one group whatever holds them; missing differs from every text."""
    assert len({canonical(value) for value in values}) == n_groups


@pytest.mark.parametrize(
    "dtype", ["int8", "int64", "float32", "float64", "category", "str", "Int32"]
)
def test_a_column_of_any_type_gives_the_same_parts(tmp_path: Path, dtype: str) -> None:
    """Integers that were widened, or became categories or text, are the donors they were."""
    adata = study(1, 200)
    numbers = np.arange(200) % 40
    adata.obs["donor"] = pd.Series(numbers, adata.obs.index).astype(dtype)
    store = dao.write_store(tmp_path / "a.dao", {"a": adata}, organism="human", progress=False)
    part = parts_of(group_numbers(joined(numbers), 0), np.array([0.7, 0.3]))
    expected = {str(n): list(TWO)[part[i]] for i, n in enumerate(numbers)}
    found = part_by(store.split(TWO, group_by="donor"), "donor")
    assert {k.removesuffix(".0"): v for k, v in found.items()} == expected


def joined(numbers: Any) -> list[bytes]:
    """Return how numbers are hashed: their text behind its length."""
    texts = [b"\x01" + str(n).encode() for n in numbers]
    return [len(t).to_bytes(8, "little") + t for t in texts]


def test_columns_are_told_apart() -> None:
    """ "ab", "c" is another group than "a", "bc"; the order of the columns does not matter."""

    def column(values: list[str | None]) -> Column:
        codes, names = pd.factorize(np.array(values, object))
        missing = codes < 0
        return Column(ColumnInfo("string", "string"), codes, missing, list(names))

    first, second = column(["ab", "a", "ab", None, None]), column(["c", "bc", "c", "c", None])
    groups, values = grouped([first, second])
    assert groups.tolist() == [0, 1, 0, 2, 3]
    assert len(set(values)) == 4


def test_fixed_for_ever() -> None:
    """Hashes are part of what versions promise."""
    assert cell_numbers("gut", np.array([0, 1, 10**12]), 7).round(9).tolist() == GOLDEN[0]
    assert group_numbers(joined([0, 1]), 7).round(9).tolist() == GOLDEN[1]


GOLDEN = [[0.82161695, 0.419697192, 0.259917025], [0.73906622, 0.14300704]]


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (([0.8, 0.2],), r"store.split\(\{'train': 0.8, 'test': 0.2\}\)"),
        ((np.array([0.6, 0.2, 0.2]),), "'train': 0.6, 'val': 0.2, 'test': 0.2"),
        ((0.8,), "'train': 0.8, 'test': 0.2"),
        ((), "pass a dict"),
        ((None,), "pass a dict"),
        (("train",), "pass a dict"),
        (({"a": "80%", "b": "20%"},), "'80%': pass a number"),
        (({"a": "0.8", "b": "0.2"},), "pass a number between 0 and 1"),
        (({"a": True},), "pass a number"),
        (({"a": None, "b": 1},), "pass a number"),
        (({"a": 800, "b": 200},), r"these numbers are \{'a': 0.8, 'b': 0.2\}"),
        (({"a": 0.5, "b": 0.4},), r"0.5 \+ 0.4 = 0.9"),
        (({"a": float("nan"), "b": 0.5},), "add up to 1"),
        (({"a": 1.5, "b": -0.5},), "above 0"),
        (({"a": float("inf"), "b": 0.5},), "add up to 1"),
        (({"a": 0, "b": 1},), "above 0"),
    ],
)
def test_fractions_by_habit(cells: dao.Store, arguments: tuple[Any, ...], match: str) -> None:
    """Each is answered with the call to make."""
    with pytest.raises(ArgumentError, match=match):
        cells.split(*arguments)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"seed": None}, "seed=None"),
        ({"seed": -1}, "seed=-1"),
        ({"seed": 1.0}, "seed=1.0"),
        ({"seed": True}, "seed=True"),
        ({"seed": "1"}, "seed='1'"),
        ({"random_state": 0}, "argument is named seed"),
        ({"test_size": 0.2}, "fraction of each part"),
        ({"train": 0.8, "test": 0.2}, r"store.split\(\{'train': 0.8, 'test': 0.2\}\)"),
        ({"groupby": "donor"}, "Did you mean 'group_by'"),
        ({"method": "Hash"}, "pass 'hash' or 'exact'"),
        ({"method": None}, "pass 'hash' or 'exact'"),
        ({"group_by": "doner"}, "Did you mean 'donor'"),
        ({"group_by": []}, "names no column"),
        ({"group_by": 3}, "name of an obs column"),
        ({"stratify_by": "typ"}, "Did you mean 'type'"),
    ],
)
def test_other_habits(cells: dao.Store, arguments: dict[str, Any], match: str) -> None:
    """So are arguments of other libraries."""
    with pytest.raises(DaoError, match=match):
        cells.split(TWO, **arguments)


def test_what_works_by_habit(cells: dao.Store) -> None:
    """NumPy's integers, huge seeds, Series, fractions of any type of number, other names."""
    plain = part_by(cells.split(TWO, seed=5))
    assert part_by(cells.split(TWO, seed=np.int64(5))) == plain
    assert part_by(cells.split(pd.Series(TWO), seed=5)) == plain  # type: ignore[arg-type]
    decimals = {"train": Decimal("0.7"), "test": np.float32(0.3)}
    assert part_by(cells.split(decimals, seed=5)) == plain  # type: ignore[arg-type]
    assert part_by(cells.split(TWO, seed=1 << 200)) != plain
    assert list(cells.split({0: 0.7, 1: 0.3})) == [0, 1]  # type: ignore[dict-item]


def test_stores_merged_without_origins_warn(tmp_path: Path) -> None:
    """Version 0.1 did not record what it merged: it is recognised by the history."""
    path = tmp_path / "old.dao"
    studies = {name: study(i) for i, name in enumerate("abcd")}
    dao.write_store(path, studies, organism="human", progress=False)
    dao.load_store(path).compact({"ab": ["a", "b"], "c": ["c", "d"]}, progress=False)
    dao.load_store(path).split(TWO)
    forget_origins(path)
    store = dao.load_store(path)
    with pytest.warns(DaoWarning, match=r"2 of the datasets \('ab', 'c'\) were merged"):
        store.split(TWO)
    store.split(TWO, group_by="donor")  # a donor is the same whatever is merged


def forget_origins(path: Path) -> None:
    """Write the manifest as version 0.1 would have."""
    from dataclasses import replace

    from dao.format.manifest import Manifest

    manifest = Manifest.from_json((path / "dao.json").read_bytes())
    datasets = tuple(replace(d, origins=()) for d in manifest.datasets)
    (path / "dao.json").write_text(replace(manifest, datasets=datasets).to_json())


@pytest.mark.parametrize(
    ("origins", "match"),
    [
        ("a", "origins: must be a list"),
        ([3], "origins.0.: must be an object"),
        ([{"id": "a", "first": 0}], "rows"),
        ([{"id": "../a", "first": 0, "rows": 3}], "origins.0..id"),
        ([{"id": "a", "first": -1, "rows": 3}], "first"),
        ([{"id": "a", "first": 0, "rows": 0}], "rows"),
        ([{"id": "a", "first": 0, "rows": 3}, {"id": "b", "first": 2, "rows": 3}], "at least 3"),
        ([{"id": "a", "first": 1 << 62, "rows": 1 << 62}], "beyond"),
    ],
)
def test_origins_are_checked(tmp_path: Path, origins: Any, match: str) -> None:
    """A manifest is not trusted."""
    import json

    from dao.format.checksum import CHECKSUM, checksum
    from dao.format.manifest import Manifest

    path = tmp_path / "a.dao"
    dao.write_store(path, {"a": study(0, 8)}, organism="human", progress=False)
    content = json.loads((path / "dao.json").read_bytes())
    del content[CHECKSUM]
    content["datasets"][0]["origins"] = origins
    text = json.dumps({**content, CHECKSUM: checksum(content)})
    with pytest.raises(dao.errors.FormatError, match=match):
        Manifest.from_json(text)


def test_a_row_of_no_origin_is_damage(tmp_path: Path) -> None:
    """It is an error where it matters, and for validate."""
    import json
    from dataclasses import replace

    from dao.format.manifest import Manifest, OriginInfo

    path = tmp_path / "a.dao"
    dao.write_store(path, {"a": study(0, 8)}, organism="human", progress=False)
    manifest = Manifest.from_json((path / "dao.json").read_bytes())
    (dataset,) = manifest.datasets
    broken = replace(dataset, origins=(OriginInfo("b", 0, 7),))
    text = replace(manifest, datasets=(broken,)).to_json()
    assert json.loads(text)["datasets"][0]["origins"] == [{"id": "b", "first": 0, "rows": 7}]
    (path / "dao.json").write_text(text)
    with pytest.raises(dao.errors.CorruptStoreError, match="source row 7"):
        dao.load_store(path).split(TWO)
    assert "none of the origins" in str(dao.validate_store(path).problems)
