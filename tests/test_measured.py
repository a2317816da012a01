"""What studies did not measure: zeros that say nothing, and the mask that says so."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from dao.errors import ArgumentError, UnknownFeatureError

if TYPE_CHECKING:
    from collections.abc import Callable

    import dao

NAMES = ["G25", "absent", "G3", "G39", "G12", "G0"]


@pytest.fixture
def store(write: Callable[..., dao.Store], make_study: Any) -> dao.Store:
    """Three studies of 110 cells: of genes 0 to 29, of 10 to 39, and of all."""
    genes = [f"G{i}" for i in range(40)]
    return write(
        {
            "first": make_study(0, 50, 30, genes[:30]),
            "last": make_study(1, 40, 30, genes[10:]),
            "all": make_study(2, 20, 40, genes),
        }
    )


def expected(store: dao.Store, index: Any, names: Any) -> Any:
    """Return the mask of cells, gene by gene."""
    held = {"first": range(30), "last": range(10, 40), "all": range(40)}
    numbers = [int(n[1:]) if n != "absent" else -1 for n in names]
    datasets = store.obs["dataset"].to_numpy()[np.asarray(index)]
    return np.array([[number in held[d] for number in numbers] for d in datasets])


@pytest.mark.parametrize("x_format", ["csr", "dense"])
@pytest.mark.parametrize("batch_size", [7, 64, 500])
def test_mask_of_each_cell(store: dao.Store, x_format: str, batch_size: int) -> None:
    """Genes in any order, one that no study has: values, zeros and mask belong together."""
    generator = store.generator(
        batch_size, var_names=NAMES, missing="zero", measured=True, x_format=x_format
    )
    whole = store.to_anndata().to_df().reindex(columns=NAMES, fill_value=0).to_numpy()
    for batch in generator:
        assert batch["measured"].dtype == np.bool_
        mask = expected(store, batch["index"], NAMES)
        np.testing.assert_array_equal(batch["measured"], mask)
        x = batch["X"].toarray() if x_format == "csr" else batch["X"]
        np.testing.assert_array_equal(x, whole[batch["index"]])
        assert not x[~batch["measured"]].any()


def test_mask_of_a_selection(store: dao.Store) -> None:
    """A subset in an order of its own has the mask of its own studies; without asking none has."""
    chosen = store.subset(exclude={"dataset": "first"}).take([40, 3, 59, 0, 3])
    (batch,) = chosen.generator(10, sampler="sequential", measured=True)
    np.testing.assert_array_equal(
        batch["measured"], expected(store, batch["index"], store.var_names)
    )
    assert "measured" not in next(iter(chosen.generator(10)))


def test_features_left_out_before_are_not_measured(store: dao.Store) -> None:
    """What an earlier choice left out is zero, and its mask is False."""
    generator = store.select_features(["G12"]).generator(
        200, var_names=["G13", "G12"], missing="zero", measured=True
    )
    (batch,) = generator
    assert not batch["X"].toarray()[:, 0].any()
    np.testing.assert_array_equal(batch["measured"], np.tile([False, True], (110, 1)))


def test_arguments(store: dao.Store) -> None:
    """What is missing is an error unless said otherwise, and says how to say so."""
    with pytest.raises(UnknownFeatureError, match=re.escape("missing='zero'")):
        store.generator(var_names=NAMES)
    with pytest.raises(ArgumentError, match="missing='none'"):
        store.generator(var_names=NAMES, missing="none")
    with pytest.raises(ArgumentError, match="var_names that are not there"):
        store.generator(missing="zero")


def test_memory_of_the_mask_counts(store: dao.Store) -> None:
    """The budget knows of the mask: it may be larger than the matrix."""
    from dao.batches.budget import Budget

    sizes = [
        Budget.of(store, store.generator(10, measured=m).spec).final_row_bytes
        for m in (False, True)
    ]
    assert sizes[1] - sizes[0] == store.n_vars


@pytest.mark.parametrize("x_format", ["csr", "dense"])
@pytest.mark.parametrize("framework", ["torch", "tensorflow", "jax"])
def test_mask_in_frameworks(store: dao.Store, framework: str, x_format: str) -> None:
    """The mask is boolean in every framework, after transforms too."""
    pytest.importorskip(framework)
    arguments: dict[str, Any] = {
        "batch_size": 16,
        "var_names": NAMES,
        "missing": "zero",
        "measured": True,
        "x_format": x_format,
        "transform": ["normalize_total", "log1p"],
    }
    batches = list(getattr(store, framework)(**arguments))
    assert [len(b["index"]) for b in batches] == [16] * 6 + [14]
    for batch in batches:
        mask = np.asarray(batch["measured"])
        assert mask.dtype == np.bool_
        np.testing.assert_array_equal(mask, expected(store, batch["index"], NAMES))


def test_mask_of_rows_and_workers(store: dao.Store) -> None:
    """Rows of a map-style dataset have their mask, and DataLoader workers hand it on."""
    torch = pytest.importorskip("torch")
    rows = store.map_dataset(var_names=NAMES, missing="zero", measured=True, x_format="dense")
    assert rows[3]["measured"].tolist() == expected(store, [3], NAMES)[0].tolist()
    dataset = store.torch(batch_size=16, var_names=NAMES, missing="zero", measured=True)
    loader = torch.utils.data.DataLoader(dataset, batch_size=None, num_workers=2)
    for batch in loader:
        assert batch["measured"].dtype == torch.bool
        mask = expected(store, batch["index"].numpy(), NAMES)
        np.testing.assert_array_equal(batch["measured"].numpy(), mask)
