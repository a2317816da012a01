"""A part of all calls with what people pass by habit; `make fuzz` tries others each time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fuzz.habits import World, some_calls

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_some_calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each ends in a right answer or in an error of dao, and touches nothing else."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    world = World(tmp_path)
    assert some_calls(world, seed=0, n_calls=400) == []
