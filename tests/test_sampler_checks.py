"""What samplers make of columns without values, and epochs without cells: never silence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import dao
from dao.errors import ArgumentError, DaoError, DaoWarning
from dao.samplers import Balanced, EpochPlan, Grouped, Labels, Paired, Rows, Weighted

if TYPE_CHECKING:
    from collections import abc


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> dao.Store:
    """90 cells with columns that are complete, have gaps, one value, or none."""
    i = np.arange(90)
    obs = pd.DataFrame(
        {
            "type": pd.Categorical(np.array(["B", "T", "NK"])[i % 3], ["B", "T", "NK", "mast"]),
            "drug": np.array(["control", "A"])[i % 2],
            "gaps": pd.Categorical(np.where(i < 20, None, np.array(["x", "y"])[i % 2])),
            "one": "same",
            "none": pd.Categorical([None] * 90, ["x"]),
            "flag": i % 4 == 0,
            "depth": i / 90,
            "plate": i // 30,
        },
        index=[f"c{k}" for k in i],
    )
    adata = ad.AnnData(np.ones((90, 3), np.float32), obs, pd.DataFrame(index=["G0", "G1", "G2"]))
    path = tmp_path_factory.mktemp("checks") / "a.dao"
    return dao.write_store(path, {"a": adata}, organism="human", progress=False)


@dataclass(frozen=True)
class Nothing:
    """A sampler that draws no cell."""

    def plan(self, rows: Rows, *, seed: int, epoch: int) -> EpochPlan:
        """Return an empty stream."""
        return EpochPlan(np.zeros(1, np.int64), lambda i: np.zeros(0, np.int64))


@pytest.mark.parametrize(
    ("sampler", "match"),
    [
        (lambda: Grouped("none"), "No selected cell has a value of 'none'"),
        (lambda: Balanced("none"), "No selected cell has a value of 'none'"),
        (lambda: Grouped(["type", "none"]), "No selected cell has a value"),
        (lambda: Grouped("typ"), "Did you mean 'type'"),
        (lambda: Balanced("typ"), "Did you mean 'type'"),
        (lambda: Paired("typ", "B"), "Did you mean 'type'"),
        (lambda: Weighted("dept"), "Did you mean 'depth'"),
        (lambda: Grouped(None), "by=None: pass a name"),  # type: ignore[arg-type]
        (lambda: Grouped([]), "by=.*: pass the name"),
        (lambda: Balanced(3), "by=3: pass a name"),  # type: ignore[arg-type]
        (lambda: Paired("type", "mast"), "no control|has the value 'mast'"),
        (lambda: Paired("type", "mast", unmatched="drop"), "0 are controls"),
        (lambda: Paired("one", "same"), "90 are controls"),
        (lambda: Paired("drug", "controll"), "Did you mean 'control'"),
        (lambda: Paired("drug", "control", match=["none"]), "No selected cell is treated"),
        (lambda: Paired("drug", "control", match="type"), "^$"),
        (lambda: Weighted({"type": {"b": 1.0}}), "Did you mean 'B'"),
        (lambda: Weighted({"type": [1, 2]}), "pass a dict of values"),  # type: ignore[dict-item]
        (lambda: Weighted(["a", "b"]), "and not list of other things"),  # type: ignore[list-item]
        (lambda: Weighted({"type": {"mast": 1.0}}), "All weights are 0"),
        (lambda: Balanced("type", size=1e6), "size=1000000.0: .* as 1000000"),  # type: ignore[arg-type]
        (lambda: Balanced("type", size=0), "size=0"),
        (lambda: "weighted", r"pass dao.samplers.Weighted\(...\)"),
        (lambda: "Grouped", r"pass dao.samplers.Grouped\(...\)"),
        (lambda: "shufle", "Did you mean 'shuffle'"),
        (lambda: Weighted, r"pass an object of it, as Weighted\(...\)"),
        (lambda: None, "is no sampler"),
        (Nothing, "gives none of the 90 selected cells"),
    ],
)
def test_mistakes_are_errors(store: dao.Store, sampler: Any, match: str) -> None:
    """Each says what is wrong before anything is streamed."""
    if match == "^$":  # one name is as good as a list of it
        assert len(store.generator(10, sampler=sampler()))
        return
    with pytest.raises(DaoError, match=match):
        store.generator(10, sampler=sampler())


@pytest.mark.parametrize(
    ("sampler", "match"),
    [
        (Grouped("one"), "All cells have the value 'same' of 'one': Grouped has one group"),
        (Balanced("one"), "Balanced has one group"),
        (
            Weighted({"type": {"B": 1.0, "mast": 2.0}}),
            "1 of 2 weights are of values of 'type' that no selected cell has, as 'mast'",
        ),
    ],
)
def test_doubts_are_warnings(store: dao.Store, sampler: Any, match: str) -> None:
    """They come once, with the numbers, when the generator is made."""
    with pytest.warns(DaoWarning, match=match) as caught:
        generator = store.generator(10, sampler=sampler)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    for _ in range(2):
        assert sum(len(batch["index"]) for batch in generator)


@pytest.mark.parametrize(
    "sampler", ["shuffle", "random", "sequential", Grouped("type"), Balanced("type", size=50)]
)
def test_epochs_without_a_batch_warn(store: dao.Store, sampler: Any) -> None:
    """drop_last=True with batches that are larger than what there is streams nothing."""
    with pytest.warns(DaoWarning, match=r"An epoch has no batch.* 100 cells, and 90 are selected"):
        generator = store.generator(100, sampler=sampler, drop_last=True)
    assert list(generator) == []
    assert len(store.generator(90, drop_last=True)) == 1


def drawn(generator: Any) -> np.ndarray[Any, Any]:
    """Return the positions that an epoch visits."""
    return np.concatenate([batch["index"] for batch in generator])


def batches(generator: Any) -> abc.Iterator[pd.DataFrame]:
    """Yield obs of each batch."""
    return (pd.DataFrame(batch["obs"]) for batch in generator)


@pytest.mark.parametrize("column", ["type", "flag", "plate", ["type", "flag"]])
def test_groups_of_any_type_on_repeats(store: dao.Store, column: Any) -> None:
    """Grouped visits each cell as often as it is selected, in batches of one group."""
    which = np.random.default_rng(0).integers(0, 90, 200)
    taken, keys = store.take(which), [column] if isinstance(column, str) else column
    stream = taken.generator(16, sampler=Grouped(column), obs_keys=keys)
    assert sorted(drawn(stream)) == sorted(which)
    assert all(len(obs.drop_duplicates()) == 1 for obs in batches(stream))


@pytest.mark.parametrize("sampler", ["shuffle", "random", "sequential"])
@pytest.mark.parametrize("which", [[5], [5, 5, 5], [80, 3, 80, 0]])
def test_few_cells(store: dao.Store, sampler: str, which: list[int]) -> None:
    """One cell, one cell several times: each comes as often as it is selected."""
    stream = store.take(which).generator(2, sampler=sampler)
    assert sorted(drawn(stream)) == sorted(which)


def test_many_classes() -> None:
    """300,000 of them take no longer than few."""
    n = 300_000
    names = [f"v{i}" for i in range(n)]
    rows = Rows(np.array([n]), 64, {"c": Labels(np.arange(n, dtype=np.int32)[::-1], names)})
    plan = Grouped("c").plan(rows, seed=0, epoch=0)
    assert plan.n_rows == n
    plan = Weighted({"c": dict.fromkeys(names, 1.0)}, size=1000).plan(rows, seed=0, epoch=0)
    assert len(plan.window(0)) == 1000
    Weighted({"c": dict.fromkeys(names, 1.0)}).check_rows(rows)
    plan = Balanced("c", size=1000).plan(rows, seed=0, epoch=0)
    assert len(plan.window(0)) == 1000


def test_weights_hold(store: dao.Store) -> None:
    """Cells are drawn as often as plain numpy expects, within five standard errors."""
    weights = np.where(store.obs["type"] == "B", 3.0, 1.0)
    sampler = Weighted({"type": {"B": 3, "T": 1, "NK": 1}}, size=20_000)
    counts = np.bincount(drawn(store.generator(500, sampler=sampler)), minlength=90)
    expected = weights / weights.sum() * 20_000
    assert (abs(counts - expected) <= 5 * np.sqrt(expected)).all()


def test_a_wrong_batch_size_is_refused(store: dao.Store) -> None:
    """Pairs need an even number; samplers without batches of their own need a size."""
    with pytest.raises(ArgumentError, match="even number"):
        store.generator(9, sampler=Paired("drug", "control"))
    with pytest.raises(ArgumentError, match="batch_size=None"):
        store.generator(None, sampler=Weighted("depth"))


@pytest.mark.parametrize(
    ("names", "value", "hint"),
    [
        ((1, 2), "1", "Numbers stand without quotes: 1."),
        ((1.5, 2.0), " 1.5", "Numbers stand without quotes: 1.5."),
        ((True, False), "True", "Numbers stand without quotes: True."),
        (("1", "2"), 1, "Text stands in quotes: '1'."),
        (("one", "two"), "onee", "Did you mean 'one'?"),
        ((1, 2), "x", "Known: '1', '2'."),
    ],
)
def test_numbers_and_text_are_told_apart(names: tuple[Any, ...], value: Any, hint: str) -> None:
    """A value in or without quotes by mistake is pointed out by every sampler that takes one."""
    rows = Rows(np.array([2]), 2, {"c": Labels(np.array([0, 1], np.int32), names)})
    for sampler in (Weighted({"c": {value: 1}}), Paired("c", control=value)):
        with pytest.raises(ArgumentError) as caught:
            sampler.plan(rows, seed=0, epoch=0)
        assert str(caught.value) == f"obs column 'c' has no value {value!r}. {hint}"
