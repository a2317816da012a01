"""State: where a stream is, in values that JSON can hold, and whether it is of this stream."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dao.batches.course import Course, united
from dao.errors import ArgumentError

if TYPE_CHECKING:
    from dao.batches.generator import Generator

__all__ = ["course_of", "fingerprint", "of_worker", "state_of"]

# 3 is of workers that take turns, of which version 2 did not know.
_VERSION, _OF_TURNS = 2, 3
_MARK = "dao_state"


def state_of(course: Course, stream: Mapping[str, Any]) -> dict[str, Any]:
    """Return a course as the state of a stream with this `fingerprint`."""
    found = course.to_json()
    version = _OF_TURNS if "by_turns" in found else _VERSION
    return {_MARK: version, **found, "stream": dict(stream)}


def of_worker(state: Mapping[str, Any], worker: int) -> dict[str, Any]:
    """Return what one DataLoader worker can say of a state: nothing of the other workers."""
    done = [n if i == worker else None for i, n in enumerate(state["done"])]
    return {**state, "done": done}


def course_of(state: Mapping[str, Any], own: Mapping[str, Any]) -> Course:
    """Return the course in a state, which may be inside of a DataLoader's.

    Parameters
    ----------
    state
        Of `state_of`, or anything of dicts and lists that holds those of all its workers.
    own
        The `fingerprint` of the stream that shall go on from there.

    Raises
    ------
    dao.errors.ArgumentError
        If there is none, it is of another stream, or of another version of dao.
    """
    found = list(_states(state))
    if not found:
        msg = "There is no state of a dao stream in this: give what state_dict() returned."
        raise ArgumentError(msg)
    for one in found:
        other = one.get("stream", {})
        is_known = one[_MARK] in {_VERSION, _OF_TURNS}
        named = {} if is_known else {"version": (one[_MARK], _VERSION)}
        keys = {**own, **other}
        pairs = {**{k: (other.get(k), own.get(k)) for k in keys}, **named}
        shown = [f"{k} {a!r} instead of {b!r}" for k, (a, b) in pairs.items() if a != b]
        if shown:
            msg = f"This state belongs to another stream: {', '.join(shown)}."
            raise ArgumentError(msg)
    return united([Course.from_json(one) for one in found])


def fingerprint(generator: Generator) -> dict[str, Any]:
    """Return what the order of a generator's batches depends on."""
    store = generator.store
    positions = store.selection.positions(store.manifest)
    return {
        "store": store.manifest.uuid,
        "generation": store.manifest.generation,
        "selection": f"{len(positions)}-{zlib.crc32(positions.tobytes()):08x}",
        # An object without a repr of its own would show where it lies in memory.
        "sampler": re.sub(r" at 0x[0-9a-f]+", "", repr(generator.sampler)),
        "seed": generator.seed,
        "batch_size": generator.batch_size,
        "drop_last": generator.drop_last,
        **({} if generator.pad else {"pad": False}),
    }


def _states(value: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, Mapping):
        if _MARK in value:
            yield value
            return
        value = list(value.values())
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        for part in value:
            yield from _states(part)
