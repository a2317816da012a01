"""Backend ``dask``: rows are read and decoded by the workers of a dask scheduler."""

from __future__ import annotations

from dao_backends.dask.reader import DaskBackend, DaskReader

__all__ = ["DaskBackend", "DaskReader"]
