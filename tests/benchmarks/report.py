"""Turn measurements into tables, for the terminal and for the documentation."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from rich.table import Table

if TYPE_CHECKING:
    from timing import Build, Stream

NOTES = """\
Every figure is from a process of its own; the readers take turns, and the ratios compare runs of
the same round. Timed are whole shuffled epochs after a first one, so the page cache is warm. All
readers hand out the same obs columns, and in the first epoch the number of cells and the sum of
all counts were checked. annbatch runs as its documentation advises: zarrs, its own pre-shuffled
collection with default chunks and shards, its loader used directly; "512 x 32" is 32 random runs
of 512 rows preloaded and shuffled together, its default. It has no choice of genes while reading,
so its dense batches are cut out of the sparse ones; a collection written with `var_subset` would
be faster, for that one set of genes.
"""


@dataclass(slots=True)
class Sheet:
    """A table before it has a form."""

    title: str
    header: tuple[str, ...]
    rows: list[tuple[str, ...]] = field(default_factory=list)

    def rich(self) -> Table:
        """Return the table for a terminal."""
        table = Table(title=self.title, title_justify="left")
        for column, name in enumerate(self.header):
            numbers = all(row[column][:1].isdigit() for row in self.rows)
            table.add_column(name, justify="right" if numbers else "left", no_wrap=numbers)
        for row in self.rows:
            table.add_row(*row)
        return table

    def markdown(self) -> str:
        """Return the table for a page."""
        lines = [self.header, tuple("---" for _ in self.header), *self.rows]
        return "\n".join([f"## {self.title}\n", *("| " + " | ".join(x) + " |" for x in lines), ""])


def sheets(
    builds: list[Build], rounds: list[list[Stream]], *, nnz: int, versions: dict[str, str]
) -> list[Sheet]:
    """Return the tables of one benchmark: reading, reading round by round, writing, the machine.

    Parameters
    ----------
    builds
        The cost of each reader's store.
    rounds
        The streams of each round, always in the same order.
    nnz
        Non-zero values in the atlas.
    versions
        Reader to the versions it ran with.
    """
    return [*_reading(rounds), _writing(builds, nnz), _machine(versions)]


def _reading(rounds: list[list[Stream]]) -> list[Sheet]:
    header = ("X", "reader", "cells/s", "dao/this", "peak memory", "first batch")
    medians = Sheet("Reading, shuffled", header)
    each = Sheet("Reading, round by round", ("X", "reader", "1,000 cells/s", "dao/this"))
    for streams in zip(*rounds, strict=True):
        one = streams[0]
        name = one.x_format, f"{one.reader}, {one.settings}"
        speeds = [stream.cells_per_s for stream in streams]
        ours = [
            next(s.cells_per_s for s in others if (s.reader, s.x_format) == ("dao", one.x_format))
            for others in rounds
        ]
        ratios = [our / speed for our, speed in zip(ours, speeds, strict=True)]
        memory = max(stream.peak_bytes for stream in streams)
        start = median(stream.first_batch_s for stream in streams)
        middle = thousands(median(speeds)), f"{median(ratios):.2f}"
        medians.rows.append((*name, *middle, size(memory), f"{start:.2f} s"))
        in_order = (
            " · ".join(f"{x / 1000:.3g}" for x in speeds),
            " · ".join(f"{x:.2f}" for x in ratios),
        )
        each.rows.append((*name, *in_order))
    return [medians, each]


def _writing(builds: list[Build], nnz: int) -> Sheet:
    header = ("store", "time", "memory", "on disk", "bytes per nnz", "files")
    sheet = Sheet("Writing, from the h5ad files", header)
    for build in builds:
        sheet.rows.append(
            (
                build.reader,
                f"{build.seconds:.1f} s",
                size(build.peak_bytes),
                size(build.stored_bytes),
                f"{build.stored_bytes / nnz:.2f}",
                f"{build.stored_files:,}",
            )
        )
    return sheet


def _machine(versions: dict[str, str]) -> Sheet:
    sheet = Sheet("Machine", ("what", "figure"))
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    sheet.rows += [
        ("processor", models[0] if models else platform.machine()),
        ("cores", str(os.cpu_count())),
        ("memory", size(memory)),
        ("system", platform.system()),
        ("transparent huge pages", huge_pages()),
        *versions.items(),
    ]
    return sheet


def thousands(value: float) -> str:
    """Return a speed with the three digits that mean something."""
    return f"{float(f'{value:.3g}'):,.0f}"


def size(n: float) -> str:
    """Return a number of bytes for people."""
    for unit in ("B", "KiB", "MiB"):
        if n < 1024:
            return f"{n:.0f} {unit}"
        n /= 1024
    return f"{n:.2f} GiB"


def huge_pages() -> str:
    """Return when Linux gives out huge pages, which decides the price of fresh large arrays."""
    file = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    choices = file.read_text() if file.exists() else "[unknown]"
    return choices.partition("[")[2].partition("]")[0]


def page(title: str, command: str, tables: list[Sheet]) -> str:
    """Return the whole page of documentation."""
    intro = f"# Benchmarks\n\n{title}. To measure it again:\n\n```sh\n{command}\n```\n\n{NOTES}\n"
    return intro + "\n".join(table.markdown() for table in tables)
