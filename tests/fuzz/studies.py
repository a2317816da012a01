"""Studies as values: drawn, built as AnnData, and handed over as every kind of source."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np
import pandas as pd
from fuzz.columns import Column, columns
from fuzz.known import left_out
from fuzz.matrices import Matrix, matrices
from hypothesis import strategies as st

import dao

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

GENES = ("g0", "g1", "g2", "g3", "g4", "ENSG00000000003.1", "ENSG00000000003.14", "ENSG00000000005")
COLUMNS = ("a", "b", "cell type", "ä")
LAYERS = ("counts", "raw")
OBSM = ("X_pca", "protein")
KINDS = ("memory", "memory", "view", "h5ad", "zarr", "backed", "store")
FILES = {"h5ad", "zarr", "backed"}


@dataclass(frozen=True)
class Obsm:
    """A matrix of obsm; a DataFrame if its columns have names."""

    matrix: Matrix
    names: tuple[str, ...] = ()

    def build(self, index: pd.Index) -> Any:
        """Return it as AnnData holds it."""
        built = self.matrix.build()
        return pd.DataFrame(built, index=index, columns=list(self.names)) if self.names else built


@dataclass(frozen=True)
class Study:
    """A study, and as what it is handed over.

    Attributes
    ----------
    source
        One of `KINDS`.
    """

    source: str
    names: tuple[str, ...]
    genes: tuple[str, ...]
    x: Matrix
    obs: Mapping[str, Column] = field(default_factory=dict)
    var: Mapping[str, Column] = field(default_factory=dict)
    layers: Mapping[str, Matrix] = field(default_factory=dict)
    obsm: Mapping[str, Obsm] = field(default_factory=dict)

    @property
    def n_obs(self) -> int:
        """Cells."""
        return len(self.names)

    @property
    def leaves_out_chunks(self) -> bool:
        """Whether zarr may leave out chunks of zeros, which dao refuses: they may have been lost."""
        tables = (self.x, *self.layers.values(), *(t.matrix for t in self.obsm.values()))
        return self.source == "zarr" and any(t.has_zeros for t in tables)

    def adata(self) -> ad.AnnData:
        """Return the study as anndata holds it."""
        index = pd.Index(self.names, dtype=object)
        obs = {name: column.build().set_axis(index) for name, column in self.obs.items()}
        genes = pd.Index(self.genes, dtype=object)
        var = {name: column.build().set_axis(genes) for name, column in self.var.items()}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of names that repeat
            adata = ad.AnnData(
                self.x.build(),
                obs=pd.DataFrame(obs, index=index),
                var=pd.DataFrame(var, index=genes),
            )
            for name, layer in self.layers.items():
                adata.layers[name] = layer.build()
            for name, table in self.obsm.items():
                adata.obsm[name] = table.build(index)
        return adata

    def given(self, folder: Path) -> Any:
        """Return the study as the source that it is; files go into a folder."""
        adata = self.adata()
        with warnings.catch_warnings(), ad.settings.override(allow_write_nullable_strings=True):
            warnings.simplefilter("ignore")
            if self.source == "view":
                return adata[np.arange(self.n_obs), :]
            if self.source in {"h5ad", "backed"}:
                adata.write_h5ad(folder / "study.h5ad")
                path = folder / "study.h5ad"
                return path if self.source == "h5ad" else ad.read_h5ad(path, backed="r")
            if self.source == "zarr":
                adata.write_zarr(folder / "study.zarr")
                return folder / "study.zarr"
        if self.source == "store":
            matrices = {"layers": list(self.layers), "obsm": list(self.obsm)}
            return dao.write_store(
                folder / "study.dao", {"s": adata}, organism="human", progress=False, **matrices
            )
        return adata


@st.composite
def studies(
    draw: st.DrawFn, families: Mapping[str, str], *, sources: tuple[str, ...] = KINDS
) -> Study:
    """Draw a study.

    Parameters
    ----------
    families
        Column -> the family that it usually has; then studies can be united.
    """
    source = draw(st.sampled_from(sources))
    files = source in FILES
    # A selection without cells is not a source.
    n = draw(st.integers(int(files or source == "store"), 12))
    genes = tuple(draw(st.lists(st.sampled_from(GENES), unique=True, min_size=1, max_size=6)))
    names = [f"c{i}" for i in range(n)]
    if n and draw(st.integers(0, 9)) == 0:
        names[-1] = names[0]
    obs = {}
    for name in draw(st.lists(st.sampled_from(sorted(families)), unique=True)):
        odd = draw(st.integers(0, 19)) == 0
        family = draw(st.sampled_from(sorted(set(families.values())))) if odd else families[name]
        if files and family in {"time", "span", "zoned", "date"}:
            continue  # anndata does not write them
        obs[name] = draw(columns(n, family, files=files))
    if draw(st.integers(0, 9)) == 0 and obs and not left_out("nothing"):
        last = max(obs)
        obs[last] = Column("object None" if not files else "float64", (None,) * n)
    var = {}
    if draw(st.booleans()):
        var["symbol"] = Column("text object", tuple(f"S-{g}" for g in genes))
        var["score"] = Column("float64", tuple(float(len(g)) for g in genes))
    layers = {
        name: draw(matrices(n, len(genes), files=files))
        for name in LAYERS
        if draw(st.integers(0, 3)) == 0
    }
    obsm = {
        name: draw(_obsm(n, name, files=files)) for name in OBSM if draw(st.integers(0, 3)) == 0
    }
    x = draw(matrices(n, len(genes), files=files))
    return Study(source, tuple(names), genes, x, obs, var, layers, obsm)


@st.composite
def _obsm(draw: st.DrawFn, n: int, name: str, *, files: bool) -> Obsm:
    if name == "protein":
        names: tuple[str, ...] = ("CD3", "CD4", "CD8")
        if not left_out("obsm"):
            names = tuple(draw(st.permutations(names)))
            names = names[: draw(st.integers(1, 3))] if draw(st.integers(0, 3)) == 0 else names
        matrix = draw(matrices(n, len(names), files=files))
        return Obsm(Matrix(matrix.dtype, "dense", matrix.shape, matrix.entries), names)
    width = draw(st.sampled_from([2, 2, 2, 3]))
    matrix = draw(matrices(n, width, files=files))
    return Obsm(matrix)
