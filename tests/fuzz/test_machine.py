"""A short run of the machine, the same each time; `make fuzz` runs it for longer."""

from __future__ import annotations

from fuzz.machine import StoreMachine
from hypothesis import HealthCheck, settings

StoreMachine.TestCase.settings = settings(
    max_examples=25,
    stateful_step_count=10,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
TestMachine = StoreMachine.TestCase
