"""What every backend must do, as a test class to subclass.

In a test module of the backend's own package::

    from dao.testing import BackendContract


    class TestMyBackend(BackendContract):
        backend_name = "mine"
"""

from __future__ import annotations

import multiprocessing
import pickle
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from dao.backend import DenseRows, Reader, SparseRows, find_backend
from dao.batches.columns import ColumnMap
from dao.batches.fetch import fetch
from dao.batches.locate import locate
from dao.batches.segment import segment
from dao.batches.spec import MatrixSpec
from dao.errors import ArgumentError, CorruptStoreError, UnknownDatasetError
from dao.matrices import check_dtype
from dao.selection import Selection

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

__all__ = ["BackendContract", "cast_studies", "dense_rows", "reference_studies"]

_TIMEOUT = 60.0
Array = np.ndarray[Any, Any]


def reference_studies() -> dict[str, Any]:
    """Return AnnData studies that between them need everything a backend can be asked for.

    Counts that fit 8, 16 and 32 bits, floats with NaN, a matrix that is stored densely, empty
    rows, a study without cells, layers, obsm, and one with several chunks per array.
    """
    import pandas as pd
    import scipy.sparse
    from anndata import AnnData

    sp: Any = scipy.sparse  # its stubs know too little of what its functions take
    random = np.random.default_rng(0)

    def study(name: str, x: Any) -> AnnData:
        obs = pd.DataFrame(
            {"label": pd.Categorical([f"{name}{i % 3}" for i in range(x.shape[0])])},
            index=[f"{name}-{i}" for i in range(x.shape[0])],
        )
        names = [f"g{i}" for i in range(x.shape[1])]
        adata = AnnData(x, obs=obs, var=pd.DataFrame(index=names))
        adata.layers["twice"] = x * 2
        adata.obsm["pca"] = random.normal(size=(x.shape[0], 3)).astype(np.float32)
        adata.uns["name"] = name
        return adata

    def counts(n_obs: int, highest: int) -> Any:
        x = sp.random(n_obs, 40, 0.2, "csr", np.float32, rng=random)
        x.data[:] = random.integers(1, highest + 1, x.nnz)
        x.data[: min(1, x.nnz)] = highest
        return x

    floats = counts(30, 9)
    floats.data = random.normal(size=floats.nnz).astype(np.float32)
    floats.data[3] = np.nan
    with_gaps = sp.vstack([counts(20, 300), sp.csr_matrix((15, 40), dtype=np.float32)]).tocsr()
    large = sp.csr_matrix(random.poisson(0.2, (12_000, 160)).astype(np.float32))
    return {
        "bytes": study("bytes", counts(60, 200)),
        "words": study("words", with_gaps),
        "longs": study("longs", counts(10, 100_000)),
        "floats": study("floats", floats),
        "dense": study("dense", random.normal(size=(50, 40)).astype(np.float32)),
        "none": study("none", sp.csr_matrix((0, 40), dtype=np.float32)),
        "large": study("large", large),
    }


