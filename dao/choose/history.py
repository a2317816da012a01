"""What was committed to a store, as a table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from dao.generations import kept_generations
from dao.remote.url import is_url

if TYPE_CHECKING:
    from dao.format.manifest import Manifest

__all__ = ["history"]

_COLUMNS = ("generation", "created", "action", "datasets")


def history(manifest: Manifest, path: str) -> pd.DataFrame:
    """Return a row per commit, oldest first; see `dao.Store.history`."""
    records = [{name: record.get(name) for name in _COLUMNS} for record in manifest.history]
    table = pd.DataFrame(records, columns=list(_COLUMNS))
    if is_url(path):  # of earlier ones that would have to be asked
        current = table["generation"] == manifest.generation
        return table.assign(kept=current.astype("boolean").where(current))
    kept = {*kept_generations(Path(path)), manifest.generation}
    return table.assign(kept=table["generation"].isin(kept))
