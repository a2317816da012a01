"""Figures as people write them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

NONE = "-"


def figure(value: float | None, unit: str) -> str:
    """Return a figure of a scenario with its unit."""
    if value is None:
        return NONE
    if unit == "B":
        return size(value)
    if unit == "%":
        return f"{value:.0%}"
    return f"{value:.2f} s" if unit == "s" else f"{value:.2f}x"


def in_order(speeds: Sequence[float]) -> str:
    """Return speeds of several rounds, in thousands."""
    return " · ".join(f"{x / 1000:,.3g}" if x < 1e6 else f"{x / 1000:,.0f}" for x in speeds)


def thousands(value: float) -> str:
    """Return a speed with the three digits that mean something."""
    return f"{float(f'{value:.3g}'):,.0f}"


def size(n: float) -> str:
    """Return a number of bytes for people."""
    for unit in ("B", "KiB", "MiB"):
        if n < 1024:
            return f"{n:.0f} {unit}"
        n /= 1024
    return f"{n:.2f} GiB"
