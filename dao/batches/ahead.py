"""Ahead: what the next iterator of a stream is about to give."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from dao.batches.course import Course

if TYPE_CHECKING:
    from dao.batches.generator import Generator
    from dao.batches.share import Share

__all__ = ["Ahead", "look_ahead"]


class Ahead(NamedTuple):
    """What comes next, in one process.

    Attributes
    ----------
    epoch
        0 is the first.
    n_batches
        Of the whole epoch.
    n_left
        Of those the ones that have not been given out.
    """

    epoch: int
    n_batches: int
    n_left: int


def look_ahead(generator: Generator, course: Course, share: Share) -> Ahead:
    """Return what one process is about to give of an epoch."""
    whole = generator.stream(Course(course.epoch), share).n_batches
    return Ahead(course.epoch, whole, generator.stream(course, share).n_batches)
