"""What ``dao info`` shows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from dao.sizes import format_bytes

__all__ = ["describe", "show"]


def describe(path: str) -> dict[str, Any]:
    """Return what a store holds as plain values.

    Raises
    ------
    dao.errors.StoreNotFoundError
        If there is no store.
    """
    import dao

    store = dao.load_store(path, backend="zarr")
    manifest = store.manifest
    datasets = []
    for dataset in manifest.datasets:
        x = dataset.matrices["X"]
        folder = Path(path) / dataset.path
        datasets.append(
            {
                "id": dataset.id,
                "organism": dataset.organism,
                "n_obs": dataset.n_obs,
                "n_measured": dataset.n_measured,
                "nnz": x.nnz,
                "encoding": x.encoding,
                "dtype": str(x.dtype),
                "source_dtype": x.source_dtype,
                "layers": dataset.layers,
                "obsm": dataset.obsm,
                "bytes": sum(f.stat().st_size for f in folder.rglob("*") if f.is_file()),
            }
        )
    return {
        "path": path,
        "uuid": manifest.uuid,
        "generation": manifest.generation,
        "created": manifest.created,
        "created_by": manifest.created_by,
        "profile": manifest.profile,
        "n_obs": manifest.n_obs,
        "feature_spaces": {s.organism: s.n_vars for s in manifest.feature_spaces},
        "datasets": datasets,
        "obs_columns": {
            name: {
                "kind": f"ordered {column.kind}" if column.ordered else column.kind,
                "dtype": column.dtype,
                "nullable": column.nullable,
                "n_categories": len(store.categories(name))
                if column.kind == "categorical"
                else None,
            }
            for name, column in manifest.obs_columns.items()
        },
        "history": [dict(h) for h in manifest.history],
    }


def show(description: dict[str, Any]) -> None:
    """Print a description as tables."""
    console = Console()
    spaces = ", ".join(f"{o} ({n:,} features)" for o, n in description["feature_spaces"].items())
    console.print(
        f"[bold]{description['path']}[/bold]: {description['n_obs']:,} cells, {spaces}\n"
        f"generation {description['generation']}, {description['created']}, "
        f"{description['created_by']}, profile {description['profile']}",
        highlight=False,
        soft_wrap=True,
    )
    datasets = Table(box=SIMPLE)
    for name in ("dataset", "cells", "features", "nnz/cell", "X", "on disk", "organism, more"):
        right = name in {"cells", "features", "nnz/cell", "on disk"}
        datasets.add_column(
            name, justify="right" if right else "left", no_wrap=not name.startswith("organism")
        )
    for row in description["datasets"]:
        datasets.add_row(
            row["id"],
            f"{row['n_obs']:,}",
            f"{row['n_measured']:,}",
            f"{row['nnz'] / max(1, row['n_obs']):,.0f}",
            row["dtype"] if row["encoding"] == "csr" else f"{row['dtype']} dense",
            format_bytes(row["bytes"]),
            ", ".join([row["organism"], *row["layers"], *row["obsm"]]),
        )
    columns = Table(box=SIMPLE)
    for name in ("obs column", "kind", "categories", "missing values"):
        columns.add_column(name, justify="right" if name == "categories" else "left")
    for name, column in description["obs_columns"].items():
        number = column["n_categories"]
        kind = column["kind"]
        if kind in {"int", "float", "other"}:
            kind = column["dtype"]
        columns.add_row(
            name, kind, "" if number is None else f"{number:,}", "yes" if column["nullable"] else ""
        )
    console.print(datasets, columns)
