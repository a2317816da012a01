"""The plot of a fit: how long it takes with each reader, and what that time goes into."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plots import FAINT, OTHERS, OURS, SETTINGS, save
from report_fit import alone, costs, seconds

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes
    from report_fit import Cost
    from results import Results

COMPUTING = "#2c3e50"
PARTS = (
    ("start", "before the first batch", FAINT),
    ("waiting", "waiting for the others", OTHERS),
    ("computing", "computing", COMPUTING),
)


def draw_fit(results: Results, folder: Path) -> dict[str, str]:
    """Write the plot, if there is something to show in it.

    Returns
    -------
    File name to what it shows, in words; empty without matplotlib.
    """
    shown = costs(results)
    try:
        import matplotlib as mpl
    except ImportError:
        return {}
    if not shown:
        return {}
    mpl.use("Agg")
    from matplotlib.figure import Figure

    with mpl.rc_context(SETTINGS):
        canvas = Figure(figsize=(7.5, 0.4 * len(shown) + 1.1), layout="constrained")
        left, right = canvas.subplots(1, 2, sharey=True, width_ratios=(3, 2))
        _whole(left, shown[::-1], alone(results))
        _parts(right, shown[::-1])
        for axes in (left, right):
            axes.spines[["top", "right"]].set_visible(False)
        canvas.legend(
            *right.get_legend_handles_labels(), loc="outside lower right", ncols=3, frameon=False
        )
        save(canvas, folder / "fit.svg")
    words = "; ".join(f"{x.name} {seconds(x.whole)}" for x in shown)
    return {"fit.svg": f"How long a fit takes with each reader: {words}."}


def _whole(axes: Axes, shown: list[Cost], least: float) -> None:
    for place, cost in enumerate(shown):
        look = {"color": OURS if cost.name == "dao" else OTHERS, "height": 0.6}
        if cost.extrapolated:
            look |= {"alpha": 0.6, "hatch": "//", "edgecolor": "white"}
        axes.barh(place, cost.whole, **look)
        label = seconds(cost.whole) + " (multiplied up)" * cost.extrapolated
        axes.annotate(label, (cost.whole, place), (4, 0), textcoords="offset points", va="center")
    axes.axvline(least, color="black", lw=1, ls=":")
    axes.set_yticks(range(len(shown)), [cost.name for cost in shown])
    axes.set_xscale("log")
    axes.set_xticks([1, 10, 100, 1000, 10000], ["1", "10", "100", "1,000", "10,000"])
    axes.minorticks_off()
    axes.set_xlim(1, max(cost.whole for cost in shown) * 12)  # labels stand behind the bars
    axes.set_xlabel("seconds, logarithmic; dotted: computing alone")
    axes.set_title("The whole fit", loc="left")


def _parts(axes: Axes, shown: list[Cost]) -> None:
    for place, cost in enumerate(shown):
        begin = 0.0
        for part, name, color in PARTS:
            share = getattr(cost, part) / cost.whole
            axes.barh(
                place, share, left=begin, color=color, height=0.6, label=name if not place else None
            )
            begin += share
    axes.set_xlim(0, 1)
    axes.set_xticks([0, 0.5, 1], ["0", "50", "100 %"])
    axes.set_title("What it goes into", loc="left")
