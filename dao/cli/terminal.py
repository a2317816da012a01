"""What the commands print to: colours on a terminal, plain text everywhere else."""

from __future__ import annotations

import io
import os
import sys

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from dao.printable import printable

__all__ = ["console", "printable", "table"]

# A log has no width; tables take what they need up to this.
_WIDTH_OF_LOGS = 120


def console(*, stderr: bool = False) -> Console:
    """Return a console that prints text as it is: brackets of a name are not markup."""
    stream = sys.stderr if stderr else sys.stdout
    if isinstance(stream, io.TextIOWrapper):
        # A name that the terminal's encoding lacks is shown with a '?', not as a traceback.
        stream.reconfigure(errors="replace")
    fixed = None if stream.isatty() or "COLUMNS" in os.environ else _WIDTH_OF_LOGS
    return Console(stderr=stderr, width=fixed, markup=False, highlight=False, emoji=False)


def table(*columns: str) -> Table:
    """Return an empty table; columns whose names begin with ``>`` are for numbers.

    >>> [c.justify for c in table("dataset", ">cells").columns]
    ['left', 'right']
    """
    result = Table(box=SIMPLE, pad_edge=False)
    for name in columns:
        right = name.startswith(">")
        # Long names go on in the next line: what is cut off cannot be copied from a log.
        result.add_column(
            name.removeprefix(">"),
            justify="right" if right else "left",
            no_wrap=right,
            overflow="fold",
        )
    return result
