"""Faults that are known and open: what the machines leave out until they are mended.

A name is used by `left_out` where the fault is avoided. The table is empty when all is well; an
entry goes as soon as its mend has landed.
"""

from __future__ import annotations

KNOWN: dict[str, str] = {}


def left_out(name: str) -> bool:
    """Return whether a fault is known and open."""
    return name in KNOWN
