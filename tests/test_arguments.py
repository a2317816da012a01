"""Arguments of the wrong type end in words, not in errors of Python or of a library."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

import dao
from dao.errors import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Callable

STRANGE = [None, 0, True, 2.5, np.array([]), np.ones((2, 2)), np.array(3), pd.NA, [None], [["G1"]]]


@pytest.fixture
def store(write: Callable[..., dao.Store], make_study: Any) -> dao.Store:
    """A store with one study."""
    return write({"gut": make_study(0)}, organism="human", layers=["doubled"], obsm=["X_pca"])


@pytest.mark.parametrize(
    "argument",
    ["obs_keys", "layers", "obsm", "x_format", "missing", "drop_last", "measured", "dtype"],
)
def test_arguments_of_a_stream(store: dao.Store, argument: str) -> None:
    """Whatever is passed, the argument is named."""
    for value in STRANGE:
        if argument in {"drop_last", "measured"} and value is True:
            continue
        if (
            isinstance(value, np.ndarray)
            and not value.size
            and argument in {"obs_keys", "layers", "obsm"}
        ):
            continue  # no names are none
        if argument == "dtype" and value is None:
            continue  # for NumPy that is float64
        with pytest.raises(ArgumentError, match=rf"^{argument}="):
            store.generator(8, **{argument: value})


def test_batch_sizes(store: dao.Store) -> None:
    """Whole numbers from 1 on."""
    for value in (0, -1, 2**70, 2.5, True, "many", pd.NA, np.array([3]), [3]):
        with pytest.raises(ArgumentError, match=r"^batch_size="):
            store.generator(value)


def test_names_in_any_list(store: dao.Store) -> None:
    """Lists, arrays, an Index and a Series of names are names; so is one name."""
    for keys in (
        ["stage"],
        ("stage",),
        np.array(["stage"]),
        pd.Index(["stage"]),
        "stage",
        {"stage"},
    ):
        (batch,) = store.generator(100, obs_keys=keys)
        assert list(batch["obs"].columns) == ["stage"]
    assert store.to_memory(layers=pd.Series(["doubled"])).backend == "memory"
    assert store.sample(2, by=np.array(["stage"])).n_obs == store.sample(2, by="stage").n_obs


CALLS: dict[str, Callable[[dao.Store, Any], Any]] = {
    "keep": lambda store, value: store.keep(value),
    "to_memory": lambda store, value: store.to_memory(layers=value),
    "sample": lambda store, value: store.sample(3, by=value),
    "select_features by": lambda store, value: store.select_features(["G1"], by=value),
    "select_features missing": lambda store, value: store.select_features(["G1"], value),
    "select_features where": lambda store, value: store.select_features(where=value),
    "gene_stats": lambda store, value: store.gene_stats(layer=value),
    "load_store backend": lambda store, value: dao.load_store(store.path, value),
    "load_store columns": lambda store, value: dao.load_store(store.path, columns=value),
    "load_store options": lambda store, value: dao.load_store(store.path, storage_options=value),
    "descendants": lambda _, value: dao.descendants("B", part_of=value),
}


@pytest.mark.parametrize("call", CALLS)
def test_other_calls(store: dao.Store, call: str) -> None:
    """They name what they want, too."""
    for value in (0, 2.5, np.ones((2, 2)), np.array(3), pd.NA, [None]):
        with pytest.raises(ArgumentError):
            CALLS[call](store, value)


@pytest.mark.parametrize("argument", ["layers", "obsm", "cluster_by", "obs_columns"])
def test_names_that_are_written(
    write: Callable[..., dao.Store], make_study: Any, argument: str
) -> None:
    """What is not a name or a list of names is refused before anything is written."""
    for value in (True, 0, 2.5, pd.NA, [None], ["a", 1], [""], ["a", "a"], np.array(3)):
        with pytest.raises(ArgumentError, match=rf"^{argument}="):
            write({"a": make_study(0)}, **{argument: value})


def test_interleave_takes_dicts(store: dao.Store) -> None:
    """Lists of generators and of weights are refused in words."""
    generator = store.generator(8)
    for value in ([generator], (generator,), generator, "a", None, True):
        with pytest.raises(ArgumentError, match=r"^generators=.*pass a dict"):
            dao.interleave(value)
    for weights in ([1], 2, "a", True):
        with pytest.raises(ArgumentError, match=r"^weights=.*pass a dict"):
            dao.interleave({"a": generator}, weights)
    for weight in ("1", None, [1]):
        with pytest.raises(ArgumentError, match=r"^weights=.*'a' is not a number"):
            dao.interleave({"a": generator}, {"a": weight})
    assert len(list(dao.interleave({"a": generator}, {"a": 2}))) == len(generator)
