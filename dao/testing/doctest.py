"""A pytest plugin that gives examples in docstrings a small store to work on.

The names are ``dao``, ``store``, ``store_path`` and ``tmp_path``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from anndata import AnnData

__all__ = ["example_store_path", "example_study"]


def example_study(seed: int, n_obs: int = 200, n_vars: int = 300) -> AnnData:
    """Return a small random study: counts, cell types and numbers of counts.

    Examples
    --------
    >>> example_study(0).shape
    (200, 300)
    """
    import pandas as pd
    import scipy.sparse as sp
    from anndata import AnnData

    random = np.random.default_rng(seed)
    counts = sp.csr_matrix(random.poisson(0.5, (n_obs, n_vars)).astype(np.float32))
    types = ["B cell", "T cell", "NK cell", "monocyte"]
    obs = pd.DataFrame(
        {
            "cell_type": pd.Categorical(np.repeat(types, n_obs // 4), categories=types),
            "n_counts": np.asarray(counts.sum(axis=1)).ravel(),
        },
        index=[f"cell{seed}-{i}" for i in range(n_obs)],
    )
    var = pd.DataFrame(index=[f"GENE{i}" for i in range(n_vars)])
    return AnnData(counts, obs=obs, var=var)


@pytest.fixture(scope="session")
def example_store_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a store of two studies, once."""
    import dao

    path: Path = tmp_path_factory.mktemp("doctest") / "example.dao"
    dao.write_store(
        path, {"blood": example_study(0), "gut": example_study(1)}, organism="human", progress=False
    )
    return path


@pytest.fixture(autouse=True)
def _names_for_doctests(request: pytest.FixtureRequest) -> None:
    if not isinstance(request.node, pytest.DoctestItem):
        return
    import dao

    path = request.getfixturevalue("example_store_path")
    names = request.getfixturevalue("doctest_namespace")
    names["dao"] = dao
    names["tmp_path"] = request.getfixturevalue("tmp_path")
    names["store_path"] = path
    names["store"] = dao.load_store(path)
