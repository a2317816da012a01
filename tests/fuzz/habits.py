"""Every public function with what people pass by habit: a right answer, or an error of dao.

`CALLS` has each public function with arguments that are right; then one or two of them are replaced
by something of `fuzz.values`. Arguments are read from signatures, so new ones take part by
themselves; a new function gets a line.
"""

from __future__ import annotations

import inspect
import os
import random
import shutil
import signal
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp
from fuzz.known import left_out
from fuzz.values import VALUES

import dao
from dao.errors import DaoError, DaoWarning

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

COUNTED: Counter[str] = Counter()
ENDED: Counter[str] = Counter()
SECONDS = 60  # a call that takes longer hangs


def study(seed: int, n: int = 20) -> ad.AnnData:
    """Return a small study."""
    random = np.random.default_rng(seed)
    obs = pd.DataFrame(
        {
            "cell_type": pd.Categorical(random.choice(["B", "T", "NK"], n)),
            "n_counts": random.integers(0, 50, n),
            "score": random.random(n).astype("float32"),
            "doublet": random.random(n) < 0.3,
            "barcode": [f"b{i}" for i in range(n)],
            "day": pd.Timestamp("2024-01-01") + pd.to_timedelta(np.arange(n), "D"),
        },
        index=[f"s{seed}c{i}" for i in range(n)],
    )
    names = [f"G{i}" for i in range(8)]
    var = pd.DataFrame({"symbol": [f"S{i}" for i in range(8)]}, index=names)
    adata = ad.AnnData(sp.csr_matrix(random.poisson(1.0, (n, 8)).astype("float32")), obs, var)
    adata.layers["spliced"] = adata.X.copy()
    adata.obsm["X_pca"] = random.random((n, 3)).astype("float32")
    return adata


