"""A writer that is killed leaves the old store or the new one, at whatever moment it is."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.once

KILL = Path(__file__).parent / "crash" / "kill.py"


@pytest.mark.parametrize(
    "change", ["append", "replace", "overwrite", "remove", "compact", "ontology", "tidy"]
)
def test_killed_at_every_step(tmp_path: Path, change: str) -> None:
    """It opens, is sound and exact; the change can be made again, and nothing is left over."""
    if change == "ontology":
        pytest.importorskip("fastobo")
    done = subprocess.run(
        [sys.executable, str(KILL), str(tmp_path), change, "0"],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["wrong"] == []
    assert found["steps"] >= 5
