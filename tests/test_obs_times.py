"""Times, durations, dates and decimals of several studies, against pandas in memory."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import dao
from dao import errors

if TYPE_CHECKING:
    from pathlib import Path

Writer = Any
UNITS = ("s", "ms", "us", "ns")
BERLIN, UTC = "Europe/Berlin", "UTC"


def study(prefix: str, **obs: Any) -> ad.AnnData:
    """Return a study with these obs columns."""
    n_obs = len(next(iter(obs.values())))
    frame = pd.DataFrame(obs, index=[f"{prefix}{i}" for i in range(n_obs)])
    x = np.ones((n_obs, 2), np.float32)
    return ad.AnnData(x, obs=frame, var=pd.DataFrame(index=["A", "B"]))


def times(*texts: str | None, unit: str = "ns", zone: str | None = None) -> pd.DatetimeIndex:
    """Return times of a unit, local to a zone."""
    local = pd.DatetimeIndex(np.array([t or "NaT" for t in texts], f"M8[{unit}]"))
    return local if zone is None else local.tz_localize(zone)


def check(store: dao.Store, *expected: Any) -> None:
    """Compare the column ``t``, as obs, AnnData and in batches, with that of the studies."""
    whole = pd.concat([pd.Series(e) for e in expected], ignore_index=True)
    for obs in (store.obs, store.to_anndata().obs):
        got = obs["t"].reset_index(drop=True)
        pd.testing.assert_series_equal(got, whole, check_names=False)
    batches = store.generator(2, obs_keys=["t"], sampler="sequential")
    got = pd.concat([batch["obs"]["t"] for batch in batches], ignore_index=True)
    pd.testing.assert_series_equal(got, whole, check_names=False)


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("zone", [None, BERLIN, UTC, "+02:00"])
def test_a_dataset_without_the_column_has_nat(write: Writer, unit: str, zone: str | None) -> None:
    """They are times next to it, of the same dtype, not whole numbers."""
    own = times("2020-02-03T04:05:06", None, unit=unit, zone=zone)
    store = write({"a": study("a", t=own), "b": study("b", x=[1, 2])}, shuffle=False)
    check(store, own, pd.Series([pd.NaT] * 2, dtype=own.dtype))
    assert dao.validate_store(store.path).ok


@pytest.mark.parametrize("unit", UNITS)
def test_durations(write: Writer, unit: str) -> None:
    """They take the finest unit, and NaT where a study lacks the column."""
    own = pd.Series(np.array([90, "NaT"], f"m8[{unit}]"))
    other = pd.Series(np.array([5], "m8[us]"))
    finest = max(unit, "us", key=UNITS.index)
    sources = {"a": study("a", t=own.array), "b": study("b", t=other.array), "c": study("c", x=[1])}
    nothing = pd.Series([pd.NaT], dtype=f"m8[{finest}]")
    check(
        write(sources, shuffle=False),
        own.astype(f"m8[{finest}]"),
        other.astype(f"m8[{finest}]"),
        nothing,
    )


@pytest.mark.parametrize("first", UNITS)
@pytest.mark.parametrize("second", UNITS)
@pytest.mark.parametrize("zone", [None, BERLIN])
def test_the_finest_unit_holds_all(
    write: Writer, first: str, second: str, zone: str | None
) -> None:
    """Nanoseconds of pandas 2 next to microseconds of pandas 3: created, and appended."""
    a = times("2020-02-03T04:05:06.123456789", None, unit=first, zone=zone)
    b = times("1999-12-31T23:59:59.999999999", unit=second, zone=zone)
    finest = max(first, second, key=UNITS.index)
    expected = [pd.Series(v).dt.as_unit(finest) for v in (a, b)]
    check(write({"a": study("a", t=a), "b": study("b", t=b)}, shuffle=False), *expected)
    store = write({"a": study("a", t=a)}, "grown.dao", shuffle=False)
    store = write({"b": study("b", t=b)}, "grown.dao", mode="append", shuffle=False)
    check(store, *expected)
    check(store.compact(progress=False, shuffle=False), *expected)


def test_far_dates_take_a_coarser_unit(write: Writer) -> None:
    """Where nanoseconds cannot hold the years, microseconds do; if neither, both are named."""
    far, near = times("9999-12-31", unit="s"), times("2020-01-01T00:00:00.000001", unit="ns")
    store = write({"a": study("a", t=far), "b": study("b", t=near)}, shuffle=False)
    check(store, *(pd.Series(v).dt.as_unit("us") for v in (far, near)))
    finer = study("b", t=times("2020-01-01T00:00:00.000000001"))
    with pytest.raises(errors.ObsTypeError, match=r"'t'.*no unit.*'a'.*'b'"):
        write({"a": study("a", t=far), "b": finer}, "b.dao")
    with pytest.raises(errors.ObsTypeError, match="no unit"):
        write({"c": study("c", t=times("2020-01-01T00:00:00.000000001"))}, mode="append")


def test_zones(write: Writer) -> None:
    """Different zones are united in UTC, the same instants; none next to one is refused."""
    berlin, utc = times("2020-07-01", zone=BERLIN), times("2020-07-01", zone=UTC)
    store = write({"a": study("a", t=berlin), "b": study("b", t=utc)}, shuffle=False)
    check(store, berlin.tz_convert(UTC), utc)
    for mode in ("create", "append"):
        naive = {"c": study("c", t=times("2020-07-01"))}
        first = {"a": study("a", t=berlin)} if mode == "create" else {}
        path = "n.dao" if mode == "create" else "t.dao"
        if mode == "append":
            write({"a": study("a", t=berlin)}, path)
        with pytest.raises(errors.ObsTypeError, match=r"time zone.*tz_localize"):
            write({**first, **naive}, path, mode=mode)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ([dt.date(2020, 1, 31), None], [dt.date(1066, 10, 14)]),
        ([dt.time(1, 2, 3, 4), None], [dt.time(0)]),
        ([Decimal("1.5"), None], [Decimal("-1000.25")]),
        ([Decimal(10) ** 30, None], [Decimal("0.00000000000000000001")]),
    ],
)
def test_objects_of_python(write: Writer, first: list[Any], second: list[Any]) -> None:
    """Dates, times of day and decimals of any number of digits are equal to what they were."""
    sources = {"a": study("a", t=first), "b": study("b", t=second), "c": study("c", x=[1])}
    store = write(sources, shuffle=False)
    assert store.obs["t"].tolist() == [*first, *second, None]
    assert store.obs["t"].map(type).tolist() == [*map(type, first), type(second[0]), type(None)]
    store = write({"d": study("d", t=second)}, mode="append", shuffle=False)
    assert store.to_anndata().obs["t"].tolist() == [*first, *second, None, *second]


@pytest.mark.parametrize(
    ("values", "advice"),
    [
        (pd.period_range("2020", periods=2, freq="M"), "to_timestamp"),
        (pd.interval_range(0, 2), "astype"),
        (pd.Categorical(times("2020-01-01", "2021-01-01")), r"astype\(str\)"),
        ([pd.Timestamp("2020", tz=UTC), pd.Timestamp("2020", tz=BERLIN)], "utc=True"),
        ([dt.date(2020, 1, 1), "never"], "mixes"),
    ],
    ids=["periods", "intervals", "categories", "zones", "dates and text"],
)
def test_what_cannot_be_stored(write: Writer, values: Any, advice: str, tmp_path: Path) -> None:
    """It is refused before anything is written, with what to do."""
    dtype = object if isinstance(values, list) else None
    with pytest.raises(errors.ObsTypeError, match=advice):
        write({"a": study("a", t=pd.Series(values, dtype=dtype).array)})
    assert not list(tmp_path.glob("*.dao"))


def test_a_store_as_a_source(write: Writer) -> None:
    """Zones, units and missing values come along, of one dataset and of several."""
    a, b = times("2020-07-01", None, unit="us", zone=BERLIN), times("2021-07-01", zone=BERLIN)
    store = write({"a": study("a", t=a), "b": study("b", t=b)}, shuffle=False)
    for path, cells in (("one.dao", store.subset(dataset="a")), ("two.dao", store)):
        again = write(cells, path, shuffle=False)
        check(
            again, *([a] if path == "one.dao" else [pd.Series(v).dt.as_unit("ns") for v in (a, b)])
        )
    merged = store.compact({"both": ["a", "b"]}, progress=False, shuffle=False)
    check(merged, *(pd.Series(v).dt.as_unit("ns") for v in (a, b)))


def test_export_to_h5ad(write: Writer, tmp_path: Path) -> None:
    """The file format has no times, so they become text, with a warning; pandas reads it back."""
    own = times("2020-02-03T04:05:06.000007", None, zone=UTC)
    store = write(
        {"a": study("a", t=own, d=[dt.date(2020, 1, 31), None], x=["a", None])}, shuffle=False
    )
    file = tmp_path / "x.h5ad"
    command = [sys.executable, "-m", "dao", "export", store.path, str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "'t', 'd' became" in " ".join(done.stderr.split())
    obs = ad.read_h5ad(file).obs
    assert pd.DatetimeIndex(pd.to_datetime(obs["t"].astype(object))).equals(own.as_unit("ns"))
    assert obs["d"].astype(object).fillna("").tolist() == ["2020-01-31", ""]
    assert obs["x"].astype(object).fillna("").tolist() == ["a", ""]
