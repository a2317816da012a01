"""Two plots for the page: all readers, and the ratios with what is asked of them."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, Any

from jobs import PEERS
from scenarios import SCENARIOS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from results import Results

OURS, OTHERS, FAINT = "#c0392b", "#7f8c8d", "#bdc3c7"
# The same figures must give the same bytes: no date, no random ids. Text stays text, which is
# small and can be searched.
SETTINGS: dict[Any, Any] = {"svg.hashsalt": "dao", "svg.fonttype": "none", "font.size": 9}


def draw(results: Results, folder: Path) -> dict[str, str]:
    """Write the plots that there is something to show in.

    Returns
    -------
    File name to what it shows, in words; empty without matplotlib.
    """
    try:
        import matplotlib as mpl
    except ImportError:
        return {}
    mpl.use("Agg")
    written = {}
    with mpl.rc_context(SETTINGS):
        for name, painter in (("readers.svg", _readers), ("ratios.svg", _ratios)):
            words = _figure(results, folder / name, painter)
            if words:
                written[name] = words
    return written


def _figure(results: Results, file: Path, painter: Callable[[Results, Axes], str]) -> str:
    from matplotlib.figure import Figure

    canvas = Figure(figsize=(7.5, 3.2), layout="constrained")
    axes = canvas.add_subplot()
    words = painter(results, axes)
    if words:
        axes.spines[["top", "right"]].set_visible(False)
        save(canvas, file)
    return words


def save(canvas: Figure, file: Path) -> None:
    """Write a plot as SVG, and its folder if it is not there."""
    file.parent.mkdir(parents=True, exist_ok=True)
    canvas.savefig(file, metadata={"Date": None})
    # matplotlib ends lines with blanks, which every editor would want to remove.
    text = file.read_text(encoding="utf-8")
    file.write_text("\n".join(x.rstrip() for x in text.splitlines()) + "\n", encoding="utf-8")


def _readers(results: Results, axes: Axes) -> str:
    shown = [(job, n, how) for job, n, how in PEERS if results.values(job, "cells_per_s")]
    if not shown:
        return ""
    words = []
    for place, (job, name, how) in enumerate(reversed(shown)):
        speeds = results.values(job, "cells_per_s")
        middle = median(speeds)
        axes.barh(place, middle, color=OURS if name == "dao" else OTHERS, height=0.6)
        axes.scatter(speeds, [place] * len(speeds), color="black", s=8, zorder=3)
        label = f"{float(f'{middle:.3g}'):,.0f}"
        axes.annotate(label, (max(speeds), place), (6, 0), textcoords="offset points", va="center")
        words.append(f"{name} ({how}) {label}")
    axes.set_yticks(range(len(shown)), [f"{n}\n{how.split(',')[0]}" for _, n, how in shown[::-1]])
    axes.set_xlim(right=axes.get_xlim()[1] * 1.1)
    axes.set_xlabel("cells/s, median (bars) and rounds (dots)")
    axes.set_title("Shuffled stream of the whole atlas, CSR", loc="left")
    return "Cells per second of each reader: " + "; ".join(reversed(words)) + "."


def _ratios(results: Results, axes: Axes) -> str:
    shown = [
        scenario
        for scenario in SCENARIOS
        if scenario.under and not scenario.most and results.figures(scenario)
    ]
    shown = [s for s in shown if any(job.startswith("annbatch/") for job in s.jobs)]
    if not shown:
        return ""
    words = []
    named: set[str] = set()

    def once(label: str) -> str:
        fresh = label not in named
        named.add(label)
        return label if fresh else "_" + label  # matplotlib leaves these out of the legend

    for place, scenario in enumerate(reversed(shown)):
        values = results.figures(scenario)
        for limit, mark, what in ((scenario.least, "|", "least"), (scenario.aim, "d", "aim")):
            if limit is not None:
                look: dict[str, Any] = {"marker": mark, "s": 60, "color": OTHERS}
                axes.scatter([limit], [place], label=once(what), **look)
        axes.plot([min(values), max(values)], [place, place], color=OURS, lw=4, alpha=0.4)
        look = {"color": OURS, "s": 30, "zorder": 3}
        axes.scatter([median(values)], [place], label=once("measured"), **look)
        words.append(f"{scenario.name} {median(values):.2f}")
    axes.axvline(1, color=FAINT, lw=1, zorder=0)
    axes.set_yticks(range(len(shown)), [scenario.name for scenario in reversed(shown)])
    axes.set_xscale("log")
    axes.set_xticks([0.5, 1, 2, 5, 10, 20, 50], ["0.5", "1", "2", "5", "10", "20", "50"])
    axes.minorticks_off()
    axes.set_xlabel("times as fast as annbatch in the same round, logarithmic")
    axes.set_title("Ratios to annbatch: median, range, what is asked", loc="left")
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    return "How many times as fast as annbatch: " + "; ".join(reversed(words)) + "."
