"""Tools for those who test with dao: the contract of a backend, and what goes wrong on purpose.

`dao.testing.doctest` is a pytest plugin that gives examples a store to work on.
"""

from __future__ import annotations

from dao.testing.contract import BackendContract
from dao.testing.damage import damaged
from dao.testing.readers import FaultyReader, LatencyReader
from dao.wrapped import WrappedReader

__all__ = ["BackendContract", "FaultyReader", "LatencyReader", "WrappedReader", "damaged"]
