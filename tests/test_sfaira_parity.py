"""What sfaira's tests assert of sources, features, var and writing, and where sfaira went wrong.

Each test is named after the behaviour; sfaira's own tests, or the place of the fault, are in its
docstring (sfaira 0.3.13).
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import dao
from dao import errors

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Write = Any
Make = Any

GENES = pd.DataFrame(
    {
        "gene_id": [f"ENSG{i:011d}" for i in range(8)],
        "gene_name": list("ABCDEFGH"),
        "gene_biotype": ["protein_coding", "lncRNA"] * 4,
    }
)
CODING = dao.Features(GENES, where="gene_biotype == 'protein_coding'")


@pytest.fixture
def loaders() -> dict[str, ad.AnnData]:
    """Studies as sfaira's mock loaders have them: counts 0 to 99 in CSC, two cell types."""
    random = np.random.default_rng(0)
    studies = {}
    for name, n_genes in (("one", 8), ("two", 6)):
        x = sp.csc_matrix(random.integers(0, 100, (20, n_genes)).astype(np.float32))
        obs = pd.DataFrame(
            {"free_annotation": random.choice(["T cell", "B cell"], 20), "age": np.arange(20)},
            index=[f"{name}{i}" for i in range(20)],
        )
        genes = random.permutation(8)[:n_genes]
        studies[name] = ad.AnnData(
            x, obs=obs, var=pd.DataFrame(index=list(GENES["gene_name"][genes]))
        )
    return studies


@pytest.fixture
def store(write: Write, loaders: dict[str, ad.AnnData]) -> dao.Store:
    """Both, streamlined to the protein coding genes."""
    sources = {
        name: dao.Source(study, obs={"cell_type": "free_annotation"}, constants={"organ": "lung"})
        for name, study in loaders.items()
    }
    return write(sources, organism="human", features=CODING)


def dense(matrix: Any) -> np.ndarray[Any, Any]:
    """Return a matrix as an array."""
    return matrix.toarray() if sp.issparse(matrix) else np.asarray(matrix)


# --- behaviours that sfaira's tests assert ------------------------------------------------------


def test_after_a_subset_all_properties_can_be_asked(store: dao.Store) -> None:
    """Group 1, test_store.py: no property of features raises after a subset."""
    chosen = store.subset(organism="Homo sapiens", cell_type="T cell")
    assert chosen.shape == (chosen.n_obs, chosen.n_vars) == (len(chosen.obs), len(chosen.var))
    assert list(chosen.var_names) == list(CODING.resolve("Homo sapiens").table["feature_id"])
    assert chosen.measured().shape == (2, 4)


def test_a_store_holds_exactly_what_its_datasets_hold(write: Write, make_study: Make) -> None:
    """Group 4, test_store.py: X, obs, var and uns are those of the dataset, in dtype too."""
    study = make_study()
    study.var["length"] = np.arange(study.n_vars)
    study.var["symbol"] = [f"S{i}" for i in range(study.n_vars)]
    study.uns["year"] = 2021
    store = write({"a": study}, features=list(study.var_names), shuffle=False)
    mine = store.to_anndata()
    assert abs(mine.X - study.X).sum() == 0
    assert mine.X.nnz == study.X.nnz
    assert (mine.shape, mine.X.dtype) == (study.shape, study.X.dtype)
    assert list(mine.obs_names) == list(study.obs_names)
    assert list(mine.obs.columns.drop(["dataset", "organism", "_source_row"])) == list(
        study.obs.columns
    )
    for column in study.obs:
        theirs, ours = study.obs[column], mine.obs[column]
        assert [None if pd.isna(v) else v for v in ours] == [
            None if pd.isna(v) else v for v in theirs
        ]
    assert list(mine.var_names) == list(study.var_names)
    assert list(mine.var["symbol"]) == list(study.var["symbol"])
    assert mine.uns == {"title": "study 0", "year": 2021}


def test_a_batch_has_as_many_columns_as_the_feature_space(store: dao.Store) -> None:
    """Groups 5 and 6, test_cart.py: n_vars of store, var and every batch agree; X is sparse."""
    assert isinstance(store.to_anndata().X, sp.csr_matrix)
    for batch in store.generator(7):
        assert batch["X"].shape[1] == store.n_vars == len(store.var)


def test_counts_of_a_gene_are_those_of_the_source(
    store: dao.Store, loaders: dict[str, ad.AnnData]
) -> None:
    """Group 11, test_database_input.py: a gene's column equals its raw counts."""
    ids = dict(zip(GENES["gene_name"], GENES["gene_id"], strict=True))
    for name, study in loaders.items():
        mine = store.subset(dataset=name).to_anndata()
        rows = mine.obs["_source_row"].to_numpy()
        for symbol in study.var_names.intersection(list("ACEG")):
            np.testing.assert_array_equal(
                dense(mine[:, ids[symbol]].X).ravel(), dense(study[rows, symbol].X).ravel()
            )
    assert store.to_anndata().shape == (store.n_obs, len(CODING.resolve("Homo sapiens").table))


