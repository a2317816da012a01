"""Compare dao with its peers on a synthetic atlas, and write docs/benchmarks.md.

    python tests/benchmarks/run.py                       everything, about half an hour
    python tests/benchmarks/run.py --quick               tiny, only to see that it runs
    python tests/benchmarks/run.py --only csr dense      some scenarios ("peers": all readers)
    python tests/benchmarks/run.py --only fit            a model fitted to the batches of each reader
    python tests/benchmarks/run.py --more FILE.jsonl     rounds for an earlier run of the same kind
    python tests/benchmarks/run.py --anew FILE.jsonl --jobs memory/csr   in place of what it has
    python tests/benchmarks/run.py --rebuild             write all stores anew before
    python tests/benchmarks/run.py --page FILE.jsonl     only the page, of an earlier run

Only a run of the default size writes the documentation by itself, a whole one or one of "fit", which
has a part of the page of its own; --out says where else.
Peers get environments of their own beside the Makefile, made when they are missing; a peer that
cannot be installed is left out. What is measured is kept in the folder of the atlas at once, so
Ctrl-C ends a run early and loses nothing.
"""

from __future__ import annotations

import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from atlas import SUMMARY, Atlas
from jobs import JOBS, Job
from labels import rare_type
from machine import PACKAGES, Ticks, describe_machine, memory_speeds, versions
from options import PHASES, parse
from page import write_page
from peer_env import ENVIRONMENTS, OWN, peer_python
from report import sheets
from report_fit import fit_sheet
from results import Results, Setting
from rich.console import Console
from runner import HERE, STORES, JobError, Runner, run
from scenarios import chosen

if TYPE_CHECKING:
    import argparse

DOCS = HERE.parents[1] / "docs" / "benchmarks.md"
WHOLE = (200_000, 30_000, 4096)  # cells, genes, batch size of the documentation
PRELOAD = 512 * 32  # rows that annbatch's default loads together
# Where nobody looks at a terminal, tables need not be squeezed into its width.
CONSOLE = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 180)


def interpreters(options: argparse.Namespace) -> tuple[dict[str, Path], dict[str, str]]:
    """Return the interpreter of each tool that can run, and why the others cannot."""
    pythons: dict[str, Path] = {}
    missing: dict[str, str] = {}
    given = dict(item.split("=", 1) for item in options.python)
    for tool in [*OWN, *ENVIRONMENTS]:
        if tool in options.without:
            missing[tool] = "not wanted"
            continue
        if tool in given:
            pythons[tool] = Path(given[tool])
            continue
        python, reason = peer_python(tool, create=not options.quick)
        if python:
            pythons[tool] = python
        else:
            missing[tool] = reason
            CONSOLE.print(f"without {tool}: {reason}")
    return pythons, missing


