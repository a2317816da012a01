"""Choose the rare cell type that is streamed alone, and say what its cells must add up to.

Read from the h5ad files themselves, so that no reader is checked against itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import h5py
import pandas as pd
from anndata.io import read_elem

if TYPE_CHECKING:
    from pathlib import Path

SHARE = 0.02


@dataclass(frozen=True, slots=True)
class Rare:
    """A cell type: its name, its cells and the sum of their counts."""

    label: str
    cells: int
    total: int


def rare_type(files: list[Path]) -> Rare:
    """Return the cell type whose share of all cells is nearest to 2 %."""
    parts = []
    for file in files:
        with h5py.File(file) as source:
            obs = read_elem(source["obs"])
        parts.append(obs[["cell_type", "n_counts"]].astype({"cell_type": str, "n_counts": "f8"}))
    by_type = pd.concat(parts).groupby("cell_type")["n_counts"].agg(["size", "sum"])
    label = (by_type["size"] / by_type["size"].sum() - SHARE).abs().idxmin()
    return Rare(str(label), int(by_type.loc[label, "size"]), int(by_type.loc[label, "sum"]))
