"""The local backend: planning of pieces, and what it does where it cannot decode itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dao
from dao.batches.budget import Budget
from dao.batches.prefetch import one_ahead
from dao_backends.local import fused, layout, native, pieces, reader
from dao_backends.zarrs import ZarrsReader

if TYPE_CHECKING:
    from collections.abc import Callable

Make = Any


@given(rows=st.lists(st.integers(0, 10_000), max_size=60))
def test_distinct_rows(rows: list[int]) -> None:
    """Rows come back from the distinct ones, near or far from each other."""
    given_rows = np.array(rows, np.int64)
    unique, inverse = pieces.distinct(given_rows)
    assert unique.tolist() == sorted(set(rows))
    np.testing.assert_array_equal(unique[inverse], given_rows)
    firsts, stops = pieces.runs(unique)
    spelled = [row for a, b in zip(firsts, stops, strict=True) for row in range(a, b)]
    assert spelled == unique.tolist()
    assert all(a > b for a, b in zip(firsts[1:], stops[:-1], strict=True))


@given(
    ranges=st.lists(st.tuples(st.integers(0, 200), st.integers(0, 60)), max_size=20),
    chunk=st.integers(1, 50),
)
def test_ranges_are_cut_at_chunks(ranges: list[tuple[int, int]], chunk: int) -> None:
    """The pieces of a range are its items, in order, and none crosses a chunk."""
    starts = np.array([a for a, _ in ranges], np.int64)
    stops = np.array([a + n for a, n in ranges], np.int64)
    owner, chunks, begins, counts = pieces.cut_ranges(starts, stops, chunk)
    assert (counts > 0).all()
    assert ((begins >= 0) & (begins + counts <= chunk)).all()
    for i, (start, n) in enumerate(ranges):
        mine = owner == i
        items = [
            c * chunk + b + k
            for c, b, m in zip(chunks[mine], begins[mine], counts[mine], strict=True)
            for k in range(m)
        ]
        assert items == list(range(start, start + n))


@given(
    rows=st.lists(st.tuples(st.integers(0, 90), st.integers(0, 60)), max_size=40),
    chunk=st.integers(1, 50),
    items=st.integers(1, 200),
)
def test_rows_are_cut_into_parts(rows: list[tuple[int, int]], chunk: int, items: int) -> None:
    """Every row is in one part, no part is empty, and what the rows touch is found."""
    gaps, lengths = np.array(rows, np.int64).reshape(-1, 2).T
    stops = np.cumsum(gaps + lengths)
    starts = stops - lengths
    bounds = pieces.cut_rows(starts, stops, chunk, items)
    assert (bounds[0], bounds[-1]) == (0, len(rows))
    assert (np.diff(bounds) > 0).all()
    assert len(bounds) - 1 <= max(1, int(lengths.sum()) // items)
    wanted = {i // chunk for a, b in zip(starts, stops, strict=True) for i in range(a, b)}
    assert pieces.touched(starts, stops, chunk).tolist() == sorted(wanted)


@pytest.mark.parametrize("stored", ["u1", "u2", "u4", "i2", "f4", "f8"])
@pytest.mark.parametrize("wanted", ["f4", "i4", "f8", "u1"])
def test_casts_of_any_length_at_any_place(stored: str, wanted: str) -> None:
    """Items are cast as NumPy does, wherever they begin, and nothing around them is touched."""
    source = np.arange(120).astype(stored)
    for length in (0, 1, 7, 8, 9, 40):
        for start in range(9):
            out = np.full(64, 99, wanted)
            fused.cast_items(source[start : start + length], out[start:].ctypes.data, out)
            expected = np.full(64, 99, wanted)
            expected[start : start + length] = source[start : start + length]
            np.testing.assert_array_equal(out, expected)


def test_one_ahead_begins_before_it_waits_and_tells_errors_late() -> None:
    """The next is begun before one is waited for; an error comes after what was made before."""
    log: list[str] = []

    def begin(plan: int) -> Callable[[], int]:
        log.append(f"begin {plan}")
        if plan == 2:
            raise ValueError(plan)
        return lambda: log.append(f"end {plan}") or plan  # type: ignore[func-returns-value]

    made = one_ahead(iter(range(5)), begin)
    assert [next(made), next(made)] == [0, 1]
    with pytest.raises(ValueError, match="2"):
        next(made)
    assert log.index("begin 1") < log.index("begin 2")
    assert [entry for entry in log if entry.startswith("end")] == ["end 0", "end 1"]
    assert list(one_ahead(iter([]), begin)) == []


def test_without_native_functions(
    write: Callable[..., dao.Store], make_study: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a library does not show its functions, zarrs decodes the same."""
    path = write({"a": make_study(0), "b": make_study(1, 70)}).path
    expected = list(dao.load_store(path).generator(33))
    nothing = np.empty(0, np.int64)
    for module in (native, reader):
        monkeypatch.setattr(module, "native_functions", lambda: nothing)
    store = dao.load_store(path)
    for mine, theirs in zip(store.generator(33), expected, strict=True):
        np.testing.assert_array_equal(mine["index"], theirs["index"])
        assert abs(mine["X"] - theirs["X"]).sum() == 0
    assert isinstance(store.reader, reader.LocalReader)
    assert isinstance(store.reader._others, ZarrsReader)


