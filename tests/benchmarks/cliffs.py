"""Cliffs: ordinary inputs that once cost minutes or gigabytes, each with a bound.

    python tests/benchmarks/cliffs.py [words of names ...]

prints a table and exits with 1 if a case takes longer than its bound. A case is one function with
``@case``: it gets a folder, prepares what it needs, and returns the seconds that count. These are
seconds of the processor, over all threads, so that other work on the machine does not matter. Bounds
are generous: a slow machine passes, and a quadratic loop does not.
"""

from __future__ import annotations

import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Callable

    import dao

MANY_CELLS = 800_000
MANY_CATEGORIES = 300_000


@dataclass(frozen=True)
class Case:
    """One cliff.

    Attributes
    ----------
    name, size
        As the table shows them.
    bound
        Seconds of the processor that it may take.
    measure
        Prepares the case in a folder and returns its seconds.
    """

    name: str
    size: str
    bound: float
    measure: Callable[[Path], float]


CASES: list[Case] = []


def case(name: str, size: str, bound: float) -> Callable[[Any], Any]:
    """Return a decorator that makes a case of a function."""

    def add(measure: Callable[[Path], float]) -> Callable[[Path], float]:
        CASES.append(Case(name, size, bound, measure))
        return measure

    return add


def seconds(work: Callable[[], Any]) -> float:
    """Return the processor time of a call; an error of dao counts as an answer."""
    from dao.errors import DaoError

    began = time.process_time()
    with suppress(DaoError):
        work()
    return time.process_time() - began


def drain(stream: Any) -> None:
    """Read a stream to its end."""
    for _ in stream:
        pass


@cache
def cells(folder: Path) -> dao.Store:
    """Return a store of 800,000 cells whose text column ``barcode`` has no value twice."""
    import anndata as ad
    import scipy.sparse as sp

    import dao

    n, random = MANY_CELLS, np.random.default_rng(0)
    x = sp.csr_matrix((np.ones(n, np.float32), np.arange(n) % 10, np.arange(n + 1)), (n, 10))
    names = [f"{i:09d}" for i in range(n)]
    obs = pd.DataFrame(
        {
            "barcode": [f"AACG{i * 7919 % n:08d}-1" for i in range(n)],
            "clone": pd.Categorical.from_codes(
                random.integers(0, MANY_CATEGORIES, n),
                [f"clone {i:x} of donor {i % 97}" for i in range(MANY_CATEGORIES)],
            ),
            "kind": pd.Categorical.from_codes(random.integers(0, 5, n), list("abcde")),
            "number": random.permutation(n),
        },
        index=names,
    )
    study = ad.AnnData(x, obs=obs, var=pd.DataFrame(index=[f"G{i}" for i in range(10)]))
    return dao.write_store(folder / "cells.dao", study, organism="human", progress=False)


@case("stream with a unique text column in obs_keys", "800,000 cells", 15)
def unique_text(folder: Path) -> float:
    """Stream batches of 1024 with texts that are all different."""
    return seconds(lambda: drain(cells(folder).generator(1024, obs_keys=["barcode"])))


@case("stream with a column of 300,000 categories", "800,000 cells", 15)
def many_categories(folder: Path) -> float:
    """Stream batches of 1024 with codes into very many categories."""
    return seconds(lambda: drain(cells(folder).generator(1024, obs_keys=["clone"])))


@case("a mistyped value of a column", "300,000 categories", 6)
def mistyped_category(folder: Path) -> float:
    """Refuse a value that does not exist, with near matches."""
    return seconds(lambda: cells(folder).subset(clone="clone ff of doner 61"))


@case("a mistyped value in an expression", "300,000 categories", 6)
def mistyped_in_expression(folder: Path) -> float:
    """Refuse it in text, too."""
    return seconds(lambda: cells(folder).subset("clone == 'clone ff of doner 61'"))


@case("a list of values of a text column", "100,000 of 800,000", 6)
def long_list_of_texts(folder: Path) -> float:
    """Choose cells by a long list of texts."""
    wanted = [f"AACG{i:08d}-1" for i in range(100_000)]
    return seconds(lambda: cells(folder).subset(barcode=wanted))


@case("a list of values of a column of numbers", "100,000 of 800,000", 6)
def long_list_of_numbers(folder: Path) -> float:
    """Choose cells by a long list of numbers."""
    return seconds(lambda: cells(folder).subset(number=range(100_000)))


@case("cells by their names", "400,000 of 800,000", 10)
def many_names(folder: Path) -> float:
    """Choose cells by a long list of obs names."""
    wanted = [f"{i:09d}" for i in range(0, MANY_CELLS, 2)]
    return seconds(lambda: cells(folder)[wanted])


@case("value_counts and describe", "300,000 categories", 30)
def counted(folder: Path) -> float:
    """Count the values of columns with very many of them."""
    store = cells(folder)
    return seconds(lambda: (store.value_counts("clone"), store.describe()))


