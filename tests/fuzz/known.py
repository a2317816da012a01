"""Faults that are known and open: what the machines leave out until they are mended.

A name is used by `left_out` where the fault is avoided. The table is empty when all is well; an
entry goes as soon as its mend has landed.
"""

from __future__ import annotations

KNOWN: dict[str, str] = {
    "times": "times and durations beside a study without the column become integers",
    "orders": "ordered categories get an order that no study states",
    "codes": "text that is appended to a categorical column turns it into text",
    "empty categories": "a categorical column without categories counts as one of text",
    "large obs": "integers above 2**53 beside fractions, or beside a column of NaN, lose digits",
    "nullable ints": "nullable integers with a gap beside floats cannot be read back",
    "nothing": "a column of NaN or None alone does not agree with categories and texts",
    "remove": "obs cannot be read after the last dataset with a categorical column was removed",
    "habits": "arguments of other types end in Python's own errors in many places",
    "large X": "int64 beside uint64 or float64 loses digits in to_anndata and streams",
}


def left_out(name: str) -> bool:
    """Return whether a fault is known and open."""
    return name in KNOWN