@pytest.mark.parametrize("biotype", [None, "protein_coding"])
def test_streamlining_gives_exactly_the_features_of_the_genome(
    write: Write, loaders: dict[str, ad.AnnData], biotype: str | None
) -> None:
    """Group 14, test_dataset.py: var.index is that of the genome, in its order."""
    where = None if biotype is None else f"gene_biotype == {biotype!r}"
    store = write({"a": loaders["two"]}, features=dao.Features(GENES, where=where))
    table = GENES if biotype is None else GENES[GENES["gene_biotype"] == biotype]
    assert list(store.var_names) == list(table["gene_id"])
    assert list(store.var["gene_name"]) == list(table["gene_name"])


def test_without_a_genome_the_original_ids_are_kept(
    write: Write, loaders: dict[str, ad.AnnData]
) -> None:
    """Group 14, test_dataset.py: subset_genes_to_type=None keeps what the study has."""
    assert set(write({"a": loaders["two"]}).var_names) == set(loaders["two"].var_names)


def test_a_genome_for_each_organism(write: Write, loaders: dict[str, ad.AnnData]) -> None:
    """Group 14: match_to_release as a text, or as a dict by organism; any organism loads."""
    sources = [
        dao.Source(loaders["one"], id="human", organism="human"),
        dao.Source(loaders["two"], id="newt", organism="Pleurodeles waltl"),
    ]
    features = {"human": GENES, "Pleurodeles waltl": list("HGF")}
    store = write(sources, features=features)
    assert store["human"].n_vars == 8
    assert list(store["Pleurodeles waltl"].var_names) == list("HGF")


