"""Filters against pandas: times, numbers, booleans and texts of every dtype, in every way to ask."""

from __future__ import annotations

import datetime as dt
import operator
import warnings
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dao
from dao import errors
from dao.frames import frame_columns
from dao.where import And, Expression, Test, bind, evaluate, parse, values_test

if TYPE_CHECKING:
    from collections.abc import Callable

OPERATORS = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
TIMES = ["2024-01-01", "2024-01-31T12:00", "2024-02-01", "NaT", "1999-12-31T23:59:59", "2030-05-05"]
MOMENT = "2024-01-31T12:00:00"


def rows(frame: pd.DataFrame, expression: Expression) -> list[int]:
    """Return where an expression holds, as `Store.subset` evaluates it."""
    columns = frame_columns(frame)
    known = {name: column.info for name, column in columns.items()}
    bound = bind(expression, known, lambda name: columns[name].categories or ())
    return np.flatnonzero(evaluate(bound, columns, len(frame))).tolist()


def asked(frame: pd.DataFrame, **values: Any) -> list[int]:
    """Return the rows that a keyword of `Store.subset` chooses."""
    return rows(frame, And(tuple(values_test(c, v) for c, v in values.items())))


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("op", OPERATORS)
def test_times_compare_as_in_pandas(unit: str, op: str) -> None:
    """Text, datetime, Timestamp and datetime64 of any unit, with every operator."""
    frame = pd.DataFrame({"t": np.array(TIMES, f"datetime64[{unit}]")})
    expected = np.flatnonzero(OPERATORS[op](frame["t"], pd.Timestamp(MOMENT))).tolist()
    moment = dt.datetime.fromisoformat(MOMENT)
    units = [np.datetime64(MOMENT).astype(f"datetime64[{u}]") for u in ("h", "m", "s", "ms", "ns")]
    for value in (MOMENT, "2024-01-31 12:00", moment, pd.Timestamp(MOMENT), *units):
        assert rows(frame, Test("t", op, value)) == expected
    assert rows(frame, parse(f"t {op} '{MOMENT}'")) == expected
    # A nanosecond later is another time, also in a column of whole seconds.
    later = np.datetime64(MOMENT) + np.timedelta64(1, "ns")
    as_ns = frame["t"].astype("datetime64[ns]")
    expected = np.flatnonzero(OPERATORS[op](as_ns, pd.Timestamp(later))).tolist()
    assert rows(frame, Test("t", op, later)) == expected
    assert rows(frame, Test("t", op, f"{MOMENT}.000000001")) == expected


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "US/Pacific"])
@pytest.mark.parametrize("op", OPERATORS)
def test_times_with_a_zone_compare_as_in_pandas(zone: str, op: str) -> None:
    """Text without a zone is read in the zone of the column; others are instants."""
    times = pd.Series(np.array(TIMES, "datetime64[ns]")).dt.tz_localize(zone)
    frame = pd.DataFrame({"t": times})
    moment = pd.Timestamp(MOMENT, tz=zone)
    expected = np.flatnonzero(OPERATORS[op](frame["t"], moment)).tolist()
    utc = moment.tz_convert("UTC")
    for value in (MOMENT, moment, utc, utc.to_pydatetime(), utc.isoformat(), moment.isoformat()):
        assert rows(frame, Test("t", op, value)) == expected
    midnight = pd.Timestamp("2024-02-01", tz=zone)
    expected = np.flatnonzero(OPERATORS[op](frame["t"], midnight)).tolist()
    assert rows(frame, Test("t", op, dt.date(2024, 2, 1))) == expected
    with pytest.raises(errors.ExpressionError, match=zone):
        rows(frame, Test("t", op, pd.Timestamp(MOMENT)))


