"""``dao write``: the options of `dao.write_store`, as far as they fit on a command line."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

import click

from dao.cli.command import PATH, StoreCommand, memory_option
from dao.cli.result import json_option, result_as_json
from dao.paths import shown_path

if TYPE_CHECKING:
    from dao.store import Store
    from dao.write.source import Source

__all__ = ["append", "write"]

_MODES = ("append", "replace", "overwrite")


@click.command(cls=StoreCommand, short_help="Write files into a store.")
@click.argument("paths", nargs=-1, required=True, metavar="SOURCE... STORE", type=PATH)
@click.option("--organism", metavar="NAME", help="Organism of all sources, for example human.")
@click.option(
    "--features",
    metavar="outer|inner|FILE",
    default="outer",
    show_default=True,
    help="Features of any study, those that all share, or those of a file: one id per line, "
    "csv, parquet, GTF, or another store.",
)
@click.option("--feature-key", metavar="COLUMN", help="Column of var with the feature ids.")
@click.option("--layer", metavar="NAME", help="What becomes X: the name of a layer, or raw.")
@click.option("--layers", multiple=True, metavar="NAME", help="A layer to store too; repeatable.")
@click.option("--obsm", multiple=True, metavar="NAME", help="An obsm to store too; repeatable.")
@click.option(
    "--obs-columns", multiple=True, metavar="COLUMN", help="A column to keep, not all; repeatable."
)
@click.option(
    "--shuffle/--no-shuffle", default=True, show_default=True, help="Mix the rows of each study."
)
@click.option(
    "--cluster-by",
    multiple=True,
    metavar="COLUMN",
    help="Keep rows with equal values together, so that such subsets read little; repeatable.",
)
@click.option(
    "--seed",
    metavar="N",
    type=click.IntRange(min=0),
    default=0,
    help="Of the shuffle; 0 if not given.",
)
@click.option(
    "--profile",
    type=click.Choice(["fast", "compact"]),
    default="fast",
    show_default=True,
    help="For local disks, or fewer bytes but slower.",
)
@memory_option
@click.option("--append", is_flag=True, help="Add the datasets to an existing store.")
@click.option("--replace", is_flag=True, help="Replace the datasets that have the same ids.")
@click.option("--overwrite", is_flag=True, help="Replace an existing store.")
@click.option("--dry-run", is_flag=True, help="Show what would be written, and write nothing.")
@json_option
@click.pass_context
def write(context: click.Context, /, paths: tuple[str, ...], as_json: bool, **options: Any) -> None:  # noqa: FBT001
    """Write SOURCE files (.h5ad, anndata .zarr, 10x .h5) into the folder STORE.

    The file name becomes the id of the dataset; give ID=PATH for another id. In place of the
    sources there may be one recipe, a .toml file, which may name the store too; options given
    here go before what it says.

    \b
    Example:
      dao write gut=scp1884.h5ad blood.h5ad atlas.dao --organism human
      dao write atlas.toml --dry-run
    """  # noqa: D301 - click takes the backspace for "do not rewrap"
    import dao
    from dao.cli.plan import plan_as_json, show_plan
    from dao.write.store import plan_store

    modes = [m for m in _MODES if options.pop(m)]
    if len(modes) > 1:
        msg = f"--{modes[0]} and --{modes[1]} exclude each other."
        raise click.UsageError(msg)
    mode = modes[0] if modes else "create"
    dry_run = options.pop("dry_run")
    default = click.core.ParameterSource.DEFAULT
    said = {k: v for k, v in options.items() if context.get_parameter_source(k) is not default}
    began = time.perf_counter()
    store, sources, asked = _asked(paths, said)
    if dry_run:
        plan = plan_store(store, sources, mode=mode, **asked)
        if as_json:
            click.echo(plan_as_json(plan, store))
        else:
            show_plan(plan, store)
        return
    written = dao.write_store(store, sources, mode=mode, **asked)
    seconds = time.perf_counter() - began
    if as_json:
        click.echo(result_as_json(written, seconds=round(seconds, 3)))
    else:
        _summarise(written, seconds)


def _append(**options: Any) -> None:
    modes = {mode: mode == "append" for mode in _MODES}
    write.callback(**options, **modes)  # type: ignore[misc]  # it is there


append = StoreCommand(
    "append",
    callback=_append,
    params=[p for p in write.params if p.name not in _MODES],
    short_help="Add files to a store.",
    help="""Add SOURCE files to the store STORE, which `dao write` has begun.

    The same as `dao write --append`.

    \b
    Example:
      dao append lung=lung.h5ad atlas.dao
    """,
)


def _asked(
    paths: tuple[str, ...], said: dict[str, Any]
) -> tuple[str, list[Source], dict[str, Any]]:
    """Return the store, the sources and the options of `dao.write_store` that are asked for."""
    from dao import read_recipe

    if not paths[0].lower().endswith(".toml"):
        if len(paths) == 1:
            msg = "Missing argument 'STORE'."
            raise click.UsageError(msg)
        if os.path.isfile(paths[-1]):  # noqa: PTH113 (pathlib raises for names too long)
            usage = f"{click.get_current_context().command_path} SOURCE... STORE"
            msg = f"The store comes last, and {paths[-1]} is a file: {usage}"
            raise click.UsageError(msg)
        return paths[-1], [_source(s) for s in paths[:-1]], said
    if len(paths) > 2:
        msg = "A recipe names all sources; give it alone, or with the store."
        raise click.UsageError(msg)
    recipe = read_recipe(paths[0])
    if len(paths) == 1 and recipe.store is None:
        msg = f"{paths[0]} names no store: write store = ..., or dao write {paths[0]} STORE."
        raise click.UsageError(msg)
    store = paths[1] if len(paths) > 1 else str(recipe.store)
    return store, list(recipe.sources), {**recipe.options, **said}


def _summarise(store: Store, seconds: float) -> None:
    from rich.text import Text

    from dao.cli.describe import stored_bytes
    from dao.cli.terminal import console, printable
    from dao.format.names import UNKNOWN_ORGANISM
    from dao.sizes import counted, format_bytes

    manifest = store.manifest
    n_datasets = len(manifest.datasets)
    lines = [f"{store.n_obs:,} cells in {counted(n_datasets, 'dataset')}"]
    n_new = len(manifest.history[-1]["datasets"])
    if n_new < n_datasets:
        n_obs = sum(d.n_obs for d in manifest.datasets[-n_new:])
        lines[0] += f" ({n_obs:,} in {counted(n_new, 'dataset')} added)"
    for space in manifest.feature_spaces:
        known = space.organism != UNKNOWN_ORGANISM
        lines.append(f"{space.organism if known else 'no organism'}: {space.n_vars:,} features")
    size = format_bytes(stored_bytes(store))
    lines.append(f"{size} on disk, written in {seconds:.1f} s")
    body = "".join(f"\n  {printable(line)}" for line in lines)
    console().print(
        Text.assemble((printable(shown_path(store.path)), "bold"), body), soft_wrap=True
    )


def _source(text: str) -> Source:
    """Return the source that PATH or ID=PATH stands for; a path that exists is a path."""
    from dao import Source

    name, equals, path = text.partition("=")
    # Ids hold no separator, so that the '=' in data/run=1/x.h5ad divides nothing.
    is_there = os.path.lexists(text)
    if equals and os.sep not in name and not is_there:
        return Source(path, id=name)
    return Source(text)
