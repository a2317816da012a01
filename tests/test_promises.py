"""The page of promises names tests that exist, and a promise without one is none."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_every_promise_names_its_tests() -> None:
    """Each point of the page names at least one, and each of them is there."""
    page = (ROOT / "docs" / "promises.md").read_text(encoding="utf-8")
    points = re.split(r"^- ", page, flags=re.MULTILINE)[1:]
    assert points
    for point in points:
        named = re.findall(r"`(tests/\w+\.py)::(\w+)`", point)
        assert named, point
        for file, name in named:
            tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
            assert name in {n.name for n in tree.body if isinstance(n, ast.FunctionDef)}, (
                file,
                name,
            )
