"""Backend ``memory``: decoded once, kept in RAM in the narrowest dtypes."""

from __future__ import annotations

from dao_backends.memory.reader import MemoryBackend, MemoryReader

__all__ = ["MemoryBackend", "MemoryReader"]
