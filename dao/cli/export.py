"""``dao export``: cells of a store as a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from dao.cli.command import PATH, StoreCommand

if TYPE_CHECKING:
    from anndata import AnnData

    from dao.store import Store

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
        _as_h5ad_holds(adata, cells)
        with replacing(target) as staged:
            adata.write_h5ad(staged)
    click.echo(f"{file}: {adata.n_obs:,} cells, {adata.n_vars:,} features")


def _as_h5ad_holds(adata: AnnData, store: Store) -> None:
    """Make text of times, dates and decimals, and categories of text some of which is missing.

    No .h5ad file holds the former, and anndata writes no missing text otherwise.
    """
    from dao.warn import warn

    kinds = {name: store.column_info(name).kind for name in store.obs_columns}
    others = [name for name, kind in kinds.items() if kind == "other"]
    for name, kind in kinds.items():
        values = adata.obs[name]
        if kind == "other":
            adata.obs[name] = values.astype(object).map(str, na_action="ignore").astype("category")
        elif kind == "string" and values.isna().any():
            adata.obs[name] = values.astype("category")
    if others:
        warn(
            f".h5ad files hold no times, dates or decimals: obs {', '.join(map(repr, others))} "
            "became text. pandas.to_datetime and pandas.to_timedelta read it back."
        )
