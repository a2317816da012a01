"""Ontologies that travel with a store, and branches of them as choices."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

import dao
from dao import errors
from dao.format.manifest import Manifest

if TYPE_CHECKING:
    from collections.abc import Callable

pytest.importorskip("fastobo", reason="needs the extra ontology")

SLICE = Path(__file__).parent / "data" / "cl_slice.obo"
CELL_TYPES = [
    "T cell",
    "CD4 T",
    "regulatory t CELL",
    "CL:0000792",
    "B cell",
    "monocyte",
    "lymphocyte",
    None,
]
TISSUES = ["lung", "bronchus", "lower lobe of right lung", "lobe of lung"]
IDS = ["CL:0000084", "CL:0000624", "CL:0000815", "CL:0000792", "CL:0000236", "CL:0000576", "CL:0000542", "unknown"]  # fmt: skip
Make = Any


@pytest.fixture
def store(write: Callable[..., dao.Store], make_study: Make) -> dao.Store:
    """Two studies of 80 cells; names, ids, synonyms and other cases as labels."""
    studies = {name: make_study(i, 80) for i, name in enumerate("ab")}
    for study in studies.values():
        study.obs["cell_type"] = pd.Categorical(CELL_TYPES * 10)
        study.obs["tissue"] = pd.Categorical(TISSUES * 20)
        study.obs["cell_type_ontology_term_id"] = pd.Categorical(IDS * 10)
        study.obs["text"] = np.array(["B cell", "CD4 T"] * 40, object)
    return write(studies, organism="human")


def add(store: dao.Store, column: str, file: Path = SLICE) -> dao.Store:
    """Add an ontology whose terms are not all there; the labels that are none are named."""
    if column == "cell_type_ontology_term_id":
        with pytest.warns(errors.DaoWarning, match=r"1 of 8 values .*'unknown'"):
            return store.add_ontology(column, file)
    return store.add_ontology(column, file)


def chosen(store: dao.Store, column: str) -> set[Any]:
    """Return the values of a column that are selected."""
    return set(store.obs[column].dropna())


def test_branches(store: dao.Store) -> None:
    """A term stands for itself and all below it, however it and the labels are written."""
    store = add(store, "cell_type")
    t_cells = {"T cell", "CD4 T", "regulatory t CELL", "CL:0000792"}
    for term in ("T cell", "CL:0000084", "T-cell", "t Cell", "CL:0000804"):
        assert chosen(store.subset(cell_type=dao.descendants(term)), "cell_type") == t_cells
    assert store.subset(cell_type=dao.descendants("T cell")).n_obs == 80
    regulatory = dao.descendants("regulatory T cell")
    assert chosen(store.subset(cell_type=regulatory), "cell_type") == {
        "regulatory t CELL",
        "CL:0000792",
    }
    either = dao.descendants(["CD4-positive, alpha-beta T cell", "monocyte"])
    assert chosen(store.subset(cell_type=either), "cell_type") == {
        "CD4 T",
        "CL:0000792",
        "monocyte",
    }
    mixed = [dao.descendants("regulatory T cell"), "B cell"]
    assert len(chosen(store.subset(cell_type=mixed), "cell_type")) == 3
    others = store.subset(exclude={"cell_type": dao.descendants("lymphocyte")})
    assert chosen(others, "cell_type") == {"monocyte"}
    assert others.n_obs == 40
    written = store.subset("cell_type in descendants('T cell') and dataset == 'a'")
    assert written.n_obs == 40
    assert store.subset("cell_type not in ['B cell', descendants('T cell')]").n_obs == 60
    assert store.subset(cell_type=dao.descendants("white blood cell")).n_obs == 140


def test_ids_and_texts(store: dao.Store) -> None:
    """Columns of ids and of plain text have branches too."""
    store = add(add(store, "cell_type_ontology_term_id"), "text")
    ids = store.subset(cell_type_ontology_term_id=dao.descendants("T cell"))
    assert chosen(ids, "cell_type_ontology_term_id") == set(IDS[:4])
    assert chosen(store.subset(text=dao.descendants("T cell")), "text") == {"CD4 T"}


def test_parts_only_where_asked_for(store: dao.Store) -> None:
    """is_a alone, unless part_of is wanted."""
    store = add(store, "tissue")
    assert chosen(store.subset(tissue=dao.descendants("lung")), "tissue") == {"lung"}
    assert chosen(store.subset(tissue=dao.descendants("lung", part_of=True)), "tissue") == set(
        TISSUES
    )
    assert store.subset("tissue in descendants('lung', part_of=True)").n_obs == 160
    assert store.subset("tissue in descendants('lung', part_of=False)").n_obs == 40
    lobes = {"lobe of lung", "lower lobe of right lung"}
    assert chosen(store.subset(tissue=dao.descendants("lobe of lung")), "tissue") == lobes


def test_obo_graphs(store: dao.Store, tmp_path: Path) -> None:
    """OBO graphs, which OWL ontologies are published as, say the same."""
    base = "http://purl.obolibrary.org/obo/"
    nodes = [("CL_0000084", "T cell"), ("CL_0000236", "B cell"), ("CL_0000624", "CD4 T"),
             ("UBERON_0002048", "lung"), ("UBERON_0002185", "bronchus")]  # fmt: skip
    edges = [
        ("CL_0000624", "is_a", "CL_0000084"),
        ("UBERON_0002185", f"{base}BFO_0000050", "UBERON_0002048"),
    ]
    graph = {
        "id": f"{base}cl.owl",
        "nodes": [{"id": base + i, "lbl": name, "type": "CLASS"} for i, name in nodes],
        "edges": [{"sub": base + a, "pred": p, "obj": base + b} for a, p, b in edges],
    }
    file = tmp_path / "cl.json"
    file.write_text(json.dumps({"graphs": [graph]}))
    with pytest.warns(errors.DaoWarning):
        store = store.add_ontology("cell_type", file)
    assert chosen(store.subset(cell_type=dao.descendants("T cell")), "cell_type") == {
        "T cell",
        "CD4 T",
    }
    with pytest.warns(errors.DaoWarning):
        store = store.add_ontology("tissue", file)
    parts = dao.descendants("lung", part_of=True)
    assert chosen(store.subset(tissue=parts), "tissue") == {"lung", "bronchus"}


def test_a_copy_travels_with_the_store(store: dao.Store, tmp_path: Path, make_study: Make) -> None:
    """One more generation; opened anew, appended to, copied and validated it is still there."""
    selection = store.take([30, 2, 2])
    added = add(selection, "cell_type")
    assert added.manifest.generation == store.manifest.generation + 1
    assert added.obs.index.tolist() == selection.obs.index.tolist()
    assert added.manifest.ontologies["cell_type"].source == "cl_slice.obo"
    assert added.manifest.ontologies["cell_type"].version == "made-for-tests/1"
    assert added.manifest.history[-1]["action"] == "ontology"
    assert dao.validate_store(store.path).ok
    study = make_study(5, 20)
    study.obs["cell_type"] = pd.Categorical(["regulatory T cell", "neuron"] * 10)
    dao.write_store(store.path, {"new": study}, organism="human", mode="append", progress=False)
    (Path(store.path)).rename(tmp_path / "moved.dao")
    moved = dao.load_store(tmp_path / "moved.dao", "zarr")
    assert moved.subset(cell_type=dao.descendants("T cell")).n_obs == 90
    again = pickle.loads(pickle.dumps(moved))
    assert again.subset(cell_type=dao.descendants("T cell")).n_obs == 90
    assert dao.validate_store(moved.path).ok
    # A reader of the older generation holds on to it.
    assert store.manifest.ontologies == {}


def test_a_second_one_replaces_the_first(store: dao.Store, tmp_path: Path) -> None:
    """Another file for the same column, and other columns beside it."""
    small = tmp_path / "small.obo"
    small.write_text("format-version: 1.2\n\n[Term]\nid: CL:0000084\nname: T cell\n")
    first = add(add(store, "cell_type"), "tissue")
    with pytest.warns(errors.DaoWarning, match="so they lie in no branch"):
        second = first.add_ontology("cell_type", small)
    assert chosen(second.subset(cell_type=dao.descendants("T cell")), "cell_type") == {"T cell"}
    assert set(second.manifest.ontologies) == {"cell_type", "tissue"}
    assert first.subset(cell_type=dao.descendants("T cell")).n_obs == 80
    assert dao.validate_store(store.path).ok


def test_damage_is_noticed(store: dao.Store) -> None:
    """The table of terms has a checksum like every small file."""
    store = add(store, "cell_type")
    path = Path(store.path) / store.manifest.ontologies["cell_type"].file.path
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(errors.CorruptStoreError, match="ontology_cell_type"):
        dao.load_store(store.path).subset(cell_type=dao.descendants("T cell"))
    assert not dao.validate_store(store.path).ok
    manifest = store.manifest.to_json().replace("obs/ontology", "../ontology")
    manifest = manifest.replace('"checksum"', '"no checksum"')
    with pytest.raises(errors.FormatError, match="not a path inside the store"):
        Manifest.from_json(manifest)


@pytest.mark.parametrize(
    ("term", "match"),
    [
        ("T cel", "There is no term 'T cel' in cl_slice.obo. Did you mean 'T cell'"),
        ("CL:0000085", "Did you mean 'CL:0000"),
        ("old T cell", "no term"),
        ("killer", "no term"),
    ],
)
def test_unknown_terms(store: dao.Store, term: str, match: str) -> None:
    """Near terms are named; obsolete terms and inexact synonyms are none."""
    store = add(store, "cell_type")
    with pytest.raises(errors.UnknownValueError, match=match):
        store.subset(cell_type=dao.descendants(term))


def test_what_cannot_be_added(store: dao.Store, tmp_path: Path) -> None:
    """No such column or file, no terms, no text, no overlap; the store stays as it was."""
    bad, empty, graph = tmp_path / "bad.obo", tmp_path / "empty.obo", tmp_path / "bad.json"
    bad.write_text("hello\n")
    empty.write_text("format-version: 1.2\n")
    graph.write_text('{"graphs": 3}')
    for arguments, error, match in [
        (("celltype", SLICE), errors.UnknownColumnError, "cell_type"),
        (("n_genes", SLICE), errors.ArgumentError, "holds int64"),
        (("cell_type", tmp_path / "none.obo"), errors.SourceError, "cannot be read"),
        (("cell_type", bad), errors.SourceError, "cannot be read as an ontology"),
        (("cell_type", graph), errors.SourceError, "cannot be read as an ontology"),
        (("cell_type", empty), errors.SourceError, "has no terms"),
        (("stage", SLICE), errors.ArgumentError, "No value of 'stage' is a term"),
    ]:
        with pytest.raises(error, match=match):
            store.add_ontology(*arguments)
    with pytest.raises(errors.ArgumentError, match="'tissue' has no ontology"):
        store.subset(tissue=dao.descendants("lung"))
    with pytest.raises(errors.ArgumentError, match="name or id"):
        dao.descendants(3)  # type: ignore[arg-type]
    assert dao.load_store(store.path).manifest == store.manifest


def test_a_store_that_was_replaced(store: dao.Store, make_study: Make) -> None:
    """An ontology is not added to another store that took the place of the one opened."""
    dao.write_store(store.path, make_study(9), mode="overwrite", progress=False)
    with pytest.raises(errors.StoreChangedError, match="Open it again"):
        add(store, "cell_type")


def test_a_store_that_has_grown(store: dao.Store, make_study: Make) -> None:
    """Studies that others appended since are no part of the selection that comes back."""
    study = make_study(7)
    dao.write_store(store.path, {"c": study}, organism="human", mode="append", progress=False)
    added = add(store, "cell_type")
    assert added.n_obs == 160
    assert added.datasets == ["a", "b"]
    assert len(added.manifest.datasets) == 3
