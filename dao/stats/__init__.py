"""Statistics of a selection, block by block: never more of X in memory than a few blocks."""

from __future__ import annotations
