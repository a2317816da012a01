"""``dao export``: cells of a store as a file."""

from __future__ import annotations

import click

from dao.cli.command import PATH, StoreCommand

__all__ = ["export"]


@click.command(cls=StoreCommand, short_help="Write cells of a store into an .h5ad file.")
@click.argument("store", metavar="STORE", type=PATH)
@click.argument("file", metavar="FILE", type=PATH)
@click.option("--where", metavar="EXPRESSION", help="Only the cells that meet it.")
@click.option("--organism", metavar="NAME", help="Only its cells; needed where there are several.")
@click.option("--overwrite", is_flag=True, help="Replace FILE if it exists.")
def export(store: str, file: str, where: str | None, organism: str | None, overwrite: bool) -> None:  # noqa: FBT001
    """Write cells of a store into one .h5ad file, with the dtypes of their sources.

    They are in memory for that time, so choose: --where takes what store.subset does.

    \b
    Example:
      dao export atlas.dao blood.h5ad --where "tissue == 'blood'"
    """  # noqa: D301 - click takes the backspace for "do not rewrap"
    import dao
    from dao.cli.terminal import console
    from dao.paths import local_path
    from dao.replacing import replacing

    target = local_path(file, "FILE")
    if target.suffix != ".h5ad":
        msg = f"FILE {file}: give a name that ends in .h5ad."
        raise click.UsageError(msg)
    if target.exists() and not overwrite:
        msg = f"{file} exists. Use --overwrite to replace it, or give another name."
        raise click.UsageError(msg)
    cells = dao.load_store(store)
    cells = cells[organism] if organism else cells
    with console(stderr=True).status("reading and writing"):
        adata = (cells.subset(where) if where else cells).to_anndata()
        with replacing(target) as staged:
            adata.write_h5ad(staged)
    click.echo(f"{file}: {adata.n_obs:,} cells, {adata.n_vars:,} features")
