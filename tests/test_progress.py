"""Feedback while training: figures, a progress bar, and which of loader and model is the limit."""

from __future__ import annotations

import re
import sys
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import dao
from dao.batches.progress import _timed
from dao.batches.stats import Stats

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import anndata as ad

    Make = Callable[..., ad.AnnData]
    Write = Callable[..., dao.Store]


@pytest.fixture
def store(write: Write, make_study: Make) -> dao.Store:
    """A store of 120 cells."""
    return write(make_study(0, 120))


def batches(n: int, seconds: float) -> Iterator[dict[str, Any]]:
    """Yield batches of ten cells, each after a while."""
    for _ in range(n):
        time.sleep(seconds)
        yield {"index": np.arange(10)}


@pytest.mark.parametrize(
    ("loading", "training", "low", "high"),
    [(0.02, 0.0, 0.8, 1.0), (0.0, 0.02, 0.0, 0.2), (0.02, 0.02, 0.2, 0.8)],
)
def test_which_one_is_the_limit(loading: float, training: float, low: float, high: float) -> None:
    """The share of waiting is that of the time in which no batch was there."""
    stats = Stats()
    for _ in _timed(batches(10, loading), stats):
        time.sleep(training)
    assert (stats.n_obs, stats.n_batches) == (100, 10)
    assert low <= stats.waiting <= high
    assert stats.cells_per_second == pytest.approx(100 / stats.seconds)


def test_all_kinds_of_streams(store: dao.Store) -> None:
    """Batches come as they are, one epoch, whatever gives them."""
    generator = store.generator(50, sampler="sequential")
    expected = [b["index"].tolist() for b in generator]
    assert [b["index"].tolist() for b in dao.progress(generator)] == expected
    both = dao.interleave({"x": generator, "y": store.generator(60)})
    assert len(list(dao.progress(both))) == 5
    assert list(dao.progress(iter([1, 2]))) == [1, 2]
    stats = Stats()
    list(_timed(both, stats))
    assert stats.n_obs == 240


def test_torch_streams(store: dao.Store) -> None:
    """Tensors are counted too."""
    pytest.importorskip("torch")
    stats = Stats()
    list(_timed(store.torch(batch_size=50), stats))
    assert stats.n_obs == 120


def test_an_iterator_that_is_left_is_closed(store: dao.Store) -> None:
    """Leaving the loop ends reading ahead, and the next epoch begins from its start."""
    generator = store.generator(20)
    for _ in dao.progress(generator):
        break
    assert sum(len(b["index"]) for b in dao.progress(generator)) == 120


def test_silent_without_a_terminal(store: dao.Store, capfd: pytest.CaptureFixture[str]) -> None:
    """Logs are not filled with bars."""
    list(dao.progress(store.generator(50), "epoch 1"))
    assert capfd.readouterr() == ("", "")


def test_a_bar_on_a_terminal(store: dao.Store, on_terminal: Any) -> None:
    """The bar says how many batches of how many, cells per second and the share of waiting."""
    code = (
        "import dao, sys\n"
        "store = dao.load_store(sys.argv[1])\n"
        "for _ in dao.progress(store.generator(50), 'epoch [red]1'): pass"
    )
    last = on_terminal([sys.executable, "-c", code, store.path])[1].strip().splitlines()[-1]
    assert last.startswith("epoch [red]1 ")
    assert "3/3" in last
    assert re.search(r"[\d,]+ cells/s, \d+ % waiting for data", last)


def test_stats_are_one_line(store: dao.Store) -> None:
    """print(generator.stats) says the same of all epochs, and what was decoded."""
    generator = store.generator(50)
    list(generator)
    assert re.fullmatch(
        r"120 cells in \d+\.\d s: [\d,]+ cells/s, \d+ % of the time waiting for data, .* decoded",
        str(generator.stats),
    )
    assert 0 <= generator.stats.waiting <= 1
    assert Stats().waiting == 0
