"""What sfaira's own tests hold its carts and adaptors to, and where these went wrong.

One test for each group of behaviours about streams, and one for each wrong result of sfaira in
this area, which shows that dao does it right. The oracle is the AnnData that was written.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

import dao
from dao import samplers

if TYPE_CHECKING:
    from collections.abc import Callable

    import anndata as ad

Make = Any
LABELS = {"human1": 61, "human2": 40, "mouse": 30}


@pytest.fixture
def studies(make_study: Make) -> dict[str, ad.AnnData]:
    """Two human studies and a mouse, with cell types in groups of different sizes, and obsm."""
    made = {}
    for i, (name, n) in enumerate(LABELS.items()):
        study = make_study(i, n)
        kinds = np.repeat(["B cell", "NK cell", "T cell"], [n // 2, n // 3, n - n // 2 - n // 3])
        study.obs["cell_type"] = pd.Categorical(kinds)
        study.obsm["place"] = (
            np.stack([np.full(n, i), np.arange(n)], axis=1).astype(np.float32) + 0.5
        )
        made[name] = study
    return made


@pytest.fixture
def store(write: Callable[..., dao.Store], studies: dict[str, ad.AnnData]) -> dao.Store:
    """All of them, not shuffled, so that rows can be compared with the sources."""
    organisms = {name: "mouse" if name == "mouse" else "human" for name in studies}
    return write(
        [dao.Source(s, id=n, organism=organisms[n]) for n, s in studies.items()],
        shuffle=False,
        obsm=["place"],
    )


@pytest.fixture
def human(store: dao.Store) -> dao.Store:
    """The cells of one feature space."""
    return store["human"]


@pytest.fixture
def x(human: dao.Store) -> np.ndarray[Any, Any]:
    """X of all human cells in memory."""
    return np.asarray(human.to_anndata().X.toarray())


# --- groups of behaviours -------------------------------------------------------------------------


def test_group_7_obsm_comes_with_each_cell(human: dao.Store, studies: Any) -> None:
    """In batches of one cell as in others, with a width of its own."""
    (batch, *others) = human.generator(1, obsm=["place"], x_format="dense", sampler="sequential")
    assert batch["X"].shape == (1, human.n_vars)
    assert batch["obsm"]["place"].shape == (1, 2)
    assert len(others) == human.n_obs - 1
    expected = np.concatenate([studies[n].obsm["place"] for n in ("human1", "human2")])
    got = np.concatenate([b["obsm"]["place"] for b in (batch, *others)])
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("sampler", ["sequential", "shuffle", "random"])
@pytest.mark.parametrize("obsm", [(), ("place",)])
def test_group_9_every_adaptor(human: dao.Store, x: Any, sampler: str, obsm: Any) -> None:
    """numpy, torch in and out of a DataLoader, map-style and tensorflow: the same cells."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("tensorflow")
    genes = human.var_names[:2]
    how: dict[str, Any] = {
        "var_names": genes,
        "x_format": "dense",
        "obsm": obsm,
        "sampler": sampler,
        "batch_size": 8,
    }
    rows = human.map_dataset(var_names=genes, x_format="dense", obsm=obsm)
    forms: dict[str, Any] = {
        "numpy": human.generator(**how),
        "torch": human.torch(**how),
        "torch in a DataLoader": torch.utils.data.DataLoader(human.torch(**how), batch_size=None),
        "map-style in a DataLoader": torch.utils.data.DataLoader(
            rows, batch_size=8, shuffle=sampler != "sequential", collate_fn=rows.collate
        ),
        "tensorflow": human.tensorflow(**how),
    }
    for name, form in forms.items():
        seen = []
        for batch in form:
            index = np.asarray(batch["index"])
            assert np.asarray(batch["X"]).dtype == np.float32
            np.testing.assert_array_equal(np.asarray(batch["X"]), x[index, :2], err_msg=name)
            if obsm:
                assert len(batch["obsm"]["place"]) == len(index)
            seen.append(index)
        np.testing.assert_array_equal(np.sort(np.concatenate(seen)), np.arange(human.n_obs), name)


def test_group_10_in_memory_and_from_disk_are_equal(human: dao.Store) -> None:
    """Items of a map-style dataset, for lists and for single numbers."""
    torch = pytest.importorskip("torch")
    raw = human.map_dataset(x_format="dense")
    cached = human.to_memory().map_dataset(x_format="dense")
    assert len(raw) == len(cached) == human.n_obs
    several = [data.collate(data.__getitems__([2, 7])) for data in (raw, cached)]
    assert torch.equal(several[0]["X"], several[1]["X"])
    assert several[0]["X"].ndim == 2
    one = [data[3]["X"] for data in (raw, cached)]
    assert torch.equal(*one)
    assert one[0].ndim == 1


@pytest.mark.parametrize("batch_size", [10, 61, 101, 300])
@pytest.mark.parametrize("sampler", ["sequential", "shuffle", "random"])
def test_group_12_as_many_rows_as_are_selected(
    human: dao.Store, batch_size: int, sampler: str
) -> None:
    """tf.data and the generator give the same rows, below, at and above the sizes of datasets."""
    pytest.importorskip("tensorflow")
    train = human.take(np.arange(3, 90))
    how: dict[str, Any] = {"batch_size": batch_size, "sampler": sampler, "seed": 3}
    plain = [b["index"].tolist() for b in train.generator(**how)]
    assert plain == [b["index"].numpy().tolist() for b in train.tensorflow(**how)]
    assert sorted(row for rows in plain for row in rows) == list(range(3, 90))


