"""Change a store and kill the process that does it, at every step and at random times.

python kill.py FOLDER CHANGE SEED

The step is any call that creates, renames or removes something in the store; the process is killed
right before it. Prints one line of JSON: how often it was killed, and what was wrong afterwards.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np
import pandas as pd

import dao

if TYPE_CHECKING:
    from collections.abc import Callable

N_RANDOM = 6
# Changes that write datasets have many steps that are alike: one of so many is taken.
STRIDE = {"append": 3, "replace": 3, "overwrite": 3, "compact": 3}
TIDIED = 4  # every fourth time it is tidied up afterwards: that takes long
GENES = [f"G{i}" for i in range(30)]
WRITING = ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "os.symlink")

OBO = """format-version: 1.2

[Term]
id: CL:0000084
name: T cell
"""


def study(seed: int, n_obs: int) -> ad.AnnData:
    """Return a small study."""
    x = np.random.default_rng(seed).poisson(1.0, (n_obs, len(GENES))).astype(np.float32)
    obs = pd.DataFrame({"cell_type": ["T cell", "B cell"] * (n_obs // 2)})
    obs.index = [f"{seed}-{i}" for i in range(n_obs)]
    return ad.AnnData(x, obs=obs, var=pd.DataFrame(index=GENES))


def write(path: Path, mode: str, **sources: ad.AnnData) -> None:
    """Write studies."""
    dao.write_store(path, sources, mode=mode, progress=False)


def begin(path: Path) -> None:
    """Make the store that is changed."""
    write(path, "create", a=study(0, 40), b=study(1, 30))
    write(path, "append", c=study(2, 20))


def ontology(path: Path) -> None:
    """Give a column an ontology."""
    file = path.parent / "cl.obo"
    file.write_text(OBO)
    dao.load_store(path).add_ontology("cell_type", file)


def tidy(path: Path) -> None:
    """Remove what only earlier generations need."""
    dao.validate_store(path, repair=True, old_generations=True)


CHANGES: dict[str, Callable[[Path], None]] = {
    "append": lambda path: write(path, "append", d=study(3, 20)),
    "replace": lambda path: write(path, "replace", b=study(4, 50)),
    "overwrite": lambda path: write(path, "overwrite", a=study(5, 10)),
    "remove": lambda path: dao.load_store(path).remove("a") and None,
    "compact": lambda path: (
        dao.load_store(path).compact({"ac": ["a", "c"]}, progress=False) and None
    ),
    "ontology": ontology,
    "tidy": tidy,
}


def content(path: Path) -> dict[str, Any]:
    """Return what a store holds, in a form that can be compared."""
    store = dao.load_store(path)
    adata = store.to_anndata()
    return {
        "datasets": store.datasets,
        "obs": adata.obs[["dataset", "cell_type", "_source_row"]].astype(str).to_numpy().tolist(),
        "x": adata.X.tolist() if isinstance(adata.X, np.ndarray) else adata.X.toarray().tolist(),
        "ontologies": sorted(store.manifest.ontologies),
    }


def in_child(function: Callable[[], None]) -> int:
    """Run a function in a fork of this process; return the signal that ended it, or 0."""
    child = os.fork()
    if not child:
        status = 1
        try:
            function()
            status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        message = "the change failed"
        raise RuntimeError(message)
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0


def killed_at(step: int, path: Path, change: Callable[[Path], None]) -> Callable[[], None]:
    """Return a function that changes the store up to a step."""
    count = 0
    lock = threading.Lock()

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal count
        if event not in WRITING and not (event == "open" and _writes(arguments)):
            return
        if str(path) not in str(arguments[0]):
            return
        with lock:
            count += 1
            if count > step:
                os.kill(os.getpid(), signal.SIGKILL)

    def run() -> None:
        sys.addaudithook(watch)
        change(path)

    return run


def killed_after(seconds: float, path: Path, change: Callable[[Path], None]) -> Callable[[], None]:
    """Return a function that changes the store for some time."""

    def end() -> None:
        time.sleep(seconds)
        os.kill(os.getpid(), signal.SIGKILL)

    def run() -> None:
        threading.Thread(target=end, daemon=True).start()
        change(path)

    return run


def _writes(arguments: tuple[Any, ...]) -> bool:
    _, mode, flags = arguments
    if isinstance(mode, str):
        return bool(set(mode) & set("wax+"))
    return bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))


def main() -> None:
    """Kill, look, and say what was found."""
    folder, name, seed = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    change = CHANGES[name]
    base, path = folder / "base.dao", folder / "store.dao"
    in_child(lambda: begin(base))
    before = content(base)
    in_child(lambda: _fresh(base, path))
    began = time.perf_counter()
    in_child(lambda: change(path))
    duration = time.perf_counter() - began
    after = content(path)
    wrong: list[str] = []
    killed, step, stride = 0, seed, STRIDE.get(name, 1)
    while True:
        ended = _try(base, path, killed_at(step, path, change))
        wrong += [f"step {step}: {w}" for w in _wrong(path, change, before, after)]
        wrong += [] if step % TIDIED else [f"step {step}: {w}" for w in _left_over(path)]
        if not ended:
            break
        killed, step = killed + 1, step + stride
    random = np.random.default_rng(seed)
    for seconds in random.uniform(0, duration, N_RANDOM).tolist():
        killed += bool(_try(base, path, killed_after(seconds, path, change)))
        wrong += [f"after {seconds:.3f} s: {w}" for w in _wrong(path, change, before, after)]
    sys.stdout.write(json.dumps({"killed": killed, "steps": step, "wrong": wrong}) + "\n")


def _fresh(base: Path, path: Path) -> None:
    shutil.rmtree(path, ignore_errors=True)
    shutil.copytree(base, path)


def _try(base: Path, path: Path, function: Callable[[], None]) -> int:
    _fresh(base, path)
    return in_child(function)


def _wrong(path: Path, change: Callable[[Path], None], before: Any, after: Any) -> list[str]:
    """Return what is wrong with a store whose writer was killed."""
    found = content(path)
    wrong = [] if found in (before, after) else ["neither the old nor the new store"]
    report = dao.validate_store(path)
    wrong += report.problems
    if found == before:
        in_child(lambda: change(path))
        wrong += [] if content(path) == after else ["the change could not be made afterwards"]
    return wrong


def _left_over(path: Path) -> list[str]:
    """Return what is still wrong with a store, or too much of it, after tidying up."""
    in_child(lambda: tidy(path))
    left = dao.validate_store(path)
    return [*left.problems, *left.garbage, *left.older]


if __name__ == "__main__":
    main()
