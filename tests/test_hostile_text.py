"""Hostile text: any filter or recipe is used, or refused by an error of dao, without a warning."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import dao
from dao import errors
from dao.recipe import read_recipe

GOLDEN = Path(__file__).parent / "golden" / "v1" / "store.dao"
MANY = settings(
    deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
NINES = "9" * 5000
COLUMNS = ["cell_type", "stage", "n_genes", "score", "batch", "doublet", "barcode", "dataset"]
COLUMNS += ["_index", "nope", "__column_0", f"__column_{NINES}", "__column_٣", "`stage`", "``"]
VALUES = ["10**400", "1e999", "nan", "1j", "b'x'", "...", "None", "True", "[]", "[1,'a']", "{1}"]
VALUES += [r"'\d'", r"'\ud800'", "'T cell'", "descendants('T cell')", "descendants()", "-5", NINES]
VALUES += [f"0x{'f' * 9000}", f"1+0x{'f' * 9000}", "['T cell', None]", "*x", "{**a}", "f'{x}'"]
OPERATORS = ["==", "!=", "<", ">=", " in ", " not in ", " is ", "=", ":=", "<>"]
CALLS = [".isin({})", ".between({}, 1)", ".str.contains({})", ".match({})", ".__class__({})"]

columns = st.sampled_from(COLUMNS)
values = st.one_of(st.sampled_from(VALUES), st.text(max_size=8).map(repr), st.integers().map(str))
conditions = st.one_of(
    st.tuples(columns, st.sampled_from(OPERATORS), values).map("".join),
    st.builds(lambda c, call, v: c + call.format(v), columns, st.sampled_from(CALLS), values),
    columns,
    values,
)
filters = st.recursive(
    conditions,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from([" and ", " or ", "&", "|", "+", ","]), inner).map(
            "".join
        ),
        st.sampled_from(["not ({})", "~({})", "(lambda: {})()"]).flatmap(
            lambda around: inner.map(around.format)
        ),
    ),
    max_leaves=4,
)
NESTED = {
    "parentheses": "(" * 5000 + "doublet" + ")" * 5000,
    "not": "not " * 900 + "doublet",
    "tilde": "~" * 100_000 + "doublet",
    "and": "&".join(["doublet"] * 900),
    "minus": "n_genes == " + "-" * 3000 + "1",
    "sum": "n_genes == " + "1+" * 2000 + "1",
    "attributes": "cell_type." + "str." * 3000 + "x()",
    "lists": "cell_type in " + "[" * 300 + "]" * 300,
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> dao.Store:
    """A golden store."""
    path = tmp_path_factory.mktemp("text") / "store.dao"
    return dao.load_store(shutil.copytree(GOLDEN, path))


@given(text=st.one_of(filters, filters, st.text(max_size=60)))
@MANY
def test_filters(store: dao.Store, text: str) -> None:
    """Text of the language, nearly of it, and text that is none."""
    with suppress(errors.DaoError):
        assert store.subset(text).n_obs <= store.n_obs


@pytest.mark.parametrize("kind", NESTED)
def test_filters_that_are_nested(store: dao.Store, kind: str) -> None:
    """Refused, in words that are shorter than the filter."""
    with pytest.raises(errors.ExpressionError) as caught:
        store.subset(NESTED[kind])
    assert len(str(caught.value)) < 1000


def test_backslashes_are_no_warning(store: dao.Store) -> None:
    """Regular expressions are full of them."""
    assert store.subset(r"barcode.str.match('AC\d+-1$')").n_obs == 16


@pytest.mark.parametrize("method", ["take", "select_features", "value_counts"])
@pytest.mark.parametrize("value", [None, 3, {"a": 1}, object(), 1.5])
def test_arguments_of_wrong_types(store: dao.Store, method: str, value: Any) -> None:
    """They are errors of dao as well."""
    with pytest.raises(errors.DaoError):
        getattr(store["human"], method)(value)


SCALARS = ["true", "nan", "1e400", "1979-05-27", "07:32:00", '""', '"gut.h5ad"', '"*.h5ad"', "-1"]
SCALARS += ['"../../*"', r'"a\u0000b"', '"2GiB"', '"n_genes > 3"', '"s3://x/y"', '"["', '"~"']
SCALARS += ['"[!"', '"fast"', "9" * 30, f'"{"x" * 5000}"']
KEYS = ["store", "organism", "features", "layers", "obs_columns", "obs_schema", "shuffle", "seed"]
KEYS += ["cluster_by", "profile", "memory", "nope", "path", "id", "obs", "constants", "subset"]
HEADS = ["[[source]]", '[[source]]\npath = "*.h5ad"', "[defaults]", "[source]", "[features]"]
toml = st.recursive(
    st.sampled_from(SCALARS),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda v: f"[{', '.join(v)}]"),
        st.builds(
            "{{{} = {}}}".format, st.sampled_from(["path", "column", "values", "dtype"]), inner
        ),
    ),
    max_leaves=4,
)
lines = st.one_of(st.builds("{} = {}".format, st.sampled_from(KEYS), toml), st.sampled_from(HEADS))
recipes = st.lists(lines, max_size=7).map(lambda found: "\n".join(found).encode())


@given(content=st.one_of(recipes, recipes, st.binary(max_size=60)))
@MANY
def test_recipes(tmp_path: Path, content: bytes) -> None:
    """Whatever the file holds."""
    (tmp_path / "gut.h5ad").touch()
    (tmp_path / "r.toml").write_bytes(content)
    with suppress(errors.DaoError):
        assert read_recipe(tmp_path / "r.toml").sources


def test_a_recipe_that_is_nested(tmp_path: Path) -> None:
    """No recursion without end."""
    (tmp_path / "r.toml").write_text("a = " + "[" * 5000 + "]" * 5000)
    with pytest.raises(errors.RecipeError, match="not TOML"):
        read_recipe(tmp_path / "r.toml")
