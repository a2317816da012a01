"""Filter expressions: parsed from text (never evaluated as code), checked, turned into masks.

The language is the part of Python and `pandas.DataFrame.query` that filters need::

    n_counts > 1000 and sex == 'female'
    tissue in ['lung', 'blood'] and not disease.isna()
    500 <= n_genes < 6000 or `cell type`.startswith('T')

Missing values behave as in pandas: every comparison with one is false, ``!=`` is true.
"""

from __future__ import annotations

from dao.where.arrow import bind_arrow
from dao.where.bind import bind
from dao.where.branch import Descendants, descendants
from dao.where.evaluate import evaluate
from dao.where.expression import (
    And,
    Arrow,
    Expression,
    Not,
    Or,
    Test,
    columns_of,
    values_test,
    with_tests,
)
from dao.where.parse import parse

__all__ = [
    "And",
    "Arrow",
    "Descendants",
    "Expression",
    "Not",
    "Or",
    "Test",
    "bind",
    "bind_arrow",
    "columns_of",
    "descendants",
    "evaluate",
    "parse",
    "values_test",
    "with_tests",
]
