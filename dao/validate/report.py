"""Report: what is found in a store."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from dao.errors import DaoError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Report"]

T = TypeVar("T")


@dataclass
class Report:
    """What `dao.validate_store` found.

    Attributes
    ----------
    problems
        What is wrong and where, one sentence each; empty for a sound store.
    garbage
        Files and folders that the manifest does not name: left by a killed writer, or being
        written at this moment. Harmless.
    older
        What only earlier generations need, and no reader holds. They open as long as it is there.
    removed
        What was taken away.
    n_obs, n_values, n_files
        What was read.
    """

    path: str
    problems: list[str] = field(default_factory=list)
    garbage: list[str] = field(default_factory=list)
    older: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    n_obs: int = 0
    n_values: int = 0
    n_files: int = 0

    @property
    def ok(self) -> bool:
        """Whether the store is sound."""
        return not self.problems

    def __str__(self) -> str:
        read = f"{self.n_obs:,} cells, {self.n_values:,} values, {self.n_files:,} files read"
        lines = [f"{self.path}: {'sound' if self.ok else 'DAMAGED'} ({read})"]
        lines += [f"  {p}" for p in self.problems]
        lines += [f"  not part of the store (--repair removes it): {g}" for g in self.garbage]
        if self.older:
            lines.append(
                f"  {len(self.older)} files and folders are of earlier generations only "
                "(--repair --old-generations removes them)"
            )
        lines += [f"  removed: {r}" for r in self.removed]
        return "\n".join(lines)

    def attempt(self, function: Callable[..., T], *arguments: Any) -> T | None:
        """Return what a function returns; note what it complains about."""
        try:
            return function(*arguments)
        except DaoError as error:
            self.problems.append(str(error))
        return None