def cast_studies() -> dict[str, Any]:
    """Return AnnData studies whose values do not fit every dtype, a cell by a feature each.

    Whole numbers and fractions that float32 or float64 would change, the ends of integers, and
    matrices of which a cell has entries twice.
    """
    import pandas as pd
    import scipy.sparse
    from anndata import AnnData

    sp: Any = scipy.sparse
    names = [f"g{i}" for i in range(4)]

    def study(name: str, x: Any) -> AnnData:
        obs = pd.DataFrame(
            {"label": pd.Categorical([name] * 3)}, index=[f"{name}{i}" for i in "abc"]
        )
        adata = AnnData(x, obs=obs, var=pd.DataFrame(index=names))
        adata.layers["twice"] = sp.csr_matrix((3, 4), dtype=np.float32)
        adata.obsm["pca"] = np.zeros((3, 3), np.float32)
        adata.uns["name"] = name
        return adata

    def values(dtype: str, *given: float) -> Any:
        x = np.zeros((3, 4), dtype)
        x[1, : len(given)] = given
        return sp.csr_matrix(x)

    def repeated(dtype: str, *given: float) -> Any:
        # Not as a COO matrix, which would add them up now.
        x = sp.csr_matrix((3, 4), dtype=dtype)
        x.data, x.indices = np.array([7, *given], dtype), np.array([0] + [2] * len(given), np.int32)
        x.indptr = np.array([0, 1, 1 + len(given), 1 + len(given)], np.int32)
        return x

    matrices = {
        "fractions": values("f8", 0.1, -1 / 3, 1e-60),
        "whole": values("f8", 2**24 + 1, 0.5),
        "even": values("f8", 2**25, 0.5),
        "huge": values("f8", 1.5e39, 0.5),
        "infinite": values("f4", np.nan, np.inf, -np.inf, 0.25),
        "long": values("i8", 2**53 + 1, -3),
        "longest": values("i8", 2**63 - 1, -(2**63)),
        "unsigned": values("u8", 2**64 - 1, 5),
        "negative": values("i2", -300, 4),
        "zeros": values("f4", -0.0, 3),
        "repeated-bytes": repeated("u1", 200, 100),
        "repeated-signed": repeated("i1", -100, -100),
        "repeated-bools": repeated("?", 1, 1),
        "repeated-floats": repeated("f4", 2**24, 1),
        "repeated-large": repeated("f4", 3e38, 3e38),
        "repeated-fractions": repeated("f4", 0.25, 0.5),
    }
    return {name: study(name, x) for name, x in matrices.items()}


def dense_rows(rows: SparseRows | DenseRows) -> Array:
    """Return what a backend returned as a dense array: slow, plain and obviously right."""
    if isinstance(rows, DenseRows):
        return np.asarray(rows.values[rows.slots])
    out = np.zeros((len(rows.starts), rows.n_vars), rows.values.dtype)
    for i, (start, length) in enumerate(zip(rows.starts, rows.lengths, strict=True)):
        part = slice(start, start + length)
        out[i, rows.indices[part].astype(np.int64)] = rows.values[part]
    return out


