"""What was measured, kept as JSON lines while it is measured: an interrupted run loses nothing."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet
    from pathlib import Path

    from scenarios import Round, Scenario


@dataclass(frozen=True, slots=True)
class Setting:
    """Everything that holds for a whole run."""

    cells: int
    genes: int
    nnz: int
    chosen_genes: int
    rare_cells: int
    batch_size: int
    seconds: float
    command: str
    machine: dict[str, str]
    versions: dict[str, str]
    missing: dict[str, str]  # tool -> why it was left out

    def decisive(self, tools: AbstractSet[str]) -> dict[str, Any]:
        """Return what must be the same where figures of these tools are put together."""
        decisive = asdict(self) | {"versions": {t: self.versions[t] for t in sorted(tools)}}
        return {k: v for k, v in decisive.items() if k not in {"command", "missing"}}


@dataclass(slots=True)
class Results:
    """The measurements of a run, round by round, and the file that they are written to."""

    file: Path
    setting: Setting
    rounds: list[Round] = field(default_factory=list)
    noise: list[dict[str, float]] = field(default_factory=list)
    errors: dict[str, str] = field(default_factory=dict)
    anew: dict[str, str] = field(default_factory=dict)  # job -> when, and with which commit

    @classmethod
    def begin(cls, file: Path, setting: Setting) -> Results:
        """Start a file."""
        file.write_text(json.dumps({"setting": asdict(setting)}) + "\n", encoding="utf-8")
        return cls(file, setting)

    @classmethod
    def load(cls, file: Path) -> Results:
        """Read a file, also one whose run was interrupted."""
        lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        results = cls(file, Setting(**lines[0]["setting"]))
        for line in lines[1:]:
            results._take(line)
        return results

    @classmethod
    def resume(cls, file: Path, setting: Setting) -> Results:
        """Read a file to add rounds to it.

        Raises
        ------
        ValueError
            If it was measured in another way, on another machine, or with other code.
        """
        results = cls.load(file)
        both = results.setting.versions.keys() & setting.versions.keys()
        then, now = (x.decisive(both) for x in (results.setting, setting))
        differ = [name for name in now if then[name] != now[name]]
        if differ:
            msg = f"{file} is of another run: {', '.join(differ)} differ"
            raise ValueError(msg)
        return results

    @classmethod
    def renew(cls, file: Path, setting: Setting, jobs: list[str]) -> Results:
        """Read a file to measure some of its jobs anew, on the same machine with the same cells.

        Raises
        ------
        ValueError
            If machine or cells differ.
        """
        results = cls.load(file)
        then, now = results.setting, setting
        same = ("processor", "cores", "memory", "system")
        if [then.machine.get(x) for x in same] != [now.machine.get(x) for x in same] or (
            (then.cells, then.nnz, then.batch_size) != (now.cells, now.nnz, now.batch_size)
        ):
            msg = f"{file} is of another machine, or of other cells"
            raise ValueError(msg)
        when = f"{now.machine['measured']}, commit {now.machine['commit']}"
        results._append({"anew": dict.fromkeys(jobs, when)})
        return results

    def copy(self, file: Path, jobs: set[str]) -> None:
        """Write another file, with the measurements of some jobs only."""
        lines = self.file.read_text(encoding="utf-8").splitlines(keepends=True)
        kept = [line for line in lines if json.loads(line).get("job", "") in {"", *jobs}]
        file.write_text("".join(kept), encoding="utf-8")

    def add(self, number: int, job: str, measured: dict[str, Any]) -> None:
        """Keep what a job measured in a round, or its error."""
        self._append({"round": number, "job": job, "measured": measured})

    def add_noise(self, shares: dict[str, float]) -> None:
        """Keep how much of the machine others had during a round."""
        self._append({"noise": shares})

    def values(self, job: str, what: str) -> list[float]:
        """Return a figure of a job, round by round, without the rounds that have none."""
        found = [measured.get(job, {}).get(what) for measured in self.rounds]
        return [float(x) for x in found if x is not None]

    def figures(self, scenario: Scenario) -> list[float]:
        """Return the figure of a scenario, round by round."""
        found = map(scenario.value, self.rounds)
        return [x for x in found if x is not None]

    def median(self, job: str, what: str) -> float | None:
        """Return the median of a figure of a job over the rounds."""
        values = self.values(job, what)
        return median(values) if values else None

    def _append(self, line: dict[str, Any]) -> None:
        with self.file.open("a", encoding="utf-8") as opened:
            opened.write(json.dumps(line) + "\n")
        self._take(line)

    def _take(self, line: dict[str, Any]) -> None:
        if "anew" in line:
            self.anew |= line["anew"]
            for job in line["anew"]:
                self.errors.pop(job, None)
                for measured in self.rounds:
                    measured.pop(job, None)
        elif "noise" in line:
            self.noise.append(line["noise"])
        elif "error" in line["measured"]:
            self.errors[line["job"]] = line["measured"]["error"]
        else:
            while len(self.rounds) <= line["round"]:
                self.rounds.append({})
            self.rounds[line["round"]][line["job"]] = line["measured"]