@pytest.mark.parametrize("form", [sp.csr_matrix, sp.csc_matrix, sp.csr_array, np.asarray])
def test_collapsed_counts_keep_the_sums_of_rows(write: Write, form: Any) -> None:
    """Group 14, test_data_utils.py: repeated ids are added up; row sums and dtype stay."""
    x = np.random.default_rng(0).integers(0, 9, (12, 4)).astype(np.float32)
    matrix = form(x) if form is np.asarray else form(sp.csr_matrix(x))
    names = [f"ENSG{i:011d}.{v}" for i, v in ((0, 1), (1, 1), (0, 2), (2, 1))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        study = ad.AnnData(matrix, var=pd.DataFrame(index=names))
    mine = write({"a": study}, shuffle=False).to_anndata()
    assert mine.shape == (12, 3)
    np.testing.assert_array_equal(dense(mine.X).sum(axis=1), x.sum(axis=1))
    assert mine.X.dtype == x.dtype
    assert sp.issparse(mine.X) == sp.issparse(matrix)


def test_an_anndata_in_memory_gains_what_it_lacks(store: dao.Store) -> None:
    """Group 14: DatasetInteractive gains cell_type and organ without a loader."""
    assert set(store.obs["cell_type"]) == {"T cell", "B cell"}
    assert set(store.obs["organ"]) == {"lung"}


def test_ids_and_symbols_are_translated(store: dao.Store) -> None:
    """Group 14, test_genomes.py: symbol to id and back, biotypes counted."""
    chosen = store.select_features(["G", "A"], by="gene_name")
    assert list(chosen.var_names) == [GENES["gene_id"][6], GENES["gene_id"][0]]
    assert list(chosen.var["gene_name"]) == ["G", "A"]
    assert store.select_features(gene_biotype="protein_coding").n_vars == 4


# --- what sfaira did wrong ----------------------------------------------------------------------


def test_columns_bear_the_name_of_their_gene(store: dao.Store) -> None:
    """sfaira sorted the columns and not their names where the genome had another order."""
    whole = store.to_anndata().to_df()
    order = [store.var_names[i] for i in (3, 0, 2)]
    chosen = store.select_features(order)
    assert list(chosen.var_names) == list(chosen.var.index) == order
    np.testing.assert_array_equal(chosen.to_anndata().to_df().to_numpy(), whole[order].to_numpy())
    for batch in chosen.generator(9, x_format="dense"):
        np.testing.assert_array_equal(batch["X"], whole[order].to_numpy()[batch["index"]])


def test_numbers_of_obs_stay_numbers(write: Write) -> None:
    """sfaira cast every obs column to text, missing ones to "nan" and "None"."""
    obs = pd.DataFrame(
        {"age": [1, 2, 3], "score": [0.5, np.nan, 2.5], "label": ["x", None, "y"],
         "when": pd.array([1, None, 3], dtype="Int16")},
        index=list("abc"),
    )  # fmt: skip
    store = write({"a": ad.AnnData(np.eye(3, dtype=np.float32), obs=obs)}, shuffle=False)
    assert store.obs["age"].tolist() == [1, 2, 3]
    assert store.obs["age"].dtype == np.int64
    assert store.obs["score"].isna().tolist() == [False, True, False]
    assert store.obs["score"].dtype == np.float64
    assert store.obs["label"].isna().tolist() == [False, True, False]
    assert str(store.obs["when"].dtype) == "Int16"
    assert store.subset("age > 1 and score > 1").n_obs == 1


def test_columns_that_are_no_categories_everywhere_are_united(write: Write) -> None:
    """sfaira took the columns of the first study, and refused text beside categories."""
    one = ad.AnnData(np.eye(2, dtype=np.float32), obs=pd.DataFrame({"t": ["b", "a"]}, ["x", "y"]))
    two = one.copy()
    two.obs["t"] = pd.Categorical(["c", "a"])
    two.obs["only here"] = [1, 2]
    store = write({"one": one, "two": two})
    assert store.obs_columns == ("t", "only here")
    assert set(store.obs["t"]) == {"a", "b", "c"}


def test_two_studies_of_one_id_are_refused(tmp_path: Path, loaders: dict[str, ad.AnnData]) -> None:
    """sfaira printed a warning and kept the later one."""
    sources = [dao.Source(loaders["one"], id="a"), dao.Source(loaders["two"], id="a")]
    with pytest.raises(errors.DatasetIdError, match="'a'"):
        dao.write_store(tmp_path / "s.dao", sources, progress=False)


@pytest.mark.parametrize("several", [list, tuple, dict, iter])
def test_several_sources_in_any_container(
    tmp_path: Path, loaders: dict[str, ad.AnnData], several: Callable[..., Any]
) -> None:
    """sfaira knew a list of paths and no other container."""
    paths = []
    for name, study in loaders.items():
        study.write_h5ad(tmp_path / f"{name}.h5ad")
        paths.append(tmp_path / f"{name}.h5ad")
    given = several((p.stem, p) for p in paths) if several is dict else several(paths)
    store = dao.write_store(tmp_path / "s.dao", given, progress=False)
    assert store.datasets == ["one", "two"]


def test_the_callers_objects_stay_as_they_are(write: Write, loaders: dict[str, ad.AnnData]) -> None:
    """sfaira wrote ids and categories into the AnnData that it was given."""
    study = loaders["one"]
    before = study.copy()
    source = dao.Source(study, obs={"cell_type": ("free_annotation", {"T cell": "T"})})
    write({"a": source}, features=CODING, obs_schema={"cell_type": "category"})
    pd.testing.assert_frame_equal(study.obs, before.obs)
    pd.testing.assert_frame_equal(study.var, before.var)
    assert study.uns == before.uns
    assert (study.X != before.X).nnz == 0


def test_sparse_matrices_of_any_kind_can_be_written(write: Write) -> None:
    """sfaira refused CSC and sparse arrays."""
    x = sp.random(10, 5, 0.5, "csr", np.float32, rng=np.random.default_rng(0))
    for form in (sp.csc_matrix, sp.csc_array, sp.csr_array):
        study = ad.AnnData(form(x), var=pd.DataFrame(index=list("ABCDE")))
        store = write({"a": study}, f"{form.__name__}.dao", shuffle=False)
        mine = store.to_anndata()
        np.testing.assert_array_equal(dense(mine[:, list("ABCDE")].X), x.toarray())


def test_missing_values_of_x_are_no_zeros(write: Write) -> None:
    """sfaira made NaN of dense input zero."""
    x = np.array([[1, np.nan], [0, 2]], np.float32)
    study = ad.AnnData(x, var=pd.DataFrame(index=["A", "B"]))
    store = write({"a": study}, features=["A", "B"], shuffle=False)
    np.testing.assert_array_equal(store.to_anndata().X, x)


def test_a_stray_folder_does_no_harm(write: Write, loaders: dict[str, ad.AnnData]) -> None:
    """A folder that is no dataset made sfaira refuse the whole store."""
    from pathlib import Path

    store = write({"a": loaders["one"]})
    (Path(store.path) / "datasets" / "notes").mkdir()
    (Path(store.path) / "stray").mkdir()
    assert dao.load_store(store.path).n_obs == 20


def test_layers_obsm_and_uns_are_stored_without_pickle(write: Write, make_study: Make) -> None:
    """sfaira stored X alone, and uns as a pickle."""
    from pathlib import Path

    store = write({"a": make_study()}, layers=["doubled"], obsm=["X_pca"])
    adata = store.to_anndata()
    assert (set(adata.layers) - {None}, set(adata.obsm)) == ({"doubled"}, {"X_pca"})
    assert not list(Path(store.path).rglob("*.pickle"))


def test_unknown_genes_are_no_text_nan(store: dao.Store) -> None:
    """sfaira translated an unknown symbol to the text "nan"."""
    with pytest.raises(errors.UnknownFeatureError, match="'Z'"):
        store.select_features(["Z"], by="gene_name")
