"""The command line: what it prints, and with what it exits."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner, Result

import dao
from dao.cli import main

if TYPE_CHECKING:
    from pathlib import Path

Make = Any


@pytest.fixture
def files(tmp_path: Path, make_study: Make) -> list[str]:
    """Two h5ad files."""
    for seed, name in enumerate(("blood", "gut")):
        make_study(seed).write_h5ad(tmp_path / f"{name}.h5ad")
    return [str(tmp_path / "blood.h5ad"), str(tmp_path / "gut.h5ad")]


def run(*arguments: Any) -> Result:
    """Run `dao` with arguments."""
    return CliRunner().invoke(main, [str(a) for a in arguments])


def test_write_info_validate(tmp_path: Path, files: list[str]) -> None:
    """A store written by the command line is shown and found sound."""
    path = tmp_path / "s.dao"
    written = run("write", files[0], f"colon={files[1]}", path, "--organism", "human",
                  "--layers", "doubled", "--obsm", "X_pca", "--cluster-by", "cell_type")  # fmt: skip
    assert written.exit_code == 0, written.output
    assert "100 cells in 2 datasets" in written.output
    store = dao.load_store(path)
    assert store.datasets == ["blood", "colon"]
    assert store.manifest.datasets[0].cluster_by == ("cell_type",)
    shown = run("info", path)
    for text in ("colon", "Homo sapiens", "cell_type", "100 cells"):
        assert text in shown.output
    content = json.loads(run("info", path, "--json").output)
    assert [d["n_obs"] for d in content["datasets"]] == [50, 50]
    assert content["obs_columns"]["stage"]["kind"] == "ordered categorical"
    assert run("validate", path).exit_code == 0
    assert json.loads(run("validate", path, "--json").output)["ok"] is True


def test_append_and_overwrite(tmp_path: Path, files: list[str]) -> None:
    """Existing stores are only touched when that is said."""
    path = tmp_path / "s.dao"
    assert run("write", files[0], path).exit_code == 0
    again = run("write", files[1], path)
    assert again.exit_code == 2
    assert "mode='append'" in again.output
    assert run("write", files[1], path, "--append").exit_code == 0
    assert dao.load_store(path).datasets == ["blood", "gut"]
    assert run("write", files[1], path, "--overwrite").exit_code == 0
    assert dao.load_store(path).datasets == ["gut"]


def test_features_from_a_file(tmp_path: Path, files: list[str]) -> None:
    """--features takes inner, outer or a file of ids."""
    (tmp_path / "genes.txt").write_text("G3\nG1\n\n")
    path = tmp_path / "s.dao"
    assert run("write", *files, path, "--features", tmp_path / "genes.txt").exit_code == 0
    assert list(dao.load_store(path).var_names) == ["G3", "G1"]
    wrong = run("write", *files, tmp_path / "t.dao", "--features", "innner")
    assert wrong.exit_code == 2
    assert "one id a line" in wrong.output


def test_errors_are_one_message(tmp_path: Path, files: list[str]) -> None:
    """Errors of dao come without a traceback, with exit code 2."""
    for arguments in (
        ("info", tmp_path / "no.dao"),
        ("validate", tmp_path / "no.dao"),
        ("write", tmp_path / "no.h5ad", tmp_path / "s.dao"),
        ("write", f"x={files[0]}", f"x={files[1]}", tmp_path / "s.dao"),
        ("write", files[0], tmp_path / "s.dao", "--memory", "lots"),
        ("write", files[0], tmp_path / "s.dao", "--profile", "tiny"),
        ("wirte", files[0]),
    ):
        result = run(*arguments)
        assert result.exit_code == 2, result.output
        assert "Error: " in result.output
        assert "Traceback" not in result.output
    assert not (tmp_path / "s.dao").exists()


def test_damage_is_exit_code_1(tmp_path: Path, files: list[str]) -> None:
    """validate finds a flipped bit and leftovers, and removes only the latter."""
    path = tmp_path / "s.dao"
    run("write", files[0], path)
    (path / "datasets" / "left").mkdir()
    found = run("validate", path)
    assert found.exit_code == 0
    assert "datasets/left" in found.output
    assert run("validate", path, "--repair").exit_code == 0
    assert not (path / "datasets" / "left").exists()
    shard = path / "datasets" / "blood" / "X" / "data" / "c" / "0"
    content = bytearray(shard.read_bytes())
    content[50] ^= 1
    shard.write_bytes(content)
    damaged = run("validate", path)
    assert damaged.exit_code == 1
    assert "X/data" in damaged.output


def test_as_a_process(tmp_path: Path) -> None:
    """The module runs as a program too; its version is that of the distribution."""
    code = "from dao.cli import main; main()"
    command = [sys.executable, "-c", code]
    version = subprocess.run([*command, "--version"], capture_output=True, text=True, check=True)
    assert dao.__version__ in version.stdout
    missing = subprocess.run(
        [*command, "info", str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert missing.returncode == 2
    assert missing.stderr.startswith("Error: ")


def test_demo(tmp_path: Path) -> None:
    """The demo writes a sound store of real cells and trains as well from it as from memory."""
    pytest.importorskip("torch")
    pytest.importorskip("scanpy")
    result = run("demo", "--keep", tmp_path / "demo")
    assert result.exit_code == 0, result.output
    assert "the same within noise" in result.output
    assert "\x1b[" not in result.output
    assert dao.validate_store(tmp_path / "demo" / "demo.dao").ok
    assert dao.load_store(tmp_path / "demo" / "demo.dao").n_obs == 700
