"""One plot of what `scale.py` measured: seconds and memory by number of cells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator
from plots import SETTINGS, save

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from matplotlib.axes import Axes

SECONDS = {
    "write": "write",
    "open": "open",
    "filter": "filter on three columns",
    "plan": "generator over 9 % of the cells",
    "first": "first batch",
}
MEMORY = {"write_peak": "writing", "peak": "using"}
COLORS = ("#c0392b", "#2c3e50", "#2980b9", "#8e44ad", "#7f8c8d")


def draw(measured: Mapping[int, Mapping[str, Any]], file: Path) -> None:
    """Write the plot.

    Parameters
    ----------
    measured
        Number of cells to what a store of so many cost.
    file
        An SVG; the same figures give the same bytes.
    """
    with mpl.rc_context(SETTINGS):
        canvas = Figure(figsize=(7.5, 3.8), layout="constrained")
        left, right = canvas.subplots(1, 2, width_ratios=(3, 2))
        _lines(left, measured, SECONDS)
        left.set_yscale("log")
        left.set_ylabel("seconds")
        _lines(right, {n: _in_gigabytes(found) for n, found in measured.items()}, MEMORY)
        right.set_ylim(bottom=0)
        right.set_ylabel("peak memory, GB")
        save(canvas, file)


def _in_gigabytes(found: Mapping[str, Any]) -> dict[str, float]:
    return {key: found[key] / 1000 for key in MEMORY if key in found}


def _lines(
    axes: Axes, measured: Mapping[int, Mapping[str, Any]], titles: Mapping[str, str]
) -> None:
    for (key, title), color in zip(titles.items(), COLORS, strict=False):
        cells = [n for n in measured if key in measured[n]]
        axes.plot(cells, [measured[n][key] for n in cells], "o-", color=color, ms=4, label=title)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(numticks=9))
    axes.set_xlabel("cells in the store")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8, loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
