"""The commands: arguments in, text out; the work is done by the library."""

from __future__ import annotations

import json
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import click

from dao.errors import ArgumentError, DaoWarning

__all__ = ["demo", "info", "validate", "write"]

EXIT_DAMAGED = 1


@click.command()
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
@click.argument("store", metavar="STORE")
@click.option("--organism", help="Organism of all sources, for example human.")
@click.option(
    "--features", default="outer", show_default=True, help="outer, inner, or a file: one id a line."
)
@click.option("--feature-key", help="Column of var with the feature ids.")
@click.option("--layer", help="Which matrix becomes X: a layer, or raw.")
@click.option("--layers", multiple=True, help="A further layer to store; may be repeated.")
@click.option("--obsm", multiple=True, help="An obsm to store; may be repeated.")
@click.option("--obs-columns", multiple=True, help="An obs column to keep; may be repeated.")
@click.option("--shuffle/--no-shuffle", default=True, show_default=True, help="Shuffle the rows.")
@click.option("--cluster-by", multiple=True, help="Keep rows with equal values together.")
@click.option("--seed", default=0, show_default=True, help="Of the shuffle.")
@click.option("--profile", type=click.Choice(["fast", "compact"]), default="fast")
@click.option("--memory", default="2GiB", show_default=True, help="Memory to stay within.")
@click.option("--append", "mode", flag_value="append", help="Add to an existing store.")
@click.option("--overwrite", "mode", flag_value="overwrite", help="Replace an existing store.")
def write(sources: tuple[str, ...], store: str, mode: str | None, **options: Any) -> None:
    """Write SOURCE files (.h5ad, anndata .zarr, 10x .h5) into a store.

    A source may be given as ID=PATH to name its dataset; else the file name does.

    Example: dao write gut=scp1884.h5ad blood.h5ad atlas.dao --organism human
    """
    import dao

    features = options.pop("features")
    began = time.perf_counter()
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        written = dao.write_store(
            store,
            [_source(s) for s in sources],
            features=features if features in {"outer", "inner"} else _lines(features),
            obs_columns=options.pop("obs_columns") or None,
            cluster_by=options.pop("cluster_by") or None,
            mode=mode or "create",
            **options,
        )
    seconds = time.perf_counter() - began
    click.echo(str(written))
    click.echo(f"{_size_on_disk(Path(store))} written in {seconds:.1f} s")


@click.command()
@click.argument("store")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")
def info(store: str, as_json: bool) -> None:  # noqa: FBT001 - click passes options by name
    """Show what a store holds.

    Example: dao info atlas.dao
    """
    from dao.cli.describe import describe, show

    description = describe(store)
    if as_json:
        click.echo(json.dumps(description, indent=1, ensure_ascii=False))
    else:
        show(description)


@click.command()
@click.argument("store")
@click.option("--repair", is_flag=True, help="Remove what a killed writer left behind.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")
def validate(store: str, repair: bool, as_json: bool) -> None:  # noqa: FBT001 - as above
    """Read every byte of a store and check it; exit with 1 if it is damaged.

    Example: dao validate atlas.dao
    """
    from dataclasses import asdict

    import dao

    report = dao.validate_store(store, repair=repair)
    content = {"ok": report.ok, **asdict(report)}
    click.echo(json.dumps(content, indent=1) if as_json else str(report))
    if not report.ok:
        sys.exit(EXIT_DAMAGED)


@click.command()
@click.option("--keep", type=click.Path(file_okay=False), help="Keep files and store there.")
def demo(keep: str | None) -> None:
    """Write a store of real cells, stream it to torch, and compare with training in memory.

    Example: dao demo
    """
    from dao.cli.demo import run_demo

    if not run_demo(Path(keep) if keep else None):
        sys.exit(1)


def _source(text: str) -> Any:
    from dao import Source

    name, separator, path = text.partition("=")
    if separator and not Path(text).exists():
        return Source(path, id=name)
    return Source(text)


def _lines(path: str) -> list[str]:
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        msg = f"--features {path}: give outer, inner, or a text file with one id a line ({error})."
        raise ArgumentError(msg) from error
    return [line.strip() for line in text.splitlines() if line.strip()]


def _size_on_disk(folder: Path) -> str:
    from dao.sizes import format_bytes

    return format_bytes(sum(f.stat().st_size for f in folder.rglob("*") if f.is_file()))


def _show_warning(message: Any, category: type[Warning], *_: Any, **__: Any) -> None:
    if issubclass(category, DaoWarning):
        click.echo(f"Note: {message}", err=True)