@pytest.mark.parametrize("op", OPERATORS)
def test_lengths_dates_and_clocks(op: str) -> None:
    """Durations, columns of dates and of times of the day compare as Python compares them."""
    lengths = pd.to_timedelta(["1 day", "3 days", None, "5 h", "1 us", "-1 s"])
    dates = [dt.date(2024, 1, 31), dt.date(2300, 1, 1), None, dt.date(1890, 5, 5)]
    clocks = [dt.time(12, 30), dt.time(0), None, dt.time(12, 30, 0, 1)]
    frame = pd.DataFrame({"length": lengths})
    expected = np.flatnonzero(OPERATORS[op](frame["length"], pd.Timedelta("5 h"))).tolist()
    five = dt.timedelta(hours=5)
    for value in ("5 h", "PT5H", five, pd.Timedelta(five), np.timedelta64(300, "m")):
        assert rows(frame, Test("length", op, value)) == expected

    def python(values: list[Any], value: Any) -> list[int]:
        pairs = enumerate(values)
        return [i for i, v in pairs if (op == "!=" if v is None else OPERATORS[op](v, value))]

    frame = pd.DataFrame({"day": pd.Series(dates, dtype=object)})
    for value in (
        "2024-01-31",
        dates[0],
        dt.datetime.fromisoformat("2024-01-31"),
        np.datetime64("2024-01-31"),
    ):
        assert rows(frame, Test("day", op, value)) == python(dates, dates[0])
    frame = pd.DataFrame({"clock": pd.Series(clocks, dtype=object)})
    for value in ("12:30", "12:30:00.000", dt.time(12, 30)):
        assert rows(frame, Test("clock", op, value)) == python(clocks, clocks[0])


def test_lists_ranges_and_missing_times() -> None:
    """Values in a list, intervals, periods and every missing value."""
    frame = pd.DataFrame({"t": np.array(TIMES, "datetime64[us]")})
    times = frame["t"]
    low, high = pd.Timestamp("2024-01-01"), pd.Timestamp("2024-02-01")
    for closed in ("both", "neither", "left", "right"):
        inside = times.between(low, high, inclusive=closed)
        assert asked(frame, t=pd.Interval(low, high, closed)) == np.flatnonzero(inside).tolist()
    assert asked(frame, t=pd.Period("2024-01", "M")) == [0, 1]
    assert asked(frame, t=[dt.date(2024, 1, 1), "2024-02-01", np.datetime64("2030-05-05")]) == [
        0, 2, 5,
    ]  # fmt: skip
    assert asked(frame, t=times.to_numpy()[[1, 3]]) == [1, 3]
    assert asked(frame, t=times.iloc[[1, 3]]) == asked(frame, t=pa.array(times.iloc[[1, 3]]))
    for missing in (None, pd.NaT, np.nan, pd.NA, np.datetime64("NaT", "s"), [float("nan")]):
        assert asked(frame, t=missing) == [3]
    assert rows(frame, parse("t in ['2024-02-01', None]")) == [2, 3]
    assert rows(frame, parse("not t < '2024-02-01'")) == [2, 3, 5]


