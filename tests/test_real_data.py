"""The main job on real data, held against anndata in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anndata as ad
import h5py
import numpy as np
import pytest

import dao
from dao.format.names import cut_version

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.filterwarnings("ignore::anndata.OldFormatWarning")

FILES = {
    "gut": "scp1884_gut.h5ad",
    "pan": "cellxgene_pan_tissue.h5ad",
    "zheng": "zheng68k.h5ad",
    "pbmc": "pbmc10k_protein_v3.h5ad",
}


@pytest.fixture(scope="module")
def studies(shared_data: Path) -> dict[str, ad.AnnData]:
    """The four studies in memory."""
    return {name: ad.read_h5ad(shared_data / file) for name, file in FILES.items()}


@pytest.fixture(scope="module")
def path(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of the four studies."""
    target = tmp_path_factory.mktemp("real") / "atlas.dao"
    sources = {name: shared_data / file for name, file in FILES.items()}
    dao.write_store(target, sources, organism="human", progress=False)
    return target


@pytest.fixture(params=["zarrs", "zarr"])
def store(path: Path, request: pytest.FixtureRequest) -> dao.Store:
    """The store, opened by each backend."""
    return dao.load_store(path, backend=request.param)


def test_counts_genes_and_obs_are_those_of_the_sources(
    store: dao.Store, studies: dict[str, ad.AnnData], assert_holds: Callable[..., None]
) -> None:
    """Every cell comes back with its counts, its genes and its obs."""
    assert_holds(store, studies)
    genes = {g for s in studies.values() for g in s.var_names}
    assert len(store.var_names) <= len(genes)
    assert store.to_anndata().X.dtype == np.float32


def test_concat_in_memory_is_the_same_matrix(
    store: dao.Store, studies: dict[str, ad.AnnData]
) -> None:
    """anndata.concat(join="outer") of the sources has the same counts per gene and cell."""
    plain = {}
    for name, study in studies.items():
        own = study.copy()
        own.var_names = [cut_version(g) for g in own.var_names]
        own.obs_names = [f"{name}:{i}" for i in range(own.n_obs)]
        plain[name] = own
    whole = ad.concat(plain.values(), join="outer", fill_value=0)
    mine = store.to_anndata()
    names = [f"{d}:{r}" for d, r in zip(mine.obs["dataset"], mine.obs["_source_row"], strict=True)]
    theirs = whole[names, list(mine.var_names)].X
    assert abs(theirs - mine.X).sum() == 0


@pytest.mark.parametrize("sampler", ["shuffle", "sequential"])
def test_stream_equals_memory(store: dao.Store, sampler: str) -> None:
    """Batches hold the rows that their index says, whatever the order, format and features."""
    whole = store.to_anndata()
    genes = list(store.var_names[[500, 3, 20_000, 77]])
    for x_format in ("csr", "dense"):
        seen = []
        generator = store.generator(
            333,
            sampler=sampler,
            x_format=x_format,
            var_names=genes,
            obs_keys=["cell_type", "donor_id", "n_counts", "dataset"],
        )
        for batch in generator:
            index = batch["index"]
            x = batch["X"] if x_format == "dense" else batch["X"].toarray()
            np.testing.assert_array_equal(x, whole[index, genes].X.toarray())
            assert x.dtype == np.float32
            for key in ("cell_type", "donor_id", "dataset"):
                expected = whole.obs[key].iloc[index]
                assert list(batch["obs"][key].astype(object).fillna("")) == list(
                    expected.astype(object).fillna("")
                )
            np.testing.assert_array_equal(
                batch["obs"]["n_counts"], whole.obs["n_counts"].iloc[index]
            )
            seen.append(index)
        assert sorted(np.concatenate(seen)) == list(range(store.n_obs))


def test_subset_and_features_together(
    store: dao.Store, studies: dict[str, ad.AnnData], oracle: Callable[..., Any]
) -> None:
    """A filter and a choice of genes give what boolean indexing in memory gives."""
    pan = studies["pan"]
    tissue = pan.obs["tissue"].value_counts().index[0]
    mask = ((pan.obs["tissue"] == tissue) & (pan.obs["suspension_type"] == "cell")).to_numpy()
    chosen = store.subset(tissue=tissue).subset("suspension_type == 'cell'")
    genes = list(store.var_names[:50][::-1])
    mine = chosen.select_features(genes).to_anndata()
    rows = mine.obs["_source_row"].to_numpy()
    assert sorted(rows) == list(np.flatnonzero(mask))
    assert list(mine.var_names) == genes
    np.testing.assert_array_equal(mine.X.toarray(), oracle(pan[rows], mine.var_names))


def test_backends_stream_the_same_rows(path: Path) -> None:
    """The order of rows does not depend on the backend or the memory budget."""
    orders = []
    for backend, memory in (("zarrs", "1GiB"), ("zarr", "1GiB"), ("zarrs", "2MB")):
        store = dao.load_store(path, backend=backend, memory=memory)
        generator = store.generator(100, seed=7)
        orders.append([np.concatenate([b["index"] for b in generator]) for _ in range(2)])
    for order in orders[1:]:
        np.testing.assert_array_equal(order, orders[0])
    assert (orders[0][0] != orders[0][1]).any()


def test_ten_x_file(shared_data: Path, tmp_path: Path) -> None:
    """A Cell Ranger file has the counts, symbols and barcodes that are in it."""
    source = shared_data / "10x_v3_filtered_feature_bc_matrix.h5"
    store = dao.write_store(tmp_path / "tenx.dao", source, organism="human", progress=False)
    mine = store.to_anndata()
    with h5py.File(source) as file:
        group = file["matrix"]
        shape = tuple(group["shape"][:][::-1])
        import scipy.sparse as sp

        parts = (group["data"][:], group["indices"][:], group["indptr"][:])
        theirs = sp.csr_matrix(parts, shape=shape).toarray()
        names = [n.decode() for n in group["features/name"][:]]
        ids = [n.decode() for n in group["features/id"][:]]
        barcodes = [n.decode() for n in group["barcodes"][:]]
    rows = mine.obs["_source_row"].to_numpy()
    columns = [names.index(n) for n in mine.var_names]
    np.testing.assert_array_equal(mine.X.toarray(), theirs[rows][:, columns])
    assert list(mine.obs_names) == [barcodes[r] for r in rows]
    assert list(mine.var["gene_ids"]) == [ids[c] for c in columns]
    assert mine.X.dtype == np.int32
    by_id = dao.write_store(tmp_path / "ids.dao", source, feature_key="gene_ids", progress=False)
    assert set(by_id.var_names) == set(ids)


def test_proteins_come_along_as_obsm(
    shared_data: Path, studies: dict[str, ad.AnnData], tmp_path: Path
) -> None:
    """An obsm that is asked for is stored, aligned and streamed."""
    file = shared_data / FILES["pbmc"]
    store = dao.write_store(
        tmp_path / "p.dao", {"pbmc": file}, obsm=["protein_expression"], progress=False
    )
    theirs = np.asarray(studies["pbmc"].obsm["protein_expression"])
    rows = store.obs["_source_row"].to_numpy()
    for batch in store.generator(64, obsm=["protein_expression"]):
        got = batch["obsm"]["protein_expression"]
        np.testing.assert_array_equal(got, theirs[rows[batch["index"]]])
        assert got.dtype == theirs.dtype
