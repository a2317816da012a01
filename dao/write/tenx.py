"""10x Cell Ranger HDF5 files: genes x cells in CSC, which is cells x genes in CSR.

Layouts after the 10x Genomics documentation "Feature-Barcode Matrices HDF5": version 3 has
one group ``matrix``, version 2 one group per genome. As in scanpy, var_names are the gene
symbols, ``gene_ids`` is a column of var, and gene expression is taken unless another type of
features, or one genome, is named.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from dao.errors import SourceError, UnknownDatasetError, near_matches
from dao.write.matrix import SourceMatrix, compressed_matrix
from dao.write.rows import Rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dao.write.workers import Scratch

__all__ = ["is_tenx", "open_tenx"]

_PARTS = {"barcodes", "data", "indices", "indptr", "shape"}
_GENES = "Gene Expression"


def is_tenx(file: Any) -> bool:
    """Whether an open HDF5 file has one of the two layouts of Cell Ranger."""
    return bool(_groups(file))


def open_tenx(
    file: Any, where: str, wanted: str | None = None
) -> tuple[pd.DataFrame, pd.DataFrame, SourceMatrix, tuple[str, ...]]:
    """Return (obs, var, X, what is left out) of a Cell Ranger file; X is read in pieces.

    Parameters
    ----------
    wanted
        A genome or a type of features; gene expression of the only genome if None.

    Raises
    ------
    dao.errors.SourceError
        If the file holds several genomes (version 2) or no gene expression, and none was named.
    dao.errors.UnknownDatasetError
        If it has no such genome or type.
    """
    groups = _groups(file)
    wanted = None if wanted == "X" else wanted
    name = _chosen_group(groups, where, wanted)
    group = file[name]
    var = _features(group)
    shape = tuple(int(n) for n in group["shape"][:])
    matrix = compressed_matrix(group, (shape[1], shape[0]), "csr", f"matrix of {where}")
    obs = pd.DataFrame(index=pd.Index(_text(group["barcodes"])))
    shown = np.ones(len(var), np.bool_) if name == wanted else _shown(var, where, wanted)
    left = _named(var[~shown]) + [f"genome {g}" for g in groups if g != name]
    if shown.all():
        return obs, var, matrix, tuple(left)
    return obs, var[shown], _columns(matrix, np.flatnonzero(shown)), tuple(left)


def _groups(file: Any) -> list[str]:
    """Return the groups that hold a matrix."""
    found = [n for n in file if hasattr(file[n], "keys") and set(file[n]) >= _PARTS]
    return ["matrix"] if "matrix" in found else found


def _chosen_group(groups: list[str], where: str, wanted: str | None) -> str:
    if wanted in groups:
        return str(wanted)
    if len(groups) > 1:
        if wanted is not None:
            msg = f"{where} has no genome {wanted!r}.{near_matches(wanted, groups)}"
            raise UnknownDatasetError(msg)
        msg = (
            f"{where} holds several genomes ({', '.join(groups)}). Write each as a dataset of its "
            f"own organism: dao.Source(path, id=..., organism=..., layer={groups[0]!r})."
        )
        raise SourceError(msg)
    return groups[0]


def _shown(var: pd.DataFrame, where: str, wanted: str | None) -> NDArray[np.bool_]:
    """Return which features are taken: genes, or those of the type or genome that is named."""
    if wanted is None and "feature_types" not in var:
        return np.ones(len(var), np.bool_)
    columns = [c for c in ("feature_types", "genome") if c in var]
    known = {str(v): c for c in columns for v in var[c]}
    if wanted is not None and wanted not in known:
        msg = f"{where} has no genome or type of features {wanted!r} (layer=)."
        raise UnknownDatasetError(msg + near_matches(wanted, known))
    if wanted is None and _GENES not in known:
        kinds = sorted(set(var["feature_types"]))
        msg = (
            f"{where} holds no gene expression, only {', '.join(kinds)}. Pass "
            f"dao.Source(path, layer={kinds[0]!r}) to write that."
        )
        raise SourceError(msg)
    column = "feature_types" if wanted is None else known[wanted]
    shown: NDArray[np.bool_] = (var[column] == (wanted or _GENES)).to_numpy(np.bool_)
    if column == "genome" and "feature_types" in var:
        shown = shown & (var["feature_types"] == _GENES).to_numpy(np.bool_)
    return shown


def _named(var: pd.DataFrame) -> list[str]:
    """Return what features are called together, and how many these are."""
    if var.empty:
        return []
    kinds = var["feature_types"] if "feature_types" in var else pd.Series("features", var.index)
    if "genome" in var:
        kinds = kinds.where(kinds != _GENES, kinds + " of " + var["genome"].astype(str))
    return [f"{kind} ({n:,})" for kind, n in Counter(kinds.tolist()).items()]


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
