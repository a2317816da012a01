"""The names and signatures that other people's scripts rely on."""

from __future__ import annotations

import inspect
from importlib import import_module
from typing import Any

import pytest

import dao
from dao.store import Store

P = inspect.Parameter
NONE = P.empty


def signature(function: Any) -> list[tuple[str, Any, Any]]:
    """Return (name, default, kind) of every parameter."""
    parameters = inspect.signature(function).parameters.values()
    return [(p.name, p.default, p.kind) for p in parameters if p.name != "self"]


def keywords(**defaults: Any) -> list[tuple[str, Any, Any]]:
    """Return keyword-only parameters."""
    return [(name, default, P.KEYWORD_ONLY) for name, default in defaults.items()]


def test_write_store() -> None:
    """dao.write_store takes what the design says."""
    both = P.POSITIONAL_OR_KEYWORD
    assert signature(dao.write_store) == [
        ("path", NONE, both),
        ("sources", NONE, both),
        *keywords(
            organism=None, features="outer", feature_key=None, layer=None, layers=(), obsm=(),
            obs_columns=None, obs_schema=None, shuffle=True, cluster_by=None, seed=0, profile="fast",
            memory="2GiB", mode="create", client=None, storage_options=None, progress=True,
        ),
    ]  # fmt: skip


def test_load_store() -> None:
    """dao.load_store takes what the design says."""
    both = P.POSITIONAL_OR_KEYWORD
    assert signature(dao.load_store) == [
        ("path", NONE, both),
        ("backend", "auto", both),
        *keywords(columns=None, memory="1GiB", storage_options=None),
        ("backend_options", NONE, P.VAR_KEYWORD),
    ]


def test_store_methods() -> None:
    """Store's methods take what the design says."""
    both = P.POSITIONAL_OR_KEYWORD
    assert signature(Store.subset) == [
        ("where", None, both),
        *keywords(exclude=None),
        ("columns", NONE, P.VAR_KEYWORD),
    ]
    assert signature(Store.select_features) == [
        ("ids", None, both),
        ("missing", "error", both),
        *keywords(by=None, where=None),
        ("columns", NONE, P.VAR_KEYWORD),
    ]
    assert signature(Store.measured) == []
    assert signature(Store.generator) == [
        ("batch_size", 1024, both),
        *keywords(
            obs_keys=(), var_names=None, missing="error", layers=(), obsm=(), measured=False,
            x_format="csr", dtype="float32", sampler="shuffle", seed=0, drop_last=False,
            transform=None, rank=None, world_size=None, pad=True,
        ),
    ]  # fmt: skip
    for name in ("n_obs", "n_vars", "shape", "obs", "var", "var_names", "datasets"):
        assert isinstance(inspect.getattr_static(Store, name), property) or name in vars(Store)


@pytest.mark.parametrize(
    "module",
    ["dao", "dao.backend", "dao.errors", "dao.samplers", "dao.testing", "dao.where", "dao.sizes"],
)
def test_all_is_sorted_and_there(module: str) -> None:
    """__all__ is sorted and every name in it can be had."""
    found = import_module(module)
    assert sorted(found.__all__) == found.__all__
    for name in found.__all__:
        assert getattr(found, name) is not None


def test_every_public_error_is_a_dao_error() -> None:
    """All errors hang on one tree, and on the builtin that people would expect."""
    for name in dao.errors.__all__:
        error = getattr(dao.errors, name)
        assert issubclass(error, dao.errors.DaoError | UserWarning)
        if issubclass(error, KeyError):
            assert str(error("no such\nthing")) == "no such\nthing"


def test_unknown_names_are_attribute_errors() -> None:
    """A typing error in a name of the package is an ordinary AttributeError."""
    with pytest.raises(AttributeError, match="write_stores"):
        _ = dao.write_stores  # type: ignore[attr-defined]
