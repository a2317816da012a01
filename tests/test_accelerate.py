"""accelerate: loaders that were prepared and ones that were not, on two real processes."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("accelerate")

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import dao

N_OBS = 330
SCRIPT = """
import json, os, sys, warnings
import torch
from accelerate import Accelerator
from accelerate.utils import DataLoaderConfiguration
import dao
from dao.errors import ArgumentError

path, folder = sys.argv[1:]
rank = int(os.environ["RANK"])

def loader(n_workers=0, **arguments):
    made = {"batch_size": 16, "x_format": "dense", "seed": 1, **arguments}
    return torch.utils.data.DataLoader(
        dao.load_store(path).torch(**made), batch_size=None, num_workers=n_workers,
        multiprocessing_context="fork" if n_workers else None,
    )

def cells(batches):
    return [i for batch in batches for i in batch["index"].tolist()]

accelerator = Accelerator(cpu=True)
found = {}
for n_workers in (0, 2):
    prepared = accelerator.prepare(loader(n_workers))
    found[f"length-{n_workers}"] = len(prepared)
    found[f"prepared-{n_workers}"] = [[b["index"].tolist() for b in prepared] for _ in range(2)]
    found[f"unprepared-{n_workers}"] = [cells(loader(n_workers))]
prepared = accelerator.prepare(loader(sampler="sequential"))
found["gathered"] = [
    i for batch in prepared for i in accelerator.gather_for_metrics(batch["index"]).tolist()
]
errors = {}
try:
    next(iter(accelerator.prepare(loader(x_format="csr"))))
except ArgumentError as error:
    errors["csr"] = str(error)
config = DataLoaderConfiguration(dispatch_batches=False)
try:
    Accelerator(cpu=True, dataloader_config=config).prepare(loader())
except ArgumentError as error:
    errors["shard"] = str(error)
with open(f"{folder}/{rank}.json", "w") as file:
    json.dump({"found": found, "errors": errors}, file)
torch.distributed.barrier()
os._exit(0)
"""


def test_every_cell_once(write: Callable[..., dao.Store], make_study: Any, tmp_path: Path) -> None:
    """Prepared or not, with workers or without; what cannot be done is refused in words."""
    store = write({"a": make_study(0, 200), "b": make_study(1, 130)})
    script = tmp_path / "train.py"
    script.write_text(SCRIPT)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    processes = [
        subprocess.Popen(
            [sys.executable, str(script), str(store.path), str(tmp_path)],
            env={
                **os.environ,
                "RANK": str(rank),
                "LOCAL_RANK": str(rank),
                "WORLD_SIZE": "2",
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": port,
                "OMP_NUM_THREADS": "1",
                "ACCELERATE_USE_CPU": "true",
            },
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    for process in processes:
        _, text = process.communicate(timeout=400)
        assert process.returncode == 0, text
    ranks = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2)]
    for n_workers in (0, 2):
        epochs = [rank["found"][f"prepared-{n_workers}"] for rank in ranks]
        assert all(rank["found"][f"length-{n_workers}"] == len(epochs[0][0]) for rank in ranks)
        for first, second in zip(*epochs, strict=True):
            assert len(first) == len(second)
            seen = [i for batch in [*first, *second] for i in batch]
            assert sorted(seen) == list(range(N_OBS))
        assert epochs[0][0] != epochs[0][1]
        apart = [i for rank in ranks for i in rank["found"][f"unprepared-{n_workers}"][0]]
        assert sorted(apart) == list(range(N_OBS))
    for rank in ranks:
        assert rank["found"]["gathered"] == list(range(N_OBS))
        assert "x_format='dense'" in rank["errors"]["csr"]
        assert "dispatch_batches=False" in rank["errors"]["shard"]
