"""``dao compact``: datasets of a store written anew."""

from __future__ import annotations

from typing import Any

import click

from dao.cli.command import PATH, StoreCommand, dataset_ids, memory_option
from dao.cli.result import json_option, show_result

__all__ = ["compact"]


@click.command(cls=StoreCommand, short_help="Write datasets of a store anew.")
@click.argument("store", metavar="STORE", type=PATH)
@click.argument("ids", metavar="[DATASET]...", nargs=-1, shell_complete=dataset_ids)
@click.option(
    "--merge", multiple=True, metavar="NEW=A,B", help="Make one dataset of several; repeatable."
)
@click.option(
    "--keep-ids",
    metavar="COLUMN",
    default="study",
    show_default=True,
    help="Column of merged datasets that holds the former ids.",
)
@click.option(
    "--shuffle/--no-shuffle", default=True, show_default=True, help="Mix the rows of each dataset."
)
@click.option(
    "--cluster-by",
    multiple=True,
    metavar="COLUMN",
    help="Keep rows with equal values together; as before if not given; repeatable.",
)
@click.option("--seed", metavar="N", type=click.IntRange(min=0), default=0, help="Of the shuffle.")
@click.option("--profile", type=click.Choice(["fast", "compact"]), help="As before if not given.")
@memory_option
@json_option
def compact(
    store: str,
    ids: tuple[str, ...],
    merge: tuple[str, ...],
    cluster_by: Any,
    as_json: bool,  # noqa: FBT001 - click passes by name
    **options: Any,
) -> None:
    """Write datasets of a store anew, as a new generation: all, those named, or several as one.

    \b
    Example:
      dao compact atlas.dao --cluster-by cell_type
      dao compact atlas.dao --merge pilot=run1,run2,run3
    """  # noqa: D301 - click takes the backspace for "do not rewrap"
    import dao

    merged = {}
    for text in merge:
        new, equals, parts = text.partition("=")
        if not (new and equals and parts):
            msg = f"--merge {text}: give the new id and the datasets, as in --merge new=a,b."
            raise click.UsageError(msg)
        merged[new] = [part.strip() for part in parts.split(",")]
    new_store = dao.load_store(store).compact(
        merged or None, ids=ids or None, cluster_by=cluster_by or None, **options
    )
    show_result(new_store, as_json=as_json)