class World:
    """A folder with a store, files and a home; made once, and again after what changes it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.home = root / "home"
        self.home.mkdir()
        self.work = root / "work"
        studies = {"gut": study(0), "lung": study(1)}
        self.store = dao.write_store(
            root / "atlas.dao",
            studies,
            organism="human",
            layers=["spliced"],
            obsm=["X_pca"],
            progress=False,
        )
        dao.write_store(self.home / "nothing.dao", studies["gut"], progress=False)
        self.untouched = (self.home / "nothing.dao" / "dao.json").read_bytes()
        self.tidy()

    def tidy(self) -> None:
        """Give calls an empty folder to work in."""
        os.chdir(self.root)
        shutil.rmtree(self.work, ignore_errors=True)
        self.work.mkdir()
        os.chdir(self.work)

    def copy(self) -> dao.Store:
        """Return a store that a call may change."""
        target = self.work / "copy.dao"
        if not target.exists():
            shutil.copytree(self.root / "atlas.dao", target)
        return dao.load_store(target)

    def check_home(self) -> None:
        """Nothing has touched the store in the home, and no folder is called `~`."""
        # A selection may be saved there, under the name of the store.
        others = [p for p in self.home.iterdir() if p.name != "nothing.dao"]
        assert (self.home / "nothing.dao" / "dao.json").read_bytes() == self.untouched
        assert {p.suffix for p in others} <= {".json", ".parquet"}, others
        for path in others:
            path.unlink()
        assert not list(self.work.glob("~*")), "a folder called ~"


@dataclass(frozen=True)
class Call:
    """A function, with arguments that are right."""

    function: Callable[..., Any]
    arguments: Mapping[str, Any] = field(default_factory=dict)
    more: tuple[str, ...] = ()

    def names(self) -> list[str]:
        """Return the names of all arguments."""
        found = inspect.signature(self.function).parameters.values()
        kinds = {inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL}
        named = [
            p.name for p in found if p.kind not in kinds and p.name not in {"self", "progress"}
        ]
        return sorted({*named, *self.more} - {"client", "device"})


def calls(world: World) -> dict[str, Call]:
    """Return every public function; those that write have a store of their own."""
    store = world.store
    reading = {
        name: Call(getattr(store, name), arguments, more)
        for name, arguments, more in (
            (
                "subset",
                {},
                (
                    "cell_type",
                    "n_counts",
                    "score",
                    "doublet",
                    "barcode",
                    "day",
                    "dataset",
                    "organism",
                    "_index",
                    "_source_row",
                ),
            ),
            ("take", {"which": [0, 1]}, ()),
            ("__getitem__", {"which": [0, 1]}, ()),
            ("head", {}, ()),
            ("sample", {"n": 3}, ()),
            ("keep", {"mask": np.ones(40, bool)}, ()),
            ("select_features", {"ids": ["G1"]}, ("symbol",)),
            ("split", {"fractions": {"train": 0.5, "test": 0.5}}, ()),
            ("save_selection", {"file": "selection.json"}, ()),
            ("value_counts", {"column": "cell_type"}, ()),
            ("categories", {"column": "cell_type"}, ()),
            ("column_info", {"name": "cell_type"}, ()),
            ("obs_column", {"name": "cell_type"}, ()),
            ("describe", {}, ()),
            ("measured", {}, ()),
            ("matching", {}, ()),
            ("to_anndata", {}, ()),
            ("to_memory", {}, ()),
            ("gene_stats", {}, ()),
            ("pseudobulk", {"by": "cell_type"}, ()),
            ("highly_variable_genes", {"n_top_genes": 3}, ()),
            ("to_dask", {}, ()),
            ("obs_to_dask", {}, ()),
            ("generator", {"batch_size": 7}, ()),
            ("map_dataset", {}, ("obs_keys", "x_format", "layers", "transform")),
        )
    }
    gut = world.work / "gut.h5ad"

    def write(**arguments: Any) -> Any:
        path = arguments.pop("path", "new.dao")
        sources = arguments.pop("sources", None)
        return dao.write_store(path, study(3) if sources is None else sources, **arguments)

    def source(**arguments: Any) -> Any:
        what = dao.Source(**{"path": study(4), "id": "x", **arguments})
        return dao.write_store("new.dao", what, progress=False)

    def sampler(kind: Any) -> Callable[..., Any]:
        return lambda **arguments: store.generator(5, sampler=kind(**arguments))

    def transform(kind: Any) -> Callable[..., Any]:
        return lambda **arguments: store.generator(5, transform=kind(**arguments))

    def copied(name: str) -> Callable[..., Any]:
        return lambda **arguments: getattr(world.copy(), name)(**arguments)  # noqa: PLW0108

    def like(function: Any, given: Any) -> Any:
        given.__signature__ = inspect.signature(function)
        return given

    generator = store.generator(7)
    state = generator.state_dict()
    both = dao.interleave({"a": store.generator(7), "b": store.generator(9)})
    samplers: dict[str, dict[str, Any]] = {
        "Balanced": {"by": "cell_type"},
        "Grouped": {"by": "cell_type"},
        "Paired": {"by": "cell_type", "control": "B"},
        "Random": {},
        "Sequential": {},
        "Shuffle": {},
        "Weighted": {"by_or_weights": "n_counts"},
    }
    steps: dict[str, dict[str, Any]] = {
        "Log1p": {},
        "NormalizeTotal": {},
        "Scale": {"mean": np.zeros(8), "std": np.ones(8)},
    }
    others = {
        "load_store": Call(dao.load_store, {"path": store.path}, ("something",)),
        "load_selection": Call(dao.load_selection, {"file": world.root / "none.json"}),
        "validate_store": Call(dao.validate_store, {"path": store.path}),
        "read_recipe": Call(dao.read_recipe, {"path": world.root / "none.toml"}),
        "write_store": Call(like(dao.write_store, write), {"progress": False}),
        "Source": Call(like(dao.Source, source)),
        "Features": Call(
            lambda **a: write(features=dao.Features(**a), progress=False),
            {"ids": ["G1"]},
            tuple(inspect.signature(dao.Features).parameters),
        ),
        "ObsColumn": Call(
            lambda **a: write(obs_schema={"cell_type": dao.ObsColumn(**a)}, progress=False),
            {},
            tuple(inspect.signature(dao.ObsColumn).parameters),
        ),
        "descendants": Call(
            lambda **a: store.subset(cell_type=dao.descendants(**a)),
            {"term": "B"},
            tuple(inspect.signature(dao.descendants).parameters),
        ),
        "interleave": Call(dao.interleave, {"generators": {"a": generator}}),
        "Interleaved.set_epoch": Call(both.set_epoch, {"epoch": 0}),
        "Interleaved.state_dict": Call(both.state_dict),
        "Interleaved.load_state_dict": Call(both.load_state_dict, {"state": both.state_dict()}),
        "Scale.fit": Call(dao.transforms.Scale.fit, {"batches": generator}),
        "parallel": Call(
            lambda **a: store.generator(5, transform=dao.transforms.parallel(**a)),
            {"function": lambda batch: batch},
            ("function",),
        ),
        "Generator.mixing": Call(
            store.generator(7, obs_keys=["cell_type"]).mixing, {"key": "cell_type"}
        ),
        "Generator.set_epoch": Call(generator.set_epoch, {"epoch": 0}),
        "Generator.state_dict": Call(generator.state_dict),
        "Generator.load_state_dict": Call(generator.load_state_dict, {"state": state}),
        "remove": Call(like(store.remove, copied("remove")), {"ids": "gut"}),
        "compact": Call(like(store.compact, copied("compact")), {"progress": False}),
        "add_ontology": Call(
            like(store.add_ontology, copied("add_ontology")), {"column": "cell_type", "file": gut}
        ),
    }
    for name, arguments in samplers.items():
        kind = getattr(dao.samplers, name)
        others[name] = Call(like(kind, sampler(kind)), arguments)
    for name, arguments in steps.items():
        kind = getattr(dao.transforms, name)
        others[name] = Call(like(kind, transform(kind)), arguments)
    return {**reading, **others}


def operators(store: dao.Store) -> dict[str, Callable[[Any], Any]]:
    """Return what can be done with a store and any value, without a name."""
    return {
        "|": lambda v: store | v,
        "&": lambda v: store & v,
        "-": lambda v: store - v,
        "==": lambda v: store == v,
        "in": lambda v: v in store,
    }


@contextmanager
def in_time() -> Iterator[None]:
    """End a call that hangs."""

    def stop(*_: Any) -> None:
        msg = f"a call takes more than {SECONDS} seconds"
        raise AssertionError(msg)

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def tried(call: Call, changed: Mapping[str, str]) -> str:
    """Call a function with some arguments replaced; return how it ended.

    Raises
    ------
    AssertionError
        If it ended in an error that is not dao's, in a warning that is not, or in a wrong answer.
    """
    spoken = True
    arguments = {**call.arguments, **{name: VALUES[value]() for name, value in changed.items()}}
    with warnings.catch_warnings(record=True) as caught, in_time():
        warnings.simplefilter("always")
        try:
            answer = call.function(**arguments)
            look_at(answer)
        except DaoError as error:
            ended = type(error).__name__
            spoken = bool(str(error).strip())
        except TypeError as error:
            # Python's own word for an argument that is missing, or that there is not.
            if not _of_the_call(error):
                raise
            ended = "TypeError of Python"
        else:
            ended = "answer"
    assert spoken, "an error without words"
    for warning in caught:
        if "Observation names are not unique" in str(warning.message):
            continue
        assert issubclass(warning.category, DaoWarning), (
            f"{warning.category.__name__}: {warning.message} ({warning.filename}:{warning.lineno})"
        )
        here = f"{os.sep}fuzz{os.sep}" in warning.filename
        assert here, f"a warning points to {warning.filename}:{warning.lineno}: {warning.message}"
    return ended


def _of_the_call(error: TypeError) -> bool:
    """Return whether Python refused the call itself, before anything of dao ran."""
    trace, depth = error.__traceback__, 0
    while trace is not None:
        depth += "/dao/" in trace.tb_frame.f_code.co_filename
        trace = trace.tb_next
    words = ("unexpected keyword argument", "missing", "multiple values")
    return not depth and any(w in str(error) for w in words)


def look_at(answer: Any) -> None:
    """Look at an answer as its user would, and at what must be true of it."""
    if isinstance(answer, dao.Store):
        assert len(answer.obs) == answer.n_obs
        repr(answer)
    elif isinstance(answer, dao.Generator):
        _look_at_batches(answer)
    elif isinstance(answer, Mapping) and all(isinstance(v, dao.Store) for v in answer.values()):
        places = [set(v.selection.positions(v.manifest).tolist()) for v in answer.values()]
        assert sum(map(len, places)) == len(set().union(*places)), "parts share cells"
    elif isinstance(answer, ad.AnnData):
        assert answer.X is None or answer.X.shape == answer.shape
    else:
        repr(answer)


def _look_at_batches(generator: dao.Generator) -> None:
    whole = generator.store.n_obs
    for n, batch in enumerate(generator):
        assert isinstance(batch, Mapping), f"a batch is {type(batch).__name__}"
        assert n <= whole + 1000, "no end of batches"


def some_calls(
    world: World, *, seed: int, seconds: float = float("inf"), n_calls: float = float("inf")
) -> list[str]:
    """Try random calls until the time or their number is over; return what went wrong, by kind."""
    draw, found = random.Random(seed), {}
    table = calls(world)
    places = [(name, argument) for name, call in table.items() for argument in call.names()]
    draw.shuffle(places)
    end, last = time.monotonic() + seconds, sum(COUNTED.values()) + n_calls

    def is_over() -> bool:
        return time.monotonic() > end or sum(COUNTED.values()) >= last

    while not is_over():
        for name, argument in places:
            changed = {argument: draw.choice(sorted(VALUES))}
            if draw.random() < 0.2:  # two wrong ones may hide each other, or meet
                changed[draw.choice(table[name].names())] = draw.choice(sorted(VALUES))
            problem = _problem(world, name, table[name], changed)
            if problem and len(changed) > 1:
                # Which of the two is it?
                alone = [_problem(world, name, table[name], {k: v}) for k, v in changed.items()]
                problem = next((p for p in alone if p), problem)
            if problem:
                found.setdefault(problem[0], problem[1])
            if is_over():
                break
    return [found[key] for key in sorted(found)]


def _problem(
    world: World, name: str, call: Call, changed: Mapping[str, str]
) -> tuple[str, str] | None:
    """Return where a call went wrong, and how; None if it did not, or if that is known."""
    shown = f"{name}({', '.join(f'{k}={v}' for k, v in changed.items())})"
    world.tidy()
    COUNTED[name] += 1
    try:
        ENDED[tried(call, changed)] += 1
        world.check_home()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - a panic of Rust is not an Exception
        lines = [f for f in traceback.extract_tb(error.__traceback__) if "/dao/" in f.filename]
        where = f"{lines[-1].filename}:{lines[-1].lineno}" if lines else ""
        if any(left_out(f"{name}({k})") for k in changed):
            return None
        return f"{name} {where}", f"{shown}: {type(error).__name__}: {error} {where}"
    return None
