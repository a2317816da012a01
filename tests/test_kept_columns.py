"""Columns that a source names, and that `obs_columns` or `obs_schema` leave out of the store."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import pytest

import dao
from dao.errors import ArgumentError, DaoWarning, UnknownColumnError

if TYPE_CHECKING:
    from collections.abc import Callable

Make = Any
KEEP = [
    {"obs_columns": ["cell_type"]},
    {"obs_schema": {"cell_type": "category"}},
]


@pytest.mark.parametrize("keep", KEEP)
def test_a_constant_is_never_lost(
    write: Callable[..., dao.Store], make_study: Make, keep: dict[str, Any]
) -> None:
    """It is an error that names the argument; once it is named there, the column is stored."""
    source = dao.Source(make_study(), id="a", constants={"assay": "10x"})
    (argument,) = keep
    with pytest.raises(ArgumentError, match=f"'assay' would be lost, because {argument}"):
        write(source, **keep)
    named = (
        [*keep[argument], "assay"]
        if argument == "obs_columns"
        else {**keep[argument], "assay": "category"}
    )
    store = write(source, **{argument: named})
    assert store.obs["assay"].tolist() == ["10x"] * 50


@pytest.mark.parametrize("keep", KEEP)
def test_a_renamed_column_that_is_not_stored(
    write: Callable[..., dao.Store], make_study: Make, keep: dict[str, Any]
) -> None:
    """A warning, but not where it was renamed to choose cells by it."""
    with pytest.warns(DaoWarning, match="'phase', which is not stored"):
        write(dao.Source(make_study(), id="a", obs={"phase": "stage"}), **keep)
    plain = make_study()
    del plain.layers["doubled"], plain.obsm["X_pca"]  # nothing else is left out
    chosen = dao.Source(plain, id="a", obs={"phase": "stage"}, subset="phase == 'late'")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        store = write(chosen, name="chosen.dao", **keep)
    assert store.n_obs == int((make_study().obs["stage"] == "late").sum())


@pytest.mark.parametrize("keep", KEEP)
def test_clustered_by_what_is_not_stored(
    write: Callable[..., dao.Store], make_study: Make, keep: dict[str, Any]
) -> None:
    """The error names the argument that leaves the column out."""
    (argument,) = keep
    with pytest.raises(UnknownColumnError, match=f"not stored, because {argument} does not"):
        write(make_study(), cluster_by=["stage"], **keep)


def test_an_append_follows_the_schema_of_the_store(
    write: Callable[..., dao.Store], make_study: Make
) -> None:
    """A constant that it lacks is refused there, too, and the store stays as it was."""
    write({"a": make_study()}, obs_schema={"cell_type": "category"})
    more = dao.Source(make_study(1), id="b", constants={"assay": "10x"})
    with pytest.raises(ArgumentError, match="'assay' would be lost"):
        write(more, mode="append")
    assert write({"c": make_study(2)}, mode="append").datasets == ["a", "c"]
