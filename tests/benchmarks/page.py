"""Write the page of documentation: what was measured goes between two marks, the rest stays."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from plots import draw
from report import noise, sheets

if TYPE_CHECKING:
    from pathlib import Path

    from results import Results

BEGIN = "<!-- measured: written by tests/benchmarks/run.py, from here -->"
END = "<!-- measured: to here -->"


def write_page(page: Path, results: Results) -> None:
    """Write the measured part of a page, its plots and the raw measurements beside it.

    Whatever people wrote before and behind the marks survives; a page without marks is replaced.
    """
    folder = page.parent / page.stem
    folder.mkdir(parents=True, exist_ok=True)
    raw = folder / "measurements.jsonl"
    if results.file != raw:
        shutil.copyfile(results.file, raw)
    plots = {f"{folder.name}/{name}": alt for name, alt in draw(results, folder).items()}
    measured = f"{BEGIN}\n\n{content(results, plots, f'{folder.name}/{raw.name}')}\n{END}"
    before, behind = "# Benchmarks\n\n", "\n"
    if page.exists():
        text = page.read_text(encoding="utf-8")
        if BEGIN in text and END in text:
            before, behind = text.partition(BEGIN)[0], text.partition(END)[2]
    page.write_text(before + measured + behind, encoding="utf-8")


def content(results: Results, plots: dict[str, str], raw: str) -> str:
    """Return what stands between the marks."""
    setting = results.setting
    nnz = setting.nnz / setting.cells
    intro = (
        f"{setting.cells:,} cells x {setting.genes:,} genes, {nnz:,.0f} expressed genes per cell; "
        f"batches of {setting.batch_size:,} where nothing else is said, dense batches of "
        f"{setting.chosen_genes:,} genes, a rare cell type of {setting.rare_cells:,} cells; "
        f"{len(results.rounds)} rounds. All single measurements: [{raw}]({raw}). "
        f"To measure it again:\n\n```sh\n{setting.command}\n```\n"
    )
    images = [f"![{alt}]({file})\n" for file, alt in plots.items()]
    targets, readers, *others = (table.markdown() for table in sheets(results))
    missing = [
        f"- {tool} was left out: {reason}.\n" for tool, reason in sorted(setting.missing.items())
    ]
    missing += [f"- {job} failed: {reason}\n" for job, reason in sorted(results.errors.items())]
    ratios = [image for image in images if "ratios" in image]
    speeds = [image for image in images if "readers" in image]
    parts = [intro, targets, *ratios, noise(results) + "\n", "".join(missing)]
    return "\n".join(part for part in [*parts, readers, *speeds, *others] if part)
