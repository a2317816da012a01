"""What the files that dao writes say of their making: when, by what, and what was done."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["created_by", "now", "record_of"]


def created_by() -> str:
    """Return the name and version of what writes."""
    from dao import __version__

    return f"dao-store {__version__}"


def now() -> str:
    """Return the time, ISO 8601 in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def record_of(generation: int, created: str, action: str, ids: Iterable[str]) -> dict[str, Any]:
    """Return the line of a store's history for one generation."""
    return {
        "generation": generation,
        "created": created,
        "action": action,
        "datasets": list(ids),
    }
