"""The group of commands, and how their errors are shown."""

from __future__ import annotations

import sys
from typing import Any

import click

from dao.cli.commands import demo, info, validate, write
from dao.errors import DaoError

__all__ = ["main"]

EXIT_ERROR = 2
EXIT_INTERRUPTED = 130


class _Commands(click.Group):
    """Shows errors of dao as one message, and an interruption as one word."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run the command that the arguments name."""
        try:
            return super().main(*args, **{**kwargs, "standalone_mode": False})
        except click.ClickException as error:
            error.show()
            sys.exit(error.exit_code)
        except (click.Abort, KeyboardInterrupt):
            click.echo("interrupted", err=True)
            sys.exit(EXIT_INTERRUPTED)
        except DaoError as error:
            click.echo(f"Error: {error}", err=True)
            sys.exit(EXIT_ERROR)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="dao-store", prog_name="dao")
def main() -> None:
    """Write single-cell studies once, stream any subset of their cells to a model."""


for command in (write, info, validate, demo):
    main.add_command(command)
