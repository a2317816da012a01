"""A short run of the machine, the same each time; `make fuzz` runs it for longer."""

from __future__ import annotations

from fuzz.machine import StoreMachine
from hypothesis import HealthCheck, Phase, settings

StoreMachine.TestCase.settings = settings(
    max_examples=25,
    stateful_step_count=10,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],  # to make it small takes minutes: `make fuzz` does
    suppress_health_check=list(HealthCheck),
)
TestMachine = StoreMachine.TestCase
