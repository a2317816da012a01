"""Lightning: real trainers, their epochs, checkpoints in the middle of one, and ranks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

import dao
from dao.errors import ArgumentError, UnknownColumnError

torch = pytest.importorskip("torch")
lightning = pytest.importorskip("lightning.pytorch")

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import anndata as ad

pytestmark = [
    # torch 2.13 has deprecated what Lightning 2.6 takes collections apart with.
    pytest.mark.filterwarnings("ignore:.isinstance.treespec, LeafSpec.:FutureWarning"),
    # A trainer that continues has no use for the callback that wrote the checkpoint.
    pytest.mark.filterwarnings("ignore:Be aware that when using .ckpt_path.:UserWarning"),
]

Make = Any
ARGUMENTS: dict[str, Any] = {
    "batch_size": 24,
    "obs_keys": ["cell_type"],
    "x_format": "dense",
    "seed": 3,
}
QUIET: dict[str, Any] = {
    "accelerator": "cpu",
    "enable_model_summary": False,
    "enable_progress_bar": False,
    "logger": False,
    "num_sanity_val_steps": 0,
}


class Classifier(lightning.LightningModule):  # type: ignore[misc]
    """A linear model that remembers which cells it saw, and in which epoch."""

    def __init__(self, n_vars: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = torch.nn.Linear(n_vars, 3)
        self.trained: list[tuple[int, list[int]]] = []
        self.validated: list[list[int]] = []

    def training_step(self, batch: dict[str, Any], _: int) -> Any:
        self.trained.append((self.trainer.current_epoch, batch["index"].tolist()))
        return torch.nn.functional.cross_entropy(self.layer(batch["X"]), batch["obs"]["cell_type"])

    def validation_step(self, batch: dict[str, Any], _: int) -> None:
        self.validated.append(batch["index"].tolist())
        self.log("n_val", float(len(batch["index"])), reduce_fx="sum")

    def test_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        self.log("n_obs", float(len(batch["index"])), reduce_fx="sum")

    def predict_step(self, batch: dict[str, Any], _: int) -> Any:
        return batch["index"]

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), 1e-3)


@pytest.fixture
def store(write: Callable[..., dao.Store], make_study: Callable[..., ad.AnnData]) -> dao.Store:
    """A store of two studies, 150 cells; the larger has 5 batches of 24."""
    return write({"a": make_study(0, 100), "b": make_study(1, 50)})


@pytest.fixture
def make_data(store: dao.Store) -> Make:
    """Return a function that makes a data module: train on one study, validate on the other."""

    def make(**arguments: Any) -> dao.integrations.LightningStore:
        train, val = store.subset(dataset="a"), store.subset(dataset="b")
        return dao.integrations.LightningStore(
            train, val, store, store, **{**ARGUMENTS, **arguments}
        )

    return make


@pytest.fixture
def make_trainer(tmp_path: Path) -> Make:
    """Return a function that makes a quiet trainer on the processor."""

    def make(**arguments: Any) -> lightning.Trainer:
        arguments = {"max_epochs": 2, "enable_checkpointing": "callbacks" in arguments, **arguments}
        return lightning.Trainer(default_root_dir=tmp_path, **QUIET, **arguments)

    return make


def indices(batches: Any) -> list[list[int]]:
    """Return which cells each batch has."""
    return [batch["index"].tolist() for batch in batches]


@pytest.mark.parametrize("num_workers", [0, 2])
def test_epochs_are_those_of_the_trainer(
    store: dao.Store, make_data: Make, make_trainer: Make, num_workers: int
) -> None:
    """Each epoch of a fit is that epoch of the stream; validation sees each cell, in order."""
    model = Classifier(store.n_vars)
    make_trainer().fit(model, make_data(num_workers=num_workers))
    stream = store.subset(dataset="a").torch(**ARGUMENTS)
    expected = [sorted(indices(stream)) for _ in range(2)]
    assert [sorted(b for e, b in model.trained if e == n) for n in range(2)] == expected
    assert [len(batch) for batch in model.validated] == [24, 24, 2] * 2
    if num_workers == 0:
        assert [i for batch in model.validated[:3] for i in batch] == list(range(100, 150))


def test_testing_and_predicting(store: dao.Store, make_data: Make, make_trainer: Make) -> None:
    """test and predict see each cell once, in store order."""
    trainer, model = make_trainer(), Classifier(store.n_vars)
    (result,) = trainer.test(model, make_data(), verbose=False)
    assert result == {"n_obs": store.n_obs}
    predicted = trainer.predict(model, make_data(drop_last=True))
    assert torch.cat(predicted).tolist() == list(range(store.n_obs))


@pytest.mark.parametrize(
    "arguments",
    [{}, {"val_check_interval": 3}, {"limit_train_batches": 4, "accumulate_grad_batches": 2}],
)
def test_resuming_from_any_checkpoint(
    store: dao.Store,
    make_data: Make,
    make_trainer: Make,
    tmp_path: Path,
    arguments: dict[str, Any],
) -> None:
    """After every batch, epoch and validation: the rest of the fit is as if never interrupted."""
    every = {"dirpath": tmp_path / "every", "save_top_k": -1}
    callbacks = [
        lightning.callbacks.ModelCheckpoint(filename="{step}", every_n_train_steps=1, **every),
        lightning.callbacks.ModelCheckpoint(
            filename="{epoch}", every_n_epochs=1, save_on_train_epoch_end=True, **every
        ),
        lightning.callbacks.ModelCheckpoint(
            filename="val-{step}", monitor="n_val", save_on_train_epoch_end=False, **every
        ),
    ]
    whole = Classifier(store.n_vars)
    make_trainer(callbacks=callbacks, **arguments).fit(whole, make_data())
    checkpoints = sorted(every["dirpath"].glob("*.ckpt"))
    assert len(checkpoints) >= 8
    for path in checkpoints:
        progress = torch.load(path)["loops"]["fit_loop"]["epoch_loop.batch_progress"]
        n_seen = progress["total"]["ready"]
        model = Classifier(store.n_vars)
        make_trainer(**arguments).fit(model, make_data(), ckpt_path=path)
        assert model.trained == whole.trained[n_seen:], path
        assert torch.equal(model.layer.weight, whole.layer.weight), path


def test_workers_may_become_more_or_fewer(
    make_data: Make, make_trainer: Make, store: dao.Store, tmp_path: Path
) -> None:
    """Other numbers of workers continue an epoch with exactly the batches that are left."""
    whole = Classifier(store.n_vars)
    callback = lightning.callbacks.ModelCheckpoint(
        dirpath=tmp_path / "c", filename="{step}", every_n_train_steps=3, save_top_k=-1
    )
    make_trainer(callbacks=[callback], max_epochs=1).fit(whole, make_data(num_workers=2))
    for num_workers in (0, 1, 2):
        model = Classifier(store.n_vars)
        make_trainer(max_epochs=1).fit(
            model, make_data(num_workers=num_workers), ckpt_path=tmp_path / "c" / "step=3.ckpt"
        )
        assert len(model.trained) == len(whole.trained) - 3
        expected = sorted(i for _, batch in whole.trained[3:] for i in batch)
        assert sorted(i for _, batch in model.trained for i in batch) == expected


class Saver(Classifier):
    """A model that saves a checkpoint from within a training step."""

    def __init__(self, n_vars: int, path: Path) -> None:
        super().__init__(n_vars)
        self.path = path

    def training_step(self, batch: dict[str, Any], number: int) -> Any:
        loss = super().training_step(batch, number)
        if (
            len(self.trained) in (1, 4, 7)
            and not self.path.with_suffix(f".{len(self.trained)}").exists()
        ):
            self.trainer.save_checkpoint(self.path.with_suffix(f".{len(self.trained)}"))
        return loss


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_checkpoint_within_a_step_keeps_its_batch(
    store: dao.Store, make_data: Make, make_trainer: Make, tmp_path: Path, num_workers: int
) -> None:
    """What is saved within a step has not learned from its batch, which comes again."""
    whole = Saver(store.n_vars, tmp_path / "model")
    make_trainer(max_epochs=2).fit(whole, make_data(num_workers=num_workers))
    for n in (1, 4, 7) if num_workers == 0 else (4,):
        model = Classifier(store.n_vars)
        data = make_data(num_workers=num_workers)
        make_trainer(max_epochs=2).fit(model, data, ckpt_path=tmp_path / f"model.{n}")
        assert model.trained == whole.trained[n - 1 :], n
        assert torch.equal(model.layer.weight, whole.layer.weight), n


@pytest.mark.filterwarnings("ignore:'pin_memory' argument is set as true but:UserWarning")
@pytest.mark.parametrize(
    "arguments",
    [
        {"num_workers": 2, "persistent_workers": True},
        {"pin_memory": True},
        {"num_workers": 2, "persistent_workers": True, "pin_memory": True},
        {"device": "cpu"},
    ],
)
def test_how_batches_arrive(
    store: dao.Store, make_data: Make, make_trainer: Make, arguments: dict[str, Any]
) -> None:
    """With each argument of loaders: every epoch has another order, and prediction that of the store."""
    model, trainer = Classifier(store.n_vars), make_trainer(max_epochs=3)
    trainer.fit(model, make_data(**arguments))
    epochs = [[i for e, batch in model.trained if e == n for i in batch] for n in range(3)]
    assert [sorted(epoch) for epoch in epochs] == [list(range(100))] * 3
    assert len({tuple(epoch) for epoch in epochs}) == 3
    assert [i for batch in model.validated for i in batch] == [*range(100, 150)] * 3
    predicted = trainer.predict(model, make_data(**arguments))
    assert torch.cat(predicted).tolist() == list(range(store.n_obs))


@pytest.mark.filterwarnings("ignore:you defined a .validation_step.:UserWarning")
@pytest.mark.filterwarnings("ignore:The .train_dataloader. does not have many workers:UserWarning")
def test_a_data_module_of_ones_own(store: dao.Store, make_trainer: Make, tmp_path: Path) -> None:
    """One that returns the dataset itself continues from every checkpoint."""

    class Own(lightning.LightningDataModule):  # type: ignore[misc]
        def train_dataloader(self) -> Any:
            return store.torch(**ARGUMENTS)

    callback = lightning.callbacks.ModelCheckpoint(
        dirpath=tmp_path / "own", filename="{step}", every_n_train_steps=1, save_top_k=-1
    )
    whole = Classifier(store.n_vars)
    make_trainer(callbacks=[callback]).fit(whole, Own())
    assert len(whole.trained) == 14
    for n in (3, 7, 10):
        model = Classifier(store.n_vars)
        make_trainer().fit(model, Own(), ckpt_path=tmp_path / "own" / f"step={n}.ckpt")
        assert model.trained == whole.trained[n:], n


def test_fitting_on_in_another_call(store: dao.Store, make_data: Make, make_trainer: Make) -> None:
    """A trainer that is asked for more epochs goes on with the epochs that follow."""
    model, data, trainer = Classifier(store.n_vars), make_data(), make_trainer(max_epochs=1)
    trainer.fit(model, data)
    trainer.fit_loop.max_epochs = 3
    trainer.fit(model, data)
    whole = Classifier(store.n_vars)
    make_trainer(max_epochs=3).fit(whole, make_data())
    assert model.trained == whole.trained


def test_validation_on_pairs(store: dao.Store, make_trainer: Make) -> None:
    """A model of pairs is validated on pairs, the same in every epoch, and predicts every cell."""
    seen: list[list[list[int]]] = []

    class Pairs(Classifier):
        def validation_step(self, batch: dict[str, Any], _: int) -> None:
            seen.append(batch["index"][batch["pairs"]].tolist())

    control = store.obs["cell_type"].dropna().unique()[0]
    sampler = dao.samplers.Paired("cell_type", control=control)
    cells = store.subset(exclude={"cell_type": None})
    data = dao.integrations.LightningStore(
        cells, cells, predict=cells, **ARGUMENTS, sampler=sampler
    )
    model, trainer = Pairs(store.n_vars), make_trainer(max_epochs=2)
    trainer.fit(model, data)
    half = len(seen) // 2
    assert seen[:half] == seen[half:]
    kinds = cells.obs["cell_type"].to_numpy()
    where = dict(enumerate(store.obs["cell_type"]))
    pairs = [pair for batch in seen[:half] for pair in batch]
    assert len(pairs) == (kinds != control).sum()
    assert all(where[a] != control and where[b] == control for a, b in pairs)
    assert sum(map(len, trainer.predict(model, data))) == cells.n_obs


def test_a_checkpoint_of_another_stream_is_refused(
    make_data: Make, make_trainer: Make, store: dao.Store, tmp_path: Path
) -> None:
    """With another seed some cells of the epoch would come twice, and some not at all."""
    callback = lightning.callbacks.ModelCheckpoint(
        dirpath=tmp_path / "c", filename="{step}", every_n_train_steps=3, save_top_k=-1
    )
    make_trainer(callbacks=[callback], max_epochs=1).fit(Classifier(store.n_vars), make_data())
    with pytest.raises(ArgumentError, match="seed 3"):
        make_trainer().fit(
            Classifier(store.n_vars), make_data(seed=4), ckpt_path=tmp_path / "c" / "step=3.ckpt"
        )


def test_an_epoch_ends_with_as_many_processes_as_it_began_with(store: dao.Store) -> None:
    """What two ranks have begun one cannot end: a Trainer counts the batches of its own."""
    from dao.integrations.loader import StoreLoader

    def loader(**share: int) -> StoreLoader:
        return StoreLoader(store.torch(batch_size=20, **share), lambda: 0)

    two = loader(rank=0, world_size=2)
    batches = iter(two)
    next(batches)
    one = loader(rank=0, world_size=1)
    one.load_state_dict(two.state_dict())
    with pytest.raises(ArgumentError, match="2 processes began"):
        next(iter(one))


def test_overfitting_repeats_its_batches(
    store: dao.Store, make_data: Make, make_trainer: Make
) -> None:
    """With overfit_batches each epoch has the same batches."""
    model = Classifier(store.n_vars)
    make_trainer(overfit_batches=2).fit(model, make_data())
    assert len(model.trained) == 4
    assert {tuple(b) for _, b in model.trained} == {tuple(b) for _, b in model.trained[:2]}


@pytest.mark.filterwarnings("ignore:you defined a .validation_step.:UserWarning")
def test_stores_that_are_not_there(store: dao.Store, make_trainer: Make) -> None:
    """Without a val store nothing is validated; testing without a test store is an error."""
    model, data = Classifier(store.n_vars), dao.integrations.LightningStore(store, **ARGUMENTS)
    make_trainer(max_epochs=1).fit(model, data)
    assert not model.validated
    with pytest.raises(ArgumentError, match="test="):
        make_trainer().test(model, data)


def test_wrong_arguments_are_refused_at_once(store: dao.Store) -> None:
    """What the stores do not have, and what the trainer says, is an error of the constructor."""
    with pytest.raises(UnknownColumnError, match="cell_type"):
        dao.integrations.LightningStore(store, obs_keys=["cell_typ"])
    with pytest.raises(ArgumentError, match="rank="):
        dao.integrations.LightningStore(store, rank=0, world_size=2)
    with pytest.raises(ArgumentError, match="num_workers="):
        dao.integrations.LightningStore(store, persistent_workers=True)
    with pytest.raises(ArgumentError, match="device='gpu'"):
        dao.integrations.LightningStore(store, device="gpu")
    with pytest.raises(ArgumentError, match="device='meta' does not go with num_workers="):
        dao.integrations.LightningStore(store, device="meta", num_workers=2)


DISTRIBUTED = """
import json, sys
import torch
import dao
import lightning.pytorch as lightning

