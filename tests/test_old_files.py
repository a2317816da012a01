"""Files of anndata before 0.7 and before 0.8, and files of other programs, against anndata."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import dao
from dao.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

N_OBS, N_VARS = 20, 7
TEXT = h5py.string_dtype()
X = sp.random(N_OBS, N_VARS, 0.4, "csr", np.float32, np.random.default_rng(0))
CODES = np.random.default_rng(1).integers(-1, 2, N_OBS).astype(np.int8)


def _sparse(file: Any, name: str, names: tuple[str, str] | None, layout: str = "csr") -> None:
    group, matrix = file.create_group(name), X.asformat(layout)
    for key in ("data", "indices", "indptr"):
        group[key] = getattr(matrix, key)
    if names is not None:
        group.attrs[names[0]] = layout if names[0].startswith("h5") else f"{layout}_matrix"
        group.attrs[names[1]] = np.array(X.shape)
        if not names[0].startswith("h5"):
            group.attrs["encoding-version"] = "0.1.0"


def _records(file: Any, *, dense: bool) -> None:
    """Tables as records, categories in uns."""
    if dense:
        file["X"] = X.toarray()
    else:
        _sparse(file, "X", ("h5sparse_format", "h5sparse_shape"))
    obs = np.zeros(N_OBS, [("index", "S5"), ("cell_type", "i1"), ("depth", "f4"), ("plate", "i4")])
    obs["index"] = [f"c{i}".encode() for i in range(N_OBS)]
    obs["cell_type"], obs["depth"], obs["plate"] = CODES, np.arange(N_OBS), np.arange(N_OBS) % 3
    var = np.zeros(N_VARS, [("index", "S5"), ("kind", "i4")])
    var["index"], var["kind"] = [f"G{i}".encode() for i in range(N_VARS)], np.arange(N_VARS) % 2
    file["obs"], file["var"] = obs, var
    file["uns/cell_type_categories"] = np.array([b"B", b"T"])
    file["uns/kind_categories"] = np.array(["coding", "other"], TEXT)
    # Codes of another table: too few categories for the numbers of plates.
    file["uns/plate_categories"] = np.array(["p", "q"], TEXT)


def _columns(file: Any, *, fixed: bool) -> None:
    """Columns as arrays, categories behind references."""
    _sparse(file, "X", ("encoding-type", "shape"))
    text = np.dtype("S5") if fixed else TEXT
    for table, n in (("obs", N_OBS), ("var", N_VARS)):
        group = file.create_group(table)
        group.attrs.update(
            {"encoding-type": "dataframe", "encoding-version": "0.1.0", "_index": "names"}
        )
        group["names"] = np.array([f"{table}{i}" for i in range(n)], text)
        columns = ["cell_type", "depth"] if table == "obs" else []
        group.attrs["column-order"] = np.array(columns, TEXT)
    categories = file.create_dataset("obs/__categories/cell_type", data=np.array(["B", "T"], text))
    categories.attrs["ordered"] = False
    file["obs/cell_type"], file["obs/depth"] = CODES, np.arange(N_OBS) * 1.5
    file["obs/cell_type"].attrs["categories"] = categories.ref


@pytest.mark.parametrize(
    "write",
    [
        pytest.param(lambda f: _records(f, dense=False), id="records, sparse"),
        pytest.param(lambda f: _records(f, dense=True), id="records, dense"),
        pytest.param(lambda f: _columns(f, fixed=False), id="columns"),
        pytest.param(lambda f: _columns(f, fixed=True), id="columns, fixed lengths"),
    ],
)
def test_old_files_are_read_as_anndata_reads_them(
    write: Callable[[Any], None], tmp_path: Path
) -> None:
    """Values, names, categories and columns of var, from a store and from the file itself."""
    path = tmp_path / "old.h5ad"
    with h5py.File(path, "w") as file:
        write(file)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = ad.read_h5ad(path)
    stores = (
        dao.write_store(tmp_path / "s.dao", path, shuffle=False, progress=False),
        dao.load_store([path]),
    )
    for store in stores:
        got = store.to_anndata()[:, expected.var_names]
        np.testing.assert_array_equal(
            np.asarray(got.X.todense() if sp.issparse(got.X) else got.X), X.toarray()
        )
        assert list(got.obs_names) == list(expected.obs_names)
        for column in expected.obs:
            pd.testing.assert_series_equal(
                got.obs[column].astype(object),
                expected.obs[column].astype(object),
                check_names=False,
                check_index=False,
            )
            assert (got.obs[column].dtype == "category") == (
                expected.obs[column].dtype == "category"
            )
    var = stores[0].to_anndata()[:, expected.var_names].var
    for column in expected.var:
        assert list(var[column]) == list(expected.var[column])


def test_a_matrix_without_a_layout_is_refused(tmp_path: Path) -> None:
    """A group that does not name its layout is not guessed."""
    path = tmp_path / "bare.h5ad"
    with h5py.File(path, "w") as file:
        _columns(file, fixed=False)
        del file["X"]
        _sparse(file, "X", None)
    with pytest.raises(SourceError, match="without the attribute encoding-type"):
        dao.write_store(tmp_path / "s.dao", path, progress=False)
