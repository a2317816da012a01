"""Stores in the hands of other libraries: Lightning and scvi-tools."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dao.integrations.lightning import LightningStore
    from dao.integrations.monitor import LoaderMonitor
    from dao.integrations.scvi import ScviStore

__all__ = ["LightningStore", "LoaderMonitor", "ScviStore"]

# Imported on first use, because each needs a package that not everybody has.
_HOME = {
    "LightningStore": "dao.integrations.lightning",
    "LoaderMonitor": "dao.integrations.monitor",
    "ScviStore": "dao.integrations.scvi",
}


def __getattr__(name: str) -> object:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    msg = f"module 'dao.integrations' has no attribute {name!r}"
    raise AttributeError(msg)


def __dir__() -> list[str]:
    return sorted(__all__)
