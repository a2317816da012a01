"""What the demo prints, step by step."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from rich.padding import Padding
from rich.panel import Panel
from rich.text import Text

from dao.cli.terminal import table
from dao.sizes import bytes_on_disk, format_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import Console

    from dao.cli.demo import Comparison
    from dao.cli.studies import StudyFile
    from dao.cli.training import Fit
    from dao.store import Store

__all__ = ["chosen", "next_steps", "studies", "trained", "training", "verdict", "written"]


def studies(to: Console, files: list[StudyFile]) -> None:
    """Show the sources."""
    n_obs = sum(f.n_obs for f in files)
    _step(to, 1, "Three studies that agree neither on genes nor on labels")
    rows = table("file", ">cells", ">genes", "calls its cell types", ">size")
    for file in files:
        size = format_bytes(file.path.stat().st_size)
        rows.add_row(file.path.name, f"{file.n_obs}", f"{file.n_vars}", repr(file.label), size)
    to.print(Padding(rows, (0, 0, 0, 2), expand=False))
    _say(to, f"{n_obs} real blood cells (scanpy.datasets.pbmc68k_reduced), dealt to three files")


def written(to: Console, store: Store, files: list[StudyFile], seconds: float) -> None:
    """Show the store, and what it takes on disk beside the sources."""
    root = Path(store.path)
    _step(to, 2, "One store", 'dao.write_store("demo.dao", sources, organism="human")')
    to.print(Padding(Panel(str(store), expand=False), (0, 0, 0, 2), expand=False))
    n_files = sum(1 for f in root.rglob("*") if f.is_file())
    size, before = bytes_on_disk(root), sum(f.path.stat().st_size for f in files)
    _say(
        to,
        f"written in {seconds:.1f} s: {n_files} files, {format_bytes(size)} "
        f"({before / size:.1f} times smaller than the .h5ad, which anndata does not compress)",
    )


def chosen(to: Console, store: Store, train: Store, test: Store, code: Sequence[str]) -> None:
    """Show which cells are used, and the code that chose them."""
    n_obs = train.n_obs + test.n_obs
    _step(to, 3, "Cells chosen by metadata", *code)
    _say(
        to,
        f"{n_obs} of {store.n_obs} cells: {train.n_obs} to train on, {test.n_obs} held out "
        f"(the last fifth of each file; their cells come in random order)",
    )


def training(to: Console) -> None:
    """Say what is trained."""
    from dao.cli.training import BATCH_SIZE, EPOCHS

    _step(
        to,
        4,
        f"A linear classifier of cell types: {EPOCHS} epochs, twice from the same weights",
        f'train.torch(batch_size={BATCH_SIZE}, obs_keys=["cell_type"], x_format="dense")',
    )


def trained(to: Console, fits: Mapping[str, Fit], comparison: Comparison) -> None:
    """Show both models side by side, and what reading took."""
    rows = table("trained from", ">held-out accuracy", ">cells/s", ">waiting for data", ">decoded")
    accuracies = (comparison.from_store, comparison.from_memory)
    for (name, fit), accuracy in zip(fits.items(), accuracies, strict=True):
        cells = [name, f"{accuracy:.3f}", f"{fit.n_obs / fit.seconds:,.0f}", "", ""]
        if fit.stats is not None:
            cells[2] = f"{fit.stats.cells_per_second:,.0f}"
            cells[3:] = [f"{fit.stats.waiting:.0%}", format_bytes(fit.stats.bytes_read)]
        rows.add_row(*cells)
    to.print(Padding(rows, (0, 0, 0, 2), expand=False))


def verdict(to: Console, comparison: Comparison, tolerance: float) -> None:
    """Say whether the two ways agree."""
    n_cells = round(comparison.difference * comparison.n_test)
    checks = {
        "dao and pandas choose the same cells": comparison.same_cells,
        (
            f"{comparison.n_differing:,} of {comparison.n_values:,} held-out values differ from "
            "anndata.concat"
        ): not comparison.n_differing,
        (
            f"accuracies differ by {comparison.difference:.3f} ({n_cells} of {comparison.n_test} "
            f"cells); up to {tolerance:.2f} is noise"
        ): comparison.difference <= tolerance,
    }
    lines = [
        Text.assemble(("ok    ", "green") if good else ("WRONG ", "bold red"), what)
        for what, good in checks.items()
    ]
    words = "The same within noise" if comparison.agree else "They do not agree"
    style = "green" if comparison.agree else "red"
    panel = Panel(
        Text("\n").join(lines), title=words, title_align="left", border_style=style, expand=False
    )
    to.print(Padding(panel, (0, 0, 0, 2), expand=False))


def next_steps(to: Console, kept: Path | None) -> None:
    """End with three lines that work when they are copied."""
    store = str((kept or Path("dao-demo")) / "demo.dao")
    # Double quotes inside, so that the shell's single ones hold it together.
    code = f'import dao; print(dao.load_store({json.dumps(store)}).subset(site="west"))'
    lines = [
        shlex.join(["dao", "info", store]),
        shlex.join(["dao", "validate", store]),
        shlex.join(["python", "-c", code]),
    ]
    if kept is None:
        lines = ["dao demo --keep dao-demo", lines[0], lines[2]]
    to.print(Text("\nNext", "bold"))
    for line in lines:
        to.print(Text(f"  {line}", "cyan"), soft_wrap=True)


def _step(to: Console, number: int, title: str, *code: str) -> None:
    to.print(Text(f"\n{number}. {title}", "bold"))
    for line in code:
        to.print(Text(f"   {line}", "cyan"), soft_wrap=True)


def _say(to: Console, text: str) -> None:
    to.print(Padding(Text(text), (0, 0, 0, 3), expand=False))
