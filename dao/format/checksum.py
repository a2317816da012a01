"""The checksum of a JSON document, kept in one of its own fields."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["CHECKSUM", "checksum"]

CHECKSUM = "checksum"


def checksum(content: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a document without its checksum, in hexadecimal digits.

    It is that of the values, not of a way to write them: keys are sorted, nothing is between them.
    """
    others = {key: value for key, value in content.items() if key != CHECKSUM}
    text = json.dumps(others, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()
