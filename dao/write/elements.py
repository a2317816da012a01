"""Elements of anndata files: matrices that are read in pieces, tables that are read whole."""

from __future__ import annotations

import warnings
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd

from dao.errors import SourceError
from dao.write.chunks import check_chunks, check_sparse_chunks
from dao.write.matrix import SourceMatrix, compressed_matrix, dense_matrix, memory_matrix

__all__ = ["HELD", "read_element", "read_frame", "stored_element"]

# Mappings of an AnnData besides uns.
HELD = ("layers", "obsm", "varm", "obsp", "varp")


def stored_element(element: Any, where: str) -> SourceMatrix:
    """Return a matrix of an anndata file: sparse, dense, or a table of numbers.

    Raises
    ------
    dao.errors.SourceError
        If it is damaged, or is not a matrix of numbers.
    """
    attributes = dict(element.attrs)
    encoding = str(attributes.get("encoding-type", attributes.get("h5sparse_format", "")))
    if encoding[:3] in {"csr", "csc"}:
        shape = attributes.get("shape", attributes.get("h5sparse_shape"))
        if shape is None or len(shape) != 2:
            msg = f"{where} is damaged: it has no shape."
            raise SourceError(msg)
        n_rows, n_columns = (int(n) for n in shape)
        matrix = compressed_matrix(element, (n_rows, n_columns), encoding[:3], where)
        n_minor = n_columns if encoding.startswith("csr") else n_rows
        check_sparse_chunks(element, matrix.boundaries, n_minor, where)
        return matrix
    if hasattr(element, "dtype") and element.dtype.kind != "V":
        check_chunks(element, where)
        return dense_matrix(element, where)
    if encoding == "dataframe" or hasattr(element, "dtype"):
        return memory_matrix(read_frame(element), where)
    if hasattr(element, "keys") and not encoding:
        msg = (
            f"{where} is a group without the attribute encoding-type, so its layout is unknown. "
            "Set it to 'csr_matrix' or 'csc_matrix', or write the file with a newer program."
        )
        raise SourceError(msg)
    return memory_matrix(read_element(element), where)


def read_frame(element: Any, uns: Any = None) -> pd.DataFrame:
    """Return obs, var or a table of obsm.

    Parameters
    ----------
    element
        The table in the file.
    uns
        The group of the file that holds categories of obs and var if the file is old: before
        version 0.7 of anndata ``uns/NAME_categories`` held those of the column NAME. As in
        ``anndata.read_h5ad``, whole numbers that may be such codes become categories.
    """
    frame = _frame(element)
    for key in uns if hasattr(uns, "keys") else ():
        name = key.removesuffix("_categories")
        if name != key and name in frame and _is_plain_integer(frame[name]):
            values = np.atleast_1d(read_element(uns[key]))
            codes = frame[name].to_numpy()
            if values.ndim == 1 and codes.size and -1 <= codes.min() <= codes.max() < len(values):
                texts = [_decoded(v) for v in values] if values.dtype.kind in "SO" else values
                frame[name] = pd.Categorical.from_codes(codes, pd.Index(texts))
    return frame


def _is_plain_integer(column: pd.Series) -> bool:
    """Return whether a column holds integers of NumPy."""
    return isinstance(column.dtype, np.dtype) and column.dtype.kind in "iu"


def _frame(element: Any) -> pd.DataFrame:
    value = read_element(element)
    if isinstance(value, np.ndarray):
        # Files of anndata before 0.7 keep tables as records whose first field is the index.
        frame = pd.DataFrame.from_records(value)
        first = frame.columns[0]
        frame = frame.set_index(frame[first].map(_decoded)).drop(columns=first)
        return frame.rename_axis(None)
    return pd.DataFrame(value, copy=False)


def read_element(element: Any) -> Any:
    """Return any element of an anndata file in memory."""
    with warnings.catch_warnings():
        # Old files are read as well as new ones; their age is no news to the user.
        warnings.simplefilter("ignore", ad.OldFormatWarning)
        return ad.io.read_elem(element)


def _decoded(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
