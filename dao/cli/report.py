"""``dao report``: a page about the cells of a store."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dao.cli.command import PATH, StoreCommand
from dao.cli.result import json_option

if TYPE_CHECKING:
    from dao.report import Page

__all__ = ["report"]

EXIT_DAMAGED = 1


@click.command(cls=StoreCommand, short_help="Write a page about the cells of a store.")
@click.argument("store", metavar="STORE", type=PATH)
@click.option(
    "-o", "--output", metavar="FILE", type=PATH, help="The page; STORE.html here if not given."
)
@click.option("--where", metavar="EXPRESSION", help="Only of the cells that meet it.")
@click.option("--backend", metavar="NAME", default="auto", show_default=True, help="What reads.")
@json_option
def report(store: str, output: str | None, where: str | None, backend: str, as_json: bool) -> None:  # noqa: FBT001
    """Write one HTML page that shows what there is to train on, and what looks odd.

    With --json no page is written. Exits with 1 if something could not be read. Needs:
    pip install 'dao-store[report]'.

    \b
    Example:
      dao report atlas.dao -o report.html
      dao report atlas.dao --where "tissue == 'lung'" --json
    """  # noqa: D301 - click takes the backspace for "do not rewrap"
    from dataclasses import asdict

    import dao
    from dao.cli.terminal import console
    from dao.report import check_extra

    if not as_json:
        check_extra()
    cells = dao.load_store(store, backend)
    with console(stderr=True).status("reading"):
        page = (cells.subset(where) if where else cells).report()
    if as_json:
        click.echo(json.dumps(asdict(page.facts), indent=1))
    else:
        _save(page, output or f"{Path(cells.path).stem}.html")
    if any(finding.kind == "damage" for finding in page.facts.findings):
        sys.exit(EXIT_DAMAGED)


def _save(page: Page, output: str) -> None:
    from rich.text import Text

    from dao.cli.terminal import console, printable

    with console(stderr=True).status("drawing"):
        page.save(output)
    to = console()
    styles = {"damage": "bold red", "look": "yellow", "note": ""}
    to.print(Text(printable(output), "bold"), soft_wrap=True)
    for finding in page.facts.findings:
        line = Text.assemble("  ", (f"{finding.kind:7}", styles[finding.kind]), finding.text)
        to.print(line, soft_wrap=True)
