"""The pictures of a report: from facts to SVG."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from dao.printable import squeezed
from dao.report.figure import ACCENT, INK, LINE, MUTED, WIDTH, axes_only, drawing, to_svg

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from dao.report.facts import Histogram, PairFact

__all__ = ["bars", "boxes", "compact", "heat", "histogram", "shares", "steps"]

_LABEL = 26  # letters of a name beside a bar
_CELL_LABEL = 18
_ROW = 19


def compact(number: float) -> str:
    """Return a number in few letters.

    >>> compact(999), compact(12_345), compact(2_500_000), compact(0.25)
    ('999', '12k', '2.5M', '0.25')
    """
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(number) >= size * 0.9995:
            text = f"{number / size:.1f}" if abs(number) < 9.95 * size else f"{number / size:.0f}"
            return text.removesuffix(".0") + unit
    return f"{number:.3g}"


def bars(
    name: str, label: str, values: Sequence[str], numbers: Sequence[float], muted: int = 0
) -> str:
    """Draw a horizontal bar for each value, the first one on top; the last ones muted."""
    n = len(values)
    with drawing(_ROW * n + 8) as (figure, axes):
        places, colours = np.arange(n), [ACCENT] * (n - muted) + [LINE] * muted
        drawn = axes.barh(places, numbers, 0.68, color=colours)
        axes.bar_label(drawn, [f"{v:,}" for v in numbers], padding=4, color=MUTED, fontsize=9.5)
        axes.set_yticks(places, [squeezed(v, _LABEL) for v in values])
        axes.set_ylim(n - 0.4, -0.6)
        axes.set_xlim(0, max([*numbers, 1]) * 1.02)
        axes.xaxis.set_visible(False)
        axes.tick_params(length=0)
        axes_only(axes)
        return to_svg(figure, name, label)


def histogram(name: str, label: str, found: Histogram) -> str:
    """Draw how many cells lie between each two edges."""
    with drawing(120) as (figure, axes):
        axes.stairs(found.cells, found.edges, fill=True, color=ACCENT)
        axes.set_ylabel("cells")
        _few_ticks(axes)
        return to_svg(figure, name, label)


def steps(name: str, label: str, numbers: Sequence[int], what: tuple[str, str]) -> str:
    """Draw an upright bar for each of 0, 1, ...; ``what`` are the labels of the axes."""
    with drawing(150) as (figure, axes):
        axes.bar(np.arange(len(numbers)), numbers, 0.72, color=ACCENT)
        axes.set_xlabel(what[0])
        axes.set_ylabel(what[1])
        _few_ticks(axes)
        axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
        return to_svg(figure, name, label)


def boxes(
    name: str, label: str, values: Sequence[str], percentiles: Sequence[Sequence[float]]
) -> str:
    """Draw a box for each value, from its 5th, 25th, 50th, 75th and 95th percentile."""
    n = len(values)
    keys = ("whislo", "q1", "med", "q3", "whishi")
    stats: list[Any] = [dict(zip(keys, five, strict=True)) for five in percentiles]
    with drawing((_ROW + 3) * n + 34) as (figure, axes):
        axes.bxp(
            stats,
            positions=np.arange(n),
            widths=0.56,
            orientation="horizontal",
            showfliers=False,
            patch_artist=True,
            boxprops={"facecolor": ACCENT, "edgecolor": "none", "alpha": 0.55},
            medianprops={"color": INK, "linewidth": 1.6},
            whiskerprops={"color": MUTED},
            capprops={"color": "none"},
        )
        axes.set_yticks(np.arange(n), [squeezed(v, _LABEL) for v in values])
        axes.set_ylim(n - 0.4, -0.6)
        if min(five[0] for five in percentiles) > 0:
            _logarithmic(axes, min(five[0] for five in percentiles), max(p[4] for p in percentiles))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda v, _: compact(v)))
        axes.grid(visible=True, axis="x", color=LINE, linewidth=0.8)
        axes.set_axisbelow(True)
        axes.tick_params(axis="y", length=0)
        axes_only(axes, "bottom")
        return to_svg(figure, name, label)


def heat(name: str, label: str, found: PairFact) -> str:
    """Draw cells by two columns; a field is as dark as its share of the row."""
    cells = np.array(found.cells)
    share = cells / np.maximum(1, cells.sum(axis=1, keepdims=True))
    texts = [[compact(n) if n else "" for n in row] for row in cells.tolist()]
    return shares(name, label, share, texts, (found.row_values, found.column_values))


def shares(
    name: str, label: str, share: Any, texts: Any, names: tuple[Sequence[str], Sequence[str]]
) -> str:
    """Draw numbers from 0 to 1 as fields, from clear to dark, with texts in them."""
    n_rows, n_columns = share.shape
    colours = np.zeros((n_rows, n_columns, 4))
    colours[..., :3] = [int(ACCENT[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    colours[..., 3] = share
    with drawing(_ROW * n_rows + 92) as (figure, axes):
        axes.imshow(colours, aspect="auto", interpolation="none")
        for (i, j), value in np.ndenumerate(share):
            colour = "#ffffff" if value > 0.55 else INK
            axes.text(j, i, texts[i][j], color=colour, fontsize=8.5, ha="center", va="center")
        labels = [squeezed(v, _CELL_LABEL) for v in names[1]]
        turned: Any = {"rotation": 40, "ha": "left", "rotation_mode": "anchor"}
        axes.set_xticks(np.arange(n_columns), labels, **turned)
        axes.set_yticks(np.arange(n_rows), [squeezed(v, _CELL_LABEL) for v in names[0]])
        axes.xaxis.tick_top()
        axes.tick_params(length=0)
        axes_only(axes)
        return to_svg(figure, name, label)


def _few_ticks(axes: Axes) -> None:
    for axis, most in ((axes.xaxis, max(3, WIDTH // 80)), (axes.yaxis, 3)):
        axis.set_major_locator(MaxNLocator(most))
        axis.set_major_formatter(FuncFormatter(lambda v, _: compact(v)))
    axes.tick_params(axis="y", labelcolor=MUTED, labelsize=9.5)


def _logarithmic(axes: Axes, low: float, high: float) -> None:
    axes.set_xscale("log")
    axes.set_xlim(low / 1.15, high * 1.15)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 40 * low else (1,)))
    axes.xaxis.set_minor_locator(NullLocator())
