"""The commands that look at a store, and the demo: arguments in, text out."""

from __future__ import annotations

import json
import sys

import click

from dao.cli.command import PATH, StoreCommand, dataset_ids
from dao.cli.result import json_option, show_result
from dao.paths import local_path

__all__ = ["demo", "history", "info", "remove", "validate"]

EXIT_DAMAGED = 1
EXIT_DISAGREES = 1


@click.command(cls=StoreCommand, short_help="Show what a store holds.")
@click.argument("store", metavar="STORE", type=PATH)
@click.option("--features", is_flag=True, help="Show how the features of each study matched.")
@json_option
def info(store: str, features: bool, as_json: bool) -> None:  # noqa: FBT001 - click passes by name
    """Show what a store holds: datasets, features, obs columns and history.

    \b
    Example:
      dao info atlas.dao
    """  # noqa: D301 - click takes the backspace for "do not rewrap"
    from dao.cli.describe import describe

    if features and not as_json:
        import dao
        from dao.cli.plan import matching_rows
        from dao.cli.terminal import console

        console().print(matching_rows(dao.load_store(store).matching()), end="")
        return
    description = describe(store)
    if as_json:
        click.echo(json.dumps(description, indent=1))
        return
    from dao.cli.show import show

    show(description)


@click.command(cls=StoreCommand, short_help="Check every byte of a store.")
@click.argument("store", metavar="STORE", type=PATH)
@click.option("--repair", is_flag=True, help="Remove what a killed writer left behind.")
@click.option(
    "--old-generations",
    is_flag=True,
    help="With --repair: and what only earlier generations need, if none on this machine reads it.",
)
@json_option
def validate(store: str, repair: bool, old_generations: bool, as_json: bool) -> None:  # noqa: FBT001
    """Read every byte of a store and check it; exit with 1 if it is damaged.

    \b
    Example:
      dao validate atlas.dao
    """  # noqa: D301 - as above
    from dataclasses import asdict

    import dao
    from dao.cli.terminal import console, printable

    if old_generations and not repair:
        msg = "--old-generations needs --repair."
        raise click.UsageError(msg)
    report = dao.validate_store(store, repair=repair, old_generations=old_generations)
    if as_json:
        click.echo(json.dumps({"ok": report.ok, **asdict(report)}, indent=1))
    else:
        from rich.text import Text

        verdict, *rest = printable(report).split("\n")
        style = "green" if report.ok else "bold red"
        text = Text("\n").join([Text(verdict, style), *map(Text, rest)])
        console().print(text, soft_wrap=True)
    if not report.ok:
        sys.exit(EXIT_DAMAGED)


@click.command(cls=StoreCommand, short_help="Show what was committed to a store.")
@click.argument("store", metavar="STORE", type=PATH)
@json_option
def history(store: str, as_json: bool) -> None:  # noqa: FBT001 - as above
    """Show every generation of a store: when, what was done, to which datasets.

    Those that are kept can be opened: dao.load_store(path, generation=2).

    \b
    Example:
      dao history atlas.dao
    """  # noqa: D301 - as above
    import dao

    table = dao.load_store(store).history
    if as_json:
        click.echo(table.to_json(orient="records", indent=1))
        return
    from dao.cli.show import history_table
    from dao.cli.terminal import console

    console().print(history_table(table.to_dict("records")), end="")


@click.command(cls=StoreCommand, short_help="Take datasets out of a store.")
@click.argument("store", metavar="STORE", type=PATH)
@click.argument("ids", metavar="DATASET...", nargs=-1, required=True, shell_complete=dataset_ids)
@json_option
def remove(store: str, ids: tuple[str, ...], as_json: bool) -> None:  # noqa: FBT001 - as above
    """Take datasets out of a store, as a new generation; their files stay on disk.

    \b
    Example:
      dao remove atlas.dao gut
      dao validate atlas.dao --repair --old-generations
    """  # noqa: D301 - as above
    import dao

    show_result(dao.load_store(store).remove(list(ids)), as_json=as_json)


@click.command(cls=StoreCommand, short_help="Train on real cells from a store and from memory.")
@click.option(
    "--keep",
    metavar="DIR",
    type=PATH,
    help="Keep the files and the store there: a new or empty folder.",
)
def demo(keep: str | None) -> None:
    """Write a store of real cells, train from it, and compare with training in memory.

    Exits with 1 if the two do not agree. Needs: pip install 'dao-store[demo]'.

    \b
    Example:
      dao demo --keep dao-demo
    """  # noqa: D301 - as above
    from dao.cli.demo import run_demo

    if not run_demo(None if keep is None else local_path(keep, "--keep")).agree:
        sys.exit(EXIT_DISAGREES)