def prepare(options: argparse.Namespace) -> tuple[Runner, Results, list[Job]]:
    """Write the atlas if it is missing, find the tools, choose the jobs."""
    atlas = options.workdir / f"atlas-{options.cells}x{options.genes}-seed{Atlas.seed}"
    CONSOLE.print(f"atlas: {options.cells:,} cells x {options.genes:,} genes in {atlas}")
    sizes = f"--cells={options.cells}", f"--genes={options.genes}"
    run(Path(sys.executable), HERE / "atlas.py", atlas, *sizes)
    summary: dict[str, Any] = json.loads((atlas / SUMMARY).read_text())
    rare = rare_type([atlas / file for file in summary["files"]])
    pythons, missing = interpreters(options)
    whole, workers = max(1, PRELOAD // options.batch_size), os.cpu_count() or 1
    words = {
        "summary": str(atlas / SUMMARY),
        "batch": str(options.batch_size),
        "seconds": str(options.seconds),
        "budget": str(options.budget),
        "preload": str(PRELOAD),
        "whole": str(whole),
        "fetched": str(whole * workers),
        "workers": str(workers),
        "cells": str(options.cells),
        "epochs": str(options.epochs),
        "types": str(summary["atlas"]["cell_types"]),
        "rare": rare.label,
    }
    expected = {
        "all": (options.cells, summary["total"]),
        "chosen": (options.cells, summary["chosen_total"]),
        "rare": (rare.cells, rare.total),
    }
    setting = Setting(
        cells=options.cells,
        genes=options.genes,
        nnz=summary["nnz"],
        chosen_genes=len(summary["chosen"]),
        rare_cells=rare.cells,
        batch_size=options.batch_size,
        seconds=options.seconds,
        command=options.command,
        machine=describe_machine(),
        versions={t: versions(pythons[t], t) for t in PACKAGES if t in pythons},
        missing=missing,
    )
    file = atlas / f"measurements-{datetime.now(UTC):%Y%m%dT%H%M%S}.jsonl"
    jobs = chosen(options.only, set(options.phases), set(pythons))
    if options.anew:
        jobs = [job for job in jobs if job.name in options.jobs]
        results = Results.renew(options.anew, setting, options.jobs)
    elif options.more:
        results = Results.resume(options.more, setting)
    else:
        results = Results.begin(file, setting)
    return Runner(atlas, pythons, words, expected), results, jobs


def build(options: argparse.Namespace, runner: Runner, results: Results, jobs: list[Job]) -> None:
    """Write the stores that are missing, or that are asked for anew."""
    rebuild = STORES if options.rebuild == [] else options.rebuild or ()
    for name, (tool, _, _) in STORES.items():
        users = [job for job in jobs if f"{{{name}}}" in job.command]
        wanted = name in rebuild or not runner.store(name).exists()
        if not (users and wanted and "build" in options.phases and tool in runner.pythons):
            if users and runner.store(name).exists():
                # A store that an older dao wrote would be measured without a word.
                age = datetime.fromtimestamp(runner.store(name).stat().st_mtime, UTC)
                CONSOLE.print(f"the store {name!r} is of {age:%Y-%m-%d %H:%M} UTC")
            continue
        CONSOLE.print(f"writing the store {name!r}")
        try:
            runner.build(name)
        except JobError as error:
            CONSOLE.print(error.details, markup=False)
            CONSOLE.print(f"  failed: {error}")
            for job in users:
                results.add(0, job.name, {"error": f"its store could not be written: {error}"})


def measure(options: argparse.Namespace, runner: Runner, results: Results, jobs: list[Job]) -> None:
    """Run the jobs in turns, round after round, writing first."""
    first = len(results.rounds) if options.more else 0
    for phase in ("write", "stream"):
        some = [job for job in jobs if job.name.endswith("/write") == (phase == "write")]
        for number in range(first, first + options.rounds if some else 0):
            before = Ticks.now()
            for job in some:
                so_far = results.rounds[number] if number < len(results.rounds) else {}
                try:
                    measured = runner.measure(job, so_far)
                except JobError as error:
                    measured = {"error": str(error)}
                    CONSOLE.print(error.details, markup=False)
                results.add(number, job.name, measured)
                CONSOLE.print(f"{phase} {number + 1}: {job.name}: {brief(measured)}")
            after = Ticks.now()
            shares = after.shares_since(before) if before and after else {}
            results.add_noise(shares | memory_speeds(32 if options.quick else 512))


def brief(measured: dict[str, Any]) -> str:
    """Return the figure of a measurement that one looks at first."""
    if "error" in measured:
        return f"failed: {measured['error']}"
    if "cells_per_s" in measured:
        return f"{measured['cells_per_s']:,.0f} cells/s {measured.get('yields', '')}"
    if "alone_s" in measured:
        seconds = measured["waiting_s"] + measured["computing_s"]
        return f"{measured['learnt']:,} cells in {measured['start_s']:.1f} + {seconds:.1f} s"
    if "seconds" in measured:
        return f"{measured['seconds']:.2f} s"
    return f"{measured['stored_bytes']:,} bytes"


def main() -> None:
    """Write the atlas and the stores, measure in turns, show the tables, write the page."""
    options = parse(__doc__)
    interrupted = False
    if options.page:
        results = Results.load(options.page)
    else:
        runner, results, jobs = prepare(options)
        try:
            build(options, runner, results, jobs)
            measure(options, runner, results, [j for j in jobs if j.name not in results.errors])
        except KeyboardInterrupt:
            interrupted = True
            CONSOLE.print("interrupted; this is what was measured until then")
    for table in [*sheets(results), fit_sheet(results)]:
        CONSOLE.print(table.rich())
    less = interrupted or options.page or options.anew or set(options.phases) != set(PHASES)
    usual = (options.cells, options.genes, options.batch_size) == WHOLE
    documented = usual and not less and options.only in ([], ["fit"])
    page = options.out or (DOCS if documented else results.file.with_suffix(".md"))
    write_page(page, results)
    CONSOLE.print(f"measurements: {results.file}\npage: {page}")
    ours = [job for job in JOBS if job.name in results.errors and job.tool in {"dao", "zarrs"}]
    if ours:
        sys.exit(f"{ours[0].name} failed: {results.errors[ours[0].name]}")


if __name__ == "__main__":
    main()
