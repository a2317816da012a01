"""The group of commands, and how errors, notes and an interruption are shown."""

from __future__ import annotations

import traceback
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from dao.cli.bench import bench
from dao.cli.commands import demo, history, info, remove, validate
from dao.cli.compact import compact
from dao.cli.export import export
from dao.cli.report import report
from dao.cli.wording import in_options
from dao.cli.write import append, write
from dao.errors import DaoError, DaoWarning

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["main"]

EXIT_ERROR = 2
EXIT_INTERRUPTED = 130


class _Commands(click.Group):
    """Shows errors of dao as one message, and an interruption as one word."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands in the order of their use, not of the alphabet."""
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that the arguments name."""
        debug = bool(ctx.params["debug"])
        try:
            with _notes(debug=debug):
                return super().invoke(ctx)
        except KeyboardInterrupt:
            click.echo("\ninterrupted", err=True)
            ctx.exit(EXIT_INTERRUPTED)
        except DaoError as error:
            if debug:
                traceback.print_exc()
            else:
                _print_to_stderr("Error: ", "bold red", error)
                for following in getattr(error, "__notes__", ()):
                    _print_to_stderr("Next:  ", "bold", following)
            ctx.exit(EXIT_ERROR)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="dao-store", prog_name="dao")
@click.option(
    "--debug",
    is_flag=True,
    envvar="DAO_DEBUG",
    help="Show where an error arose, and all warnings (also: DAO_DEBUG=1).",
)
def main(debug: bool) -> None:  # noqa: FBT001 - for the group, which reads it above
    """Write single-cell studies once, stream any subset of their cells to a model.

    \b
    Example:
      dao write gut.h5ad blood.h5ad atlas.dao --organism human
      dao info atlas.dao
    """  # noqa: D301 - click takes the backspace for "do not rewrap"


_COMMANDS = (
    *(write, append, remove, compact),
    *(info, report, history, validate, bench),
    *(export, demo),
)
for command in _COMMANDS:
    main.add_command(command)


@contextmanager
def _notes(*, debug: bool) -> Iterator[None]:
    """Show what dao warns of as notes; the warnings of other packages are for developers."""
    with warnings.catch_warnings():
        if not debug:
            warnings.showwarning = _show_note
        yield


def _show_note(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
    if issubclass(category, DaoWarning):
        context = click.get_current_context(silent=True)
        parameters = () if context is None else context.command.params
        _print_to_stderr("Note: ", "bold yellow", in_options(str(message), parameters))


def _print_to_stderr(title: str, style: str, message: object) -> None:
    from rich.text import Text

    from dao.cli.terminal import console, printable

    text = Text.assemble((title, style), printable(message))
    console(stderr=True).print(text, soft_wrap=True)
