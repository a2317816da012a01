"""Comparisons of what dao gives with what the oracle says."""

from __future__ import annotations

import math
import warnings
from collections import Counter
from contextlib import contextmanager
from itertools import permutations
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from fuzz.columns import cells
from fuzz.oracle import exact_in, may_refuse_cast, rightly_given

from dao.errors import DaoError, DaoWarning

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fuzz.oracle import Rows

    import dao


@contextmanager
def only_dao_warnings() -> Iterator[None]:
    """Make every warning an error that is not dao's own."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", category=DaoWarning)
        # Of anndata, and true: users see it wherever they take such cells.
        warnings.filterwarnings("ignore", "Observation names are not unique", UserWarning)
        yield


@contextmanager
def refused(reason: Any) -> Iterator[list[DaoError]]:
    """Allow an error of dao if there is a reason; the list holds it then."""
    errors: list[DaoError] = []
    try:
        with only_dao_warnings():
            yield errors
    except DaoError as error:
        if not reason:
            raise
        errors.append(error)


def same_cells(column: str, got: Sequence[Any], expected: Sequence[Any]) -> None:
    """Compare a column cell by cell."""
    wrong = [(i, g, e) for i, (g, e) in enumerate(zip(got, expected, strict=True)) if g != e]
    assert not wrong, f"column {column!r}: (place, got, expected) {wrong[:5]}"


def same_obs(obs: pd.DataFrame, rows: Rows, columns: Sequence[str]) -> None:
    """Compare columns of obs."""
    assert len(obs) == len(rows)
    for name in columns:
        same_cells(name, cells(obs[name]), rows.cells(name))


def dense(matrix: Any) -> np.ndarray[Any, Any]:
    """Return a matrix of any kind as an array, entries that repeat added up."""
    if sp.issparse(matrix):
        return np.asarray(matrix.toarray())
    return np.asarray(matrix)


def same_matrix(
    what: str, got: Any, rows: Rows, name: str, columns: Sequence[Any], *, fractions: bool = False
) -> None:
    """Compare a matrix number by number."""
    array = dense(got)
    expected = rows.matrix(name, columns)
    assert array.shape == (len(rows), len(columns)), (what, array.shape)
    wrong = [
        (i, c, array[i, j], value)
        for i, row in enumerate(expected)
        for j, (c, value) in enumerate(zip(columns, row, strict=True))
        if not rightly_given(value, array[i, j], fractions=fractions)
    ]
    assert not wrong, f"{what}: (row, column, got, expected) {wrong[:5]}"


def common_dtype(dtypes: set[str]) -> np.dtype[Any]:
    """Return the dtype that NumPy has for several."""
    return np.result_type(*dtypes) if dtypes else np.dtype("float32")


def same_anndata(view: dao.Store, rows: Rows, genes: set[str]) -> None:
    """Compare `to_anndata` with the cells that it must hold."""
    names = rows.matrices()
    lossy = [
        n
        for n in names
        if not all(exact_in(v, common_dtype(rows.dtypes(n))) for v in rows.values(n))
    ]
    with refused(lossy) as error:
        adata = view.to_anndata()
    if error:
        return
    assert set(adata.var_names) == genes
    assert list(adata.obs_names) == rows.names()
    same_obs(adata.obs, rows, [*rows.columns, "dataset", "_source_row"])
    same_matrix("X", adata.X, rows, "X", list(adata.var_names))
    merged = any(len(m.dtypes["X"]) > 1 for m in rows.selected())
    if "X" in names and not lossy and rows.dtypes("X") and not merged:
        wanted = common_dtype(rows.dtypes("X"))
        allowed = {wanted, np.dtype("float32")} if wanted == np.float16 else {wanted}
        if rows.dtypes("X") & {"int64", "uint64"}:  # whole numbers beyond 2**53 stay such
            allowed |= {np.dtype("int64"), np.dtype("uint64")}
        assert adata.X.dtype in allowed, (adata.X.dtype, wanted)
    for name in sorted(names - {"X"}):
        kind, _, key = name.partition("/")
        if kind == "layers":
            same_matrix(name, adata.layers[key], rows, name, list(adata.var_names))
        else:
            same_obsm(name, adata.obsm.get(key), rows)


def same_obsm(name: str, got: Any, rows: Rows) -> None:
    """Compare a matrix of obsm; its columns have names or numbers."""
    kinds = {c for m in rows.selected() for c in m.obsm[name]}
    alike = len({frozenset(c) for c in kinds}) == 1
    if got is None:
        assert not alike, f"{name} is lost"
        return
    if isinstance(got, pd.DataFrame):
        columns = [str(c) for c in got.columns]
    else:
        columns = list(range(got.shape[1]))
        named = {c for c in kinds if c and isinstance(c[0], str)}
        if named:
            # An array of named columns: right if all studies have them in one order.
            assert len(kinds) == 1, f"{name} mixes columns {kinds}"
            columns = list(next(iter(named)))
    assert set(columns) == set().union(*kinds), (name, columns, kinds)
    same_matrix(name, got, rows, name, columns)


def same_stream(
    view: dao.Store, rows: Rows, everything: Rows, positions: Sequence[int], **arguments: Any
) -> None:
    """Compare batches with the cells that they must hold, each as often as it is selected."""
    dtype = arguments.get("dtype", "float32")
    matrices = ["X", *(f"layers/{n}" for n in arguments.get("layers", ()))]
    lossy = []
    for n in matrices:
        kinds = rows.dtypes(n)
        native = dtype == "native"
        if native and not all(exact_in(v, common_dtype(kinds)) for v in rows.values(n)):
            lossy.append(n)
        if not native and may_refuse_cast(rows.values(n), kinds, dtype):
            lossy.append(n)
    for key in arguments.get("obsm", ()):
        if len({frozenset(c) for m in rows.selected() for c in m.obsm[f"obsm/{key}"]}) > 1:
            lossy.append(key)
        if not all(
            exact_in(v, common_dtype(rows.dtypes(f"obsm/{key}")))
            for v in rows.values(f"obsm/{key}")
        ):
            lossy.append(key)
    names = list(arguments.get("var_names") or view.var_names)
    seen: Counter[int] = Counter()
    orders: dict[str, list[Any]] = {}
    with refused(lossy):
        for batch in view.generator(**arguments):
            places = batch["index"].tolist()
            seen.update(places)
            here = everything.take(places)
            same_matrix("X", batch["X"], here, "X", names, fractions=True)
            for n in arguments.get("layers", ()):
                same_matrix(n, batch["layers"][n], here, f"layers/{n}", names, fractions=True)
            for n in arguments.get("obsm", ()):
                orders[n] = _orders(orders.get(n), n, batch["obsm"][n], here)
            same_obs(batch["obs"], here, list(arguments.get("obs_keys", ())))
        assert seen == Counter(positions), (seen, positions)


def _orders(known: list[Any] | None, name: str, got: Any, rows: Rows) -> list[Any]:
    """Return the orders of named columns for which a batch is right, of those still possible."""
    key = f"obsm/{name}"
    first = next(c for m in rows.selected() for c in m.obsm[key])
    named = bool(first) and isinstance(first[0], str)
    possible = list(permutations(first)) if named else [first]
    fitting, wrong = [], None
    for columns in possible if known is None else known:
        try:
            same_matrix(name, got, rows, key, list(columns), fractions=True)
        except AssertionError as error:
            wrong = error
        else:
            fitting.append(columns)
    if not fitting:
        raise wrong or AssertionError(name)
    return fitting


def same_stats(view: dao.Store, rows: Rows) -> None:
    """Compare sums over cells with sums of Python's."""
    values = rows.values("X")
    finite = all(math.isfinite(v) for v in values)
    with refused(True) as error:
        table = view.gene_stats()
    if error or not finite:
        assert not error or any(abs(v) > 2**24 for v in values if math.isfinite(v)), error
        return
    matrix = rows.matrix("X", list(table.index))
    for j, gene in enumerate(table.index):
        column = [row[j] for row in matrix]
        scale = sum(abs(v) for v in column) or 1
        assert table.loc[gene, "n_cells"] == sum(v != 0 for v in column), gene
        total = float(table.loc[gene, "total"])
        assert abs(total - math.fsum(column)) <= 1e-9 * scale or scale > 1e300, (gene, total)
