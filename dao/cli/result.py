"""What commands that change a store say of it afterwards: a few lines, or JSON for scripts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from dao.store import Store

__all__ = ["json_option", "result_as_json", "show_result"]

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")


def show_result(store: Store, *, as_json: bool) -> None:
    """Print a store as it is now."""
    if as_json:
        click.echo(result_as_json(store))
        return
    from dao.cli.terminal import console, printable

    console().print(printable(store), soft_wrap=True, markup=False, highlight=False)


def result_as_json(store: Store, **more: object) -> str:
    """Return a store, as it is now, for scripts."""
    result = {
        "path": store.path,
        "generation": store.manifest.generation,
        "n_obs": store.n_obs,
        "datasets": store.datasets,
        "feature_spaces": {s.organism: s.n_vars for s in store.manifest.feature_spaces},
    }
    return json.dumps({**result, **more}, indent=1)
