"""Build sdist and wheel, look into them, install the wheel where nothing else is, and use it.

    python tests/dist/check.py [FOLDER]

FOLDER (`dist` if not given) is where the two files are afterwards. The dependencies are those of the
Python that runs this, lent to the fresh environment by a `.pth` file, so this takes seconds.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import tomllib
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
NAME = f"{PROJECT['name'].replace('-', '_')}-{PROJECT['version']}"


def main() -> None:
    """Build, look, install, use."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "dist").resolve()
    with tempfile.TemporaryDirectory() as temporary:
        sdist = build("sdist", ROOT, folder)
        with tarfile.open(sdist) as archive:
            archive.extractall(temporary, filter="data")
        # From the sdist, as whoever installs that would build it.
        wheel = build("wheel", Path(temporary) / NAME, folder)
        problems = [*missing(sdist_names(sdist), SDIST), *wheel_problems(wheel)]
        if problems:
            sys.exit("\n".join(problems))
        use(install(wheel, Path(temporary) / "fresh"), Path(temporary))
    sys.stdout.write(f"{sdist.name} and {wheel.name} are good\n")


# --- build ----------------------------------------------------------------------------------------


def build(kind: str, source: Path, folder: Path) -> Path:
    """Build an sdist or wheel and return it."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(folder)]
    subprocess.run(command, cwd=source, check=True, stdout=subprocess.DEVNULL)
    return folder / (NAME + (".tar.gz" if kind == "sdist" else "-py3-none-any.whl"))


# --- look -----------------------------------------------------------------------------------------

TYPED = ["dao/py.typed", "dao_backends/py.typed"]
SDIST = [
    *("CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "Makefile", "README.md", "pyproject.toml"),
    *("dao/py.typed", "backends/dao_backends/py.typed", "docs/index.md", "tests/conftest.py"),
]


def sdist_names(sdist: Path) -> list[str]:
    """Return the files of an sdist, without its own folder."""
    with tarfile.open(sdist) as archive:
        return [name.partition("/")[2] for name in archive.getnames()]


def wheel_problems(wheel: Path) -> list[str]:
    """Return what a wheel lacks, and what it has that it should not."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = archive.read(f"{NAME}.dist-info/METADATA").decode()
    allowed = {"dao", "dao_backends", f"{NAME}.dist-info"}
    odd = sorted({name.split("/")[0] for name in names} - allowed)
    odd += [name for name in names if "__pycache__" in name or name.endswith(".md")]
    lost = missing(names, [*TYPED, f"{NAME}.dist-info/entry_points.txt"])
    lost += missing(metadata.splitlines(), [f"Version: {PROJECT['version']}"])
    return [*lost, *(f"{name} should not be in the wheel" for name in odd)]


def missing(found: list[str], wanted: list[str]) -> list[str]:
    """Return a sentence for everything that is not there."""
    return [f"{name} is missing" for name in wanted if name not in found]


# --- install and use ------------------------------------------------------------------------------


def install(wheel: Path, folder: Path) -> Path:
    """Make an environment with the wheel, which borrows all else, and return its Python."""
    venv.create(folder, symlinks=True)
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(python)]
    subprocess.run([*pip, "install", "-qq", "--no-deps", "--no-index", str(wheel)], check=True)
    paths = sysconfig.get_paths(vars={"base": str(folder), "platbase": str(folder)})
    # A path from a `.pth` comes last, and `.pth` files there are not read: the editable install of
    # this checkout, if there is one, stays out of sight.
    (Path(paths["purelib"]) / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


def use(python: Path, empty: Path) -> None:
    """Run the smoke test and the command, away from the checkout."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    here = empty / "work"
    here.mkdir()
    smoke = shutil.copy(Path(__file__).with_name("smoke.py"), empty)
    subprocess.run([python, smoke, python.parents[1]], cwd=here, env=env, check=True)
    told = subprocess.check_output([python.with_name("dao"), "--version"], cwd=here, env=env)
    if PROJECT["version"] not in told.decode():
        sys.exit(f"dao --version says {told!r}")


if __name__ == "__main__":
    main()
