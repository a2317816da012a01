"""What the pages name is there: files, headings, extras, rooms."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    [*ROOT.glob("*.md"), *(p for p in (ROOT / "docs").rglob("*.md") if "_build" not in p.parts)]
)
LINK = re.compile(r"\[[^\]\[]*\]\(([^()\s]+)\)|\{download\}`([^`]+)`")


def prose(page: Path) -> str:
    """Return a page without its code."""
    text = page.read_text(encoding="utf-8")
    text = re.sub(r"^( *)(`{3,}|~{3,}).*?^\1\2`*$", "", text, flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"(?<![}`])`[^`\n]+`", lambda m: m[0] if "](" in m[0] else "code", text)


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, made as GitHub and MyST make them."""
    text = re.sub(
        r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL
    )
    titles = re.findall(r"^#{1,6} (.+?)\s*$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def targets(page: Path) -> list[str]:
    """Return what a page links to, in the repository."""
    found = [link or download for link, download in LINK.findall(prose(page))]
    return [target for target in found if not re.match(r"[a-z]+:", target)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    """Every relative link is to a file, and to a heading in it if it names one."""
    for target in targets(page):
        path, _, anchor = target.partition("#")
        file = page.parent / path if path else page
        assert file.exists(), target
        if anchor:
            assert anchor in anchors(file), target


def test_there_are_links() -> None:
    """The test above would show nothing otherwise."""
    assert sum(len(targets(page)) for page in PAGES) > 100


def test_extras_are_those_of_the_project() -> None:
    """The page about installation names every extra, and no other."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    page = (ROOT / "docs" / "installation.md").read_text(encoding="utf-8")
    named = re.findall(
        r"^\| .* \| `(\w+)` \| `pip install 'dao-store\[(\w+)\]'` \|$", page, re.MULTILINE
    )
    assert all(extra == installed for extra, installed in named)
    assert sorted(extra for extra, _ in named) == sorted(project["optional-dependencies"])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_name_extras_that_exist(page: Path) -> None:
    """Every `dao-store[...]` on a page is one that pip can install."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for extras in re.findall(r"dao-store\[([\w,]+)\]", page.read_text(encoding="utf-8")):
        assert set(extras.split(",")) <= set(project["optional-dependencies"])
