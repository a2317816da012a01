"""Make the environments that peers are measured in: one each, beside the Makefile, on demand."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Environment:
    """What a peer needs.

    Attributes
    ----------
    folder
        Of the virtual environment.
    requirements
        For pip.
    imports
        What must be importable for it to be complete.
    oldest, newest
        Versions of Python that it can be made with.
    """

    folder: str
    requirements: tuple[str, ...]
    imports: str
    oldest: tuple[int, int]
    newest: tuple[int, int]


ENVIRONMENTS = {
    "annbatch": Environment(
        ".venv-annbatch",
        ("annbatch[zarrs]>=0.3.1", "anndata", "zarrs"),
        "import annbatch, anndata, zarrs",
        (3, 12),
        (3, 14),
    ),
    # "+cpu" must be asked for: without it pip may find a torch that brings gigabytes of CUDA.
    # Of that version there is a wheel without CUDA for Python 3.11 (constraints.txt).
    "scdataset": Environment(
        ".venv-scdataset",
        ("scDataset", "anndata", f"torch==2.13.0{'+cpu' if sys.platform == 'linux' else ''}"),
        "import scdataset, torch, anndata",
        (3, 11),
        (3, 11),
    ),
}
# These use the packages that dao itself depends on, and torch, and nothing that dao changes.
OWN = {
    "dao": ("dao",),
    "zarrs": ("zarrs",),
    "memory": ("anndata",),
    "backed": ("anndata", "torch"),
}


def runs(python: str | Path, code: str) -> bool:
    """Return whether this interpreter starts and runs the code without an error."""
    try:
        done = subprocess.run([python, "-c", code], capture_output=True, check=False, timeout=120)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def find_python(oldest: tuple[int, int], newest: tuple[int, int]) -> str | None:
    """Return a working Python of these versions, preferring the one that runs this.

    Being on PATH is not enough: a shim of pyenv is there for every version, and Debian's Python
    cannot make environments before python3-venv is installed.
    """
    minors = range(newest[1], oldest[1] - 1, -1)
    on_path = [found for minor in minors if (found := shutil.which(f"python3.{minor}"))]
    installed = Path.home().glob(".pyenv/versions/3.*/bin/python")
    candidates = [sys.executable, *on_path, *map(str, sorted(installed, reverse=True))]
    works = (
        "import ensurepip, ssl, sys, venv\n"
        f"sys.exit(not {oldest} <= sys.version_info[:2] <= {newest})"
    )
    return next((python for python in candidates if runs(python, works)), None)


def peer_python(tool: str, *, root: Path = ROOT, create: bool) -> tuple[Path | None, str]:
    """Return the interpreter that a tool is measured with, or None and the reason.

    Parameters
    ----------
    tool
        "dao" or a peer.
    root
        Where the environments are or will be.
    create
        Whether to make a missing one, which downloads some 150 MB.
    """
    if tool in OWN:
        absent = [package for package in OWN[tool] if find_spec(package) is None]
        if absent:
            return None, f"{absent[0]} is not installed"
        return Path(sys.executable), ""
    environment = ENVIRONMENTS[tool]
    venv = root / environment.folder
    python = venv / "bin" / "python"
    if runs(python, environment.imports):
        return python, ""
    if not create:
        return None, f"there is no environment {environment.folder}"
    reason = make(environment, venv)
    return (None, reason) if reason else (python, "")


def make(environment: Environment, venv: Path) -> str:
    """Make an environment; return why that was not possible, or nothing."""
    python = venv / "bin" / "python"
    base = find_python(environment.oldest, environment.newest)
    if base is None:
        versions = "{}.{} to {}.{}".format(*environment.oldest, *environment.newest)
        return f"it needs Python {versions} with venv, and none was found"
    shutil.rmtree(venv, ignore_errors=True)
    pip = [str(python), "-m", "pip", "install", "--quiet", "--retries", "1"]
    steps = ([base, "-m", "venv", str(venv)], [*pip, *environment.requirements])
    for step in steps:
        done = subprocess.run(step, capture_output=True, text=True, check=False)
        if done.returncode:
            shutil.rmtree(venv, ignore_errors=True)  # nobody should find half an environment
            reason = (done.stderr.strip() or "no message").splitlines()[-1]
            return f"it could not be installed: {reason}"
    (venv / ".gitignore").write_text("*\n")
    return ""
