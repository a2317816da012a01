"""Tools for those who test with dao: the contract of a backend, and readers that misbehave.

`dao.testing.doctest` is a pytest plugin that gives examples a store to work on.
"""

from __future__ import annotations

from dao.testing.contract import BackendContract
from dao.testing.readers import FaultyReader, LatencyReader, WrappedReader

__all__ = ["BackendContract", "FaultyReader", "LatencyReader", "WrappedReader"]