@pytest.mark.parametrize(
    ("column", "value", "match"),
    [
        ("t", 20240131, "not a time"),
        ("t", 1.5, "not a time"),
        ("t", True, "not a time"),
        ("t", "next week", "not a time"),
        ("t", "01/02/2024", "not a time"),
        ("t", "2024-02-30", "day"),
        ("t", pd.Timestamp("2024-01-31", tz="UTC"), "has a time zone"),
        ("t", "2024-01-31T00:00Z", "has a time zone"),
        ("t", pd.Timedelta("1 day"), "not a time"),
        ("length", 3, "length of time"),
        ("length", "3", "unit"),
        ("length", "soon", "length of time|unit|abbreviation"),
        ("length", np.timedelta64(1, "M"), "fixed length"),
        ("clock", "noon", "time of the day"),
        ("number", "3", "without quotes"),
        ("number", pd.Timestamp("2024-01-01"), "int8"),
        ("number", [1, "a"], "int8"),
        ("text", 3, "quotes"),
        ("text", b"a", "Decode"),
        ("text", lambda x: x, "as text"),
        ("number", slice(1, 3), "Interval"),
        ("text", {"a": 1}, "list of values"),
        ("text", [["a"]], "list of values"),
        ("text", pd.DataFrame({"a": ["a"]}), "list of values"),
        ("text", np.array([["a"]]), "list of values"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_words(column: str, value: Any, match: str) -> None:
    """Numbers with times, text with numbers, functions, tables: what to pass instead."""
    frame = pd.DataFrame(
        {
            "t": np.array(["2024-01-01"], "datetime64[us]"),
            "length": pd.to_timedelta(["1 day"]),
            "clock": pd.Series([dt.time(12)], dtype=object),
            "number": np.array([1], np.int8),
            "text": ["a"],
        }
    )
    with pytest.raises(errors.ExpressionError, match=match):
        asked(frame, **{column: value})


BIG = 2**53
NUMBERS = {
    "int8": ([1, 2, -128, 127, 0], np.int8),
    "uint8": ([1, 2, 255, 0, 127], np.uint8),
    "int64": ([BIG, BIG + 1, -BIG - 1, 2**63 - 1, -(2**63)], np.int64),
    "uint64": ([BIG + 1, 2**64 - 1, 2**64 - 2, 0, 2**63], np.uint64),
    "bool": ([True, False, True], np.bool_),
}
VALUES = st.one_of(
    st.sampled_from([v for values, _ in NUMBERS.values() for v in values]),
    st.integers(-300, 300),
    st.sampled_from([BIG + 0.0, 2.0**63, 2.0**64, 1.5, -0.5, float("inf"), float("-inf"), 1e300]),
    st.sampled_from([Decimal(1), Decimal("1.5"), Decimal(BIG + 1), 10**30, -(10**400)]),
    st.sampled_from([np.int8(1), np.uint64(2**64 - 1), np.float32(1.5), np.bool_(True)]),
)


@given(st.sampled_from(list(NUMBERS)), st.sampled_from(list(OPERATORS)), VALUES)
@settings(max_examples=400, deadline=None)
def test_whole_numbers_compare_exactly(name: str, op: str, value: Any) -> None:
    """Every dtype with every number, as Python compares it with an int: nothing is rounded."""
    held, dtype = NUMBERS[name]
    frame = pd.DataFrame({"x": np.array(held, dtype)})
    plain = value.item() if isinstance(value, np.generic) else value
    expected = [i for i, v in enumerate(held) if OPERATORS[op](v, plain)]
    assert rows(frame, Test("x", op, value)) == expected
    equal = [i for i, v in enumerate(held) if v == plain]
    assert asked(frame, x=value) == asked(frame, x=[value, 10**40, 0.25]) == equal
    wide = {"bool": "boolean", "int8": "Int8", "uint8": "UInt8", "int64": "Int64"}.get(
        name, "UInt64"
    )
    nullable = pd.DataFrame({"x": pd.array([*held, None], dtype=wide)})
    expected += [len(held)] * (op == "!=")
    assert rows(nullable, Test("x", op, value)) == expected
    assert asked(nullable, x=[value, pd.NA]) == [*equal, len(held)]


FLOATS = st.one_of(
    st.floats(allow_nan=False), st.floats(allow_nan=False, width=32), st.integers(-(10**6), 10**6)
)


@given(
    st.sampled_from(["float32", "float64"]),
    st.sampled_from(list(OPERATORS)),
    st.lists(FLOATS, min_size=1, max_size=6),
    FLOATS,
)
@settings(max_examples=300, deadline=None)
def test_floats_compare_as_in_numpy(dtype: str, op: str, held: list[float], value: Any) -> None:
    """A value is rounded to the dtype of the column; keywords and expressions agree."""
    with np.errstate(over="ignore"):
        column = np.array([*held, value, np.nan], dtype)
    frame = pd.DataFrame({"x": column})
    largest = float(np.finfo(dtype).max)
    beyond = abs(value) > largest and abs(value) != float("inf")
    # Beyond the largest float NumPy says infinity; no cell equals such a value.
    exact = column.astype(np.float64) if beyond else column
    expected = np.flatnonzero(OPERATORS[op](exact, value)).tolist()
    assert rows(frame, Test("x", op, value)) == expected
    equal = np.flatnonzero(exact == value).tolist()
    assert asked(frame, x=value) == asked(frame, x=[value]) == rows(frame, Test("x", "==", value))
    assert asked(frame, x=np.array([value, np.nan])) == sorted({*equal, len(column) - 1})


def test_float32_cells_are_found_by_what_was_written() -> None:
    """subset(dose=0.1) is subset("dose == 0.1"), in lists as well; decimals read as written."""
    doses = [0.1, 0.25, 1 / 3, 1e30]
    decimals = [Decimal("0.10"), Decimal("0.25"), None, Decimal("3.00")]
    frame = pd.DataFrame(
        {"dose": np.array(doses, "f4"), "exact": pd.Series(decimals, dtype=object)}
    )
    for i, dose in enumerate(doses):
        assert asked(frame, dose=dose) == rows(frame, parse(f"dose == {dose!r}")) == [i]
        assert asked(frame, dose=[dose, 5]) == rows(frame, parse(f"dose in [{dose!r}, 5]")) == [i]
        assert asked(frame, dose=np.float32(dose)) == [i]
    assert asked(frame, exact=0.1) == asked(frame, exact=Decimal("0.1")) == [0]
    assert rows(frame, parse("exact > 0.1")) == rows(frame, parse("exact >= 0.25")) == [1, 3]
    assert asked(frame, exact=[3, None]) == [2, 3]
    assert rows(frame, parse("exact != 3")) == [0, 1, 2]


def test_categories_that_are_numbers_follow_the_same_rules() -> None:
    """Categories of whole numbers, fractions and booleans; unknown ones are an error."""
    frame = pd.DataFrame(
        {
            "k": pd.Categorical([1, BIG + 1, None, 1]),
            "f": pd.Categorical([0.5, 1.5, None, 0.5]),
            "b": pd.Categorical([True, False, None, True]),
        }
    )
    assert asked(frame, k=[BIG + 1, None]) == [1, 2]
    assert rows(frame, parse("k > 1")) == [1]
    assert rows(frame, parse(f"k < {BIG + 1}")) == [0, 3]
    assert rows(frame, parse("f <= 0.5")) == asked(frame, f=Decimal("0.5")) == [0, 3]
    assert asked(frame, b=np.True_) == asked(frame, b=1) == [0, 3]
    with pytest.raises(errors.UnknownValueError):
        asked(frame, k=2)


def test_any_list_of_values(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sets, tuples, generators, arrays, Series, Index and Arrow are lists of values."""
    frame = pd.DataFrame({"c": pd.Categorical(["a", "b", None, "a"]), "n": [1, 2, 3, 4]})
    lists: list[Any] = [
        {"a"}, frozenset("a"), ("a",), (x for x in "a"), np.array(["a"]), pd.Series(["a"]),
        pd.Index(["a"]), pa.array(["a"]), pa.chunked_array([["a"]]), pd.Categorical(["a"]),
        np.str_("a"), pa.scalar("a"), np.array("a"), {"a": 1}.keys(), pd.array(["a"], "string"),
    ]  # fmt: skip
    for values in lists:
        assert asked(frame, c=values) == [0, 3]
    for missing in (None, np.nan, pd.NA, pd.NaT, pa.scalar(None, pa.string()), Decimal("NaN")):
        assert asked(frame, c=missing) == [2]
        assert asked(frame, c=["a", missing]) == [0, 2, 3]
    assert asked(frame, n=range(2, 4)) == asked(frame, n=np.array([2.0, 3.0])) == [1, 2]
    assert asked(frame, n=pd.array([2, None], "Int64")) == [1]
    assert asked(frame, n=[]) == []


@pytest.fixture
def study() -> ad.AnnData:
    """Eight cells with a column of every type, some missing, some names twice."""
    n = 8
    times = np.array([*TIMES, "2024-01-31T12:00", "NaT"], "datetime64[us]")
    gone = np.arange(n) % 4 == 3
    obs = pd.DataFrame(
        {
            "time": times,
            "zoned": pd.Series(times).dt.tz_localize("Europe/Berlin").array,
            "length": times - np.datetime64("2024-01-01"),
            "whole": pd.array(np.where(gone, None, np.arange(n)), dtype="Int64"),
            "flag": pd.array(np.where(gone, None, np.arange(n) % 2 == 0), dtype="boolean"),
            "dose": np.where(gone, np.nan, np.arange(n) / 10).astype("f4"),
            "big": np.arange(n) + BIG,
            "kind": pd.Categorical(np.where(gone, None, np.array(list("abcdabcd"), object))),
            "note": pd.Series([None if g else f"note {i % 3}" for i, g in enumerate(gone)]).array,
            "empty": pd.Series([None] * n, dtype=object).array,
        },
        index=[f"c{i}" for i in range(n)],
    )
    var = pd.DataFrame(index=[f"G{i}" for i in range(6)])
    return ad.AnnData(np.arange(n * 6, dtype="f4").reshape(n, 6), obs=obs, var=var)


CONDITIONS: list[Any] = [
    "time > '2024-01-31'",
    "zoned <= '2024-01-31 12:00'",
    "length >= '1 day'",
    "whole == 2",
    "whole in [1, 2, None]",
    "whole > 1.5",
    "flag",
    "not flag",
    "flag == False",
    "flag.isna()",
    "dose == 0.1",
    "dose in [0.1, 0.2]",
    "big == 9007199254740993",
    "kind == 'a' or note == 'note 1'",
    "kind != 'a'",
    "note.isna() or time < '2024-01-15'",
    "empty.isna()",
    "empty == 'a'",
    "_index in ['c1', 'c7']",
    "_source_row >= 5",
    "dataset == 'x' and organism == 'human'",
    {"time": pd.Timestamp("2024-01-31 12:00"), "kind": ["b", "c"]},
    {"dose": [np.float32(0.1), np.nan]},
    pc.field("whole") > 3,
    pc.field("time") > dt.datetime.fromisoformat("2024-01-31"),
    pc.field("zoned") > pd.Timestamp("2024-01-31", tz="UTC"),
]


@pytest.mark.parametrize("condition", CONDITIONS, ids=str)
def test_a_source_chooses_what_a_store_would(write: Any, study: ad.AnnData, condition: Any) -> None:
    """Source(subset=) is writing everything and then store.subset, whatever columns are kept."""
    whole = write(dao.Source(study, id="x", organism="human"), "whole.dao")
    expected = sorted(whole.subset(condition).obs["_source_row"])
    assert 0 < len(expected) < 8 or "empty" in str(condition) or "dataset" in str(condition)
    source = dao.Source(study, id="x", organism="human", subset=condition)
    for name, options in {"all": {}, "few": {"obs_columns": ["kind"]}}.items():
        if expected:
            part = write(source, f"{name}.dao", **options)
            assert sorted(part.obs["_source_row"]) == expected


def test_a_source_is_filtered_under_its_new_names(write: Any, study: ad.AnnData) -> None:
    """Renames, new values and constants come first; a schema that drops columns comes last."""
    source = dao.Source(
        study,
        id="x",
        obs={"type": ("kind", {"a": "A", "b": "A"}), "n": "whole"},
        constants={"year": 2021},
        subset="type == 'A' and n < 5 and year == 2021 and flag",
    )
    schema = {"type": dao.ObsColumn("category")}
    assert write(source, obs_schema=schema).obs["_source_row"].tolist() in ([0, 4], [4, 0])
    for wrong, match in {
        "kind == 'a'": "no obs column 'kind'",
        "n == '3'": "without quotes",
        "type == 'B'": "Did you mean|Known",
        "flag == 'True'": "without quotes: True",
    }.items():
        broken = dao.Source(study, id="x", obs=source.obs, constants=source.constants, subset=wrong)
        with pytest.raises(errors.DaoError, match=match) as caught:
            write(broken, "wrong.dao")
        assert "subset of AnnData 'x'" in str(caught.value)
    with pytest.raises(errors.ArgumentError, match="where must be"):
        write(dao.Source(study, id="x", subset=["a"]), "wrong.dao")


def test_a_column_that_dao_fills_itself_is_not_guessed(write: Any, study: ad.AnnData) -> None:
    """A study's own column `organism` is asked for under the name that it is stored as."""
    study.obs["organism"] = pd.Categorical(["human", "mouse"] * 4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", errors.DaoWarning)
        with pytest.raises(errors.UnknownColumnError, match="organism_original"):
            write(
                dao.Source(study, id="x", organism="mouse", subset="organism == 'mouse'"), "a.dao"
            )
        condition = "organism_original == 'mouse'"
        store = write(dao.Source(study, id="x", organism="mouse", subset=condition), "b.dao")
    assert sorted(store.obs["_source_row"]) == [1, 3, 5, 7]


def test_the_filters_of_a_store_are_those_of_its_frame(
    write: Callable[..., dao.Store], study: ad.AnnData
) -> None:
    """Of several studies, one without a column: as pandas on store.obs."""
    other = study[::-1].copy()
    del other.obs["time"]
    other.obs_names = [f"d{i}" for i in range(8)]
    store = write({"x": study, "y": other})
    obs = store.obs
    when = pd.Timestamp("2024-01-31 12:00")
    for op, compare in OPERATORS.items():
        got = store.subset(f"time {op} '{when}'").obs.index
        assert list(got) == list(obs.index[compare(obs["time"], when)])
        got = store.subset(f"whole {op} 2 and big {op} {BIG + 2}").obs.index
        mask = compare(obs["whole"], 2).fillna(op == "!=") & compare(obs["big"], BIG + 2)
        assert list(got) == list(obs.index[mask.to_numpy(bool)])
    assert store.subset(time=None).n_obs == int(obs["time"].isna().sum())
    assert store.subset(flag=pd.NA).n_obs == int(obs["flag"].isna().sum())


@pytest.mark.parametrize(
    "text",
    [
        "time.dt.hour == 3", "3 < time.dt.hour", "text.cat.codes == 0", "text.str.len() > 2",
        "text.str[0] == 'a'", "time.dt.year in [2024]", "time.dt.month.isin([1])", "whole.values > 2",
        "2 < time.dt.day < 4", "time.dt.year is None", "text[0] == 'a'",
    ],
)  # fmt: skip
def test_accessors_are_calculations(write: Callable[..., dao.Store], study: Any, text: str) -> None:
    """Attributes and items of a column are refused with the way that does it."""
    with pytest.raises(
        errors.ExpressionError, match=r"is a calculation or function.*store\[mask\]"
    ):
        write(study).subset(text)


def test_infinity_in_an_expression(write: Any) -> None:
    """`inf` and `-inf` are numbers, as for pandas in a mask."""
    values = np.array([np.inf, -np.inf, 0, 3, np.nan, np.inf])
    frame = pd.DataFrame({"x": values, "inf": np.arange(6)}, index=[f"c{i}" for i in range(6)])
    study = ad.AnnData(np.ones((6, 2), np.float32), frame)
    store = write(dao.Source(study, id="x"), "inf.dao", shuffle=False)
    x = frame["x"]
    for text, mask in {
        "x == inf": x == np.inf,
        "x == -inf": x == -np.inf,
        "inf == x": x == np.inf,
        "x < inf": x < np.inf,
        "-inf < x < inf": (x > -np.inf) & (x < np.inf),
        "x in [inf, 3]": x.isin([np.inf, 3]),
        "x >= +inf": x >= np.inf,
        "`inf` > 3": frame["inf"] > 3,
        "inf > 3": frame["inf"] > 3,
    }.items():
        assert store.subset(text).obs["_source_row"].tolist() == np.flatnonzero(mask).tolist(), text


def test_hints_of_expressions(write: Any, study: ad.AnnData) -> None:
    """What pandas or Python would take is answered with what to write."""
    store = write(dao.Source(study, id="x"), "hints.dao")
    for text, match in {
        "kind == ['a', 'b']": r"write kind in \['a', 'b'\]",
        "kind != ('a',)": r"write kind not in \('a',\)",
        "whole > [3]": "is a list, and > compares with one value",
        "dose == nan": "missing value, which is written as in `dose == None`",
        "dose < NA": "missing value",
    }.items():
        with pytest.raises(errors.ExpressionError, match=match):
            store.subset(text)
    with pytest.raises(errors.DaoError, match=r"is an expression.*store.subset\('whole > 3'\)"):
        store["whole > 3"]
