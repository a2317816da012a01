"""Figures without a window, as SVG that lives inside of a page.

Text stays text, in the font of the page. Colours are those of `INK` and its like, which the style
sheet of the page gives other values in the dark.
"""

from __future__ import annotations

import io
import re
import warnings
import xml.etree.ElementTree as ET
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from matplotlib import rc_context
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.axes import Axes

__all__ = ["ACCENT", "INK", "LINE", "MUTED", "WIDTH", "axes_only", "drawing", "to_svg"]

WIDTH = 360  # of a figure, in the units of its font sizes: pixels where it is shown as it is
# Each of these is told apart by the style sheet, page.css.
INK, MUTED, LINE, ACCENT = "#1d2731", "#5d6976", "#d9dfe5", "#3b7a99"

_STYLE: dict[Any, Any] = {
    "axes.edgecolor": LINE,
    "axes.labelcolor": MUTED,
    "axes.labelsize": 10,
    "axes.linewidth": 1,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "font.family": ["DejaVu Sans"],  # the one that matplotlib brings; for measuring
    "font.size": 10.5,
    "savefig.transparent": True,
    "svg.fonttype": "none",
    "svg.hashsalt": "dao",
    "text.color": INK,
    "text.parse_math": False,  # a dollar is a dollar
    "text.usetex": False,
    "xtick.color": LINE,
    "xtick.labelcolor": MUTED,
    "xtick.labelsize": 9.5,
    "ytick.color": LINE,
    "ytick.labelcolor": INK,
    "ytick.labelsize": 10,
}
_NO_DATE = {"Creator": None, "Date": None, "Format": None, "Type": None}
_SPACE = re.compile(r"\{[^}]*\}")


@contextmanager
def drawing(height: float) -> Iterator[tuple[Figure, Axes]]:
    """Yield an empty figure in the style of the page, `WIDTH` wide and this high."""
    with rc_context(_STYLE):
        figure = Figure(figsize=(WIDTH / 72, height / 72), dpi=72, layout="constrained")
        FigureCanvasSVG(figure)
        yield figure, figure.add_subplot()


def axes_only(axes: Axes, *shown: str) -> None:
    """Leave only these edges of the frame."""
    for name, spine in axes.spines.items():
        spine.set_visible(name in shown)


def to_svg(figure: Figure, name: str, label: str) -> str:
    """Return a figure as an ``<svg>`` element; call it inside of `drawing`.

    Parameters
    ----------
    name
        Begins the ids inside, so that those of several figures of a page differ.
    label
        What it shows, for those who cannot see it.
    """
    file = io.BytesIO()
    with warnings.catch_warnings():
        # Letters that the font lacks are measured as boxes, and shown in a font that has them.
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
        figure.savefig(file, format="svg", metadata=_NO_DATE)
    root = ET.fromstring(file.getvalue())  # noqa: S314 - of our own making
    metadata = root.find("{*}metadata")
    if metadata is not None:
        root.remove(metadata)
    for element in root.iter():
        element.tag = _SPACE.sub("", element.tag)
        element.attrib = {_SPACE.sub("", k): _own(k, v, name) for k, v in element.attrib.items()}
    for size in ("width", "height"):
        root.attrib[size] = root.attrib[size].removesuffix("pt")
    root.attrib |= {"role": "img", "aria-label": label}
    return ET.tostring(root, encoding="unicode")


def _own(attribute: str, value: str, name: str) -> str:
    """Return the value of an attribute with the name in front of the ids that it speaks of."""
    if attribute == "id":
        return f"{name}-{value}"
    if attribute.endswith("href") and value.startswith("#"):
        return f"#{name}-{value[1:]}"
    return value.replace("url(#", f"url(#{name}-")
