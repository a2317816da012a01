"""Run jobs, each in a fresh process of its tool's interpreter, and check what they delivered."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from timing import stored

if TYPE_CHECKING:
    from jobs import Job
    from scenarios import Round

HERE = Path(__file__).parent
HANGS_AFTER = 3600  # seconds; an hour is no measurement any more

# The stores, and what writes them; each is made once and kept.
STORES = {
    "fast": ("dao", "atlas.dao", "stream_dao.py build {atlas} {scratch}"),
    "compact": ("dao", "compact.dao", "stream_dao.py build {atlas} {scratch} --profile compact"),
    "clustered": (
        "dao",
        "clustered.dao",
        "stream_dao.py build {atlas} {scratch} --cluster-by cell_type",
    ),
    "annbatch": ("annbatch", "annbatch.zarr", "peer_annbatch.py build {atlas} {scratch}"),
    "joined": ("dao", "joined.h5ad", "join.py {atlas} {scratch}"),
}


class JobError(Exception):
    """A job failed, or delivered something else than the atlas."""

    details = ""  # all that the process said


@dataclass(frozen=True, slots=True)
class Runner:
    """Knows where everything is.

    Attributes
    ----------
    atlas
        Folder of the sources and the stores.
    pythons
        Tool to interpreter; only tools that can run.
    words
        For the places in commands.
    expected
        What a stream must add up to: (cells, sum of counts).
    """

    atlas: Path
    pythons: dict[str, Path]
    words: dict[str, str]
    expected: dict[str, tuple[int, int]]

    def store(self, name: str) -> Path:
        """Return where a store is."""
        return self.atlas / STORES[name][1]

    def build(self, name: str) -> None:
        """Write a store, which is there only once it is complete."""
        tool, file, command = STORES[name]
        scratch = self.atlas / f"partial-{file}"
        _remove(scratch)
        self._process(tool, command, scratch=str(scratch))
        _remove(self.store(name))
        scratch.rename(self.store(name))

    def measure(self, job: Job, so_far: Round) -> dict[str, Any]:
        """Return what a job measured.

        Parameters
        ----------
        job
            What to run.
        so_far
            What was measured in this round; consumers take their time from it.

        Raises
        ------
        JobError
            With the reason.
        """
        for name in STORES:
            if f"{{{name}}}" in job.command and not self.store(name).exists():
                msg = f"there is no store {name!r}"
                raise JobError(msg)
        if job.command.startswith("stored "):
            (where,) = self._filled(job.command.removeprefix("stored "))
            n_bytes, n_files = stored(Path(where))
            return {"stored_bytes": n_bytes, "stored_files": n_files}
        scratch = self.atlas / f"scratch-{job.tool}"
        _remove(scratch)
        if "{scratch}" in job.command and hasattr(os, "sync"):
            os.sync()  # what the job before left to the system to write is not its business
        try:
            load_s = self._load_s(job, so_far) if job.needs else 0.0
            measured = self._process(
                job.tool, job.command, scratch=str(scratch), load_s=str(load_s)
            )
        finally:
            _remove(scratch)
        if job.gives:
            self._check(job, measured)
        return measured | ({"consumer_s": load_s} if job.needs else {})

    def _load_s(self, job: Job, so_far: Round) -> float:
        # Where annbatch is missing, dao's own time shows at least that it runs.
        for tool in ("annbatch", "dao"):
            measured = so_far.get(f"{tool}/{job.needs}")
            if measured is not None:
                return int(self.words["batch"]) / float(measured["cells_per_s"])
        msg = f"nothing measured {job.needs!r} before, which says how long a batch takes"
        raise JobError(msg)

    def _check(self, job: Job, measured: dict[str, Any]) -> None:
        cells, total = self.expected[job.gives]
        if measured["expected"] is not None:
            cells, total = measured["rows"], measured["expected"]
        if (measured["rows"], measured["total"]) != (cells, total) or not cells:
            msg = (
                f"gave {measured['rows']:,} cells with {measured['total']:,} counts instead of "
                f"{cells:,} with {total:,}"
            )
            raise JobError(msg)

    def _filled(self, command: str, **more: str) -> list[str]:
        words = {**self.words, "atlas": str(self.atlas), **more}
        words |= {name: str(self.store(name)) for name in STORES}
        return [part.format(**words) for part in command.split()]

    def _process(self, tool: str, command: str, **more: str) -> dict[str, Any]:
        script, *args = self._filled(command, **more)
        return run(self.pythons[tool], HERE / script, *args)


def run(python: Path, *args: str | Path) -> dict[str, Any]:
    """Return the JSON that a process printed as its last line.

    Raises
    ------
    JobError
        If it failed, with the last line of its error.
    """
    env = dict(os.environ)
    if python != Path(sys.executable):
        env.pop("PYTHONPATH", None)  # it is about this environment, not about that one
    try:
        done = subprocess.run(
            [python, *args],
            capture_output=True,
            text=True,
            env=env,
            check=False,
            timeout=HANGS_AFTER,
        )
    except subprocess.TimeoutExpired as error:
        msg = f"took longer than {HANGS_AFTER} s"
        raise JobError(msg) from error
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        failed = JobError(lines[-1])
        failed.details = done.stderr
        raise failed
    lines = done.stdout.splitlines()
    measured: dict[str, Any] = json.loads(lines[-1]) if lines else {}
    return measured


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
