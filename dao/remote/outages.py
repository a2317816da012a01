"""Outages: requests that fail are made again, with growing pauses, for a while."""

from __future__ import annotations

import math
import random
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from dao.forks import Lock
from dao.remote.problems import Failure, failure_of
from dao.stopping import pause
from dao.warn import warn

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["Outages", "Retries"]

T = TypeVar("T")

# Seconds for a server that has not answered yet: its name may be mistyped.
_FIRST_CONTACT = 10.0
# What is over sooner is not worth a warning: servers refuse single requests now and then.
_WORTH_A_WARNING = 0.25
# What fails again so soon after it was over is the same outage.
_SAME = 5.0


@dataclass(frozen=True, slots=True)
class Retries:
    """How often requests are made again, and for how long.

    Attributes
    ----------
    seconds
        For how long.
    most
        How often at the most.
    first, longest, base
        The first pause and the longest one, in seconds; how much longer each one is.
    """

    seconds: float = 60.0
    most: float = math.inf
    first: float = 0.1
    longest: float = 5.0
    base: float = 2.0

    @classmethod
    def of(cls, retry: Mapping[str, Any]) -> Retries:
        """Return what the options of ``retry_config`` mean."""
        backoff = retry.get("backoff", {})
        given = {
            "seconds": retry.get("retry_timeout"),
            "most": retry.get("max_retries"),
            "first": backoff.get("init_backoff"),
            "longest": backoff.get("max_backoff"),
            "base": backoff.get("base"),
        }
        plain = {k: v.total_seconds() if isinstance(v, timedelta) else v for k, v in given.items()}
        return cls(**{k: float(v) for k, v in plain.items() if v is not None})

    def pause(self, n: int) -> float:
        """Return the seconds before the ``n``-th attempt after the first, a little by chance.

        By chance, as many requests fail at the same time and need not come again together.
        """
        longer = self.first * self.base ** min(n - 1, 64)
        return min(self.longest, longer) * random.uniform(0.75, 1.0)  # noqa: S311 - no secret


class Outages:
    """Makes requests to one server again until it answers, or it took too long.

    Parameters
    ----------
    what
        The store, for warnings.
    retries
        How long that is.

    Attributes
    ----------
    answered
        Whether the server has answered anything yet.
    """

    def __init__(self, what: object, retries: Retries, *, answered: bool = False) -> None:
        self._what, self.retries, self.answered = what, retries, answered
        self._lock = Lock()
        self._is_out = False
        self._over = -math.inf

    @property
    def seconds(self) -> float:
        """How long requests are made again."""
        return self.retries.seconds if self.answered else min(_FIRST_CONTACT, self.retries.seconds)

    def endure(self, ask: Callable[[], T]) -> T:
        """Return what ``ask`` returns, in the end.

        Raises
        ------
        BaseException
            What it raised last, if that is not a matter of time, or if it took too long.
        """
        began, n = math.inf, 0
        while True:
            try:
                answer = ask()
            except Exception as error:
                failure = failure_of(error)
                self.answered |= failure.is_answer
                began, n = min(began, time.monotonic()), n + 1
                left = began + self.seconds - time.monotonic()
                if not self._may_pass(failure) or n > self.retries.most or left <= 0:
                    raise
            else:
                self._end()
                return answer
            if time.monotonic() - began >= _WORTH_A_WARNING:
                self._begin(failure)
            pause(min(left, self.retries.pause(n)))

    def _may_pass(self, failure: Failure) -> bool:
        return failure.passes or (failure.is_unreachable and self.answered)

    def _begin(self, failure: Failure) -> None:
        """Warn, once for all requests that fail at the same time."""
        with self._lock:
            known = self._is_out or time.monotonic() - self._over < _SAME
            self._is_out = True
        if self.answered and not known:
            warn(
                f"{self._what}: {failure.reason}. Trying again for up to {self.seconds:g} seconds "
                "(storage_options={'retry_timeout': ...} changes that)."
            )

    def _end(self) -> None:
        self.answered = True
        if self._is_out:
            with self._lock:
                self._is_out, self._over = False, time.monotonic()
