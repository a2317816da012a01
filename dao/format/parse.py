"""Reading untrusted JSON field by field, collecting every problem instead of the first."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from dao.errors import FormatError, FormatVersionError
from dao.format.names import is_safe_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

LARGEST = 1 << 62


@dataclass(slots=True)
class Problems:
    """What is wrong with a document, each with the place where it was found."""

    where: str
    found: list[str] = field(default_factory=list)
    what: str = "a dao store"

    def add(self, loc: str, message: str) -> None:
        """Note one problem."""
        self.found.append(f"{loc or 'top level'}: {message}")

    def raise_if_any(self) -> None:
        """Raise one error that lists all problems.

        Raises
        ------
        dao.errors.FormatError
            If any was noted.
        """
        if self.found:
            shown = "\n  ".join(self.found[:20])
            rest = f"\n  and {len(self.found) - 20} more" if len(self.found) > 20 else ""
            msg = f"{self.where} does not follow the format of {self.what}:\n  {shown}{rest}"
            raise FormatError(msg)


def check_version(content: dict[str, Any], supported: int, where: str) -> None:
    """Refuse a document that only a newer dao understands; an older dao would misread it.

    Raises
    ------
    dao.errors.FormatVersionError
        If its ``format_version`` is above what is supported.
    """
    version = content.get("format_version")
    if isinstance(version, int) and version > supported:
        msg = (
            f"{where} has format_version {version}; this dao reads up to {supported}. "
            "Update it: pip install --upgrade dao-store."
        )
        raise FormatVersionError(msg)


@dataclass(frozen=True, slots=True)
class Reader:
    """Typed access to the fields of one JSON object; a wrong field is noted and replaced."""

    content: dict[str, Any]
    loc: str
    problems: Problems

    def check(self, ok: object, key: str, message: str) -> bool:
        """Note ``message`` for a field unless ``ok``; return ``ok``."""
        if not ok:
            self.problems.add(self._at(key), message)
        return bool(ok)

    def equal(self, key: str, value: object) -> None:
        """Note a field that is not what it must be."""
        self.check(self.content.get(key) == value, key, f"must be {value}")

    def has(self, key: str) -> bool:
        """Whether there is such a field, with a value."""
        return self.content.get(key) is not None

    def text(self, key: str) -> str:
        """Return a string."""
        value = self.content.get(key)
        return str(value) if self.check(isinstance(value, str), key, "must be a string") else ""

    def path(self, key: str) -> str:
        """Return a relative path that cannot leave the store."""
        value = self.text(key)
        self.check(is_safe_path(value), key, f"{value!r} is not a path inside the store")
        return value

    def dtype(self, key: str) -> str:
        """Return the name of a bool, integer or float dtype."""
        value = self.text(key)
        try:
            ok = np.dtype(value).kind in "biuf" and bool(value)
        except (TypeError, ValueError, SyntaxError):  # NumPy parses some texts as Python
            ok = False
        self.check(ok, key, f"{value!r} is not a numeric dtype")
        return value if ok else "uint8"

    def choice(self, key: str, allowed: Sequence[str]) -> str:
        """Return one of the allowed strings."""
        value = self.content.get(key)
        ok = self.check(value in allowed, key, f"{value!r} is not one of {', '.join(allowed)}")
        return str(value) if ok else allowed[0]

    def flag(self, key: str) -> bool:
        """Return a boolean."""
        value = self.content.get(key)
        self.check(isinstance(value, bool), key, "must be true or false")
        return bool(value)

    def size(self, key: str, minimum: int = 0) -> int:
        """Return a whole number that is not negative."""
        return self._size(self.content.get(key), key, minimum)

    def sizes(self, key: str, length: int | None = None) -> tuple[int, ...]:
        """Return a list of sizes, of a given length if one is given."""
        value = self.content.get(key)
        if not isinstance(value, list) or (length is not None and len(value) != length):
            self.check(False, key, f"must be a list of {length or 'any number of'} sizes")
            return (0,) * (length or 0)
        return tuple(self._size(v, f"{key}[{i}]", 0) for i, v in enumerate(value))

    def number(self, key: str) -> float:
        """Return a finite number."""
        value = self.content.get(key)
        ok = isinstance(value, int | float) and not isinstance(value, bool)
        # Whole numbers of JSON have no bound; those of floats do.
        ok = ok and abs(value or 0) <= sys.float_info.max
        return float(value or 0) if self.check(ok, key, "must be a finite number") else 0.0

    def texts(self, key: str) -> tuple[str, ...]:
        """Return a list of strings."""
        value = self.content.get(key)
        ok = isinstance(value, list) and all(isinstance(v, str) for v in value)
        return tuple(value or ()) if self.check(ok, key, "must be a list of strings") else ()

    def child(self, key: str) -> Reader:
        """Return a reader of a nested object."""
        value = self.content.get(key)
        ok = self.check(isinstance(value, dict), key, "must be an object")
        return Reader(value if ok and value else {}, self._at(key), self.problems)

    def children(self, key: str) -> Iterator[Reader]:
        """Yield readers of a list of objects."""
        value = self.content.get(key)
        if not self.check(isinstance(value, list), key, "must be a list"):
            return
        for i, item in enumerate(value or ()):
            if self.check(isinstance(item, dict), f"{key}[{i}]", "must be an object"):
                yield Reader(item, self._at(f"{key}[{i}]"), self.problems)

    def items(self) -> Iterator[tuple[str, Reader]]:
        """Yield (key, reader) of every nested object."""
        for key in self.content:
            yield key, self.child(key)

    def _size(self, value: object, key: str, minimum: int) -> int:
        ok = isinstance(value, int) and not isinstance(value, bool)
        ok = ok and minimum <= int(str(value)) <= LARGEST
        self.check(ok, key, f"{value!r} is not a whole number of at least {minimum}")
        return int(str(value)) if ok else minimum

    def _at(self, key: str) -> str:
        return f"{self.loc}.{key}" if self.loc else key
