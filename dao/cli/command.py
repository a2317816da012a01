"""What commands have in common: paths that shells complete, and what to run after an error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from dao import errors
from dao.cli.wording import in_options

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["PATH", "StoreCommand", "dataset_ids", "following", "memory_option"]

# Not checked here: it may be a URL, and the library says better what is wrong with it.
PATH = click.Path()

memory_option = click.option(
    "--memory", metavar="SIZE", default="2GiB", show_default=True, help="Memory to stay within."
)

# For each error the command that helps; the first that fits, so special ones come first.
_FOLLOWING: tuple[tuple[type[errors.DaoError], str], ...] = (
    (errors.CorruptStoreError, "dao validate {store}"),
    (errors.FormatVersionError, "pip install --upgrade dao-store"),
    (errors.UnknownColumnError, "dao info {store}"),
    (errors.UnknownDatasetError, "dao info {store}"),
    (errors.UnknownValueError, "dao info {store}"),
    (errors.MultipleFeatureSpacesError, "dao info {store}"),
    (errors.StoreChangedError, "dao history {store}"),
    (errors.StoreExistsError, "dao info {store}"),
    (errors.StoreNotFoundError, "dao write --help"),
    (errors.NoCommonFeaturesError, "dao write ... --dry-run"),
    (errors.ExpressionError, "dao info {store}"),
    (errors.ArgumentError, "dao {command} --help"),
)


class StoreCommand(click.Command):
    """A command whose errors know what to run next."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except errors.DaoError as error:
            error.args = (in_options(str(error), self.params),)
            for text in following(error, str(self.name), ctx.params):
                error.add_note(text)
            raise


def dataset_ids(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Return the ids of the store on the command line that begin so, for a shell to complete.

    Only the manifest is read, and nothing of dao imported: a shell waits for it at every key.
    """
    import json
    from pathlib import Path

    try:
        manifest = json.loads(Path(ctx.params["store"], "dao.json").expanduser().read_bytes())
        ids = [str(dataset["id"]) for dataset in manifest["datasets"]]
    except (OSError, RuntimeError, ValueError, KeyError, TypeError):
        return []
    return [i for i in ids if i.startswith(incomplete)]


def following(error: errors.DaoError, command: str, parameters: Mapping[str, Any]) -> list[str]:
    """Return the commands that may help after an error, none if its message says all.

    >>> following(errors.UnknownColumnError("no such column"), "report", {"store": "my atlas.dao"})
    ["dao info 'my atlas.dao'"]
    """
    import shlex

    known = next((text for kind, text in _FOLLOWING if isinstance(error, kind)), None)
    store = parameters.get("store")
    if known is None or ("{store}" in known and not store):
        return []
    return [known.format(store=shlex.quote(str(store)), command=command)]
