"""scvi-tools: SCANVI from a store, and which models take no data module."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import dao
from dao.errors import ArgumentError, DaoWarning

torch = pytest.importorskip("torch")
scvi = pytest.importorskip("scvi")
pytestmark = [
    pytest.mark.filterwarnings("ignore:.isinstance.treespec, LeafSpec.:FutureWarning"),
    pytest.mark.filterwarnings("ignore:The number of training batches:UserWarning"),
    pytest.mark.filterwarnings("ignore:You defined a .validation_step.:UserWarning"),
]

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

QUIET: dict[str, Any] = {"accelerator": "cpu", "enable_progress_bar": False}


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Models this small are slower with more."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(n_threads)


SMALL: dict[str, Any] = {"n_hidden": 16, "n_latent": 3}
PAGE = Path(__file__).parents[1] / "docs" / "frameworks.md"
LABELS = ["NK", "T", "ZZ"]


@pytest.fixture
def truth() -> np.ndarray[Any, Any]:
    """The types of 240 cells, which differ much in their counts."""
    return np.random.default_rng(0).choice(LABELS, 240)


@pytest.fixture(params=["missing", "Unknown"])
def store(request: pytest.FixtureRequest, write: Callable[..., dao.Store], truth: Any) -> dao.Store:
    """These cells, every third without a label or labeled as unknown."""
    random = np.random.default_rng(1)
    means = np.where(np.eye(len(LABELS)).repeat(4, axis=1), 30.0, 1.0)
    x = random.poisson(means[[LABELS.index(t) for t in truth]]).astype(np.float32)
    shown = truth.astype(object)
    shown[::3] = None if request.param == "missing" else "Unknown"
    obs = pd.DataFrame(
        {"type": pd.Categorical(shown), "donor": pd.Categorical(random.choice(["a", "b"], 240))},
        index=[f"c{i}" for i in range(240)],
    )
    var = pd.DataFrame(index=[f"G{i}" for i in range(12)])
    return write({"one": ad.AnnData(x, obs, var)}, shuffle=False)


def data_of(store: dao.Store, **arguments: Any) -> Any:
    """Return the data module of SCANVI, with some cells to validate on."""
    train, val = store.subset("_source_row >= 20"), store.subset("_source_row < 20")
    keys = {"batch_key": "donor", "labels_key": "type", "model_name": "SCANVI"}
    return dao.integrations.ScviStore(train, val, batch_size=32, **{**keys, **arguments})


def accuracy(predicted: Any, store: dao.Store, truth: Any) -> float:
    """Return the share of cells whose type was found, labeled or not."""
    return float((np.asarray(predicted) == truth[store.obs["_source_row"].to_numpy()]).mean())


def test_scanvi_trains_saves_loads_and_predicts(
    store: dao.Store, truth: Any, tmp_path: Path
) -> None:
    """Types of unlabeled cells are found, and never the category of unlabeled cells."""
    scvi.settings.seed = 0
    data = data_of(store)
    assert data.label_keys == (*LABELS, "Unknown")
    model = scvi.model.SCANVI(registry=data.registry, datamodule=data, **SMALL)
    assert model.module.n_labels == len(LABELS)
    model.train(datamodule=data, max_epochs=15, plan_kwargs={"lr": 0.01}, **QUIET)
    found = model.predict(dataloader=data.inference_dataloader(store))
    assert accuracy(found, store, truth) > 0.95
    assert set(found) <= set(LABELS)
    model.save(str(tmp_path / "model"), datamodule=data)
    again = scvi.model.SCANVI.load(
        str(tmp_path / "model"), adata=False, datamodule=data, accelerator="cpu"
    )
    np.testing.assert_array_equal(again.predict(dataloader=data.inference_dataloader(store)), found)
    # Cells to predict may have other labels, in another order, or none.
    some = dao.integrations.ScviStore(store.subset(type="T"), registry=tmp_path / "model")
    np.testing.assert_array_equal(again.predict(dataloader=some.inference_dataloader(store)), found)


def test_scanvi_sees_labeled_cells_twice(store: dao.Store) -> None:
    """All cells of a batch train the model, those with a label the classifier."""
    data = data_of(store)
    for loader in (data.train_dataloader(), data.val_dataloader()):
        for cells, labeled in loader:
            has_label = cells["labels"].ravel() < len(LABELS)
            assert has_label.any()
            assert not has_label.all()
            for name, tensor in cells.items():
                np.testing.assert_array_equal(labeled[name], tensor[has_label])
    (batch,) = data.inference_dataloader(store)
    assert set(batch) >= {"X", "batch", "labels"}


def test_scanvi_goes_on_from_scvi(store: dao.Store, truth: Any, tmp_path: Path) -> None:
    """A trained SCVI becomes a SCANVI, which is loaded as upstream allows it."""
    scvi.settings.seed = 0
    plain = data_of(store, model_name="SCVI")
    first = scvi.model.SCVI(registry=plain.registry, **SMALL)
    first.train(datamodule=plain, max_epochs=2, **QUIET)
    data = data_of(store, registry=first, model_name="SCANVI", batch_key=None, labels_key=None)
    model = scvi.model.SCANVI.from_scvi_model(first, "Unknown", datamodule=data)
    model.train(datamodule=data, max_epochs=15, plan_kwargs={"lr": 0.01}, **QUIET)
    found = model.predict(dataloader=data.inference_dataloader(store))
    assert accuracy(found, store, truth) > 0.95


def test_scanvi_maps_a_query(store: dao.Store, write: Callable[..., dao.Store]) -> None:
    """A query without labels and with another batch: known types are predicted."""
    data = data_of(store)
    model = scvi.model.SCANVI(registry=data.registry, datamodule=data, **SMALL)
    model.train(datamodule=data, max_epochs=1, **QUIET)
    cells = store.to_anndata()
    cells.obs = pd.DataFrame({"donor": pd.Categorical(["new"] * 240)}, index=cells.obs_names)
    query = write({"query": cells}, "query.dao")
    with pytest.warns(DaoWarning, match="no obs column 'type'"):
        new = dao.integrations.ScviStore(query, registry=model, extend_categories=True)
    assert new.label_keys == data.label_keys
    mapped = new.load_query_data(model, accelerator="cpu")
    mapped.train(datamodule=new, max_epochs=1, plan_kwargs={"weight_decay": 0.0}, **QUIET)
    with pytest.warns(DaoWarning, match="no obs column 'type'"):
        found = mapped.predict(dataloader=new.inference_dataloader(query))
    assert set(found) <= set(LABELS)


def test_scanvi_needs_labels(store: dao.Store) -> None:
    """Without labels it is refused; few labels in a batch bring a warning."""
    with pytest.raises(ArgumentError, match="SCANVI needs labels"):
        dao.integrations.ScviStore(store, model_name="SCANVI")
    rare = store.take([*range(0, 240, 3), 1, 2])
    with pytest.warns(DaoWarning, match=r"batch of 32 cells has 0\.8 cells with a label"):
        dao.integrations.ScviStore(rare, model_name="SCANVI", labels_key="type", batch_size=32)


def models() -> dict[str, Any]:
    """Return all models of scvi-tools by their names."""
    names = [(module, name) for module in (scvi.model, scvi.external) for name in module.__all__]
    found = {name: getattr(module, name) for module, name in names}
    base = scvi.model.base.BaseModelClass
    return {n: c for n, c in found.items() if inspect.isclass(c) and issubclass(c, base)}


def test_the_table_names_every_model(store: dao.Store) -> None:
    """Those that work are tested; those that demand an AnnData cannot be made without an AnnData."""
    rows = re.findall(
        r"^\| (.+?) \| (works|not tested|demands AnnData).* \|$", PAGE.read_text(), re.MULTILINE
    )
    said = {name: answer for names, answer in rows for name in re.findall(r"`(\w+)`", names)}
    assert set(said) == set(models())
    registry = dao.integrations.ScviStore(store).registry
    for name, model in models().items():
        if said[name] == "demands AnnData":
            with pytest.raises((TypeError, ValueError, AttributeError)):
                model(registry=registry)
        else:
            assert "registry" in inspect.signature(model).parameters
