"""Turn measurements into tables, for the terminal and for the documentation."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING

from jobs import JOBS, PEERS
from rich.table import Table
from scenarios import SCENARIOS
from words import NONE, figure, in_order, size, thousands

if TYPE_CHECKING:
    from results import Results


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

    def markdown(self, *, titled: bool = True) -> str:
        """Return the table for a page, below a heading or without."""
        lines = [self.header, tuple("---" for _ in self.header), *self.rows]
        heading = [f"## {self.title}\n"] if titled else []
        return "\n".join([*heading, *("| " + " | ".join(x) + " |" for x in lines), ""])


def sheets(results: Results) -> list[Sheet]:
    """Return all tables of a run."""
    return [
        scenarios(results),
        peers(results),
        streams(results),
        stores(results),
        machine(results),
    ]


def scenarios(results: Results) -> Sheet:
    """Return what is asked of dao and what was measured."""
    sheet = Sheet("Targets", ("scenario", "median", "range", "least", "aim", "verdict"))
    for scenario in SCENARIOS:
        values = results.figures(scenario)
        middle = median(values) if values else None
        shown = [figure(x, scenario.unit) for x in (middle, scenario.least, scenario.aim)]
        ends = NONE
        if len(values) > 1:
            ends = " to ".join(figure(x, scenario.unit) for x in (min(values), max(values)))
        verdict = scenario.verdict(middle)
        sheet.rows.append((f"{scenario.title} (`{scenario.name}`)", shown[0], ends, *shown[1:]))
        sheet.rows[-1] = (*sheet.rows[-1], verdict)
    return sheet


def peers(results: Results) -> Sheet:
    """Return all readers of the whole atlas, shuffled, in CSR."""
    header = ("reader", "how", "cells/s", "dao/this", "peak memory", "first batch")
    sheet = Sheet("Readers, the same shuffled stream", header)
    for job, name, how in PEERS:
        speeds = results.values(job, "cells_per_s")
        if not speeds:
            reason = results.errors.get(job) or results.setting.missing.get(job.split("/")[0])
            sheet.rows.append((name, how, f"not measured: {reason or 'left out'}", *[NONE] * 3))
            continue
        ratios = [
            ours["cells_per_s"] / this["cells_per_s"]
            for measured in results.rounds
            if (ours := measured.get("dao/csr")) and (this := measured.get(job))
        ]
        sheet.rows.append(
            (
                name,
                how,
                thousands(median(speeds)),
                f"{median(ratios):.2f}" if ratios else NONE,
                size(max(results.values(job, "peak_bytes"))),
                f"{results.median(job, 'first_batch_s'):.2f} s",
            )
        )
    return sheet


def streams(results: Results) -> Sheet:
    """Return the speed of every stream, round by round."""
    header = ("tool", "what", "cells/s", "1,000 cells/s, round by round", "peak memory")
    sheet = Sheet("Streams, absolute", header)
    for job in JOBS:
        speeds = results.values(job.name, "cells_per_s")
        if speeds:
            memory = size(max(results.values(job.name, "peak_bytes")))
            row = (job.tool, job.title, thousands(median(speeds)), in_order(speeds), memory)
            sheet.rows.append(row)
    return sheet


def stores(results: Results) -> Sheet:
    """Return the cost of writing, of keeping and of opening a store."""
    header = ("tool", "what", "time", "round by round", "memory", "on disk", "bytes per nnz")
    sheet = Sheet("Stores: writing, size, opening", header)
    for job in JOBS:
        seconds = [] if job.gives else results.values(job.name, "seconds")
        stored = results.median(job.name, "stored_bytes")
        memory = results.values(job.name, "peak_bytes")
        if not seconds and stored is None:
            continue
        each = " · ".join(f"{x:.3g}" for x in seconds)
        sheet.rows.append(
            (
                job.tool,
                job.title,
                f"{median(seconds):.3g} s" if seconds else NONE,
                each or NONE,
                size(max(memory)) if memory else NONE,
                NONE if stored is None else size(stored),
                NONE if stored is None else f"{stored / results.setting.nnz:.2f}",
            )
        )
        for what, name in (("with_imports_s", "with imports"), ("again_s", "again, same process")):
            if also := results.values(job.name, what):
                shown = f"{median(also):.3g} s", " · ".join(f"{x:.3g}" for x in also)
                sheet.rows.append((job.tool, f"{job.title}, {name}", *shown, NONE, NONE, NONE))
    return sheet


def machine(results: Results) -> Sheet:
    """Return what it ran on."""
    setting = results.setting
    return Sheet(
        "Machine", ("what", "figure"), [*setting.machine.items(), *setting.versions.items()]
    )


def noise(results: Results) -> str:
    """Return in words how far the rounds differ, and what the reason may be."""
    spreads = {}
    for job in JOBS:
        speeds = results.values(job.name, "cells_per_s")
        if len(speeds) > 1:
            spreads[f"{job.tool}, {job.title}"] = (max(speeds) - min(speeds)) / median(speeds)
    if not spreads:
        return "One round tells nothing about noise: do not trust these figures further than that."
    worst, spread = max(spreads.items(), key=lambda item: item[1])
    text = (
        f"Noise: between the fastest and the slowest of {len(results.rounds)} rounds the same "
        f"stream differed by {median(spreads.values()):.0%} in the median and by {spread:.0%} at "
        f"most ({worst})."
    )
    shares = [x for x in results.noise if "stolen" in x]
    if shares:
        stolen, others = (max(x[what] for x in shares) for what in ("stolen", "others"))
        text += (
            f" In the worst round the hypervisor took {stolen:.1%} of the processors' time and "
            f"other processes {others:.1%}."
        )
    return (
        text
        + (
            " Ratios within a round suffer less than the speeds themselves, which is why they are "
            "what is judged; a difference smaller than the range of a row means nothing."
        )
        + fresh_memory(results)
    )


def fresh_memory(results: Results) -> str:
    """Return in words what memory costs here that was not in use just before."""
    speeds = [x for x in results.noise if "fresh" in x]
    if not speeds:
        return ""
    fresh, again = (median(x[what] for x in speeds) for what in ("fresh", "again"))
    text = f"\n\nFresh memory: {fresh:.1f} GB/s, when used again at once {again:.1f} GB/s."
    if again < 4 * fresh:
        return text
    text += (
        " So this machine is slow at handing out memory, as virtual machines are that return what "
        "is free to their host. Whoever starts, or holds much, pays for that."
    )
    for job in JOBS:
        peak = results.median(job.name, "peak_bytes")
        if peak and job.name.endswith("/write"):
            text += (
                f" For the peak of {job.tool}'s writing that is up to {peak / fresh / 1e9:.0f} s."
            )
    return text
