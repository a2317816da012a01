"""Warnings of dao point to the line of the user, and each comes once."""

from __future__ import annotations

import inspect
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import dao
from dao.errors import DaoWarning
from dao.warn import once, warn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


def study(n_obs: int = 4, **obs: Any) -> ad.AnnData:
    """Return a study with these obs columns."""
    names = [f"c{i}" for i in range(n_obs)]
    frame = pd.DataFrame(obs, index=names)
    return ad.AnnData(
        np.ones((n_obs, 2), np.float32), obs=frame, var=pd.DataFrame(index=["A", "B"])
    )


def line() -> int:
    """Return the line of the caller."""
    return inspect.stack()[1].lineno


def shadowing(folder: Path) -> int:
    first = line()
    dao.write_store(folder / "s", {"a": study(dataset=["x"] * 4)}, progress=False)
    return first + 1


def uns(folder: Path) -> int:
    adata = study()
    adata.uns["table"] = pd.DataFrame({"a": [1]})
    first = line()
    dao.write_store(folder / "s", {"a": adata}, progress=False)
    return first + 1


def values(folder: Path) -> int:
    source = dao.Source(
        study(sex=["male", "female"] * 2), obs={"sex": ("sex", {"male": "M", "femal": "F"})}
    )
    first = line()
    dao.write_store(folder / "s", {"a": source}, progress=False)
    return first + 1


def other_genes(folder: Path) -> int:
    stranger = study()
    stranger.var_names = ["C", "D"]
    first = line()
    dao.write_store(folder / "s", {"a": study(), "b": stranger}, progress=False)
    return first + 1


@pytest.mark.parametrize("occasion", [shadowing, uns, values, other_genes])
def test_it_points_to_the_line_that_called(tmp_path: Path, occasion: Callable[[Path], int]) -> None:
    """However deep inside of dao it was, and once although a source is looked at twice."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        expected = occasion(tmp_path)
    ours = [w for w in caught if issubclass(w.category, DaoWarning)]
    assert [(w.filename, w.lineno) for w in ours] == [(__file__, expected)] * len(ours)
    assert len(ours) == len({str(w.message) for w in ours}) > 0


def test_context_managers_and_callbacks_are_passed_over() -> None:
    """Code of the standard library between dao and the user is not the user's."""

    @contextmanager
    def managed() -> Iterator[None]:
        yield

    @managed()
    def users() -> int:
        first = line()
        warn("something happened")
        return first + 1

    with pytest.warns(DaoWarning, match="something") as caught:
        expected = users()
    assert [(w.filename, w.lineno) for w in caught] == [(__file__, expected)]


def test_each_comes_once() -> None:
    """Within a block the same text is not repeated; the next block begins anew."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(2):
            with once():
                warn("a")
                with once():
                    warn("a")
                    warn("b")
                warn("b")
    assert [str(w.message) for w in caught] == ["a", "b", "a", "b"]
