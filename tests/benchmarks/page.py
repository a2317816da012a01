"""Write the page of documentation: what was measured goes between marks, the rest stays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobs import FITS, JOBS
from plot_fit import draw_fit
from plots import draw
from report import noise, sheets
from report_fit import fit_sheet, fit_words

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from results import Results

FITTED = {job for job, _, _ in FITS}


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the page that is written by itself.

    Attributes
    ----------
    name
        In its marks.
    raw
        File of its measurements, beside the plots.
    jobs
        Whose measurements it shows; without any of them it stays as it is.
    content
        What stands between the marks, of the measurements, the folder of plots and `raw`.
    """

    name: str
    raw: str
    jobs: set[str]
    content: Callable[[Results, Path, str], str]

    @property
    def marks(self) -> tuple[str, str]:
        """Where it begins and ends."""
        written = f"{self.name}: written by tests/benchmarks/run.py, from here"
        return f"<!-- {written} -->", f"<!-- {self.name}: to here -->"

    def put(self, text: str, content: str) -> str:
        """Return the page with this section anew, at its end if it was not there."""
        begin, end = self.marks
        before, behind = text.rstrip("\n") + "\n\n", "\n"
        if begin in text and end in text:
            before, behind = text.partition(begin)[0], text.partition(end)[2]
        return f"{before}{begin}\n\n{content}\n{end}{behind}"


def write_page(page: Path, results: Results) -> None:
    """Write the measured parts of a page, their plots and the raw measurements beside it.

    Whatever people wrote outside the marks survives, and so does what was not measured this time.
    """
    folder = page.parent / page.stem
    folder.mkdir(parents=True, exist_ok=True)
    text = page.read_text(encoding="utf-8") if page.exists() else "# Benchmarks\n"
    measured = set().union(*results.rounds, results.errors)
    for section in SECTIONS:
        if section.jobs & measured:
            raw = folder / section.raw
            if results.file != raw:
                results.copy(raw, section.jobs)
            name = f"{folder.name}/{raw.name}"
            text = section.put(text, section.content(results, folder, name))
    page.write_text(text, encoding="utf-8")


def measured(results: Results, folder: Path, raw: str) -> str:
    """Return targets, readers, and everything that was measured for them."""
    setting = results.setting
    nnz = setting.nnz / setting.cells
    intro = (
        f"{setting.cells:,} cells x {setting.genes:,} genes, {nnz:,.0f} expressed genes per cell; "
        f"batches of {setting.batch_size:,} where nothing else is said, dense batches of "
        f"{setting.chosen_genes:,} genes, a rare cell type of {setting.rare_cells:,} cells; "
        f"{len(results.rounds)} rounds. All single measurements: [{raw}]({raw}). "
        f"To measure it again:\n\n```sh\n{setting.command}\n```\n"
    )
    images = [f"![{alt}]({folder.name}/{file})\n" for file, alt in draw(results, folder).items()]
    targets, readers, *others = (table.markdown() for table in sheets(results))
    ratios = [image for image in images if "ratios" in image]
    speeds = [image for image in images if "readers" in image]
    parts = [intro, targets, *ratios, noise(results) + "\n", absent(results, SECTIONS[0].jobs)]
    return "\n".join(part for part in [*parts, readers, *speeds, *others] if part)


def fitted(results: Results, folder: Path, raw: str) -> str:
    """Return what it takes to fit a model to the batches of each reader."""
    setting, sheet = results.setting, fit_sheet(results)
    machine = ", ".join(f"{what}: {figure}" for what, figure in setting.machine.items())
    rounds = max(len(results.values(job, "learnt")) for job in FITTED)
    source = (
        f"The median of up to {rounds} rounds ({machine}). All single measurements, with versions: "
        f"[{raw}]({raw}). To measure it again:\n\n```sh\n{setting.command}\n```\n"
    )
    images = [
        f"![{alt}]({folder.name}/{file})\n" for file, alt in draw_fit(results, folder).items()
    ]
    parts = [f"## {sheet.title}\n", fit_words(results) + "\n", *images]
    parts += [sheet.markdown(titled=False), absent(results, FITTED), source]
    return "\n".join(part for part in parts if part)


def absent(results: Results, jobs: set[str]) -> str:
    """Return which readers and measurements are missing, and why."""
    lines = [
        f"- {tool} was left out: {reason}.\n"
        for tool, reason in sorted(results.setting.missing.items())
    ]
    failed = [(job, reason) for job, reason in sorted(results.errors.items()) if job in jobs]
    lines += [f"- {job} failed: {reason}\n" for job, reason in failed]
    later = [(job, when) for job, when in sorted(results.anew.items()) if job in jobs]
    return "".join([*lines, *(f"- {job} was measured later, {when}.\n" for job, when in later)])


SECTIONS = (
    Section("measured", "measurements.jsonl", {job.name for job in JOBS} - FITTED, measured),
    Section("fit", "fit.jsonl", FITTED, fitted),
)