path, folder = sys.argv[1:]

class Model(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(40, 1)
        self.trained = []
    def training_step(self, batch, _):
        self.trained.append((self.trainer.current_epoch, batch["index"].tolist()))
        return self.layer(batch["X"]).mean()
    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 1e-3)

results = {}
for name, checkpoint in (("whole", None), ("rest", f"{folder}/step=3.ckpt")):
    callback = lightning.callbacks.ModelCheckpoint(
        dirpath=folder, filename="{step}", every_n_train_steps=3, save_top_k=-1
    )
    trainer = lightning.Trainer(
        accelerator="cpu", devices=2, strategy="ddp", max_epochs=2, logger=False,
        callbacks=[callback], enable_progress_bar=False, enable_model_summary=False,
    )
    data = dao.integrations.LightningStore(dao.load_store(path), batch_size=16, x_format="dense")
    model = Model()
    trainer.fit(model, data, ckpt_path=checkpoint)
    results[name] = model.trained
with open(f"{folder}/rank{trainer.global_rank}.json", "w") as file:
    json.dump(results, file)
"""


def test_two_processes_share_an_epoch_and_resume(store: dao.Store, tmp_path: Path) -> None:
    """Under DDP every cell comes once per epoch, also after rank 0's checkpoint is continued."""
    script, folder = tmp_path / "train.py", tmp_path / "results"
    script.write_text(DISTRIBUTED)
    done = subprocess.run(
        [sys.executable, str(script), store.path, str(folder)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    ranks = [json.loads((folder / f"rank{r}.json").read_text()) for r in range(2)]
    for epoch in range(2):
        cells = [i for rank in ranks for e, batch in rank["whole"] if e == epoch for i in batch]
        assert sorted(cells) == list(range(store.n_obs))
    for rank in ranks:
        assert len(rank["whole"]) == 10
        assert rank["rest"] == rank["whole"][3:]


@pytest.mark.once
def test_a_monitor_logs_who_waits(store: dao.Store, tmp_path: Path, make_data: Make) -> None:
    """A real logger gets cells per second and the share of waiting; a slow model waits little."""

    class Slow(Classifier):
        def training_step(self, batch: dict[str, Any], number: int) -> Any:
            time.sleep(0.1)
            return super().training_step(batch, number)

    monitor = dao.integrations.LoaderMonitor()
    logger = lightning.loggers.CSVLogger(tmp_path)
    trainer = lightning.Trainer(
        max_epochs=2,
        callbacks=[monitor],
        enable_checkpointing=False,
        log_every_n_steps=1,
        **{**QUIET, "logger": logger},
    )
    trainer.fit(Slow(store.n_vars), make_data())
    assert (monitor.stats.n_obs, monitor.stats.n_batches) == (100, 5)
    assert monitor.stats.waiting < 0.7
    assert trainer.callback_metrics["dao/waiting"] == pytest.approx(monitor.stats.waiting)
    logged = pd.read_csv(f"{logger.log_dir}/metrics.csv")["dao/cells_per_second"].dropna()
    assert len(logged) == 10
    assert 0 < logged.iloc[-1] < 24 / 0.1
