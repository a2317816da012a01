"""The page about the architecture names every file, and no other."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


def rooms() -> set[str]:
    """Return the files in the table of rooms: packages without `__init__`, modules without `.py`."""
    table = PAGE[PAGE.index("## Rooms") :].partition("\n## ")[0]
    found, folder = set(), ""
    for cell in re.findall(r"^\| (.+?) \|", table, re.MULTILINE):
        names = re.findall(r"`([^`]+)`", cell)
        if cell.startswith("**"):
            folder = names[0]
        else:
            found |= {folder + name for name in names}
    return found


def modules() -> set[str]:
    """Return the modules that are there."""
    files = [*(ROOT / "dao").rglob("*.py"), *(ROOT / "backends").rglob("*.py")]
    names = {str(file.relative_to(ROOT).with_suffix("")) for file in files}
    # A package's `__init__` re-exports what its other files hold.
    return {name for name in names if not name.endswith("/__init__")} | {"dao/__init__"}


def test_every_file_is_a_room_of_the_page() -> None:
    """A newcomer finds each of them, with a word about what it is."""
    assert sorted(modules() - rooms()) == []


def test_every_room_is_there() -> None:
    """The page does not show what is gone."""
    assert sorted(rooms() - modules()) == []


def test_files_named_in_the_text_are_there() -> None:
    """So do the two ways through the house."""
    named = re.findall(r"`((?:\w+/)*\w+\.py)`", PAGE.partition("## Rooms")[0])
    assert named
    for name in named:
        assert any((ROOT / folder / name).exists() for folder in (".", "dao")), name
