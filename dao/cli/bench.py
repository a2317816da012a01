"""``dao bench``: how fast a store streams here, and whether a model would wait for it."""

from __future__ import annotations

import json
import time
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import click

from dao.cli.command import PATH, StoreCommand
from dao.cli.result import json_option

if TYPE_CHECKING:
    from dao.batches.generator import Generator

__all__ = ["bench"]


@dataclass(frozen=True, slots=True)
class Measured:
    """A stream of some seconds. The speed is that from the first batch on.

    Attributes
    ----------
    first_batch_s
        From asking for it; what is loaded or compiled on first use is in it.
    waiting
        Share of the time after the first batch that a loop waits, from 0 to 1.
    peak_bytes
        The largest memory of this process; None where the system does not tell.
    """

    n_obs: int
    seconds: float
    first_batch_s: float
    cells_per_second: float
    waiting: float
    peak_bytes: int | None


@click.command(cls=StoreCommand, short_help="Measure how fast a store streams here.")
@click.argument("store", metavar="STORE", type=PATH)
@click.option("--where", metavar="EXPRESSION", help="Only the cells that meet it.")
@click.option("--organism", metavar="NAME", help="Only its cells; needed where there are several.")
@click.option(
    "--batch-size", metavar="N", type=click.IntRange(min=1), default=1024, show_default=True
)
@click.option("--dense", is_flag=True, help="Dense matrices instead of sparse ones.")
@click.option(
    "--sampler",
    type=click.Choice(["shuffle", "sequential", "random"]),
    default="shuffle",
    show_default=True,
)
@click.option("--backend", metavar="NAME", default="auto", show_default=True, help="What reads.")
@click.option(
    "--seconds", metavar="S", type=click.FloatRange(min=0), default=5.0, show_default=True
)
@click.option(
    "--step", metavar="S", type=click.FloatRange(min=0), default=0.0,
    help="Seconds that a model takes for a batch, on an accelerator: the loop sleeps.",
)  # fmt: skip
@json_option
def bench(store: str, as_json: bool, seconds: float, step: float, **options: Any) -> None:  # noqa: FBT001
    """Stream a store for some seconds, and tell the speed, the waiting and the memory.

    Without --step nothing is done with the batches, so the loop waits nearly all of the time.
    With it the share says whether a model as fast as that would wait.

    \b
    Example:
      dao bench atlas.dao
      dao bench atlas.dao --where "tissue == 'lung'" --dense --step 0.02
    """  # noqa: D301 - click takes the backspace for "do not rewrap"
    import dao
    from dao.cli.terminal import console, printable
    from dao.errors import ArgumentError

    cells = dao.load_store(store, options["backend"])
    cells = cells[options["organism"]] if options["organism"] else cells
    cells = cells.subset(options["where"]) if options["where"] else cells
    if not cells.n_obs:
        msg = f"No cells of {store} are selected: there is nothing to measure."
        raise ArgumentError(msg)
    generator = cells.generator(
        options["batch_size"],
        x_format="dense" if options["dense"] else "csr",
        sampler=options["sampler"],
    )
    what = str(generator)
    with console(stderr=True).status("streaming"):
        measured = measure(generator, seconds, step)
    if as_json:
        click.echo(json.dumps(asdict(measured), indent=1))
        return
    text = printable(f"{what}\n\n{in_words(measured)}")
    console().print(text, soft_wrap=True, markup=False, highlight=False)


def measure(generator: Generator, seconds: float, step: float) -> Measured:
    """Go through epochs for some seconds after the first batch, sleeping at each one."""
    n_obs = n_after = 0
    first = waited = elapsed = 0.0
    asked = began = time.perf_counter()
    while not first or elapsed < seconds:
        batches: Any = iter(generator)
        with closing(batches):
            for batch in batches:
                now = time.perf_counter()
                n_obs += len(batch["index"])
                if first:
                    n_after += len(batch["index"])
                    waited += now - asked
                first = first or now
                time.sleep(step)
                asked = time.perf_counter()
                elapsed = asked - first
                if elapsed >= seconds:
                    break
    return Measured(
        n_obs=n_obs,
        seconds=asked - began,
        first_batch_s=first - began,
        cells_per_second=n_after / elapsed if elapsed else 0.0,
        waiting=waited / elapsed if elapsed else 0.0,
        peak_bytes=peak_bytes(),
    )


def peak_bytes() -> int | None:
    """Return the largest resident memory of this process so far, where the system tells it."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    import sys

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def in_words(measured: Measured) -> str:
    """Return what was measured, a line for each figure."""
    from dao.sizes import format_bytes

    lines = [
        f"first batch  {measured.first_batch_s:.2f} s",
        f"speed        {measured.cells_per_second:,.0f} cells/s",
        f"waiting      {measured.waiting:.0%} of the time",
    ]
    if measured.peak_bytes is not None:
        lines.append(f"peak memory  {format_bytes(measured.peak_bytes)}, of this process")
    return "\n".join(lines)
