"""scvi-tools: SCVI trained from a store does as well as from memory, on real counts."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import dao
from dao.errors import (
    ArgumentError,
    DaoWarning,
    UnknownColumnError,
    UnknownFeatureError,
)

pytest.importorskip("scvi")
pytestmark = pytest.mark.filterwarnings(
    # torch 2.13 has deprecated what Lightning 2.6 takes collections apart with.
    "ignore:.isinstance.treespec, LeafSpec.:FutureWarning",
    # scvi-tools logs more often than the batches that these few cells give, and says so.
    "ignore:The number of training batches:UserWarning",
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from anndata import AnnData

N_GENES = 300
EPOCHS = 15
KEYS: dict[str, Any] = {
    "batch_key": "phase",
    "labels_key": "bulk_labels",
    "categorical_covariate_keys": ["louvain"],
    "continuous_covariate_keys": ["percent_mito"],
}
QUIET: dict[str, Any] = {"accelerator": "cpu", "enable_progress_bar": False}


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of 700 real cells in two studies, with their counts."""
    import anndata
    import scanpy

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        published = scanpy.datasets.pbmc68k_reduced()
        logged = published.raw.to_adata().X.toarray()
    # log1p of counts per 10,000: the smallest value of a cell is one count.
    scaled = np.expm1(logged)
    exact = scaled / np.where(scaled > 0, scaled, np.inf).min(axis=1, keepdims=True)
    assert abs(exact - exact.round()).max() < 0.2
    counts = exact.round().astype(np.float32)
    columns = ["phase", "bulk_labels", "louvain", "percent_mito"]
    cells = anndata.AnnData(counts, obs=published.obs[columns], var=published.raw.var[[]])
    cells.layers["doubled"] = counts * 2
    target = tmp_path_factory.mktemp("scvi") / "store.dao"
    sources = {"a": cells[:400].copy(), "b": cells[400:].copy()}
    dao.write_store(target, sources, layers=["doubled"], progress=False)
    return target


@pytest.fixture
def store(path: Path) -> dao.Store:
    """The cells with the genes that are detected most often."""
    store = dao.load_store(path)
    return store.select_features(store.var_names[:N_GENES])


