"""Make the environment that annbatch is measured in: it needs a newer Python than dao does."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

REQUIREMENTS = ("annbatch[zarrs]>=0.3.1", "anndata", "zarrs")
WORKS = "import ensurepip, ssl, sys, venv; sys.exit(sys.version_info < (3, 12))"
HAS_ANNBATCH = "import annbatch, anndata, zarrs"


def runs(python: str | Path, code: str) -> bool:
    """Return whether this interpreter starts and runs the code without an error."""
    try:
        done = subprocess.run([python, "-c", code], capture_output=True, check=False, timeout=120)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def find_python() -> str | None:
    """Return a working Python >= 3.12, preferring the one that runs this.

    Being on PATH is not enough: a shim of pyenv is there for every version, and Debian's Python
    cannot make environments before python3-venv is installed.
    """
    names = ("python3.13", "python3.12", "python3.14")
    on_path = [found for name in names if (found := shutil.which(name))]
    installed = Path.home().glob(".pyenv/versions/3.1[23]*/bin/python")
    candidates = [sys.executable, *on_path, *map(str, sorted(installed, reverse=True))]
    return next((python for python in candidates if runs(python, WORKS)), None)


def annbatch_python(venv: Path, *, create: bool) -> tuple[Path | None, str]:
    """Return the interpreter of annbatch's environment, or None and the reason.

    Parameters
    ----------
    venv
        Where the environment is or will be.
    create
        Whether to make it if it is missing, which downloads about 150 MB.
    """
    python = venv / "bin" / "python"
    if runs(python, HAS_ANNBATCH):
        return python, ""
    if not create:
        return None, f"there is no environment with annbatch at {venv.name}"
    base = find_python()
    if base is None:
        return None, "annbatch needs Python 3.12 or newer with venv, and none was found"
    shutil.rmtree(venv, ignore_errors=True)
    steps = (
        [base, "-m", "venv", str(venv)],
        [str(python), "-m", "pip", "install", "--quiet", *REQUIREMENTS],
    )
    for step in steps:
        done = subprocess.run(step, capture_output=True, text=True, check=False)
        if done.returncode:
            shutil.rmtree(venv, ignore_errors=True)  # nobody should find half an environment
            reason = (done.stderr.strip() or "no message").splitlines()[-1]
            return None, f"annbatch could not be installed: {reason}"
    (venv / ".gitignore").write_text("*\n")
    return python, ""