def test_arrays_of_others_are_left_to_zarrs(
    write: Callable[..., dao.Store], make_study: Make
) -> None:
    """Anything but blosc, crc32c and little-endian bytes in shards is not taken for readable."""
    import json
    from pathlib import Path

    store = write(make_study())
    array = store.manifest.datasets[0].matrices["X"].arrays["data"]
    metadata = json.loads((Path(store.path) / array.metadata.path).read_text())
    assert layout.is_readable(json.dumps(metadata).encode(), array)
    codecs = metadata["codecs"][0]["configuration"]["codecs"]
    spoiled: list[Callable[[], Any]] = [
        lambda: codecs.remove(codecs[2]),
        lambda: codecs.insert(1, {"name": "crc32c"}),
        lambda: codecs[0].update(configuration={"endian": "big"}),
        lambda: codecs[1].update(name="gzip"),
        lambda: metadata.update(fill_value=1),
        lambda: metadata["codecs"][0]["configuration"].update(index_location="start"),
        lambda: metadata["codecs"].append({"name": "crc32c"}),
        lambda: metadata.pop("codecs"),
    ]
    text = json.dumps(metadata)
    for spoil in spoiled:
        metadata.clear()
        metadata.update(json.loads(text))
        codecs = metadata["codecs"][0]["configuration"]["codecs"]
        spoil()
        assert not layout.is_readable(json.dumps(metadata).encode(), array)
    assert not layout.is_readable(b"no JSON", array)


@given(
    memory=st.integers(1, 1 << 34),
    stored=st.integers(1, 1 << 20),
    final=st.integers(1, 1 << 20),
    batch_size=st.integers(1, 10_000),
    lengths=st.lists(st.integers(0, 20_000), max_size=6),
)
@settings(deadline=None)
def test_budget(memory: int, stored: int, final: int, batch_size: int, lengths: list[int]) -> None:
    """Nothing is larger than its share unless it is one batch, and cuts make whole batches."""
    budget = Budget(memory, stored, final, batch_size)
    assert budget.fetch_rows == 1 or budget.fetch_rows * stored <= memory
    assert budget.stretch == batch_size or budget.stretch_bytes <= memory
    assert budget.stretch % batch_size == 0
    done = 0
    for n in lengths:
        first_end = (done // batch_size + 1) * batch_size
        own_ends = np.arange(first_end, done + n + 1, batch_size) - done
        cuts = budget.cuts(own_ends, n, begins=done % batch_size == 0)
        assert cuts == sorted(set(cuts))
        assert (cuts[0], cuts[-1]) == (0, n)
        # Between the first and the last end of a batch there are whole ones only.
        ends = [done + cut for cut in cuts if (done + cut) % batch_size == 0]
        inside = range(-(-done // batch_size) * batch_size, done + n + 1, batch_size)
        if inside:
            assert (ends[0], ends[-1]) == (inside[0], inside[-1])
            assert sum(inside[0] < done + cut < inside[-1] for cut in cuts) == len(ends[1:-1])
        done += n
