"""obsm of several studies: columns with names are aligned by them, others are refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import dao
from dao.errors import ArgumentError, DaoWarning, SourceError, UnknownDatasetError

if TYPE_CHECKING:
    from pathlib import Path

Write = Any
Make = Any
Studies = dict[str, ad.AnnData]


@pytest.fixture
def studies(make_study: Make) -> Studies:
    """Two studies with the same proteins in other orders."""
    found = {}
    for seed, (name, columns) in enumerate({"a": "ABCD", "b": "DBAC"}.items()):
        study = make_study(seed)
        values = np.random.default_rng(seed).integers(0, 1000, (50, 4)).astype(np.float32)
        study.obsm["protein"] = pd.DataFrame(
            values, columns=[f"CD{c}" for c in columns], index=study.obs_names
        )
        found[name] = study
    return found


def check(store: dao.Store, studies: Studies) -> None:
    """Compare export and stream with the tables of the studies, by name."""
    adata = store.to_anndata()
    table = adata.obsm["protein"]
    assert isinstance(table, pd.DataFrame)
    expected = pd.concat(
        [
            studies[name].obsm["protein"].iloc[group["_source_row"].to_numpy()]
            for name, group in adata.obs.groupby("dataset", observed=True, sort=False)
        ]
    )
    assert sorted(table.columns) == sorted(expected.columns)
    pd.testing.assert_frame_equal(table, expected[table.columns])
    for batch in store.generator(16, obsm=["protein"]):
        wanted = table.iloc[batch["index"]].to_numpy()
        np.testing.assert_array_equal(batch["obsm"]["protein"], wanted)


def test_columns_are_aligned_by_name(tmp_path: Path, write: Write, studies: Studies) -> None:
    """Created together, appended, replaced, compacted, copied, and in memory."""
    check(write(studies, obsm=["protein"]), studies)
    grown = write({"a": studies["a"]}, name="grown.dao", obsm="protein")
    grown = write({"b": studies["b"]}, name="grown.dao", obsm="protein", mode="append")
    check(grown, studies)
    check(grown.to_memory(), studies)
    check(write(grown, name="copy.dao"), studies)
    new = studies["b"].copy()
    new.obs_names = [f"new {n}" for n in new.obs_names]
    other = {**studies, "a": new}
    grown = write({"a": new}, name="grown.dao", obsm="protein", mode="replace")
    check(grown, other)
    check(grown.compact(progress=False), other)
    check(dao.load_store(tmp_path / "grown.dao", backend="zarr"), other)


@pytest.mark.parametrize("suffix", ["h5ad", "zarr"])
def test_files_and_unconverted_files(
    tmp_path: Path, write: Write, studies: Studies, suffix: str
) -> None:
    """The same from files, and through the backend that reads them as they are."""
    for name, study in studies.items():
        getattr(study, f"write_{suffix}")(tmp_path / f"{name}.{suffix}")
    files = [tmp_path / f"{name}.{suffix}" for name in studies]
    check(write(files, obsm=["protein"]), studies)
    if suffix == "h5ad":
        check(dao.load_store(files, backend="h5ad", obsm=["protein"]), studies)


def test_columns_that_are_not_the_same_are_refused(write: Write, studies: Studies) -> None:
    """Another set, no names, another width: nothing is written, and the error names both."""
    table = studies["b"].obsm["protein"]
    other = table.rename(columns={"CDA": "CDX"})
    first = write({"a": studies["a"]}, name="first.dao", obsm="protein")
    for value, words in (
        (other, "only 'b' has 'CDX'; it lacks 'CDA'"),
        (table[["CDA", "CDB"]], "it lacks 'CDC', 'CDD'"),
        (table.to_numpy(), "4 columns without names"),
        (table.to_numpy()[:, :3], "3 columns without names"),
        (table.iloc[:, [0, 0, 1, 2]], "lacks"),
    ):
        studies["b"].obsm["protein"] = value
        for given, how in (
            (studies, {}),
            ({"b": studies["b"]}, {"name": "first.dao", "mode": "append"}),
        ):
            with pytest.raises(ArgumentError, match=words):
                write(given, obsm=["protein"], **how)
        assert dao.load_store(first.path).datasets == ["a"]
    sources = [dao.Source(s, n, "human" if n == "a" else "mouse") for n, s in studies.items()]
    assert write(sources, name="two.dao", obsm="protein").n_obs == 100  # never read together


def test_an_older_store_in_two_orders_is_not_mixed_up(
    tmp_path: Path, write: Write, studies: Studies
) -> None:
    """What was written without alignment is refused until it is compacted."""
    store = write(studies, obsm=["protein"])
    manifest = store.manifest
    from dataclasses import replace

    names = manifest.dataset("b").matrices["obsm/protein"].columns
    assert names is not None
    turned = replace(manifest.datasets[1].matrices["obsm/protein"], columns=names[::-1])
    matrices = {**manifest.datasets[1].matrices, "obsm/protein": turned}
    datasets = (manifest.datasets[0], replace(manifest.datasets[1], matrices=matrices))
    (tmp_path / "store.dao/dao.json").write_text(replace(manifest, datasets=datasets).to_json())
    store = dao.load_store(tmp_path / "store.dao")
    with pytest.raises(ArgumentError, match="compact"):
        store.generator(16, obsm=["protein"])
    with pytest.warns(DaoWarning, match=r"Left out of the AnnData: obsm 'protein'"):
        assert "protein" not in store.to_anndata().obsm
    table = studies["b"].obsm["protein"]
    meant = dict(zip(names, names[::-1], strict=True))
    studies["b"].obsm["protein"] = table.rename(columns=meant)
    check(store.compact(progress=False), studies)


def test_kinds_of_obsm(write: Write, make_study: Make) -> None:
    """Each comes back with its values and dtype; sparse ones sparse, tables as tables."""
    study = make_study()
    random = np.random.default_rng(0)
    whole = random.integers(0, 5, (50, 3))
    index = study.obs_names
    kinds: dict[str, Any] = {
        "integers": whole.astype(np.int16),
        "flags": whole > 2,
        "doubles": whole / 3,
        "sparse": sp.csr_matrix(whole.astype(np.float32)),
        "columns": sp.csc_matrix(whole),
        "single": whole[:, :1].astype(np.float32),
        "missing": np.where(whole > 2, np.nan, whole),
        "large": pd.DataFrame({"x": whole[:, 0] + 2**60, "y": 1}, index=index),
        "mixed": pd.DataFrame({"x": whole[:, 0] / 3, "y": whole[:, 1]}, index=index),
        "nullable": pd.DataFrame({"x": pd.array([1, None] * 25, dtype="Int64")}, index=index),
        "numbers": pd.DataFrame(whole, index=index),
    }
    for name, value in kinds.items():
        study.obsm[name] = value
    adata = write(study, obsm=list(kinds), shuffle=False).to_anndata()
    for name, value in kinds.items():
        got = adata.obsm[name]
        assert sp.issparse(got) == sp.issparse(value), name
        assert isinstance(got, pd.DataFrame) == isinstance(value, pd.DataFrame), name
        if isinstance(value, pd.DataFrame):
            assert list(got.columns) == [str(c) for c in value.columns]
            exact = value.to_numpy(np.float64, na_value=np.nan) if name != "large" else value
            np.testing.assert_array_equal(got.to_numpy(), np.asarray(exact), name)
        else:
            plain, wanted = (m.toarray() if sp.issparse(m) else m for m in (got, value))
            np.testing.assert_array_equal(plain, wanted, name)
            assert plain.dtype == wanted.dtype, name


def test_obsm_that_cannot_be_stored(write: Write, make_study: Make) -> None:
    """Axes, text, lost digits, a study without it: the error names what it is."""
    study, index = make_study(), make_study().obs_names
    for value, error, words in (
        (np.ones((50, 2, 2)), SourceError, "3 axes"),
        (pd.DataFrame({"a": ["x"] * 50, "b": 1}, index=index), SourceError, "column 'a'.*numbers"),
        (
            pd.DataFrame({"a": np.arange(50) + 2**60, "b": 0.5}, index=index),
            SourceError,
            "'a'.*beyond 2",
        ),
        (np.ma.masked_greater(np.arange(50.0)[:, None], 3), SourceError, "masked"),
    ):
        study.obsm["x"] = value
        with pytest.raises(error, match=words):
            write(study, obsm="x")
    study.obsm["x"] = np.ones((50, 2))
    with pytest.raises(UnknownDatasetError, match="'b' has no obsm 'x'"):
        write({"a": study, "b": make_study(1)}, obsm="x")
