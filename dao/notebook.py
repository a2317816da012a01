"""How notebooks show what dao returns: one style for all, and every name escaped."""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING

from dao.printable import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

__all__ = ["Glance", "table_html"]

_MOST_ROWS = 60


@dataclass(frozen=True)
class Glance:
    """Something in a few lines: as text in a terminal, as HTML in a notebook.

    Attributes
    ----------
    title
        What it is.
    rows
        Label -> words.
    folded
        Summary -> HTML that is shown when it is clicked on.
    calls
        Code that may come next -> what it gives.
    """

    title: str
    rows: Mapping[str, str]
    folded: Mapping[str, str] = field(default_factory=dict)
    calls: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        lines = [f"  {label}: {printable(words)}" for label, words in self.rows.items()]
        return "\n".join([printable(self.title), *lines])

    @property
    def html(self) -> str:
        """As HTML, in the colours of the notebook."""
        rows = "".join(
            f"<tr><th style='text-align: left'>{_shown(label)}</th>"
            f"<td style='text-align: left'>{_shown(words)}</td></tr>"
            for label, words in self.rows.items()
        )
        folded = "".join(
            f"<details><summary>{_shown(label)}</summary>{html}</details>"
            for label, html in self.folded.items()
        )
        calls = "".join(
            f"<li><code>{_shown(call)}</code> {_shown(what)}</li>"
            for call, what in self.calls.items()
        )
        following = f"<details><summary>Next</summary><ul>{calls}</ul></details>" if calls else ""
        title = f"<p><strong>{_shown(self.title)}</strong></p>"
        return f"<div>{title}<table>{rows}</table>{folded}{following}</div>"


def table_html(frame: pd.DataFrame) -> str:
    """Return a table as HTML; of a long one the begin and the end."""
    import pandas as pd

    with pd.option_context("display.max_colwidth", None):
        return str(frame.to_html(max_rows=_MOST_ROWS))


def _shown(text: object) -> str:
    return escape(printable(text))
