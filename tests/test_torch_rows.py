"""Map-style rows: any of them, under torch's own samplers and DataLoader."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from dao.errors import ArgumentError

torch = pytest.importorskip("torch")

if TYPE_CHECKING:
    from collections.abc import Callable

    import dao

DataLoader: Any = torch.utils.data.DataLoader


@pytest.fixture
def store(write: Callable[..., dao.Store], make_study: Any) -> dao.Store:
    """Two studies, 130 cells."""
    return write(
        {"a": make_study(0, 80), "b": make_study(1, 50)}, layers=["doubled"], obsm=["X_pca"]
    )


@pytest.mark.parametrize("x_format", ["csr", "dense"])
@pytest.mark.parametrize("n_workers", [0, 2])
def test_a_data_loader_with_torchs_own_sampler(
    store: dao.Store, x_format: str, n_workers: int
) -> None:
    """Every row as in memory, in the order of torch's sampler, read batch by batch."""
    whole = store.to_anndata()
    dataset = store.map_dataset(
        obs_keys=["cell_type", "score"], layers=["doubled"], obsm=["X_pca"], x_format=x_format
    )
    assert len(dataset) == 130
    order = torch.utils.data.WeightedRandomSampler(torch.arange(1.0, 131.0), 200)
    loader = DataLoader(
        dataset,
        batch_size=32,
        sampler=order,
        num_workers=n_workers,
        multiprocessing_context="spawn" if n_workers else None,
        collate_fn=dataset.collate,
    )
    seen = 0
    for batch in loader:
        rows = batch["index"].numpy()
        seen += len(rows)
        X = batch["X"] if x_format == "dense" else batch["X"].to_dense()
        np.testing.assert_array_equal(X.numpy(), whole.X[rows].toarray())
        np.testing.assert_array_equal(batch["obsm"]["X_pca"].numpy(), whole.obsm["X_pca"][rows])
        names = np.array(dataset.categories["cell_type"])[batch["obs"]["cell_type"].numpy()]
        assert list(names) == list(whole.obs["cell_type"].iloc[rows])
        assert batch["layers"]["doubled"].layout == batch["X"].layout
    assert seen == 200


def test_torchs_own_collation(store: dao.Store) -> None:
    """Dense rows can be collated one by one; so the dataset works in any DataLoader."""
    dataset = store.map_dataset(obs_keys=["cell_type"], x_format="dense")
    left = next(iter(DataLoader(dataset, batch_size=16)))
    right = next(iter(DataLoader(dataset, batch_size=16, collate_fn=dataset.collate)))
    torch.testing.assert_close(left["X"], right["X"])
    assert left["obs"]["cell_type"].tolist() == right["obs"]["cell_type"].tolist()
    assert left["index"].tolist() == list(range(16))


def test_single_rows(store: dao.Store) -> None:
    """As of any sequence: from the end too, and not outside."""
    dataset = store.subset(cell_type="B").map_dataset(x_format="dense")
    n = len(dataset)
    torch.testing.assert_close(dataset[-1]["X"], dataset[n - 1]["X"])
    rows = dataset.__getitems__([3, 0, 3])
    assert [int(r["index"]) for r in rows] == [int(rows[i]["index"]) for i in (0, 1, 0)]
    assert [int(r["index"]) for r in rows[:2]] == [int(rows[0]["index"]), int(rows[1]["index"])]
    for row in (n, -n - 1):
        with pytest.raises(IndexError, match="are selected"):
            dataset[row]
    assert dataset.__getitems__([]).batch["X"].shape == (0, store.n_vars)


def test_what_is_for_the_loader(store: dao.Store) -> None:
    """Order and batches are the DataLoader's; transforms are applied."""
    with pytest.raises(ArgumentError, match="batch_size"):
        store.map_dataset(batch_size=3)
    dataset = store.map_dataset(x_format="dense", transform=["normalize_total", "log1p"])
    total = torch.expm1(dataset[5]["X"].double()).sum()
    assert float(total) == pytest.approx(1e4, rel=1e-4)
    odd = store.map_dataset(transform=lambda batch: batch["X"].shape)
    with pytest.raises(ArgumentError, match="dict of tensors"):
        odd[0]
