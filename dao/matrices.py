"""What the selected datasets hold of a matrix: encodings, elements, bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from dao.errors import ArgumentError, UnknownDatasetError, near_matches
from dao.format.casts import PASS_DTYPE, Verdict, always_fits, verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from dao.format.manifest import DatasetInfo, MatrixInfo

__all__ = [
    "check_alike",
    "check_dtype",
    "common_dtype",
    "infos_of",
    "mean_nnz",
    "stored_row_bytes",
    "verdict_of",
]

_WIDE = tuple(np.dtype(t) for t in ("float32", "float64", "int64", "uint64"))


def infos_of(name: str, datasets: Iterable[DatasetInfo]) -> list[MatrixInfo]:
    """Return what each dataset holds of a matrix.

    Raises
    ------
    dao.errors.UnknownDatasetError
        If one of them does not have it.
    """
    infos = []
    for dataset in datasets:
        if name not in dataset.matrices:
            kind, _, key = name.partition("/")
            have = dataset.layers if kind == "layers" else dataset.obsm
            msg = f"Dataset {dataset.id!r} has no {name!r}.{near_matches(key, have)}"
            raise UnknownDatasetError(msg)
        infos.append(dataset.matrices[name])
    return infos


def check_alike(name: str, datasets: Iterable[DatasetInfo]) -> None:
    """Refuse an obsm whose columns are not the same, in the same order, in all datasets.

    Raises
    ------
    dao.errors.ArgumentError
        Naming two datasets that differ.
    """
    first: DatasetInfo | None = None
    for dataset in datasets:
        first = first or dataset
        one, other = first.matrices[name], dataset.matrices[name]
        if (one.columns, one.shape[1]) == (other.columns, other.shape[1]):
            continue
        key = name.partition("/")[2]
        msg = (
            f"obsm {key!r} has other columns in {first.id!r} ({_columns(one)}) than in "
            f"{dataset.id!r} ({_columns(other)}): they cannot be read together. "
        )
        same = one.columns and other.columns and sorted(one.columns) == sorted(other.columns)
        raise ArgumentError(
            msg + "Bring them into one order with store.compact()."
            if same
            else msg + f"Choose one of them: store.subset(dataset={first.id!r})."
        )


def _columns(info: MatrixInfo) -> str:
    if info.columns is None:
        return f"{info.shape[1]:,} without names"
    shown = ", ".join(map(repr, info.columns[:4]))
    return shown if len(info.columns) < 5 else f"{shown} and {len(info.columns) - 4} more"


def mean_nnz(infos: Sequence[MatrixInfo]) -> float:
    """Return the stored elements per row."""
    rows = sum(i.shape[0] for i in infos)
    return sum(i.nnz for i in infos) / rows if rows else 0.0


def stored_row_bytes(infos: Sequence[MatrixInfo]) -> int:
    """Return how many bytes a decoded row takes, on average."""
    total, rows = 0, 0
    for info in infos:
        size = info.dtype.itemsize
        if info.encoding == "csr":
            total += info.nnz * (size + np.dtype(info.arrays["indices"].dtype).itemsize)
        else:
            total += info.shape[0] * info.shape[1] * size
        rows += info.shape[0]
    return total // rows + 1 if rows else 1


def verdict_of(info: MatrixInfo, wanted: np.dtype[Any]) -> Verdict:
    """Return whether a matrix may be given in a dtype, from what the manifest knows of it."""
    if always_fits(np.dtype(info.source_dtype), wanted):
        return Verdict.FITS  # every value was one of this dtype before it was stored
    return verdict(info.dtype, info.minimum, info.maximum, wanted)


def check_dtype(what: str, infos: Sequence[MatrixInfo], wanted: np.dtype[Any]) -> None:
    """Refuse a dtype that cannot hold a matrix of some datasets.

    Parameters
    ----------
    what
        How the error names the matrix.

    Raises
    ------
    dao.errors.ArgumentError
        With the range of the values, and a dtype that holds them.
    """
    for info in infos:
        if verdict_of(info, wanted) is Verdict.LOST:
            msg = (
                f"{what} has values stored as {info.dtype} from {info.minimum:g} to "
                f"{info.maximum:g}, which {wanted} cannot hold without changing them. "
                f"{_remedy(infos)}"
            )
            raise ArgumentError(msg)


def common_dtype(
    what: str, infos: Sequence[MatrixInfo], dtypes: Sequence[np.dtype[Any]]
) -> np.dtype[Any]:
    """Return a dtype that holds a matrix of some datasets exactly.

    Parameters
    ----------
    what
        How the error names the matrix.
    dtypes
        Dtypes that hold the matrix of each dataset. The one that numpy would choose for all of
        them is taken if it can be.

    Raises
    ------
    dao.errors.ArgumentError
        If there is none, as for large whole numbers next to fractions.
    """
    if not infos:
        return np.dtype(np.float32)
    usual: np.dtype[Any] = np.result_type(*dtypes)
    candidates = (usual, *_WIDE)
    for wrong in ({Verdict.LOST, Verdict.LOOK}, {Verdict.LOST}):
        for dtype in candidates:
            if not any(verdict_of(info, dtype) in wrong for info in infos):
                return dtype
    kinds = ", ".join(sorted({str(info.dtype) for info in infos}))
    msg = (
        f"{what} is stored as {kinds} in the selected datasets, and no dtype holds all of their "
        "values exactly. Select datasets apart, or pass a dtype that holds what you need."
    )
    raise ArgumentError(msg)


def _is_exact(info: MatrixInfo, dtype: np.dtype[Any]) -> bool:
    """Return whether it is known that a dtype rounds no value of a matrix."""
    if info.dtype.kind == "f":
        return always_fits(info.dtype, dtype)
    return verdict_of(info, dtype) is Verdict.FITS


def _remedy(infos: Sequence[MatrixInfo]) -> str:
    for wrong in ({Verdict.LOST, Verdict.LOOK}, {Verdict.LOST}):
        for dtype in _WIDE:
            if not any(verdict_of(info, dtype) in wrong for info in infos):
                exact = all(_is_exact(info, dtype) for info in infos)
                return f"{PASS_DTYPE}{str(dtype)!r}{', which holds them exactly' if exact else ''}."
    return "No dtype holds the values of all selected datasets: select datasets apart."
