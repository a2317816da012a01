"""Text of users in places where some characters would be obeyed or break the line."""

from __future__ import annotations

__all__ = ["printable", "shortened", "squeezed"]


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


def squeezed(text: object, most: int) -> str:
    """Return text as `shortened` does, with its end: names of a kind often differ there.

    >>> squeezed("a study of the lung, part 22", 16)
    'a study…part 22'
    """
    line = shortened(text, 10 * most)
    if len(line) <= most:
        return line
    tail = (most - 1) // 2
    return f"{line[: most - 1 - tail].rstrip()}…{line[-tail:].lstrip()}"