@pytest.fixture
def split(store: dao.Store) -> tuple[dao.Store, dao.Store]:
    """Cells to train and to validate on."""
    return store.subset("_source_row >= 80"), store.subset("_source_row < 80")


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Models this small are slower with more."""
    import torch

    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(n_threads)


@pytest.fixture
def in_memory(store: dao.Store) -> Callable[..., tuple[AnnData, Any]]:
    """Return a function that sets up the same cells, in memory."""

    def make(**keys: Any) -> tuple[AnnData, Any]:
        import scvi

        cells = store.to_anndata()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            scvi.model.SCVI.setup_anndata(cells, **keys)
            return cells, scvi.model.SCVI(cells)

    return make


@pytest.mark.usefixtures("one_thread")
def test_elbo_is_that_of_training_in_memory(
    store: dao.Store,
    split: tuple[dao.Store, dao.Store],
    in_memory: Callable[..., tuple[AnnData, Any]],
) -> None:
    """Same split, seed and epochs: the validation ELBO differs by less than 1 %, latents agree."""
    import scvi

    train, val = split
    arguments = {"max_epochs": EPOCHS, "check_val_every_n_epoch": 1, **QUIET}
    scvi.settings.seed = 0
    cells, theirs = in_memory(**KEYS)
    is_val = (cells.obs["_source_row"] < 80).to_numpy()
    halves = [np.flatnonzero(~is_val), np.flatnonzero(is_val)]
    theirs.train(datasplitter_kwargs={"external_indexing": halves}, **arguments)
    scvi.settings.seed = 0
    data = dao.integrations.ScviStore(train, val, **KEYS)
    mine = scvi.model.SCVI(registry=data.registry)
    mine.train(datamodule=data, **arguments)
    left, right = (m.history["elbo_validation"].to_numpy(float).ravel() for m in (mine, theirs))
    assert len(left) == EPOCHS
    assert left[-1] == pytest.approx(right[-1], rel=0.01)
    assert left[-1] < 0.9 * left[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = mine.get_latent_representation(dataloader=theirs._make_data_loader(cells))
    chosen = store.subset(dataset="b")
    loader = data.inference_dataloader(chosen, batch_size=100)
    latents = mine.get_latent_representation(dataloader=loader)
    np.testing.assert_allclose(latents, expected[store.obs["dataset"] == "b"], atol=1e-4)


def test_batches_are_those_of_an_anndata(
    store: dao.Store, in_memory: Callable[..., tuple[AnnData, Any]]
) -> None:
    """Every tensor has the values, dtype and shape that scvi-tools takes from memory."""
    cells, theirs = in_memory(**KEYS)
    data = dao.integrations.ScviStore(store, **KEYS)
    (mine,) = data.inference_dataloader(store, batch_size=1_000)
    (expected,) = theirs._make_data_loader(cells, batch_size=1_000)
    assert set(expected) <= set(mine)
    for key in ("X", "extra_continuous_covs"):
        np.testing.assert_array_equal(mine[key], expected[key])
    registries = data.registry["field_registries"], theirs.registry["field_registries"]
    for name in ("batch", "labels"):
        left, right = (r[name]["state_registry"]["categorical_mapping"] for r in registries)
        assert list(left[mine[name]].ravel()) == list(right[expected[name]].ravel())
        assert list(left[mine[name]].ravel()) == list(store.obs[KEYS[f"{name}_key"]])
    left, right = (
        r["extra_categorical_covs"]["state_registry"]["mappings"]["louvain"] for r in registries
    )
    names = left[mine["extra_categorical_covs"]], right[expected["extra_categorical_covs"]]
    assert list(names[0].ravel()) == list(names[1].ravel())
    for key, tensor in expected.items():
        assert (mine[key].dtype, mine[key].shape) == (tensor.dtype, tensor.shape)


@pytest.mark.parametrize("keys", [{}, KEYS])
def test_models_are_those_of_an_anndata(
    store: dao.Store, in_memory: Callable[..., tuple[AnnData, Any]], keys: dict[str, Any]
) -> None:
    """A model made from the registry has the same parameters and numbers of categories."""
    import scvi

    _, theirs = in_memory(**keys)
    mine = scvi.model.SCVI(registry=dao.integrations.ScviStore(store, **keys).registry)
    shapes = [{k: v.shape for k, v in m.module.state_dict().items()} for m in (mine, theirs)]
    assert shapes[0] == shapes[1]
    assert dict(mine.summary_stats) == dict(theirs.summary_stats)
    assert list(mine.get_var_names()) == list(store.var_names)


def test_a_saved_model_is_loaded(split: tuple[dao.Store, dao.Store], tmp_path: Path) -> None:
    """What scvi-tools saves of such a model it loads again, without the cells."""
    import scvi

    train, val = split
    data = dao.integrations.ScviStore(train, val, **KEYS)
    model = scvi.model.SCVI(registry=data.registry)
    model.train(datamodule=data, max_epochs=1, **QUIET)
    model.save(str(tmp_path / "model"), datamodule=data)
    again = scvi.model.SCVI.load(str(tmp_path / "model"), adata=False, accelerator="cpu")
    loader = data.inference_dataloader(val)
    np.testing.assert_array_equal(
        again.get_latent_representation(dataloader=loader),
        model.get_latent_representation(dataloader=loader),
    )


def test_columns_of_numbers_are_categories_too(
    write: Callable[..., dao.Store], make_study: Callable[..., AnnData]
) -> None:
    """Whole numbers and booleans are numbered by their values; missing labels have a category."""
    study = make_study(n_obs=60)
    study.obs["plate"] = np.arange(60) % 3 * 10
    store = write(study)
    data = dao.integrations.ScviStore(
        store, batch_key="plate", labels_key="batch", categorical_covariate_keys=["doublet"]
    )
    (batch,) = data.inference_dataloader(store)
    assert data.batch_labels == (0, 10, 20)
    assert (batch["batch"].ravel().numpy() * 10 == store.obs["plate"]).all()
    assert (batch["extra_categorical_covs"].ravel().numpy() == store.obs["doublet"]).all()
    assert data.label_keys == (3.0, "Unknown")
    assert (batch["labels"].ravel().numpy() == store.obs["batch"].isna()).all()


def test_features_and_layer_are_those_asked_for(path: Path, store: dao.Store) -> None:
    """All cells come with the features of train, in its order, and counts of the layer."""
    whole = dao.load_store(path)
    data = dao.integrations.ScviStore(store, whole, layer="doubled")
    (batch,) = data.inference_dataloader(whole)
    expected = whole.to_anndata()[:, list(store.var_names)].X.toarray()
    np.testing.assert_array_equal(batch["X"], expected * 2)
    with pytest.raises(UnknownFeatureError):
        data.inference_dataloader(whole.select_features(store.var_names[:10]))


def test_what_cannot_be_trained_on_is_refused(
    write: Callable[..., dao.Store], make_study: Callable[..., AnnData]
) -> None:
    """Missing and wrong columns, a last batch of one cell, values that are not counts."""
    store = write(make_study(n_obs=65))
    make = dao.integrations.ScviStore
    with pytest.raises(UnknownColumnError, match="cell_type"):
        make(store, batch_key="cell_typ")
    with pytest.raises(ArgumentError, match=r"missing for .*exclude=\{'batch': None\}"):
        make(store, batch_key="batch")
    with pytest.raises(ArgumentError, match="'score' is missing"):
        make(store, continuous_covariate_keys=["score"])
    with pytest.raises(ArgumentError, match="categorical_covariate_keys"):
        make(store, continuous_covariate_keys=["cell_type"])
    with pytest.raises(ArgumentError, match="drop_last"):
        make(store, batch_size=64).train_dataloader()
    assert len(make(store, batch_size=64, drop_last=True).train_dataloader()) == 1
    study = make_study()
    study.X = study.X.log1p()
    with pytest.warns(DaoWarning, match="not counts"):
        make(write(study, "logged.dao"))


def test_a_batch_of_one_cell(
    write: Callable[..., dao.Store], make_study: Callable[..., AnnData]
) -> None:
    """Refused where a batch of an epoch has one cell, by the lengths of the sampler, and only there."""
    store: Any = write({"a": make_study(0, 49)})
    samplers: dict[Any, bool] = {}
    for size, alone in ((33, True), (32, False), (34, False)):
        samplers[dao.samplers.Weighted({"dataset": {"a": 1}}, size=size)] = alone
    sizes = store.obs["cell_type"].value_counts()
    for sampler, alone in [
        (dao.samplers.Grouped("cell_type"), bool((sizes % 16 == 1).any())),
        ("shuffle", True),
        ("random", True),
        *samplers.items(),
    ]:
        data = dao.integrations.ScviStore(store, batch_size=16, sampler=sampler)
        if not alone:
            assert min(len(b["X"]) for b in data.train_dataloader()) > 1
            continue
        with pytest.raises(ArgumentError, match="give a batch of one cell"):
            data.train_dataloader()
        if isinstance(sampler, dao.samplers.Grouped):
            continue  # groups may be smaller than a batch
        kept = dao.integrations.ScviStore(store, batch_size=16, sampler=sampler, drop_last=True)
        assert all(len(b["X"]) > 1 for b in kept.train_dataloader())
    for n in range(1, 6):  # a group that leaves one cell over, and groups that do not
        chosen = store.take([*range(16 + n)])
        counts = chosen.obs["cell_type"].value_counts()
        grouped = dao.samplers.Grouped("cell_type")
        data = dao.integrations.ScviStore(chosen, batch_size=4, sampler=grouped)
        if (counts % 4 == 1).any():
            with pytest.raises(ArgumentError, match="give a batch of one cell"):
                data.train_dataloader()
        else:
            assert min(len(b["X"]) for b in data.train_dataloader()) > 1
