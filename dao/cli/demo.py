"""``dao demo``: the main job on real cells, beside the same training in memory."""

from __future__ import annotations

import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.box import SIMPLE
from rich.console import Console
from rich.panel import Panel
from rich.table import Table

from dao.backend import missing_extra
from dao.sizes import format_bytes

if TYPE_CHECKING:
    from anndata import AnnData

    from dao.store import Store

__all__ = ["run_demo"]

# How each study calls its labels, and every how many-th gene it did not measure.
_STUDIES = {"north": ("bulk_labels", 7), "south": ("celltype", 5), "west": ("Cell type", 3)}
_LEFT_OUT = "CD34+"
_CONDITION = "percent_mito < 0.03"
# Two fair estimates of one accuracy on a hundred cells differ by about this much.
_TOLERANCE = 0.05


@dataclass(frozen=True)
class _Written:
    store: Store
    files: list[Path]
    seconds: float


def run_demo(keep: Path | None) -> bool:
    """Run the demo and print what happens.

    Parameters
    ----------
    keep
        A folder for the files and the store; a temporary one if None.

    Returns
    -------
    Whether the model trained from the store is as good as the one trained in memory.

    Raises
    ------
    dao.errors.MissingExtraError
        If scanpy or torch is not installed.
    """
    console = Console(highlight=False)
    studies = make_studies()
    with ExitStack() as stack:
        folder = keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dao-demo-")))
        folder.mkdir(parents=True, exist_ok=True)
        written = _write(folder, studies)
        _show_written(console, written, studies)
        kept = written.store.subset(_CONDITION, exclude={"cell_type": _LEFT_OUT})
        train, test = kept.subset(fold="train"), kept.subset(fold="test")
        console.print(
            f"[bold]Chosen by metadata[/bold]  {_CONDITION}, no {_LEFT_OUT} cells: "
            f"{kept.n_obs} of {written.store.n_obs} cells, "
            f"{train.n_obs} to train on and {test.n_obs} held out\n"
        )
        agree = _compare(console, train, test, studies)
    if keep is not None:
        console.print(f"Kept in {keep}; look at it with: dao info {folder / 'demo.dao'}")
    return agree


def make_studies() -> dict[str, AnnData]:
    """Return 700 real cells as three studies that disagree on genes and on label names."""
    try:
        import scanpy
    except ImportError as error:
        msg = "dao demo"
        raise missing_extra(msg, "demo", error) from error
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cells = scanpy.datasets.pbmc68k_reduced().raw.to_adata()
    cells.obs = cells.obs[["bulk_labels", "n_genes", "percent_mito"]].copy()
    cells.obs["fold"] = np.where(np.arange(cells.n_obs) % 5 == 0, "test", "train")
    studies = {}
    for number, (name, (label, every)) in enumerate(_STUDIES.items()):
        genes = np.flatnonzero(np.arange(cells.n_vars) % every != number)
        study = cells[number::3, np.roll(genes, 50 * number)].copy()
        study.obs = study.obs.rename(columns={"bulk_labels": label})
        study.uns.clear()
        studies[name] = study
    return studies


def _write(folder: Path, studies: dict[str, AnnData]) -> _Written:
    import dao

    files = []
    for name, study in studies.items():
        files.append(folder / f"{name}.h5ad")
        study.write_h5ad(files[-1])
    sources = [
        dao.Source(file, obs={"cell_type": _STUDIES[file.stem][0]}, constants={"site": file.stem})
        for file in files
    ]
    began = time.perf_counter()
    store = dao.write_store(folder / "demo.dao", sources, organism="human", mode="overwrite")
    return _Written(store, files, time.perf_counter() - began)


def _show_written(console: Console, written: _Written, studies: dict[str, AnnData]) -> None:
    store = written.store
    table = Table(box=SIMPLE)
    for name in ("study", "cells", "genes", "its name for cell types", ".h5ad"):
        table.add_column(name, justify="left" if name.startswith(("study", "its")) else "right")
    for file in written.files:
        study = studies[file.stem]
        label = _STUDIES[file.stem][0]
        on_disk = format_bytes(file.stat().st_size)
        table.add_row(file.stem, str(study.n_obs), str(study.n_vars), label, on_disk)
    console.print("[bold]Three studies[/bold]  (real cells: scanpy.datasets.pbmc68k_reduced)")
    console.print(table)
    size = sum(f.stat().st_size for f in Path(store.path).rglob("*") if f.is_file())
    before = sum(f.stat().st_size for f in written.files)
    text = f"{store}\n{format_bytes(size)} on disk (the h5ad files: {format_bytes(before)})"
    title = f"One store, written in {written.seconds:.1f} s"
    console.print(Panel(text, title=title, title_align="left", expand=False))


def _compare(console: Console, train: Store, test: Store, studies: dict[str, AnnData]) -> bool:
    try:
        from dao.cli import training
    except ImportError as error:
        msg = "dao demo"
        raise missing_extra(msg, "demo", error) from error

    cell_types = train.categories("cell_type")
    held_out = training.as_tensors(test.to_anndata(), cell_types, list(train.var_names))
    streamed = training.train_from_store(train, console)
    rows: list[tuple[str, Any, float]] = [("the store", streamed, streamed.accuracy(*held_out))]
    memory = _concat(studies, train)
    in_memory = training.train_in_memory(memory, cell_types, list(train.var_names), console)
    rows.append(("memory", in_memory, in_memory.accuracy(*held_out)))
    table = Table(box=SIMPLE)
    for name in (
        "trained from",
        "held-out accuracy",
        "epochs",
        "cells/s",
        "seconds",
    ):
        table.add_column(name, justify="left" if name.startswith("trained") else "right")
    for name, fit, accuracy in rows:
        table.add_row(
            name,
            f"{accuracy:.3f}",
            str(training.EPOCHS),
            f"{fit.n_obs / fit.seconds:,.0f}",
            f"{fit.seconds:.2f}",
        )
    console.print(table)
    console.print(f"Reading: {streamed.stats}")
    difference = abs(rows[0][2] - rows[1][2])
    agree = difference <= _TOLERANCE
    verdict = "[green]the same within noise[/green]" if agree else "[red]not the same[/red]"
    console.print(f"Accuracies differ by {difference:.3f}: {verdict} (limit {_TOLERANCE}).\n")
    return agree


def _concat(studies: dict[str, AnnData], train: Store) -> AnnData:
    """Return the training cells without dao: the studies side by side, zeros in the gaps."""
    import anndata

    renamed = []
    for name, study in studies.items():
        own = study.copy()
        own.obs = own.obs.rename(columns={_STUDIES[name][0]: "cell_type"})
        renamed.append(own)
    whole = anndata.concat(renamed, join="outer", fill_value=0)
    return whole[list(train.obs.index)]
