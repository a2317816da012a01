"""scvi-tools: codes of a store, of a saved model, and of query cells with an unseen batch."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import dao
from dao.errors import (
    ArgumentError,
    DaoWarning,
    UnknownColumnError,
    UnknownFeatureError,
    UnknownValueError,
)

torch = pytest.importorskip("torch")
scvi = pytest.importorskip("scvi")
pytestmark = [
    pytest.mark.filterwarnings("ignore:.isinstance.treespec, LeafSpec.:FutureWarning"),
    pytest.mark.filterwarnings("ignore:The number of training batches:UserWarning"),
    pytest.mark.filterwarnings("ignore:You defined a .validation_step.:UserWarning"),
]

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

QUIET: dict[str, Any] = {"accelerator": "cpu", "enable_progress_bar": False}


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Models this small are slower with more."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(n_threads)


SMALL: dict[str, Any] = {"n_hidden": 8, "n_latent": 3}
GENES = [f"G{i}" for i in range(12)]
SCVI = scvi.model.SCVI


def study(seed: int, donors: str, types: str, n_obs: int = 40, **obs: Any) -> ad.AnnData:
    """Return counts of cells of some donors and types, each of which occurs."""
    random = np.random.default_rng(seed)
    x = sp.csr_matrix(random.poisson(2.0, (n_obs, len(GENES))).astype(np.float32))
    columns = {
        "donor": pd.Categorical([donors[i % len(donors)] for i in range(n_obs)]),
        "type": pd.Categorical([types[i % len(types)] for i in range(n_obs)]),
        "age": np.arange(n_obs) % 3 * 10,
        "size": random.random(n_obs),
        **obs,
    }
    names = [f"{seed}-{i}" for i in range(n_obs)]
    return ad.AnnData(x, pd.DataFrame(columns, index=names), pd.DataFrame(index=GENES))


def named(data: Any, cells: dao.Store, tensor: str = "batch") -> list[Any]:
    """Return the names of the codes of cells, as the registry gives them."""
    field = data.registry["field_registries"][tensor]["state_registry"]
    codes = [batch[tensor] for batch in data.inference_dataloader(cells, batch_size=7)]
    return list(field["categorical_mapping"][np.concatenate(codes).ravel()])


@pytest.fixture
def store(write: Callable[..., dao.Store]) -> dao.Store:
    """Two studies with four donors."""
    return write({"one": study(0, "ab", "TB"), "two": study(1, "dc", "BN")})


@pytest.fixture
def query(write: Callable[..., dao.Store]) -> dao.Store:
    """A study of other donors, in another store with other codes."""
    return write({"three": study(2, "zca", "NB")}, "query.dao")


def trained(data: Any, **arguments: Any) -> Any:
    """Return a small model that has seen the cells once."""
    model = SCVI(registry=data.registry, **SMALL)
    model.train(datamodule=data, max_epochs=1, **QUIET, **arguments)
    return model


@pytest.mark.parametrize("key", ["donor", "dataset", "age"])
def test_codes_are_those_of_the_store(store: dao.Store, key: str) -> None:
    """Every selection has the codes of the whole store; batches hold what obs says."""
    whole = dao.integrations.ScviStore(store, batch_key=key)
    for cells in (
        store.subset(dataset="two"),
        store.subset(donor=["c", "b"]),
        store.subset(dataset="two").to_memory(),
        store.take(np.arange(store.n_obs)[::-3]),
    ):
        data = dao.integrations.ScviStore(cells, batch_key=key)
        assert data.batch_labels == whole.batch_labels
        assert named(data, cells) == named(whole, cells) == cells.obs[key].tolist()


def test_each_store_has_codes_of_its_own(store: dao.Store, query: dao.Store) -> None:
    """val and the cells of results may be of other stores; codes are those of the model."""
    data = dao.integrations.ScviStore(store, query, batch_key="donor", labels_key="type")
    assert data.batch_labels[:4] == tuple(store.categories("donor"))
    assert sorted(data.batch_labels) == ["a", "b", "c", "d", "z"]
    for cells in (store, query):
        assert named(data, cells) == cells.obs["donor"].tolist()
        assert named(data, cells, "labels") == cells.obs["type"].tolist()
    names = np.array(data.batch_labels)
    for loader, cells in ((data.train_dataloader(), store), (data.val_dataloader(), query)):
        for batch in loader:
            rows = batch["ind_x"].ravel().numpy()
            assert list(names[batch["batch"].ravel()]) == list(cells.obs["donor"].iloc[rows])


@pytest.mark.parametrize("kind", ["registry", "model", "folder", "anndata"])
def test_codes_are_those_of_a_model(
    store: dao.Store, query: dao.Store, kind: str, tmp_path: Path
) -> None:
    """Cells of another store get the codes of a model, however it is given."""
    keys: dict[str, Any] = {
        "batch_key": "donor",
        "labels_key": "type",
        "categorical_covariate_keys": ["age"],
        "continuous_covariate_keys": ["size"],
    }
    given: Any = dao.integrations.ScviStore(store, **keys)
    if kind == "registry":
        given = given.registry
    elif kind == "anndata":
        cells = store.to_anndata()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            SCVI.setup_anndata(cells, **keys)
            given = SCVI(cells, **SMALL)
    else:
        model = SCVI(registry=given.registry, **SMALL)
        if kind == "folder":
            model.save(str(tmp_path / "model"), datamodule=given)
        given = tmp_path / "model" if kind == "folder" else model
    some = query.subset(donor=["c", "a"])
    data = dao.integrations.ScviStore(some, registry=given)
    assert sorted(data.batch_labels) == ["a", "b", "c", "d"]
    assert named(data, some) == some.obs["donor"].tolist()
    assert named(data, some, "labels") == some.obs["type"].tolist()
    (batch,) = data.inference_dataloader(some)
    expected = some.to_anndata()[:, list(data.var_names)].X.toarray()
    np.testing.assert_array_equal(batch["X"], expected)
    field = data.registry["field_registries"]["extra_categorical_covs"]["state_registry"]
    ages = np.asarray(field["mappings"]["age"])[batch["extra_categorical_covs"].ravel()]
    assert list(ages) == some.obs["age"].tolist()
    np.testing.assert_allclose(batch["extra_continuous_covs"].ravel(), some.obs["size"], rtol=1e-6)


def test_features_are_those_of_the_model(store: dao.Store) -> None:
    """Features come in the order of the model; cells without some of them are refused."""
    first = store.select_features(GENES[7:2:-1])
    data = dao.integrations.ScviStore(
        store, registry=dao.integrations.ScviStore(first, batch_key="donor")
    )
    (batch,) = data.inference_dataloader(store)
    expected = store.to_anndata()[:, GENES[7:2:-1]].X.toarray()
    np.testing.assert_array_equal(batch["X"], expected)
    with pytest.raises(UnknownFeatureError):
        dao.integrations.ScviStore(store.select_features(GENES[:5]), registry=data.registry)


def test_unknown_values_are_refused_or_added(store: dao.Store, query: dao.Store) -> None:
    """A value that the model does not know is an error, or gets a code after the known ones."""
    data = dao.integrations.ScviStore(store, batch_key="donor", labels_key="type")
    with pytest.raises(UnknownValueError, match=r"'donor', first 'z'.*extend_categories=True"):
        dao.integrations.ScviStore(query, registry=data)
    with pytest.raises(UnknownValueError, match="'z'"):
        data.inference_dataloader(query)
    more = dao.integrations.ScviStore(query, registry=data, extend_categories=True)
    assert more.batch_labels == (*data.batch_labels, "z")
    assert more.registry["field_registries"]["batch"]["summary_stats"] == {"n_batch": 5}
    for cells in (store, query):
        assert named(more, cells) == cells.obs["donor"].tolist()


def test_columns_may_be_called_otherwise(store: dao.Store, write: Callable[..., dao.Store]) -> None:
    """Names of columns are those of this store where they are passed; wrong ones are refused."""
    cells = study(5, "ab", "TB")
    cells.obs = cells.obs.rename(columns={"donor": "patient", "age": "years"})
    other = write({"five": cells}, "other.dao")
    data = dao.integrations.ScviStore(store, batch_key="donor", categorical_covariate_keys=["age"])
    make = dao.integrations.ScviStore
    renamed = {"batch_key": "patient", "categorical_covariate_keys": "years"}
    again = make(other, registry=data, **renamed)
    assert named(again, other) == other.obs["patient"].tolist()
    for wrong, error, match in (
        ({"batch_key": "pateint"}, UnknownColumnError, "patient"),
        ({**renamed, "labels_key": "type"}, ArgumentError, "labels_key='type'"),
        ({**renamed, "categorical_covariate_keys": ["years", "type"]}, ArgumentError, r"\['age'\]"),
        ({"registry": 7}, ArgumentError, "registry= is a int"),
        ({"registry": "nowhere"}, ArgumentError, "no model.pt"),
        ({"registry": {"model_name": "SCVI"}}, ArgumentError, "field_registries"),
        ({"registry": None, "extend_categories": True}, ArgumentError, "registry="),
    ):
        with pytest.raises(error, match=match):
            make(other, **{"registry": data, **wrong})


@pytest.mark.parametrize("kind", ["model", "folder", "anndata"])
def test_query_mapping_with_an_unseen_batch(
    store: dao.Store, query: dao.Store, kind: str, tmp_path: Path
) -> None:
    """A query model knows the new batch, keeps what it knew, and can be saved and read."""
    reference: Any
    if kind == "anndata":
        cells = store.to_anndata()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            SCVI.setup_anndata(cells, batch_key="donor")
            reference = SCVI(cells, **SMALL)
            reference.train(max_epochs=1, **QUIET)
            expected = reference.get_latent_representation(cells)
    else:
        data = dao.integrations.ScviStore(store, batch_key="donor")
        reference = SCVI(registry=data.registry, **SMALL)
        reference.train(datamodule=data, max_epochs=1, **QUIET)
        loader = data.inference_dataloader(store)
        expected = reference.get_latent_representation(dataloader=loader)
        if kind == "folder":
            reference.save(str(tmp_path / "reference"), datamodule=data)
            reference = tmp_path / "reference"
    new = dao.integrations.ScviStore(query, registry=reference, extend_categories=True)
    model = new.load_query_data(reference, accelerator="cpu")
    assert model.summary_stats.n_batch == 5
    # Before it is trained, cells of known batches lie where they lay.
    model.is_trained_ = True
    model.module.eval()
    before = model.get_latent_representation(dataloader=new.inference_dataloader(store))
    model.module.train()
    model.train(datamodule=new, max_epochs=1, plan_kwargs={"weight_decay": 0.0}, **QUIET)
    after = model.get_latent_representation(dataloader=new.inference_dataloader(query))
    assert after.shape == (query.n_obs, 3)
    assert np.isfinite(after).all()
    np.testing.assert_allclose(before, expected, atol=1e-5)
    model.save(str(tmp_path / "query"), datamodule=new)
    again = SCVI.load(str(tmp_path / "query"), adata=False, accelerator="cpu")
    data = dao.integrations.ScviStore(query, registry=tmp_path / "query")
    assert data.batch_labels == new.batch_labels
    latents = again.get_latent_representation(dataloader=data.inference_dataloader(query))
    np.testing.assert_allclose(latents, after, atol=1e-5)


def test_weights_are_not_mixed_up(store: dao.Store, query: dao.Store) -> None:
    """New batches before covariates, whose weights scvi-tools would move, are refused."""
    data = dao.integrations.ScviStore(store, batch_key="donor", categorical_covariate_keys=["type"])
    model = trained(data)
    new = dao.integrations.ScviStore(query, registry=model, extend_categories=True)
    with pytest.raises(ArgumentError, match="'donor' has 1 new values, first 'z'"):
        new.load_query_data(model)
    other = dao.integrations.ScviStore(query, batch_key="donor", categorical_covariate_keys="type")
    with pytest.raises(ArgumentError, match="are not those of the model"):
        other.load_query_data(model)


def test_cells_without_labels_are_unlabeled(
    store: dao.Store, write: Callable[..., dao.Store]
) -> None:
    """A store without the column of labels can be mapped: a warning names it."""
    cells = study(7, "ab", "T")
    del cells.obs["type"]
    other = write({"seven": cells}, "other.dao")
    reference = dao.integrations.ScviStore(
        store, model_name="SCANVI", batch_key="donor", labels_key="type"
    )
    with pytest.warns(DaoWarning, match="no obs column 'type'.*'Unknown'"):
        data = dao.integrations.ScviStore(other, registry=reference)
    with pytest.warns(DaoWarning, match="no obs column 'type'"):
        assert set(named(data, other, "labels")) == {"Unknown"}