class BackendContract:
    """Subclass it, name the backend, and run pytest.

    Attributes
    ----------
    backend_name
        The entry point's name.
    backend_options
        Options to open it with.
    matrices
        Those of the reference studies that the backend's stores can hold.
    damage_is
        The errors that tell of damage.
    repeats
        Whether the backend's stores can be made of matrices that hold an entry twice.
    opens_damaged
        Whether a damaged store opens, and says so when the damage is read. For backends over
        files without checksums: False; files are then damaged while the store is open.
    """

    backend_name: ClassVar[str]
    backend_options: ClassVar[Mapping[str, Any]] = {}
    matrices: ClassVar[tuple[str, ...]] = ("X", "layers/twice", "obsm/pca")
    damage_is: ClassVar[tuple[type[Exception], ...]] = (CorruptStoreError,)
    repeats: ClassVar[bool] = True
    opens_damaged: ClassVar[bool] = True
    _reference: ClassVar[dict[type, tuple[Path, dict[str, Any]]]] = {}

    def open_reader(self, path: Path, memory: int = 1 << 30) -> Reader:
        """Open a store; override for backends that need more than a path."""
        backend = find_backend(self.backend_name)
        return backend.open(str(path), memory=memory, options=dict(self.backend_options))

    def write_reference(self, path: Path, studies: dict[str, Any]) -> None:
        """Write the studies to where `open_reader` opens them; override for other formats."""
        import dao

        dao.write_store(path, studies, layers=["twice"], obsm=["pca"], progress=False)

    def damages(self) -> list[Callable[[Path], None]]:
        """Return functions that each damage X of the study ``large``; override with the above."""
        shards = [f"datasets/large/X/{a}/c/0" for a in ("data", "indices", "indptr")]
        return [partial(_spoiled, shard, spoil) for shard in shards for spoil in _DAMAGE]

    def reference(self, tmp_path_factory: Any) -> tuple[Path, dict[str, Any]]:
        """Return the path of the reference store and its studies; written once per class."""
        if type(self) not in self._reference:
            path: Path = tmp_path_factory.mktemp("contract") / "reference.dao"
            studies = reference_studies()
            self.write_reference(path, studies)
            self._reference[type(self)] = path, studies
        return self._reference[type(self)]

    def test_rows_are_exact(self, tmp_path_factory: Any) -> None:
        """All rows of all matrices equal the sources, in dtypes as stored."""
        path, studies = self.reference(tmp_path_factory)
        reader = self.open_reader(path)
        for dataset in reader.manifest().datasets:
            assert set(dataset.matrices) == set(self.matrices)
            for name, info in dataset.matrices.items():
                rows = np.arange(dataset.n_obs)
                got = reader.rows(dataset.id, name, rows)
                assert got.values.dtype == info.dtype
                expected = _expected(reader, studies[dataset.id], dataset.id, name)
                np.testing.assert_array_equal(dense_rows(got), expected)

    def test_casts_are_exact_or_refused(self, tmp_path: Path) -> None:
        """A batch holds the values of the source in the dtype asked for, or there is an error.

        Whole numbers are exact, fractions round, nothing becomes infinite or wraps around; entries
        of one place are added up.
        """
        studies = {n: s for n, s in cast_studies().items() if self.repeats or "repeated" not in n}
        self.write_reference(tmp_path / "casts", studies)
        reader = self.open_reader(tmp_path / "casts")
        for name, study in studies.items():
            exact = _exact(study.X)[_source_rows(reader, name)]
            ids = _feature_ids(reader, name)
            exact = exact[:, [study.var_names.get_loc(gene) for gene in ids]]
            for dtype in ("float32", "float64", "int16", "int64", "uint64"):
                for dense in (False, True):
                    _check_cast(reader, name, exact, np.dtype(dtype), dense=dense)

    def test_any_order_with_repeats(self, tmp_path_factory: Any) -> None:
        """Rows come in the order of the request, as often as they are asked for."""
        path, studies = self.reference(tmp_path_factory)
        reader = self.open_reader(path)
        random = np.random.default_rng(1)
        for dataset in ("large", "words", "dense"):
            expected = _expected(reader, studies[dataset], dataset, "X")
            for size in (1, 7, 500):
                rows = random.integers(0, len(expected), size)
                got = dense_rows(reader.rows(dataset, "X", rows))
                np.testing.assert_array_equal(got, expected[rows])

    def test_little_memory(self, tmp_path_factory: Any) -> None:
        """Scattered rows are the same with a budget below the size of what they touch."""
        path, studies = self.reference(tmp_path_factory)
        reader = self.open_reader(path, memory=1 << 20)
        rows = np.random.default_rng(2).permutation(12_000)[:3_000]
        expected = _expected(reader, studies["large"], "large", "X")
        np.testing.assert_array_equal(dense_rows(reader.rows("large", "X", rows)), expected[rows])
        if "obsm/pca" in self.matrices:
            small = _expected(reader, studies["large"], "large", "obsm/pca")
            got = dense_rows(reader.rows("large", "obsm/pca", rows))
            np.testing.assert_array_equal(got, small[rows])

    def test_empty_requests(self, tmp_path_factory: Any) -> None:
        """No rows asked for is no rows given, also of a dataset without cells."""
        path, _ = self.reference(tmp_path_factory)
        reader = self.open_reader(path)
        none = np.empty(0, np.int64)
        for dataset in ("none", "bytes", "dense"):
            for matrix in self.matrices:
                assert len(dense_rows(reader.rows(dataset, matrix, none))) == 0

    def test_what_does_not_exist(self, tmp_path_factory: Any) -> None:
        """Unknown names and rows out of range are errors."""
        path, _ = self.reference(tmp_path_factory)
        reader = self.open_reader(path)
        one = np.zeros(1, np.int64)
        _raises(UnknownDatasetError, reader.rows, "byte", "X", one)
        _raises(UnknownDatasetError, reader.rows, "bytes", "layers/thrice", one)
        _raises(ArgumentError, reader.rows, "bytes", "X", one + 60)
        _raises(ArgumentError, reader.rows, "bytes", "X", one - 1)

    def test_tables_and_documents(self, tmp_path_factory: Any) -> None:
        """Obs comes by columns, uns as it was."""
        path, studies = self.reference(tmp_path_factory)
        reader = self.open_reader(path)
        dataset = reader.manifest().datasets[0]
        table = reader.table(dataset.obs.file.path, ["label"])
        assert table.column_names == ["label"]
        source = reader.table(dataset.obs.file.path)["_source_row"].to_numpy()
        labels = studies[dataset.id].obs["label"].to_numpy()[source]
        assert table["label"].to_pylist() == list(labels)
        assert reader.document(dataset.uns.path) == {"name": dataset.id}

    def test_many_threads(self, tmp_path_factory: Any) -> None:
        """One reader serves many threads at once."""
        path, studies = self.reference(tmp_path_factory)
        reader = self.open_reader(path)
        expected = _expected(reader, studies["large"], "large", "X")
        requests = [np.random.default_rng(i).integers(0, 12_000, 200) for i in range(24)]
        with ThreadPoolExecutor(8) as pool:
            results = pool.map(lambda rows: dense_rows(reader.rows("large", "X", rows)), requests)
            for rows, got in zip(requests, results, strict=True):
                np.testing.assert_array_equal(got, expected[rows])

    def test_spawned_process(self, tmp_path_factory: Any) -> None:
        """A reader that was used can be pickled to a spawned process and works there."""
        self._in_process(tmp_path_factory, "spawn")

    def test_forked_process(self, tmp_path_factory: Any) -> None:
        """A reader that was used works in a forked child, and does not hang there."""
        self._in_process(tmp_path_factory, "fork")

    def test_damage_is_an_error(self, tmp_path_factory: Any, tmp_path: Path) -> None:
        """Missing, truncated and altered files raise, wherever the bytes were altered."""
        import shutil

        path, studies = self.reference(tmp_path_factory)
        for number, spoil in enumerate(self.damages()):
            copy = tmp_path / f"copy-{number}"
            shutil.copytree(path, copy)
            reader = None if self.opens_damaged else self.open_reader(copy)
            spoil(copy)
            reader = reader or self.open_reader(copy)
            _raises(self.damage_is, reader.rows, "large", "X", np.arange(12_000))
            rows = reader.rows("bytes", "X", np.arange(60))
            expected = _expected(reader, studies["bytes"], "bytes", "X")
            np.testing.assert_array_equal(dense_rows(rows), expected)

    def test_closing(self, tmp_path_factory: Any) -> None:
        """Closing twice is no error."""
        path, _ = self.reference(tmp_path_factory)
        reader = self.open_reader(path)
        reader.rows("bytes", "X", np.arange(3))
        reader.close()
        reader.close()

    def _in_process(self, tmp_path_factory: Any, method: str) -> None:
        path, studies = self.reference(tmp_path_factory)
        reader = self.open_reader(path)
        rows = np.array([8_000, 5, 5, 4_321])
        reader.rows("large", "X", rows)
        reader = pickle.loads(pickle.dumps(reader))  # noqa: S301 - our own bytes
        reader.rows("large", "X", rows)
        context: Any = multiprocessing.get_context(method)
        queue = context.Queue()
        process = context.Process(target=_read_elsewhere, args=(reader, rows, queue))
        process.start()
        try:
            got = queue.get(timeout=_TIMEOUT)
        finally:
            process.join(5)
            if process.is_alive():
                process.kill()
        expected = _expected(reader, studies["large"], "large", "X")[rows]
        np.testing.assert_array_equal(got, expected)


