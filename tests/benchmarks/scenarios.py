"""What is asked of dao: quotients of measurements of the same round, with their targets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jobs import FITS, JOBS, PEERS, Job

Round = dict[str, dict[str, Any]]  # name of a job -> what it measured in one round

MIB = 1024**2


@dataclass(frozen=True, slots=True)
class Scenario:
    """A figure of the comparison: a quotient of two measurements, or one of them alone.

    Attributes
    ----------
    name, title
        For ``--only`` and for tables.
    over, under
        ``(job, field)``; `under` None leaves `over` alone.
    least, aim
        What is asked. None where nothing is.
    most
        Whether `least` and `aim` are upper limits.
    unit
        "x", "%", "s" or "B".
    """

    name: str
    title: str
    over: tuple[str, str]
    under: tuple[str, str] | None = None
    least: float | None = None
    aim: float | None = None
    most: bool = False
    unit: str = "x"

    @property
    def jobs(self) -> set[str]:
        """Names of the jobs that it is made of."""
        return {self.over[0]} | ({self.under[0]} if self.under else set())

    def value(self, measured: Round) -> float | None:
        """Return the figure of one round, None if a part of it is missing."""
        parts: list[Any] = [
            measured.get(job, {}).get(what) for job, what in filter(None, (self.over, self.under))
        ]
        if None in parts:
            return None
        return float(parts[0]) / float(parts[1]) if self.under else float(parts[0])

    def verdict(self, value: float | None) -> str:
        """Return in words whether the figure is what was asked for."""
        if value is None:
            return "not measured"
        reached = [
            limit is not None and (value <= limit if self.most else value >= limit)
            for limit in (self.aim, self.least)
        ]
        if self.least is None and self.aim is None:
            return "no target"
        return "aim reached" if reached[0] else "least reached" if reached[1] else "missed"


# Two more than the issue asks a figure of (burn, imports), because one number alone would flatter.
SCENARIOS = (
    Scenario(
        "csr",
        "shuffled stream, CSR",
        ("dao/csr", "cells_per_s"),
        ("annbatch/csr", "cells_per_s"),
        3.5,
        6,
    ),
    Scenario(
        "csr-128",
        "the same, batches of 128",
        ("dao/csr-128", "cells_per_s"),
        ("annbatch/csr-128", "cells_per_s"),
        3.5,
        6,
    ),
    Scenario(
        "accelerator",
        "wall time while an accelerator computes as long as annbatch loads",
        ("dao/sleep", "cells_per_s"),
        ("annbatch/sleep", "cells_per_s"),
        1.7,
        1.95,
    ),
    Scenario(
        "processor",
        "the same while one core of this machine computes",
        ("dao/burn", "cells_per_s"),
        ("annbatch/burn", "cells_per_s"),
    ),
    Scenario(
        "dense",
        "dense, chosen genes in a chosen order",
        ("dao/dense", "cells_per_s"),
        ("annbatch/dense", "cells_per_s"),
        6,
        12,
    ),
    Scenario(
        "random",
        "perfectly random order",
        ("dao/random", "cells_per_s"),
        ("annbatch/random", "cells_per_s"),
        15,
        35,
    ),
    Scenario(
        "rare-clustered",
        "rare cell type, clustered store: cells/s over dao's own full stream",
        ("dao/rare-clustered", "cells_per_s"),
        ("dao/csr", "cells_per_s"),
        0.5,
        1,
    ),
    Scenario(
        "rare",
        "rare cell type, ordinary store: epoch over dao's own full epoch",
        ("dao/rare", "epoch_s"),
        ("dao/csr", "epoch_s"),
        1,
        0.3,
        most=True,
    ),
    Scenario(
        "disk",
        "bytes on disk, profile fast, over annbatch's",
        ("dao/disk", "stored_bytes"),
        ("annbatch/disk", "stored_bytes"),
        0.5,
        0.44,
        most=True,
    ),
    Scenario(
        "disk-compact",
        "bytes on disk, profile compact, over annbatch's",
        ("dao/disk-compact", "stored_bytes"),
        ("annbatch/disk", "stored_bytes"),
        0.35,
        0.30,
        most=True,
    ),
    Scenario(
        "compact",
        "shuffled stream of profile compact, CSR",
        ("dao/compact", "cells_per_s"),
        ("annbatch/csr", "cells_per_s"),
        1,
    ),
    Scenario(
        "write",
        "writing from h5ad, as fast as annbatch",
        ("annbatch/write", "seconds"),
        ("dao/write", "seconds"),
        2.5,
        4,
    ),
    Scenario(
        "write-memory",
        "writing, peak memory",
        ("dao/write", "peak_bytes"),
        least=2048 * MIB,
        most=True,
        unit="B",
    ),
    Scenario(
        "memory",
        "shuffled stream, peak memory over annbatch's",
        ("dao/csr", "peak_bytes"),
        ("annbatch/csr", "peak_bytes"),
        1,
        0.5,
        most=True,
    ),
    Scenario(
        "start",
        "load_store and first batch, warm: in a process that has read a store before",
        ("dao/start", "again_s"),
        least=0.3,
        aim=0.1,
        most=True,
        unit="s",
    ),
    Scenario(
        "start-imports",
        "the same in a fresh process, with all imports",
        ("dao/start", "with_imports_s"),
        most=True,
        unit="s",
    ),
    Scenario(
        "limit",
        "shuffled stream, share of zarrs' speed of decoding alone",
        ("dao/csr", "cells_per_s"),
        ("zarrs/decode", "cells_per_s"),
        aim=0.60,
        unit="%",
    ),
)


def chosen(only: list[str], phases: set[str], tools: set[str]) -> list[Job]:
    """Return the jobs to run, in order.

    Parameters
    ----------
    only
        Scenarios, and of "peers" and "fit" all readers; everything if empty.
    phases
        "write" and "stream".
    tools
        Those that can run here.
    """
    wanted = {job.name for job in JOBS}
    if only:
        wanted = set().union(*(s.jobs for s in SCENARIOS if s.name in only))
        for name, readers in (("peers", PEERS), ("fit", FITS)):
            if name in only:
                wanted |= {job for job, _, _ in readers}
    needed = {job.needs for job in JOBS if job.name in wanted and job.needs}
    wanted |= {f"{tool}/{name}" for name in needed for tool in ("dao", "annbatch")}
    return [
        job
        for job in JOBS
        if job.name in wanted
        and job.tool in tools
        and ("write" if job.name.endswith("/write") else "stream") in phases
    ]
