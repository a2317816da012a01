"""Text of users in places where some characters would be obeyed or break the line."""

from __future__ import annotations

__all__ = ["printable", "shortened"]


def printable(text: object) -> str:
    r"""Return text without characters that a terminal would obey.

    >>> printable("T cell\x1b[2J")
    'T cell\ufffd[2J'
    """
    return "".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in str(text))


def shortened(text: object, most: int) -> str:
    r"""Return text as one printable line of at most so many characters.

    >>> shortened("CD8-positive,\nalpha-beta T cell", 16)
    'CD8-positive, a…'
    """
    line = printable(str(text).replace("\n", " "))
    return line if len(line) <= most else line[: most - 1] + "…"