def _check_cast(
    reader: Reader, dataset: str, exact: Array, dtype: np.dtype[Any], *, dense: bool
) -> None:
    """Stream a dataset; compare with Python's numbers, or expect an error if one does not fit."""
    manifest = reader.manifest()
    infos = [manifest.dataset(dataset).matrices["X"]]
    first = int(manifest.offsets[manifest.ordinals[dataset]])
    cell = f"{dataset} as {dtype}, dense={dense}"
    expected = [[_cast(value, dtype) for value in row] for row in exact.tolist()]
    try:
        check_dtype("X", infos, dtype)
        columns = ColumnMap(np.arange(exact.shape[1], dtype=np.int32))
        how = {"X": MatrixSpec.of(infos, columns, dtype, dense=dense)}
        positions = np.arange(first, first + len(exact))
        rows = locate(manifest, Selection.everything(manifest), positions, [0, len(exact)])
        got: Any = segment(fetch(reader, how, rows), 0, how).matrices["X"]
    except ArgumentError:
        assert any(value is None for row in expected for value in row), f"{cell} was refused"
        return
    assert not any(value is None for row in expected for value in row), f"{cell} was given"
    values = got if dense else got.toarray()
    np.testing.assert_array_equal(values, np.array(expected, dtype), cell)


def _exact(matrix: Any) -> Array:
    """Return a matrix as Python's numbers, which are exact; entries of one place added up."""
    out = np.full(matrix.shape, 0, object)
    stored = matrix.tocoo()
    for row, column, value in zip(stored.row, stored.col, stored.data.tolist(), strict=True):
        out[row, column] += value
    return out


