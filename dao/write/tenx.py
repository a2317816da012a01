"""10x Cell Ranger HDF5 files: genes x cells in CSC, which is cells x genes in CSR.

Layouts after the 10x Genomics documentation "Feature-Barcode Matrices HDF5": version 3 has
one group ``matrix``, version 2 one group per genome. As in scanpy, var_names are the gene
symbols, ``gene_ids`` is a column of var, and only gene expression is taken.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from dao.errors import SourceError
from dao.write.matrix import SourceMatrix, compressed_matrix
from dao.write.rows import Rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dao.write.workers import Scratch

__all__ = ["is_tenx", "open_tenx"]

_PARTS = {"barcodes", "data", "indices", "indptr", "shape"}


def is_tenx(file: Any) -> bool:
    """Whether an open HDF5 file has one of the two layouts of Cell Ranger."""
    return _group(file) is not None


def open_tenx(file: Any, where: str) -> tuple[pd.DataFrame, pd.DataFrame, SourceMatrix]:
    """Return (obs, var, X) of a Cell Ranger file; X is read in pieces.

    Raises
    ------
    dao.errors.SourceError
        If the file holds several genomes (version 2) or no gene expression.
    """
    group = _group(file)
    if group is None or (len(list(file)) > 1 and "matrix" not in file):
        msg = f"{where} holds several genomes ({', '.join(file)}); split it first."
        raise SourceError(msg)
    var = _features(group)
    shape = tuple(int(n) for n in group["shape"][:])
    matrix = compressed_matrix(group, (shape[1], shape[0]), "csr", f"matrix of {where}")
    obs = pd.DataFrame(index=pd.Index(_text(group["barcodes"])))
    if "feature_types" in var:
        genes = (var["feature_types"] == "Gene Expression").to_numpy()
        if not genes.any():
            kinds = ", ".join(sorted(set(var["feature_types"])))
            msg = f"{where} holds no gene expression, only {kinds}."
            raise SourceError(msg)
        if not genes.all():
            return obs, var[genes], _columns(matrix, np.flatnonzero(genes))
    return obs, var, matrix


def _group(file: Any) -> Any:
    for name in file:
        group = file[name]
        if hasattr(group, "keys") and set(group) >= _PARTS:
            return group
    return None


def _features(group: Any) -> pd.DataFrame:
    if "features" in group:
        table = group["features"]
        columns = {"gene_ids": "id", "feature_types": "feature_type", "genome": "genome"}
        var = {new: _text(table[old]) for new, old in columns.items() if old in table}
        return pd.DataFrame(var, index=pd.Index(_text(table["name"])))
    return pd.DataFrame(
        {"gene_ids": _text(group["genes"])}, index=pd.Index(_text(group["gene_names"]))
    )


def _text(dataset: Any) -> list[str]:
    return [v.decode() if isinstance(v, bytes) else str(v) for v in dataset[:]]


def _columns(matrix: SourceMatrix, columns: NDArray[np.int64]) -> SourceMatrix:
    def read(start: int, stop: int, scratch: Scratch) -> Rows:
        part = matrix.read(start, stop, scratch).to_scipy(matrix.shape[1])[:, columns]
        return Rows(part.indptr.astype(np.int64), part.indices.astype(np.int32), part.data)

    return replace(matrix, shape=(matrix.shape[0], len(columns)), read=read)
