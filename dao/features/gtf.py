"""Genes of a GTF file, as Ensembl and GENCODE publish them.

The layout is that of the Ensembl GTF documentation: nine columns separated by tabs, the third
the kind of the line, the last attributes as ``key "value";``. Ensembl calls the biotype
``gene_biotype``, GENCODE ``gene_type``.
"""

from __future__ import annotations

import gzip
import re
from typing import TYPE_CHECKING

import pandas as pd

from dao.errors import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["is_gtf", "read_gtf"]

_SUFFIXES = (".gtf", ".gtf.gz")
_ATTRIBUTES = {
    "feature_id": re.compile(r'\bgene_id "([^"]+)"'),
    "symbol": re.compile(r'\bgene_name "([^"]+)"'),
    "biotype": re.compile(r'\bgene_(?:bio)?type "([^"]+)"'),
}


def is_gtf(path: Path) -> bool:
    """Whether the name of a file says that it is one."""
    return path.name.lower().endswith(_SUFFIXES)


def read_gtf(path: Path) -> pd.DataFrame:
    """Return the genes in the order of the file: ``feature_id``, ``symbol``, ``biotype``.

    Raises
    ------
    dao.errors.ArgumentError
        If the file names no genes.
    """
    rows = [[_first(p, line) for p in _ATTRIBUTES.values()] for line in _gene_lines(path)]
    table = pd.DataFrame(rows, columns=list(_ATTRIBUTES), dtype=object).dropna(
        subset=["feature_id"]
    )
    if table.empty:
        msg = f"{path} names no genes: it has no lines of the kind 'gene' with a gene_id."
        raise ArgumentError(msg)
    return table.drop_duplicates("feature_id").reset_index(drop=True)


def _gene_lines(path: Path) -> Iterator[str]:
    opened = gzip.open if path.suffix.lower() == ".gz" else open
    with opened(path, "rt", encoding="utf-8") as file:
        for line in file:
            parts = line.split("\t", 8)
            if len(parts) > 8 and parts[2] == "gene":
                yield parts[8]


def _first(pattern: re.Pattern[str], attributes: str) -> str | None:
    match = pattern.search(attributes)
    return match[1] if match else None
