"""Cells in files that dao did not write, aligned on the fly and served as a read-only store."""

from dao_backends.foreign.reader import ForeignFiles

__all__ = ["ForeignFiles"]
