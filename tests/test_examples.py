"""Every public name shows how it is used; pytest runs the examples."""

from __future__ import annotations

import inspect
from importlib import import_module
from types import ModuleType
from typing import Any

import pytest

from dao.batches.generator import Generator
from dao.store import Store

# What has no example, and why.
EXEMPT = {
    "dao.samplers.Rows": "dao makes it; `Sampler` has a whole sampler that uses it",
    "Generator.ahead": "for other rooms of dao",
    "Generator.begin": "for other rooms of dao",
    "Generator.course": "for other rooms of dao",
    "Generator.iterate": "for other rooms of dao",
    "Generator.plan": "for other rooms of dao",
    "Generator.shortest_batch": "for other rooms of dao",
    "Generator.state_of": "for other rooms of dao",
    "Generator.stream": "for other rooms of dao",
    "Generator.upcoming": "for other rooms of dao",
    "Generator.jax": "as `Store.jax`",
    "Generator.tensorflow": "as `Store.tensorflow`",
    "Generator.torch": "as `Store.torch`",
    "Store.column_info": "for other rooms of dao",
    "Store.feature_positions": "for other rooms of dao",
    "Store.matrix_infos": "for other rooms of dao",
    "Store.mean_nnz": "for other rooms of dao",
    "Store.stored_row_bytes": "for other rooms of dao",
}


def names_of(module: str) -> dict[str, Any]:
    """Return the public names of a module that are no modules themselves."""
    found = import_module(module)
    named = {f"{module}.{name}": getattr(found, name) for name in found.__all__}
    return {name: thing for name, thing in named.items() if not isinstance(thing, ModuleType)}


def methods_of(cls: type) -> dict[str, Any]:
    """Return the public methods of a class; what is a mere value is shown by the class."""
    found = inspect.getmembers(cls, inspect.isfunction)
    return {f"{cls.__name__}.{name}": it for name, it in found if not name.startswith("_")}


PUBLIC = (
    names_of("dao")
    | names_of("dao.samplers")
    | names_of("dao.transforms")
    | methods_of(Store)
    | methods_of(Generator)
)


@pytest.mark.parametrize("name", sorted(set(PUBLIC) - set(EXEMPT)))
def test_there_is_an_example(name: str) -> None:
    """Its docstring has examples, and with them something to run."""
    _, _, examples = (inspect.getdoc(PUBLIC[name]) or "").partition("Examples\n--------\n")
    assert ">>> " in examples


def test_nothing_else_is_exempt() -> None:
    """Who got an example, or is gone, is no exception any more."""
    for name in EXEMPT:
        assert "Examples\n--------" not in (inspect.getdoc(PUBLIC[name]) or ""), name
