"""URLs of stores: which ones dao takes, and how they are shown."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from dao.errors import ArgumentError, near_matches

__all__ = ["SCHEMES", "StoreUrl", "is_url", "parse_url"]

# What obstore calls the service behind each scheme. Plain web servers are only read.
SCHEMES = {"s3": "s3", "gs": "gcs", "az": "azure", "http": "http", "https": "http"}


@dataclass(frozen=True, slots=True)
class StoreUrl:
    """A store's URL without secrets; ``url / "dao.json"`` names a file of it, as with a path."""

    text: str

    def __truediv__(self, path: str) -> StoreUrl:
        return StoreUrl(f"{self.text}/{path}")

    def __str__(self) -> str:
        return self.text

    @property
    def service(self) -> str:
        """One of the values of `SCHEMES`."""
        return SCHEMES[self.text.partition("://")[0]]


# Also "simplecache::s3://", which other libraries chain; dao refuses it as a scheme.
_URL = re.compile(r"[a-z][\w+.-]*(?:::[\w+.-]+)*://", re.IGNORECASE)


def is_url(path: object) -> bool:
    """Whether a path is a URL; ``file://`` is a path on this machine."""
    return isinstance(path, str) and _URL.match(path) is not None and path[:7].lower() != "file://"


def parse_url(text: str) -> StoreUrl:
    """Check the URL of a store.

    Raises
    ------
    dao.errors.ArgumentError
        If its scheme is unknown, a part is missing, or it holds a password or a signature, which
        would be shown wherever the store is named; the error does not repeat it.
    """
    scheme, _, rest = text.partition("://")
    if scheme.lower() not in SCHEMES:
        known = [f"{name}://" for name in SCHEMES]
        msg = f"{scheme}:// is no place for a store.{near_matches(f'{scheme}://', known)}"
        raise ArgumentError(msg)
    parts = urlsplit(f"{scheme.lower()}://{rest}")
    if parts.query or parts.fragment or "@" in parts.netloc:
        msg = (
            f"The {scheme}:// URL of a store holds more than its place: leave out user, password "
            "and everything from ? on, and give credentials by storage_options= or the environment."
        )
        raise ArgumentError(msg)
    if not parts.netloc or not parts.path.strip("/"):
        msg = f"{text}: give the bucket and the folder of the store, as in s3://bucket/atlas.dao."
        raise ArgumentError(msg)
    return StoreUrl(f"{parts.scheme}://{parts.netloc}/{parts.path.strip('/')}")
