"""Samplers: what each guarantees, by counting what it draws."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from dao import errors, samplers
from dao.samplers import (
    Balanced,
    Grouped,
    Labels,
    Paired,
    Random,
    Rows,
    Sequential,
    Shuffle,
    Weighted,
    auto,
)
from dao.samplers.blocks import shuffled_blocks

if TYPE_CHECKING:
    from numpy.typing import NDArray


def labels(codes: Any, n: int | None = None) -> Labels:
    """Return codes as a column with names "0", "1" and so on."""
    array = np.asarray(codes, np.int32)
    return Labels(array, [str(i) for i in range(n or int(array.max(initial=-1)) + 1)])


def rows_of(n: int, batch_size: int | None = 10, **obs: Any) -> Rows:
    """Return n rows in two datasets."""
    return Rows(np.array([n // 3, n - n // 3], np.int64), batch_size, obs)


def stream(plan: samplers.EpochPlan) -> NDArray[np.int64]:
    """Return all rows of an epoch."""
    return np.concatenate([np.empty(0, np.int64), *plan.rows(0, plan.n_rows)])


def counts(sampler: Any, rows: Rows, n_epochs: int) -> NDArray[np.int64]:
    """Return how often each row comes in some epochs."""
    drawn = [stream(sampler.plan(rows, seed=1, epoch=e)) for e in range(n_epochs)]
    return np.bincount(np.concatenate(drawn), minlength=rows.n)


WEIGHTS = np.random.default_rng(0).gamma(0.5, size=300) * (np.arange(300) % 7 > 0)


@pytest.mark.parametrize("block", [1, 16, 300, 1000])
@pytest.mark.parametrize("size", [None, 97, 1000])
def test_weighted_cells_have_exactly_their_probability(block: int, size: int | None) -> None:
    """A chi-square test over epochs: each cell comes as often as its weight says."""
    sampler = Weighted(WEIGHTS, size, block=block, window=250)
    n_epochs = 150_000 // (size or 300)
    found = counts(sampler, rows_of(300), n_epochs)
    expected = n_epochs * (size or 300) * WEIGHTS / WEIGHTS.sum()
    assert found.sum() == n_epochs * (size or 300)
    assert (found[WEIGHTS == 0] == 0).all()
    some = expected > 5
    rest = found[~some].sum(), expected[~some].sum()
    test = stats.chisquare(np.append(found[some], rest[0]), np.append(expected[some], rest[1]))
    assert test.pvalue > 1e-3


def test_draws_are_independent() -> None:
    """How often one cell comes has the variance of independent draws, also within a block."""
    sampler = Weighted(WEIGHTS, 300, block=32, window=200)
    rows = rows_of(300)
    per_epoch = np.array(
        [
            np.bincount(stream(sampler.plan(rows, seed=2, epoch=e)), minlength=300)
            for e in range(1500)
        ]
    )
    p = WEIGHTS / WEIGHTS.sum()
    some = 300 * p > 0.3
    ratio = per_epoch.var(axis=0)[some] / (300 * p * (1 - p))[some]
    assert 0.8 < ratio.min() < ratio.max() < 1.2
    left, right = per_epoch[:, 1], per_epoch[:, 2]  # neighbours: of the same block
    expected = -np.sqrt(p[1] * p[2] / ((1 - p[1]) * (1 - p[2])))
    assert abs(np.corrcoef(left, right)[0, 1] - expected) < 0.09


def test_cells_that_are_drawn_often_come_in_many_windows() -> None:
    """The draws of a few rare cells are spread over the epoch, and stay exact."""
    codes = np.zeros(20_000, np.int32)
    rare = np.random.default_rng(2).choice(20_000, 10, replace=False)
    codes[rare] = 1
    sampler = Balanced("kind", block=64, window=1000)
    rows = rows_of(20_000, kind=labels(codes))
    plan = sampler.plan(rows, seed=0, epoch=0)
    windows = [plan.window(i) for i in range(20)]
    with_most = sum(len(set(rare) & set(w)) >= 8 for w in windows)
    assert with_most >= 8  # of 16 passes, several may lie in one window
    found = np.bincount(np.concatenate(windows), minlength=20_000)[rare]
    assert stats.chisquare(found).pvalue > 1e-3
    assert abs(found.sum() / 20_000 - 0.5) < 0.02


def test_balanced_groups_are_equally_likely() -> None:
    """Each group has the same share, each cell of a group the same, cells without a value none."""
    codes = np.repeat([0, 1, 2, -1], [240, 40, 10, 10])
    codes = np.random.default_rng(1).permutation(codes)
    rows = rows_of(300, kind=labels(codes))
    found = counts(Balanced("kind", block=16, window=50), rows, 1000)
    assert (found[codes < 0] == 0).all()
    for code, n in enumerate([240, 40, 10]):
        own = found[codes == code]
        assert abs(own.sum() / found.sum() - 1 / 3) < 0.01
        assert stats.chisquare(own).pvalue > 1e-3, n


def test_balanced_by_several_columns() -> None:
    """Combinations that occur are the groups; numbers and booleans are values too."""
    kind = np.array([0, 0, 0, 1, 1, 1, 1, 1, 1, -1])
    number = np.array([1.0, 1, 2, 2, 2, 2, 2, 2, 2, 1])
    rows = rows_of(10, kind=labels(kind), number=number)
    found = counts(Balanced(["kind", "number"], size=30), rows, 1000)
    shares = found / found.sum()
    np.testing.assert_allclose(shares, [1 / 6] * 2 + [1 / 3] + [1 / 18] * 6 + [0], atol=0.01)


def test_weights_by_value_and_by_column() -> None:
    """Weights may stand in obs, or be given for its values."""
    codes = np.array([0, 1, 1, 2, -1] * 20)
    rows = rows_of(100, kind=labels(codes), weight=np.where(codes == 1, 2.0, 0.0))
    for sampler in (Weighted({"kind": {"1": 0.5}}), Weighted("weight")):
        found = counts(sampler, rows, 20)
        assert found.sum() == 2000
        assert (found[codes != 1] == 0).all()
        assert (found[codes == 1] > 0).all()


def test_without_replacement() -> None:
    """No cell twice; the first-order frequencies are those of successive draws."""
    weights = np.array([0, 1, 1, 2, 4, 8.0])
    sampler = Weighted(weights, 2, replacement=False, block=2, window=3)
    found = counts(sampler, rows_of(6), 4000)
    for epoch in range(50):
        assert len(set(stream(sampler.plan(rows_of(6), seed=1, epoch=epoch)))) == 2
    p = weights / weights.sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        second = np.array(
            [sum(p[j] * p[i] / (1 - p[j]) for j in range(6) if j != i) for i in range(6)]
        )
    np.testing.assert_allclose(found / 4000, p + second, atol=0.03)
    everything = Weighted(weights, replacement=False)
    assert sorted(stream(everything.plan(rows_of(6), seed=0, epoch=0))) == [1, 2, 3, 4, 5]


@given(
    n=st.integers(1, 200),
    n_groups=st.integers(1, 6),
    batch_size=st.one_of(st.none(), st.integers(1, 40)),
    block=st.integers(1, 50),
    window=st.integers(1, 100),
    seed=st.integers(0, 2**40),
)
@settings(max_examples=200, deadline=None)
def test_grouped(
    n: int, n_groups: int, batch_size: int | None, block: int, window: int, seed: int
) -> None:
    """Every labelled row once, batches of one group, all but one of a group full."""
    codes = np.random.default_rng(seed).integers(-1, n_groups, n)
    rows = rows_of(n, batch_size, kind=labels(codes, n_groups))
    plan = Grouped("kind", block, window).plan(rows, seed=seed, epoch=0)
    visited = stream(plan)
    assert sorted(visited) == np.flatnonzero(codes >= 0).tolist()
    assert plan.batches is not None
    sizes: dict[int, list[int]] = {}
    for a, b in zip(plan.batches[:-1], plan.batches[1:], strict=True):
        (group,) = set(codes[visited[a:b]])
        sizes.setdefault(group, []).append(b - a)
    if batch_size is None:
        assert all(len(found) == 1 for found in sizes.values())
    else:
        assert all(sorted(found)[1:] == [batch_size] * (len(found) - 1) for found in sizes.values())
    assert set(plan.boundaries) <= {0, *plan.batches}
    middle = [r for part in plan.rows(n // 4, plan.n_rows // 2) for r in part]
    assert middle == visited[n // 4 : plan.n_rows // 2].tolist()


def test_groups_alternate() -> None:
    """Batches of different groups come in a random order, another in each epoch."""
    codes = np.repeat([0, 1, 2, 3], 100)
    rows = rows_of(400, 10, kind=labels(codes))
    orders = []
    for epoch in range(3):
        plan = Grouped("kind", block=8, window=100).plan(rows, seed=0, epoch=epoch)
        assert plan.batches is not None
        orders.append([codes[r] for r in stream(plan)[plan.batches[:-1]]])
    assert orders[0] != orders[1] != orders[2]
    changes = sum(a != b for a, b in zip(orders[0], orders[0][1:], strict=False))
    assert changes > 15


@given(
    n=st.integers(2, 200),
    half=st.integers(1, 20),
    block=st.integers(1, 50),
    window=st.integers(1, 100),
    seed=st.integers(0, 2**40),
)
@settings(max_examples=200, deadline=None)
def test_paired(n: int, half: int, block: int, window: int, seed: int) -> None:
    """Every treated cell once, beside a control of its own batch and donor, as pairs say."""
    random = np.random.default_rng(seed)
    treatment, donor = random.integers(-1, 3, n), random.integers(-1, 3, n)
    rows = rows_of(n, 2 * half, drug=labels(treatment, 3), donor=labels(donor, 3))
    sampler = Paired("drug", "1", ["donor"], unmatched="drop", block=block, window=window)
    plan = sampler.plan(rows, seed=seed, epoch=1)
    visited = stream(plan)
    assert plan.batches is not None
    assert plan.extras is not None
    treated: list[int] = []
    for a, b in zip(plan.batches[:-1], plan.batches[1:], strict=True):
        batch = visited[a:b]
        pairs = plan.extras(len(batch))["pairs"]
        assert sorted(pairs.ravel()) == list(range(len(batch)))
        left, right = batch[pairs[:, 0]], batch[pairs[:, 1]]
        assert (treatment[right] == 1).all()
        assert (donor[left] == donor[right]).all()
        treated += left.tolist()
    matched = set(donor[(treatment == 1) & (donor >= 0)])
    expected = [i for i in range(n) if treatment[i] in {0, 2} and donor[i] in matched]
    assert sorted(treated) == expected


def test_controls_are_drawn_evenly() -> None:
    """Each control that matches is equally likely, for each treated cell."""
    treatment = np.repeat([0, 1], [60, 20])
    rows = rows_of(80, 8, drug=labels(treatment))
    partners: Counter[tuple[int, int]] = Counter()
    for epoch in range(300):
        plan = Paired("drug", "1", block=6, window=32).plan(rows, seed=3, epoch=epoch)
        for a in range(0, 120, 8):
            batch = stream(plan)[a : a + 8]
            partners.update(zip(batch[:4].tolist(), batch[4:].tolist(), strict=True))
    per_control = np.array([sum(partners[t, c] for t in range(60)) for c in range(60, 80)])
    assert per_control.sum() == 300 * 60
    assert abs(per_control / per_control.mean() - 1).max() < 0.12
    own = np.array([partners[7, c] for c in range(60, 80)])
    assert stats.chisquare(own).pvalue > 1e-3


@pytest.mark.parametrize(
    ("sampler", "match"),
    [
        (lambda: Weighted([1.0, 2.0]), "2 weights for 30 cells"),
        (lambda: Weighted(np.full(30, np.nan)), "cell 0 is nan"),
        (lambda: Weighted(-np.ones(30)), "at least 0"),
        (lambda: Weighted(np.zeros(30)), "All weights are 0"),
        (lambda: Weighted(np.eye(30)[0], 2, replacement=False), "1 cells have a weight"),
        (lambda: Weighted({"kind": {"5": 1.0}}), "no value '5'"),
        (lambda: Weighted({"kind": {}, "other": {}}), "one obs column"),
        (lambda: Weighted("kind"), "no numbers"),
        (lambda: Weighted("gap"), "no value for some cells"),
        (lambda: Weighted("gap", size=0), "size=0"),
        (lambda: Balanced("empty"), "No selected cell"),
        (lambda: Balanced("kind", block=0), "block=0"),
        (lambda: Shuffle(block=0), "block=0"),
        (lambda: Shuffle(window=2.5), "window=2.5"),
        (lambda: Random(True), "window=True"),
        (lambda: Sequential(-1), "window=-1"),
        (lambda: Paired("kind", "control"), "no value 'control'"),
        (lambda: Paired("kind", "0", ["donor"]), "15 treated cells have no control"),
        (lambda: Paired("kind", "0", unmatched="keep"), "unmatched='keep'"),
    ],
)
def test_what_cannot_be_is_refused(sampler: Any, match: str) -> None:
    """Arguments that make no sense, or not for these rows, are refused in words."""
    kind = labels(np.arange(30) % 2)
    rows = rows_of(
        30, kind=kind, donor=kind, gap=np.full(30, np.nan), empty=labels(np.full(30, -1), 2)
    )
    with pytest.raises(errors.ArgumentError, match=match):
        sampler().plan(rows, seed=0, epoch=0)


def test_pairs_need_an_even_batch_size() -> None:
    """A batch holds whole pairs."""
    rows = rows_of(30, 7, kind=labels(np.arange(30) % 2))
    with pytest.raises(errors.ArgumentError, match="even"):
        Paired("kind", "0").plan(rows, seed=0, epoch=0)


@pytest.mark.parametrize(
    "sampler",
    [
        Weighted(np.arange(12.0), block=3, window=5),
        Weighted(np.arange(12.0), 6, replacement=False, block=3, window=5),
        Balanced("kind", 10, block=3, window=5),
        Grouped("kind", block=3, window=8),
        Paired("kind", "0", block=3, window=8),
        Random(5),
    ],
)
def test_orders_are_fixed_for_ever(sampler: Any) -> None:
    """What a seed and an epoch give is part of what versions promise."""
    rows = rows_of(12, 4, kind=labels([0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 2]))
    found = stream(sampler.plan(rows, seed=3, epoch=1)).tolist()
    name = type(sampler).__name__ + ("" if getattr(sampler, "replacement", True) else " once")
    assert found == GOLDEN_ORDERS[name]


GOLDEN_ORDERS = {
    "Weighted": [6, 4, 5, 5, 6, 10, 10, 11, 9, 10, 11, 1],
    "Weighted once": [8, 11, 5, 6, 10, 7],
    "Balanced": [6, 6, 4, 11, 6, 1, 10, 2, 0, 10],
    "Grouped": [6, 3, 4, 5, 7, 8, 9, 10, 11, 0, 1, 2],
    "Paired": [9, 11, 1, 2, 6, 10, 1, 0, 8, 4, 0, 2, 3, 7, 1, 0, 5, 0],
    "Random": [0, 7, 11, 1, 2, 9, 5, 6, 3, 4, 8, 10],
}


def test_representations_tell_samplers_apart() -> None:
    """The repr is what a state knows of a sampler, so long lists of weights are told apart."""
    assert repr(Weighted([1.0, 2.0])) == repr(Weighted(np.array([1.0, 2.0])))
    assert repr(Weighted([1.0, 2.0])) != repr(Weighted([2.0, 1.0]))
    assert "size=None" in repr(Weighted("depth"))


@given(st.integers(0, 80), st.integers(1, 12), st.integers(0, 80), st.integers(0, 80))
@settings(max_examples=200, deadline=None)
def test_any_stretch_of_shuffled_blocks(n: int, size: int, a: int, b: int) -> None:
    """It is that of all blocks one after another, wherever the short one is."""
    blocks = shuffled_blocks(n, size, a, "blocks")
    whole = [np.arange(k * size, min(n, (k + 1) * size)) for k in blocks.order.tolist()]
    expected = np.concatenate([np.empty(0, np.int64), *whole])
    assert sorted(expected.tolist()) == list(range(n))
    low, high = sorted((min(a, n), min(b, n)))
    np.testing.assert_array_equal(blocks.items(low, high), expected[low:high])


def test_automatic_blocks_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of very many rows no block is tried whose order would take more memory than it is worth."""
    monkeypatch.setattr(auto, "_MOST_BLOCKS", 1 << 12)
    rows = Rows(np.array([1 << 16]))
    tried = auto.auto_shuffle(samplers.Shuffle(), rows, {"dataset": lambda found: found // 256})
    assert tried.block == 16
