"""Tables that users get: copies, so that nothing they change reaches dao."""

from __future__ import annotations

import pandas as pd

__all__ = ["own_copy"]


def own_copy(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table that may be changed without changing the other.

    Where pandas copies on write (always since version 3) this takes no memory until then.
    """
    copied = table.copy(deep=not _copies_on_write())
    # Their names can be changed in place.
    copied.index, copied.columns = table.index.view(), table.columns.view()
    return copied


def _copies_on_write() -> bool:
    if int(pd.__version__.partition(".")[0]) >= 3:
        return True
    return pd.get_option("mode.copy_on_write") is True
