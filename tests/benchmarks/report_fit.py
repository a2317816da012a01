"""What it takes to fit a model to the batches of each reader: a table, and what it says in words."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from jobs import FITS
from report import Sheet
from words import size

if TYPE_CHECKING:
    from results import Results


@dataclass(frozen=True, slots=True)
class Cost:
    """The seconds that a whole fit takes with one reader.

    Where a slow reader was stopped, what it took after the first batch is multiplied up to all cells.
    """

    name: str
    how: str
    start: float
    waiting: float
    computing: float
    alone: float  # computing, with no reader beside it
    epochs: int
    learnt: int  # cells that it was measured with
    wanted: int
    accuracy: float
    peak_bytes: float

    @property
    def whole(self) -> float:
        """From the start of the process to the end of the fit."""
        return self.start + self.waiting + self.computing

    @property
    def epoch(self) -> float:
        """What one more epoch costs."""
        return (self.waiting + self.computing) / self.epochs

    @property
    def extrapolated(self) -> bool:
        """Whether it was stopped before the end."""
        return self.learnt < self.wanted


def costs(results: Results) -> list[Cost]:
    """Return the cost with each reader that was measured."""
    return [
        cost(results, job, name, how)
        for job, name, how in FITS
        if any(job in measured for measured in results.rounds)
    ]


def cost(results: Results, job: str, name: str, how: str) -> Cost:
    """Return the cost with one reader: that of the round in the middle, of two the faster."""
    rounds = [measured[job] for measured in results.rounds if job in measured]
    found = []
    for fit in rounds:
        times = fit["wanted"] / fit["learnt"]
        found.append(
            Cost(
                name=name,
                how=how,
                start=fit["start_s"],
                waiting=fit["waiting_s"] * times,
                computing=fit["computing_s"] * times,
                alone=fit["alone_s"] * times,
                epochs=fit["epochs"],
                learnt=fit["learnt"],
                wanted=fit["wanted"],
                accuracy=fit["accuracy"],
                peak_bytes=fit["peak_bytes"],
            )
        )
    return sorted(found, key=lambda cost: cost.whole)[(len(found) - 1) // 2]


def alone(results: Results) -> float:
    """Return how long the fit takes when no batch must be waited for, and no reader computes."""
    return median(cost.alone for cost in costs(results))


def fit_sheet(results: Results) -> Sheet:
    """Return a row for each reader."""
    header = ("reader", "how", "the fit", "before the first batch", "waiting", "computing")
    sheet = Sheet("Fitting a model", (*header, "one more epoch", "accuracy", "peak memory"))
    for cost in costs(results):
        sheet.rows.append(
            (
                cost.name,
                cost.how,
                seconds(cost.whole) + (f", from {cost.learnt:,} cells" * cost.extrapolated),
                seconds(cost.start),
                seconds(cost.waiting),
                seconds(cost.computing),
                seconds(cost.epoch),
                "-" if cost.extrapolated else f"{cost.accuracy:.3f}",
                size(cost.peak_bytes),
            )
        )
    return sheet


def fit_words(results: Results) -> str:
    """Return in words what is fitted, and what decides how long that takes."""
    measured = costs(results)
    one = measured[0]
    types = next(fit["types"] for fit in results.rounds[0].values() if "types" in fit)
    batch = f"batches of {results.setting.batch_size:,} cells"
    text = (
        f"Multinomial logistic regression of {types} cell types on the log-normalised counts of "
        f"{results.setting.chosen_genes:,} genes, in plain NumPy: {one.epochs} epochs, "
        f"{one.wanted:,} cells, in shuffled, dense {batch}. With every batch at hand it takes "
        f"{seconds(alone(results))}: no reader can be faster, and from there on only the model counts. "
    )
    finished = [cost for cost in measured if not cost.extrapolated]
    told = [
        f"{cost.name} {seconds(cost.whole)} ({cost.waiting / cost.whole:.0%} of it waiting)"
        for cost in finished
    ]
    text += f"From start to end it takes: {', '.join(told)}. " if told else ""
    told = [f"{cost.name} {seconds(cost.epoch)}" for cost in finished]
    text += f"Every further epoch: {', '.join(told)}." if told else ""
    stopped = [cost.name for cost in measured if cost.extrapolated]
    if stopped:
        text += (
            f" {' and '.join(stopped)} would take too long: each was stopped after the cells that "
            "the table names, and what it took was multiplied up."
        )
    return text


def seconds(n: float) -> str:
    """Return a time as people say it."""
    if n < 99.5:
        return f"{n:.1f} s" if n < 9.95 else f"{n:.0f} s"
    return f"{n / 60:.1f} min"
