"""What the benchmark ran on, and how much of the machine others had meanwhile."""

from __future__ import annotations

import os
import platform
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]
PACKAGES = {
    "dao": ("dao-store", "anndata", "numba", "numpy", "scipy", "torch", "zarr", "zarrs"),
    "annbatch": ("annbatch", "anndata", "numpy", "scipy", "zarr", "zarrs"),
    "scdataset": ("scDataset", "anndata", "h5py", "numpy", "scipy", "torch"),
}
VERSIONS = (
    "import platform, sys; from importlib.metadata import distributions\n"
    "have = {d.name: d.version for d in distributions()}\n"
    "names = [f'{n} {have[n]}' for n in sys.argv[1:] if n in have]\n"
    "print(', '.join(['Python ' + platform.python_version(), *names]))"
)


def describe_machine() -> dict[str, str]:
    """Return processor, memory, system and the state of dao's source."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "measured": f"{datetime.now(UTC):%Y-%m-%d}",
        "processor": models[0] if models else platform.machine(),
        "cores": str(os.cpu_count()),
        "memory": f"{memory / 1024**3:.1f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "transparent huge pages": huge_pages(),
        "commit": commit(),
    }


def versions(python: Path, tool: str) -> str:
    """Return the versions of Python and of the packages that matter to a tool."""
    command = [str(python), "-c", VERSIONS, *PACKAGES[tool]]
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    own = python == Path(sys.executable)
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=None if own else env
    )
    return done.stdout.strip()


def huge_pages() -> str:
    """Return when Linux gives out huge pages, which decides the price of fresh large arrays."""
    file = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    choices = file.read_text() if file.exists() else "[unknown]"
    return choices.partition("[")[2].partition("]")[0]


def commit() -> str:
    """Return which version of the source is measured."""

    def git(*args: str) -> str:
        try:
            done = subprocess.run(
                ["git", *args], cwd=ROOT, capture_output=True, text=True, check=False
            )
        except OSError:
            return ""
        return done.stdout.strip()

    head = git("rev-parse", "--short", "HEAD")
    changed = git("status", "--porcelain", "--untracked-files=no", "dao", "backends")
    return f"{head or 'unknown'}{' with changes' if changed else ''}"


@dataclass(frozen=True, slots=True)
class Ticks:
    """CPU seconds of the whole machine since it started, and those of our processes."""

    total: float
    busy: float
    stolen: float
    ours: float

    @classmethod
    def now(cls) -> Ticks | None:
        """Read them, where Linux tells them."""
        stat = Path("/proc/stat")
        if not stat.exists():
            return None
        hertz = os.sysconf("SC_CLK_TCK")
        user, nice, system, idle, wait, irq, soft, steal = (
            int(x) / hertz for x in stat.read_text().split()[1:9]
        )
        busy = user + nice + system + irq + soft
        spent = [resource.getrusage(w) for w in (resource.RUSAGE_CHILDREN, resource.RUSAGE_SELF)]
        ours = sum(x.ru_utime + x.ru_stime for x in spent)
        return cls(busy + idle + wait + steal, busy, steal, ours)

    def shares_since(self, before: Ticks) -> dict[str, float]:
        """Return which part of the machine the hypervisor and other processes took."""
        total = max(1e-9, self.total - before.total)
        others = (self.busy - before.busy) - (self.ours - before.ours)
        return {"stolen": (self.stolen - before.stolen) / total, "others": max(0.0, others) / total}


def memory_speeds(megabytes: int = 512) -> dict[str, float]:
    """Return GB/s of touching memory for the first time, and just after it was given back.

    Some virtual machines return free memory to their host, which then hands it out anew, slowly.
    Whoever needs much memory, or has just started, pays for that.
    """
    speeds = []
    for _ in range(2):
        began = time.perf_counter()
        block = np.ones(megabytes << 20, np.uint8)
        speeds.append(block.nbytes / 1e9 / (time.perf_counter() - began))
        del block
    return {"fresh": speeds[0], "again": speeds[1]}
