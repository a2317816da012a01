"""What terminals and notebooks show of stores, generators and adaptors."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

import dao

if TYPE_CHECKING:
    from collections.abc import Callable

    import anndata as ad

    Make = Callable[..., ad.AnnData]
    Write = Callable[..., dao.Store]


class Shown(HTMLParser):
    """The tags and the text of some HTML whose tags are closed in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(html)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)
        self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
def store(write: Write, make_study: Make) -> dao.Store:
    """Two human studies and one of a mouse."""
    return write(
        {
            "a": dao.Source(make_study(0), organism="human"),
            "b": dao.Source(make_study(1), organism="human"),
            "m": dao.Source(make_study(2, 30), organism="mouse"),
        },
        obsm=["X_pca"],
    )


def test_a_store(store: dao.Store) -> None:
    """Counts, datasets and columns to unfold, and calls that work on this selection."""
    shown = Shown(store.subset(cell_type="B")._repr_html_())
    n_obs = int((store.obs["cell_type"] == "B").sum())
    assert f"{n_obs} of 130 in 3 datasets" in shown.text
    assert "Mus musculus40 features" in shown.text
    assert shown.tags.count("details") == 3
    assert "ordered" not in shown.text
    for call in ("store.describe()", "store.report()", "store['Homo sapiens'].to_anndata()"):
        assert call in shown.text
        eval(call, {"store": store})
    assert "store['" not in Shown(store["human"]._repr_html_()).text
    for name in ("a", "b", "m", *store.obs_columns):
        assert name in shown.text


def test_a_store_is_shown_without_reading(store: dao.Store) -> None:
    """Looking at a store reads none of its tables."""
    read: list[str] = []
    fresh = dao.load_store(store.path)
    table = fresh.reader.table
    fresh.reader.table = lambda path, *a: (read.append(path), table(path, *a))[1]  # type: ignore[method-assign]
    _ = repr(fresh), fresh._repr_html_(), repr(fresh["human"]), fresh["human"]._repr_html_()
    assert read == []
    assert len(fresh.obs)
    assert read


def test_a_generator(store: dao.Store) -> None:
    """What a batch holds, in which order, from where; and what it has cost once it has run."""
    generator = store["human"].generator(
        25, obs_keys=["cell_type", "score"], obsm=["X_pca"], x_format="dense", seed=3
    )
    lines = repr(generator).splitlines()
    assert lines[0] == "Generator: batches of 25 from 100 cells in 2 datasets"
    assert lines[1:4] == [
        "  X: dense float32, 40 features",
        "  obsm/X_pca: dense float32, 5 columns",
        "  obs: 'cell_type' (3 categories), 'score' (float64)",
    ]
    assert "seed 3, next epoch 0" in lines[4]
    assert not any("so far" in line for line in lines)
    list(generator)
    assert "so far: 100 cells in" in repr(generator)
    shown = Shown(generator._repr_html_())
    assert "next epoch 1" in shown.text
    assert ".explain()" in shown.text


def test_adaptors(store: dao.Store) -> None:
    """What torch() and jax() return look like the generator inside."""
    torch = pytest.importorskip("torch")
    batches = store["mouse"].torch(batch_size=None, sampler=dao.samplers.Grouped("cell_type"))
    assert repr(batches).startswith(
        "TorchBatches: the sampler's batches from 30 cells in 1 dataset\n"
    )
    assert "device" not in repr(batches)
    batches._device = torch.device("cuda")
    assert "  device: cuda" in repr(batches).splitlines()
    assert "TorchBatches" in Shown(batches._repr_html_()).text
    rows = store["mouse"].map_dataset()
    assert repr(rows).startswith("TorchRows: 30 cells in 1 dataset\n")
    assert "order" not in repr(rows)
    pytest.importorskip("jax")
    assert repr(store["mouse"].jax(7)).startswith("JaxBatches: batches of 7 from 30 cells")


def test_interleaved(store: dao.Store) -> None:
    """Several streams in one are shown with what takes turns, and names as text."""
    evil = "<script>"
    parts = {"m": store["mouse"].generator(7), evil: store["mouse"].generator(5)}
    stream = dao.interleave(parts, weights={"m": 2, evil: 0.5})
    assert repr(stream).splitlines() == [
        "Interleaved: batches of 2 generators",
        "  m: Generator: batches of 7 from 30 cells in 1 dataset",
        "  <script>: Generator: batches of 5 from 30 cells in 1 dataset",
        "  weights: m 2, <script> 0.5",
    ]
    shown = Shown(stream._repr_html_())
    assert "script" not in shown.tags
    assert "batches of 5" in shown.text


def test_names_are_escaped(write: Write, make_study: Make) -> None:
    """Whatever studies call things is text."""
    study, evil = make_study(), "<script>alert(1)</script>"
    study.obs[evil] = pd.Categorical(np.array([evil, "\x1b[2Jb"])[np.arange(50) % 2])
    store = write(dao.Source(study, id="plain", organism=evil))
    generator = store.generator(obs_keys=[evil])
    for html in (store._repr_html_(), generator._repr_html_()):
        assert "script" not in Shown(html).tags
        assert evil in Shown(html).text
    assert "\x1b" not in repr(generator)