def _cast(value: float, dtype: np.dtype[Any]) -> Any:
    """Return a number in a dtype, by the rule of `dao.format.casts`; None if it does not fit."""
    is_whole = isinstance(value, int) or (np.isfinite(value) and value == int(value))
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        return int(value) if is_whole and info.min <= value <= info.max else None
    with np.errstate(over="ignore"):
        cast = float(np.float64(value).astype(dtype))
    if is_whole:
        return cast if np.isfinite(cast) and int(cast) == int(value) else None
    return None if np.isfinite(value) and not np.isfinite(cast) else cast


def _source_rows(reader: Reader, dataset: str) -> Array:
    table = reader.table(reader.manifest().dataset(dataset).obs.file.path, ["_source_row"])
    return np.asarray(table["_source_row"].to_numpy())


def _feature_ids(reader: Reader, dataset: str) -> list[str]:
    manifest = reader.manifest()
    path = manifest.space(manifest.dataset(dataset).organism).file.path
    return [str(name) for name in reader.table(path)["feature_id"].to_pylist()]


def _read_elsewhere(reader: Reader, rows: Array, queue: Any) -> None:
    import warnings

    warnings.simplefilter("ignore")
    queue.put(dense_rows(reader.rows("large", "X", rows)))


def _expected(reader: Reader, study: Any, dataset: str, matrix: str) -> Array:
    manifest = reader.manifest()
    info = manifest.dataset(dataset)
    source_rows = reader.table(info.obs.file.path, ["_source_row"])["_source_row"].to_numpy()
    kind, _, key = matrix.partition("/")
    values = study.X if kind == "X" else getattr(study, kind)[key]
    dense = values.toarray() if hasattr(values, "toarray") else np.asarray(values)
    if kind == "obsm":
        return np.asarray(dense[source_rows])
    ids = reader.table(manifest.space(info.organism).file.path)["feature_id"].to_pylist()
    out = np.zeros((len(source_rows), info.matrices[matrix].shape[1]), dense.dtype)
    for column, gene in enumerate(ids):
        if gene in study.var_names:
            out[:, column] = dense[source_rows, study.var_names.get_loc(gene)]
    return out


def _spoiled(shard: str, spoil: Callable[[Path], None], store: Path) -> None:
    spoil(store / shard)


def _remove(shard: Path) -> None:
    shard.unlink()


def _truncate(shard: Path) -> None:
    shard.write_bytes(shard.read_bytes()[:-7])


def _flip(place: float) -> Callable[[Path], None]:
    def flip(shard: Path) -> None:
        content = bytearray(shard.read_bytes())
        content[int(place * (len(content) - 1))] ^= 0x10
        shard.write_bytes(content)

    return flip


_DAMAGE = [_remove, _truncate, *(_flip(p) for p in (0.0, 0.1, 0.37, 0.5, 0.73, 0.9, 1.0))]


def _raises(
    error: type[Exception] | tuple[type[Exception], ...],
    function: Callable[..., Any],
    *arguments: Any,
) -> None:
    try:
        function(*arguments)
    except error:
        return
    msg = f"{function.__name__}{arguments[:2]} did not raise {error}"
    raise AssertionError(msg)