# --- wrong results --------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [None, 7])
def test_blocks_of_different_sizes_in_any_order(human: dao.Store, batch_size: int | None) -> None:
    """sfaira permuted the list of groups: an error, or all groups in each batch."""
    grouped = human.generator(
        batch_size, sampler=samplers.Grouped("cell_type"), obs_keys=["cell_type"], seed=1
    )
    orders = set()
    for _ in range(4):
        seen: Counter[int] = Counter()
        order = []
        for batch in grouped:
            labels = set(batch["obs"]["cell_type"])
            assert len(labels) == 1
            order += labels
            seen.update(batch["index"].tolist())
        assert sorted(seen) == list(range(human.n_obs))
        assert set(seen.values()) == {1}
        orders.add(tuple(order))
    assert len(orders) > 1  # another order of groups in other epochs


def test_map_style_obsm_of_chosen_cells(human: dao.Store, studies: Any, x: Any) -> None:
    """sfaira took obsm by place in the selection, and X by place in the store."""
    pytest.importorskip("torch")
    rows = human.take([50, 30, 70]).map_dataset(obsm=["place"], x_format="dense")
    expected = np.concatenate([studies[n].obsm["place"] for n in ("human1", "human2")])
    for i, at in enumerate([50, 30, 70]):
        np.testing.assert_array_equal(rows[i]["obsm"]["place"].numpy(), expected[at])
        np.testing.assert_array_equal(rows[i]["X"].numpy(), x[at])


@pytest.mark.parametrize("sampler", ["shuffle", "random"])
def test_batches_over_datasets_are_aligned(
    human: dao.Store, studies: Any, x: Any, sampler: str
) -> None:
    """X, obs and obsm of one row are of one cell, also where a batch spans datasets."""
    expected = np.concatenate([studies[n].obsm["place"] for n in ("human1", "human2")])
    obs = human.obs
    crossed = n_sorted = 0
    for batch in human.generator(
        33, sampler=sampler, obsm=["place"], obs_keys=["dataset", "cell_type"], x_format="dense"
    ):
        index = batch["index"]
        np.testing.assert_array_equal(batch["X"], x[index])
        np.testing.assert_array_equal(batch["obsm"]["place"], expected[index])
        for key in ("dataset", "cell_type"):
            assert list(batch["obs"][key]) == list(obs[key].iloc[index])
        n_sorted += len(index) > 2 and bool((np.diff(index) > 0).all())
        crossed += len(set(batch["obs"]["dataset"])) > 1
    assert crossed
    assert not n_sorted  # cells come in the order of the sampler


def test_organisms_take_turns_in_every_epoch(store: dao.Store) -> None:
    """sfaira failed once an organism had ended, and gave nothing in the second epoch."""
    parts = {o: store[o].generator(10) for o in store.organisms}
    both = dao.interleave(parts)
    for _ in range(3):
        seen: dict[str, list[int]] = {o: [] for o in parts}
        for organism, batch in both:
            seen[organism] += batch["index"].tolist()
        assert {o: len(set(rows)) for o, rows in seen.items()} == {o: store[o].n_obs for o in parts}
        assert sum(map(len, seen.values())) == store.n_obs


def test_workers_share_the_rows(human: dao.Store) -> None:
    """sfaira gave each row once for every worker."""
    torch = pytest.importorskip("torch")
    loader = torch.utils.data.DataLoader(
        human.torch(batch_size=16),
        batch_size=None,
        num_workers=2,
        multiprocessing_context="spawn",
    )
    got = np.concatenate([b["index"].numpy() for b in loader])
    assert sorted(got.tolist()) == list(range(human.n_obs))


def test_a_seed_says_everything(human: dao.Store) -> None:
    """sfaira drew from the state of the process, which nobody could set for it alone."""
    orders = []
    for state in (0, 1):
        np.random.seed(state)  # noqa: NPY002  (what must not matter)
        generator = human.generator(16, seed=5)
        orders.append([b["index"].tolist() for b in generator])
    assert orders[0] == orders[1]
    assert orders[0] != [b["index"].tolist() for b in human.generator(16, seed=6)]


def test_after_moving_to_memory_everything_can_be_asked(human: dao.Store, x: Any) -> None:
    """sfaira's store in memory had arrays that held arrays, or raised once X had been looked at."""
    before = human.to_anndata()
    held = human.to_memory()
    after = held.to_anndata()
    np.testing.assert_array_equal(before.X.toarray(), after.X.toarray())
    (batch,) = held.generator(human.n_obs, sampler="sequential", x_format="dense")
    np.testing.assert_array_equal(batch["X"], x)
    assert (held.n_obs, held.n_vars, held.shape) == (human.n_obs, human.n_vars, human.shape)


def test_memory_and_disk_are_what_they_are_called(store: dao.Store) -> None:
    """sfaira's names for backed and in memory were the wrong way round."""
    assert "memory" not in repr(store).rpartition("backend")[2]
    assert "memory" in repr(store.to_memory()).rpartition("backend")[2]


def test_weights_of_datasets_have_an_effect(human: dao.Store) -> None:
    """sfaira's dataset_weights were never read."""
    size = 20_000
    drawn = human.generator(
        size, sampler=samplers.Balanced("dataset", size=size), obs_keys=["dataset"]
    )
    (batch,) = drawn
    share = batch["obs"]["dataset"].value_counts(normalize=True)
    assert abs(share["human1"] - 0.5) < 4 * np.sqrt(0.25 / size)
