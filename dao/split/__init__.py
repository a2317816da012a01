"""Splits: disjoint parts of a selection."""

from __future__ import annotations

from dao.split.exact import split_groups, split_rows
from dao.split.fractions import check_fractions, refuse_unknown
from dao.split.parts import split

__all__ = ["check_fractions", "refuse_unknown", "split", "split_groups", "split_rows"]
