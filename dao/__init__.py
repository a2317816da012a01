"""dao: write single-cell studies once, stream any subset of their cells to a model.

>>> import dao
>>> store = dao.load_store("atlas.dao")  # doctest: +SKIP
>>> for batch in store.subset(tissue="lung").torch(batch_size=1024):  # doctest: +SKIP
...     batch["X"], batch["obs"]
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

import dao.forks  # noqa: F401 - from here on forks wait for what is imported

if TYPE_CHECKING:
    from dao import errors, integrations, samplers, testing, transforms
    from dao.batches.generator import Generator
    from dao.batches.interleave import interleave
    from dao.batches.progress import progress
    from dao.choose.saved import load_selection
    from dao.features.reference import Features
    from dao.format.declared import ObsColumn
    from dao.load import load_store
    from dao.recipe import Recipe, read_recipe
    from dao.store import Store
    from dao.validate import validate_store
    from dao.where.branch import descendants
    from dao.write.source import Source
    from dao.write.store import write_store

    __version__: str

__all__ = [
    "Features",
    "Generator",
    "ObsColumn",
    "Recipe",
    "Source",
    "Store",
    "descendants",
    "errors",
    "integrations",
    "interleave",
    "load_selection",
    "load_store",
    "progress",
    "read_recipe",
    "samplers",
    "testing",
    "transforms",
    "validate_store",
    "write_store",
]

# Imported on first use: `import dao` must stay light (no zarr, pyarrow, pandas, torch).
_HOME = {
    "Features": "dao.features.reference",
    "Generator": "dao.batches.generator",
    "ObsColumn": "dao.format.declared",
    "Recipe": "dao.recipe",
    "Source": "dao.write.source",
    "Store": "dao.store",
    "interleave": "dao.batches.interleave",
    "descendants": "dao.where.branch",
    "load_selection": "dao.choose.saved",
    "load_store": "dao.load",
    "progress": "dao.batches.progress",
    "read_recipe": "dao.recipe",
    "validate_store": "dao.validate",
    "write_store": "dao.write.store",
}


def __getattr__(name: str) -> object:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    if name in {"errors", "integrations", "samplers", "testing", "transforms"}:
        return import_module(f"dao.{name}")
    if name == "__version__":
        from importlib.metadata import version

        return version("dao-store")
    msg = f"module 'dao' has no attribute {name!r}"
    raise AttributeError(msg)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
