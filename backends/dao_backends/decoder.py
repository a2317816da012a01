"""The backend below a backend: what those read with that decode nothing themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dao.backend import find_backend
from dao.remote.url import is_url

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dao.backend import Reader

__all__ = ["open_decoder"]


def open_decoder(path: str, memory: int, options: Mapping[str, Any]) -> Reader:
    """Open a store with the backend that ``options["decoder"]`` names, and the other options.

    Without it that is the default for the place: ``"local"`` for folders, ``"cloud"`` for URLs.
    """
    rest = dict(options)
    name = rest.pop("decoder", "cloud" if is_url(path) else "local")
    return find_backend(name).open(path, memory=memory, options=rest)
