"""Backend ``cloud``: URLs read by ranges, kept on local disk, decoded like local stores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dao.backend import Reader

__all__ = ["CloudBackend"]


class CloudBackend:
    """Read by ranges, keep what was read on local disk; the default for URLs."""

    def open(self, path: str, *, memory: int, options: Mapping[str, Any]) -> Reader:
        """Open the store at a URL.

        Options are ``storage_options``, ``cache_dir`` and ``cache_size``.
        """
        # Other backends use parts of this package, and this one uses theirs.
        from dao_backends.cloud.reader import CloudReader

        return CloudReader(path, memory, options)
