"""What a store does not keep is named in one warning, with what keeps it."""

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
from dao.errors import DaoWarning, SourceError, UnknownDatasetError

if TYPE_CHECKING:
    from pathlib import Path

Write = Any
Make = Any


def told(call: Any) -> list[str]:
    """Return the warnings of dao that a call gives."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        call()
    return [str(w.message) for w in found if issubclass(w.category, DaoWarning)]


@pytest.mark.parametrize("place", ["memory", "h5ad", "zarr", "backed"])
def test_one_warning_names_everything(
    tmp_path: Path, write: Write, make_study: Make, place: str
) -> None:
    """By kind and dataset, with the argument; and nothing that was kept or is empty."""
    first, second = make_study(), make_study(1)
    first.raw = first.copy()
    first.varm["PCs"] = np.ones((40, 2))
    first.obsp["distances"] = sp.eye(50, format="csr")
    first.uns = {"title": "x", "table": pd.DataFrame({"a": [1]}), "nothing": {}}
    first.layers["spliced"] = first.X
    given: dict[str, Any] = {"a": first, "b": second}
    if place != "memory":
        for name, study in given.items():
            path = tmp_path / (f"{name}.zarr" if place == "zarr" else f"{name}.h5ad")
            (study.write_zarr if place == "zarr" else study.write_h5ad)(path)
            given[name] = ad.read_h5ad(path, backed="r") if place == "backed" else path
    (message,) = told(lambda: write(given, obsm=["X_pca"]))
    lines = {line.split()[0]: line for line in message.splitlines()[1:]}
    assert set(lines) == {"layers", "raw", "varm", "obsp", "uns"}
    assert "'doubled', 'spliced' of 'a', 'b'" in lines["layers"]
    assert "layers=['doubled', 'spliced']" in lines["layers"]
    assert "of 'a':" in lines["raw"]
    assert "layer='raw'" in lines["raw"]
    assert "'table' of 'a'" in lines["uns"]
    (message,) = told(lambda: write(given, name="r.dao", layer="doubled", obsm=["X_pca"]))
    assert "'doubled'" not in message
    assert "'spliced'" in message
    assert not told(lambda: write({"b": given["b"]}, name="b.dao", layers="doubled", obsm="X_pca"))


def test_stores_as_sources_and_compact_lose_nothing(write: Write, make_study: Make) -> None:
    """What a store has comes along; only what is not asked for is named."""
    store = write({"a": make_study()}, layers="doubled", obsm="X_pca")
    assert not told(lambda: write(store, name="copy.dao"))
    assert not told(lambda: store.compact(progress=False))
    (message,) = told(lambda: write(store, name="part.dao", layers="doubled"))
    assert "obsm=['X_pca']" in message
    assert "layers" not in message


def test_a_study_without_cells_is_named(write: Write, make_study: Make) -> None:
    """A subset= that matches nothing leaves an empty dataset, and a line."""
    sources = [
        dao.Source(make_study(), "a", subset="n_counts < 0"),
        dao.Source(make_study(1), "b"),
    ]
    (message,) = told(lambda: write(sources, layers="doubled", obsm="X_pca"))
    assert "all 50 cells of 'a': subset= matches none" in message
    assert not told(lambda: write(make_study()[:0], name="e.dao", layers="doubled", obsm="X_pca"))


def test_the_plan_names_it_too(tmp_path: Path, make_study: Make) -> None:
    """Before anything is written."""
    from dao.write.store import plan_store

    (message,) = told(lambda: plan_store(tmp_path / "s.dao", {"a": make_study()}))
    assert "layers=['doubled']" in message


def tenx(path: Path, version: int) -> dict[str, Any]:
    """Write a file of Cell Ranger: two genomes, and antibodies in version 3."""
    random = np.random.default_rng(0)
    found: dict[str, Any] = {}
    with h5py.File(path, "w") as file:
        for genome in ("hg19", "mm10") if version == 2 else ("matrix",):
            x = sp.csr_matrix(random.integers(0, 3, (6, 7)).astype(np.int32))
            found[genome] = x.toarray()
            group = file.create_group(genome)
            for key in ("data", "indices", "indptr"):
                group[key] = getattr(x, key)
            group["shape"] = [7, 6]
            group["barcodes"] = np.array([f"C{i}-1".encode() for i in range(6)])
            names = np.array([f"{genome}_{i}".encode() for i in range(7)])
            if version == 2:
                group["genes"], group["gene_names"] = names, names
                continue
            features = group.create_group("features")
            features["id"] = features["name"] = names
            kinds = [b"Gene Expression"] * 4 + [b"Antibody Capture"] * 2 + [b"Custom"]
            features["feature_type"] = np.array(kinds)
            features["genome"] = np.array([b"hg19"] * 3 + [b"mm10"] + [b""] * 3)
    return found


def test_features_of_other_types(tmp_path: Path, write: Write) -> None:
    """Antibodies are named, and can be chosen; so can a genome."""
    x = tenx(tmp_path / "t.h5", 3)["matrix"]
    (message,) = told(lambda: write(tmp_path / "t.h5"))
    assert "Antibody Capture (2), Custom (1) of 't'" in message
    assert "layer='Antibody Capture'" in message
    for layer, columns in (
        ("Antibody Capture", [4, 5]),
        ("Gene Expression", [0, 1, 2, 3]),
        ("hg19", [0, 1, 2]),
    ):
        store = write(tmp_path / "t.h5", layer=layer, mode="overwrite", shuffle=False)
        genes = [f"matrix_{i}" for i in columns]
        np.testing.assert_array_equal(store.to_anndata()[:, genes].X.toarray(), x[:, columns])
        assert store.n_vars == len(columns)
    with pytest.raises(UnknownDatasetError, match="Antibody Capture"):
        write(tmp_path / "t.h5", layer="Antibody Captur")


def test_several_genomes_of_an_old_file(tmp_path: Path, write: Write) -> None:
    """One has to be named; the other one is then named as left out."""
    found = tenx(tmp_path / "t.h5", 2)
    with pytest.raises(SourceError, match="layer='hg19'"):
        write(tmp_path / "t.h5")
    for genome, x in found.items():
        source = dao.Source(tmp_path / "t.h5", genome, genome, layer=genome)
        (message,) = told(lambda source=source: write(source, mode="overwrite", shuffle=False))
        assert f"genome {next(g for g in found if g != genome)}" in message
        genes = [f"{genome}_{i}" for i in range(7)]
        got = dao.load_store(tmp_path / "store.dao").to_anndata()[:, genes].X.toarray()
        np.testing.assert_array_equal(got, x)
    with pytest.raises(UnknownDatasetError, match=r"no genome 'mm9'.*mm10"):
        write(tmp_path / "t.h5", layer="mm9")


def test_uns_of_every_kind(tmp_path: Path, write: Write, make_study: Make) -> None:
    """What JSON has is kept as it is; the paths of all other keys are named."""
    study = make_study()
    cyclic: dict[str, Any] = {"fine": 1}
    cyclic["self"], cyclic["list"] = cyclic, [1, cyclic]
    deep: Any = 1
    for _ in range(5000):
        deep = [deep]
    kept: dict[str, Any] = {
        "array": np.arange(3),
        "flag": np.bool_(True),
        "half": np.float16(1.5),
        "text": np.str_("é"),
        "bytes": b"ok",
        "huge": 10**300,
        "a/b": {"c/d": (1, None)},
        "set": {"y", "x"},
        "objects": np.array(["a", None], object),
        5: "five",
    }
    left: dict[str, Any] = {
        "function": print,
        "table": pd.DataFrame({"a": [1]}),
        "series": pd.Series([1]),
        "sparse": sp.eye(3),
        "time": np.datetime64("2020-01-01", "ns"),
        "times": np.array(["2020"], "M8[ns]"),
        "stamp": pd.Timestamp("2020"),
        "lag": np.timedelta64(3, "ns"),
        "complex": np.array([1j]),
        "broken": b"\xff",
        "records": np.zeros(2, [("a", "f4")]),
        "digits": 10**5000,
        "deep": deep,
        "listed": [1, print],
        "masked": np.ma.masked_equal([1, 2], 1),
        "5": "again",
    }
    study.uns = {**kept, **left, "cyclic": cyclic, "inner": {"deeper": {"f": print, "x": 1}}}
    (message,) = told(lambda: write({"s": study}, layers="doubled", obsm="X_pca"))
    for path in (*left, "cyclic.self", "cyclic.list", "inner.deeper.f"):
        assert f"'{path}'" in message, path
    uns = dao.load_store(tmp_path / "store.dao").uns["s"]
    assert uns == {
        "array": [0, 1, 2],
        "flag": True,
        "half": 1.5,
        "text": "é",
        "bytes": "ok",
        "huge": 10**300,
        "a/b": {"c/d": [1, None]},
        "set": ["x", "y"],
        "objects": ["a", None],
        "5": "five",
        "cyclic": {"fine": 1},
        "inner": {"deeper": {"x": 1}},
    }
