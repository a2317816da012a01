"""Course: every unit of an epoch once, whoever reads it and however often that changes."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dao import errors
from dao.batches.course import Course, Stretches, cut, total, united
from dao.batches.share import Share

TEAMS = st.tuples(st.integers(1, 4), st.integers(1, 4))  # world size, workers


def units(stretches: Stretches) -> list[int]:
    """Return the units of stretches, one by one."""
    return [i for start, stop in stretches for i in range(start, stop)]


@given(
    bounds=st.lists(st.integers(0, 60), unique=True, max_size=8).map(sorted),
    start=st.integers(0, 100),
    length=st.integers(0, 100),
)
def test_cut(bounds: list[int], start: int, length: int) -> None:
    """Any part of any stretches, which begin again after their end."""
    stretches = tuple(zip(bounds[::2], bounds[1::2], strict=False))
    all_units = units(stretches)
    found = units(cut(stretches, start, start + length))
    if all_units:
        n = len(all_units)
        assert found == [all_units[i % n] for i in range(start, start + length)]
    else:
        assert found == []


@given(
    n=st.integers(0, 300),
    batch=st.integers(1, 25),
    drop_last=st.booleans(),
    teams=st.lists(TEAMS, min_size=1, max_size=4),
    steps=st.lists(st.integers(0, 6), min_size=4, max_size=4),
)
@settings(max_examples=400, deadline=None)
def test_every_unit_once_whoever_goes_on(
    n: int, batch: int, drop_last: bool, teams: list[tuple[int, int]], steps: list[int]
) -> None:
    """Ranks and workers that change in the middle of an epoch divide what is left."""
    whole = ((0, n),) if n else ()
    course = Course(0)
    seen: list[int] = []
    for number, ((world_size, n_workers), step) in enumerate(zip(teams, steps, strict=False)):
        last = number == len(teams) - 1
        lengths: dict[int, int] = {}
        done: list[int] = [0] * n_workers
        begun = course
        for rank in range(world_size):
            for worker in range(n_workers):
                share = Share(rank, world_size, worker, n_workers)
                begun, own = course.begun_by(share, whole, batch, drop_last=drop_last)
                mine = units(own)
                lengths[rank] = lengths.get(rank, 0) + -(-len(mine) // batch)
                if not last:
                    mine = mine[: step * batch]
                    done[worker] = -(-len(mine) // batch)
                seen += mine
        assert len(set(lengths.values())) == 1  # ranks go in step
        for worker, n_batches in enumerate(done):
            begun = begun.after(worker, n_batches)
        course = Course.from_json(json.loads(json.dumps(begun.to_json())))
    if drop_last:
        assert len(seen) == len(set(seen))
        world_size, _ = teams[-1]
        # Each team may leave out what does not divide, and take it up if it comes in time.
        assert n - len(seen) < sum(w * batch for w, _ in teams)
    else:
        assert set(seen) == set(range(n))
        assert len(seen) - n < sum(w for w, _ in teams)


@given(n=st.integers(1, 200), batch=st.integers(1, 20), team=TEAMS, step=st.integers(0, 5))
def test_the_same_team_goes_on_exactly(
    n: int, batch: int, team: tuple[int, int], step: int
) -> None:
    """With the same ranks and workers each continues its own stream, padding included."""
    world_size, n_workers = team
    for rank in range(world_size):
        for worker in range(n_workers):
            share = Share(rank, world_size, worker, n_workers)
            course, own = Course(2).begun_by(share, ((0, n),), batch, drop_last=False)
            later = course
            for other in range(n_workers):
                later = later.after(other, step)
            _, rest = later.begun_by(share, ((0, n),), batch, drop_last=False)
            assert units(rest) == units(own)[step * batch :]


def test_workers_of_which_nothing_is_known() -> None:
    """The state of one worker is enough for that worker, and not for another number of them."""
    course = Course(0, None, 1, (2, None))
    _, own = course.begun_by(Share(0, 1, 0, 2), ((0, 100),), 10, drop_last=False)
    assert units(own) == list(range(20, 50))
    for share in (Share(0, 1, 1, 2), Share()):
        with pytest.raises(errors.ArgumentError, match="one DataLoader worker"):
            course.begun_by(share, ((0, 100),), 10, drop_last=False)
    together = united([course, Course(0, None, 1, (None, 1))])
    _, rest = together.begun_by(Share(), ((0, 100),), 10, drop_last=False)
    assert units(rest) == [*range(20, 50), *range(60, 100)]
    with pytest.raises(errors.ArgumentError, match="same time"):
        united([course, Course(1, None, 1, (None, 1))])


def test_total() -> None:
    """The units of several stretches."""
    assert total(((0, 3), (7, 9))) == 5
