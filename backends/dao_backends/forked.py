"""Whether this process was forked: threads and pools of its parent did not come along."""

from __future__ import annotations

import os

from dao.warn import warn

__all__ = ["Forked"]


class Forked:
    """What this process may no longer use because it was forked, and whether it has said so."""

    is_child = False
    _said: frozenset[str] = frozenset()

    @classmethod
    def begin(cls) -> None:
        """Note that this is a forked process."""
        cls.is_child = True

    @classmethod
    def warn_once(cls, consequence: str) -> None:
        """Warn of what follows for the caller's caller, once per process."""
        if consequence in cls._said:
            return
        cls._said |= {consequence}
        advice = "Start workers afresh instead: DataLoader(..., multiprocessing_context='spawn')."
        warn(f"{consequence} {advice}")


os.register_at_fork(after_in_child=Forked.begin)