@case("value_counts of one unique column by another", "800,000 x 300,000", 20)
def counted_by(folder: Path) -> float:
    """Refuse a table that no memory holds."""
    return seconds(lambda: cells(folder).value_counts("barcode", by="clone"))


@case("Balanced by a unique column", "800,000 groups", 10)
def balanced(folder: Path) -> float:
    """Draw an epoch with a group for each cell."""
    from dao.samplers import Balanced

    return seconds(lambda: drain(cells(folder).generator(1024, sampler=Balanced("barcode"))))


@case("weights of many values", "20,000 of 300,000", 10)
def weighted(folder: Path) -> float:
    """Draw an epoch by a table of weights."""
    from dao.samplers import Weighted

    store = cells(folder)
    weights = dict.fromkeys(store.categories("clone")[:20_000], 1.0)
    sampler = Weighted({"clone": weights}, size=10_000)
    return seconds(lambda: drain(store.generator(1024, sampler=sampler)))


@case("Grouped by two columns", "300,000 x 5 groups", 20)
def grouped(folder: Path) -> float:
    """Plan an epoch with very many small groups, and read the first batches."""
    from dao.samplers import Grouped

    stream = cells(folder).generator(64, sampler=Grouped(["clone", "kind"]))
    return seconds(lambda: next(iter(stream)))


@cache
def large_chunks(folder: Path, kind: str) -> Path:
    """Return a file of 10,000 cells of 2,000 genes whose X lies in chunks of a kind."""
    import anndata as ad
    import h5py
    import scipy.sparse as sp

    path, n_obs, n_vars = folder / f"{kind}.h5ad", 10_000, 2_000
    x = np.random.default_rng(0).poisson(0.1, (n_obs, n_vars)).astype(np.float32)
    sparse = kind == "one sparse chunk"
    study = ad.AnnData(sp.csr_matrix(x) if sparse else x)
    study.write_h5ad(path)
    with h5py.File(path, "r+") as file:
        for name in ("X/data", "X/indices") if sparse else ("X",):
            values, attributes = file[name][:], dict(file[name].attrs)
            chunks = (n_obs, 1) if kind == "columns" else values.shape
            del file[name]
            file.create_dataset(name, data=values, chunks=chunks, compression="gzip")
            file[name].attrs.update(attributes)
    return path


@case("write dense gzip in chunks of a column", "10,000 x 2,000", 30)
def dense_columns(folder: Path) -> float:
    """Write with a memory of which a piece is a small part of a chunk."""
    return write_with_little_memory(folder, "columns")


@case("write dense gzip in one chunk", "10,000 x 2,000", 30)
def dense_chunk(folder: Path) -> float:
    """Write a matrix that can only be decoded whole."""
    return write_with_little_memory(folder, "one chunk")


@case("write CSR gzip in one chunk", "10,000 x 2,000", 20)
def sparse_chunk(folder: Path) -> float:
    """Write a sparse matrix whose arrays are a chunk each."""
    return write_with_little_memory(folder, "one sparse chunk")


def write_with_little_memory(folder: Path, kind: str) -> float:
    """Write a file with 32 MB."""
    import dao

    path, out = large_chunks(folder, kind), folder / f"{kind}.dao"
    return seconds(
        lambda: dao.write_store(out, path, organism="human", memory="32MB", progress=False)
    )


@case("stream h5ad in chunks of a column", "10,000 x 2,000", 30)
def backed_columns(folder: Path) -> float:
    """Stream shuffled batches of the file as it is."""
    import dao

    path = large_chunks(folder, "columns")
    return seconds(lambda: drain(dao.load_store(path, backend="h5ad").generator(512)))


@case("write a matrix of very many features", "500 x 1,000,000", 60)
def many_features(folder: Path) -> float:
    """Write peaks of chromatin: what it costs grows with the features, and no faster."""
    import anndata as ad
    import scipy.sparse as sp

    import dao

    n = 1_000_000
    x = sp.csr_matrix((500, n), dtype=np.float32)
    study = ad.AnnData(x, var=pd.DataFrame(index=[f"chr1:{i}-{i + 500}" for i in range(n)]))
    study.obs_names = [f"c{i}" for i in range(500)]
    out = folder / "features.dao"
    return seconds(lambda: dao.write_store(out, study, organism="human", progress=False))


def main(words: list[str]) -> int:
    """Measure the cases whose names hold one of the words, or all."""
    chosen = [c for c in CASES if not words or any(w in c.name for w in words)]
    show = sys.stdout.write
    show(f"{'case':<48}{'size':>22}{'seconds':>10}{'bound':>8}\n")
    slow = 0
    with tempfile.TemporaryDirectory() as folder:
        for one in chosen:
            took = one.measure(Path(folder))
            slow += took > one.bound
            mark = "  too slow" if took > one.bound else ""
            show(f"{one.name:<48}{one.size:>22}{took:>10.2f}{one.bound:>8g}{mark}\n")
            sys.stdout.flush()
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
