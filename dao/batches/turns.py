"""Turns: how far the workers of a DataLoader have come, from the number of batches they gave."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import replace
from typing import TYPE_CHECKING

from dao.errors import ArgumentError

if TYPE_CHECKING:
    from dao.batches.course import Course
    from dao.batches.generator import Generator

__all__ = ["course_after_turns"]


def course_after_turns(
    generator: Generator, course: Course, n_workers: int, n_batches: int
) -> Course:
    """Return the course after the workers of a DataLoader have given out so many batches.

    They take turns, in the order of their numbers; those that have no batch left are passed over.

    Parameters
    ----------
    generator
        What they stream.
    course
        How far the epoch had come before.
    n_workers, n_batches
        How many workers, and how many batches all of them have given.

    Raises
    ------
    dao.errors.ArgumentError
        If they do not have so many.
    """
    own = generator.share
    shares = [replace(own, worker=worker, n_workers=n_workers) for worker in range(n_workers)]
    streams = [generator.stream(course, share) for share in shares]
    lengths = [stream.n_batches for stream in streams]
    if not 0 <= n_batches <= sum(lengths):
        msg = f"n_batches={n_batches!r}: the iterator that was made last gives {sum(lengths)}."
        raise ArgumentError(msg)
    course = streams[0].course
    rounds = range(max(lengths) + 1)
    n_full = bisect_right(rounds, n_batches, key=lambda r: sum(min(n, r) for n in lengths)) - 1
    more = n_batches - sum(min(n, n_full) for n in lengths)
    for worker, n in enumerate(lengths):
        in_turn = n > n_full and more > 0
        more -= in_turn
        course = course.after(worker, min(n, n_full) + in_turn)
    return course
