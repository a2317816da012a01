"""The command line: what it prints, and with what it exits."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import warnings
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result

import dao
import dao.cli
from dao.cli import describe, main

if TYPE_CHECKING:
    from pathlib import Path

Make = Any

PROGRAM = [sys.executable, "-c", "from dao.cli import main; main()"]


@pytest.fixture
def files(tmp_path: Path, make_study: Make) -> list[str]:
    """Two h5ad files."""
    for seed, name in enumerate(("blood", "gut")):
        make_study(seed).write_h5ad(tmp_path / f"{name}.h5ad")
    return [str(tmp_path / "blood.h5ad"), str(tmp_path / "gut.h5ad")]


@pytest.fixture
def store(tmp_path: Path, files: list[str]) -> Path:
    """A store of both files, named blood and colon."""
    path = tmp_path / "s.dao"
    result = run("write", files[0], f"colon={files[1]}", path, "--organism", "human",
                 "--layers", "doubled", "--obsm", "X_pca", "--cluster-by", "cell_type")  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "100 cells in 2 datasets" in result.stdout
    assert "Homo sapiens: 40 features" in result.stdout
    assert "on disk, written in" in result.stdout
    return path


def run(*arguments: Any, **env: str) -> Result:
    """Run `dao` with arguments."""
    clean = {"DAO_DEBUG": None, "COLUMNS": None}
    return CliRunner(env={**clean, **env}).invoke(main, [str(a) for a in arguments])


def damage(path: Path) -> None:
    """Flip a bit in a shard of the dataset blood."""
    shard = path / "datasets" / "blood" / "X" / "data" / "c" / "0"
    content = bytearray(shard.read_bytes())
    content[50] ^= 1
    shard.write_bytes(content)


def test_write_takes_its_options_to_the_library(store: Path) -> None:
    """What was asked for is in the store."""
    opened = dao.load_store(store)
    assert opened.datasets == ["blood", "colon"]
    assert opened.manifest.datasets[0].cluster_by == ("cell_type",)
    assert opened.manifest.datasets[0].layers == ["doubled"]
    assert opened.manifest.datasets[0].obsm == ["X_pca"]


def test_further_options_of_write(tmp_path: Path, files: list[str]) -> None:
    """--no-shuffle, --seed, --profile, --obs-columns, --layer and --memory mean what they say."""
    plain, mixed = tmp_path / "plain.dao", tmp_path / "mixed.dao"
    assert run("write", files[0], plain, "--no-shuffle", "--profile", "compact", "--layer",
               "doubled", "--obs-columns", "cell_type", "--obs-columns", "score",
               "--memory", "64 MB").exit_code == 0  # fmt: skip
    assert run("write", files[0], mixed, "--seed", "3").exit_code == 0
    store = dao.load_store(plain)
    assert store.obs_columns == ("cell_type", "score")
    assert store.manifest.profile == "compact"
    assert list(store.obs["_source_row"]) == list(range(50))
    assert dao.load_store(mixed).manifest.datasets[0].seed == 3
    assert list(dao.load_store(mixed).obs["_source_row"]) != list(range(50))
    expected = ad.read_h5ad(files[0])[:, list(store.var_names)].layers["doubled"].toarray()
    np.testing.assert_array_equal(store.to_anndata().X.toarray(), expected)


def test_feature_key(tmp_path: Path, make_study: Make) -> None:
    """--feature-key names the column of var with the ids."""
    study = make_study(0)
    study.var["ensembl"] = [f"E{i}" for i in range(study.n_vars)]
    study.write_h5ad(tmp_path / "x.h5ad")
    result = run("write", tmp_path / "x.h5ad", tmp_path / "s.dao", "--feature-key", "ensembl")
    assert result.exit_code == 0, result.output
    assert set(dao.load_store(tmp_path / "s.dao").var_names) == set(study.var["ensembl"])


@pytest.mark.parametrize(
    ("file", "argument", "dataset"),
    [
        ("a.h5ad", "{folder}/a.h5ad", "a"),
        ("a.h5ad", "gut={folder}/a.h5ad", "gut"),
        ("run=1.h5ad", "{folder}/run=1.h5ad", "run=1"),
        ("run=1.h5ad", "gut={folder}/run=1.h5ad", "gut"),
        ("run=1.h5ad", "run=1.h5ad", "run=1"),
        ("a.h5ad", "gut=~/a.h5ad", "gut"),
    ],
)
def test_sources_with_an_id(
    tmp_path: Path,
    make_study: Make,
    monkeypatch: pytest.MonkeyPatch,
    file: str,
    argument: str,
    dataset: str,
) -> None:
    """ID=PATH names a dataset; a path that exists is a path, whatever it is called."""
    make_study(0).write_h5ad(tmp_path / file)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    result = run("write", argument.format(folder=tmp_path), "s.dao")
    assert result.exit_code == 0, result.output
    assert dao.load_store("s.dao").datasets == [dataset]


def test_a_missing_path_with_an_equals_sign(tmp_path: Path) -> None:
    """The '=' of a folder divides nothing, so the message names the whole path."""
    path = f"{tmp_path}/run=1/x.h5ad"
    result = run("write", path, tmp_path / "s.dao")
    assert result.exit_code == 2
    assert path in result.stderr


def test_append_and_overwrite(tmp_path: Path, files: list[str]) -> None:
    """Existing stores are only touched when that is said."""
    path = tmp_path / "s.dao"
    assert run("write", files[0], path).exit_code == 0
    again = run("write", files[1], path)
    assert again.exit_code == 2
    assert "Use --append to add datasets, or --overwrite to replace it" in again.stderr
    both = run("write", files[1], path, "--append", "--overwrite")
    assert both.exit_code == 2
    assert "exclude each other" in both.stderr
    assert dao.load_store(path).datasets == ["blood"]
    added = run("write", files[1], path, "--append")
    assert "100 cells in 2 datasets (50 in 1 dataset added)" in added.stdout
    assert dao.load_store(path).datasets == ["blood", "gut"]
    replaced = run("write", files[1], path, "--overwrite")
    assert "50 cells in 1 dataset\n" in replaced.stdout
    assert dao.load_store(path).datasets == ["gut"]


def test_features_from_a_file(tmp_path: Path, files: list[str]) -> None:
    """--features takes a file of ids, as spreadsheets write it too."""
    path = tmp_path / "s.dao"
    for content in ("G3\nG1\n\n", "\ufeffG3\r\nG1\r\n"):
        (tmp_path / "genes.txt").write_text(content, encoding="utf-8")
        wanted = tmp_path / "genes.txt"
        result = run("write", *files, path, "--features", wanted, "--overwrite")
        assert result.exit_code == 0, result.output
        assert list(dao.load_store(path).var_names) == ["G3", "G1"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "a file that exists"),
        (b"\n", "holds no ids"),
        (b"\xff\xfe\x00", "one id per line"),
        (b"G1\nG1\n", "names some ids twice: 'G1'"),
        (b"TP53\n", "no feature in common"),
    ],
)
def test_features_that_cannot_be_used(
    tmp_path: Path, files: list[str], content: bytes | None, message: str
) -> None:
    """A list of features that is none is an error that says why."""
    if content is not None:
        (tmp_path / "genes.txt").write_bytes(content)
    result = run("write", *files, tmp_path / "t.dao", "--features", tmp_path / "genes.txt")
    assert result.exit_code == 2
    assert message in result.stderr
    assert not (tmp_path / "t.dao").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("info", "no.dao"), "no.dao is not a dao store"),
        (("validate", "no.dao"), "no.dao is not a dao store"),
        (("write", "no.h5ad", "t.dao"), "no.h5ad (source 'no'). Did you mean"),
        (("write", "x=blood.h5ad", "x=gut.h5ad", "t.dao"), "share the id 'x'"),
        (("write", ".x=blood.h5ad", "t.dao"), "for example my_id=PATH"),
        (("write", "blood.h5ad", "t.dao", "--memory", "lots"), "--memory='lots' is not a size"),
        (("write", "blood.h5ad", "t.dao", "--profile", "tiny"), "'tiny' is not one of"),
        (("write", "blood.h5ad", "t.dao", "--seed", "-1"), "'--seed'"),
        (("write", "blood.h5ad", "t.dao", "--obs-columns", "no"), "--obs-columns: no source has"),
        (("write", "blood.h5ad", "t.dao", "--cluster-by", "no"), "blood.h5ad has no column 'no'"),
        (("write", "blood.h5ad", "t.dao", "--layer", "raw"), "pass another --layer="),
        (("write", "blood.h5ad"), "Missing argument"),
        (("write", "blood.h5ad", "gut.h5ad"), "The store comes last, and gut.h5ad is a file"),
        (("append", "s.dao", "blood.h5ad"), "append SOURCE... STORE"),
        (("append", "blood.h5ad", "t.dao"), "begin a store with `dao write"),
        (("append", "blood.h5ad", "t.dao", "--dry-run"), "and --append adds datasets"),
        (("write", "blood.h5ad", "t.dao", "--replace"), "and --replace replaces datasets"),
        (("write", "blood.h5ad", "t.dao", "--feature-key", "no"), "no column 'no' (--feature-key"),
        (("wirte", "blood.h5ad"), "No such command 'wirte'"),
        (("info", "s.dao", "--jsn"), "No such option"),
    ],
)
def test_errors_are_one_message(
    tmp_path: Path,
    files: list[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    message: str,
) -> None:
    """Errors go to stderr, in the words of the command line, with exit code 2."""
    monkeypatch.chdir(tmp_path)
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    assert not result.stdout
    assert "Error: " in result.stderr
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    for python in ("mode=", "write_store(", "obs_columns", "cluster_by"):
        assert python not in result.stderr
    assert not (tmp_path / "t.dao").exists()


def test_errors_with_debug(tmp_path: Path) -> None:
    """--debug and DAO_DEBUG show where an error arose; the exit code stays."""
    for result in (
        run("--debug", "info", tmp_path / "no.dao"),
        run("info", tmp_path / "no.dao", DAO_DEBUG="1"),
    ):
        assert result.exit_code == 2
        assert "Traceback" in result.stderr
        assert "StoreNotFoundError" in result.stderr


def test_an_interruption_is_one_word(monkeypatch: pytest.MonkeyPatch, store: Path) -> None:
    """Ctrl-C ends with exit code 130."""

    def interrupted(path: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(describe, "describe", interrupted)
    result = run("info", store)
    assert result.exit_code == 130
    assert result.stderr.strip() == "interrupted"


@pytest.mark.filterwarnings("always::dao.errors.DaoWarning", "always:old habits:FutureWarning")
def test_warnings_of_dao_are_notes(
    tmp_path: Path, make_study: Make, monkeypatch: pytest.MonkeyPatch, store: Path
) -> None:
    """What dao warns of is shown without Python's words; warnings of other packages need --debug."""
    study = make_study(0)
    del study.layers["doubled"], study.obsm["X_pca"]
    study.uns["ranks"] = pd.DataFrame({"rank": [1]})
    study.write_h5ad(tmp_path / "x.h5ad")
    written = run("write", tmp_path / "x.h5ad", tmp_path / "t.dao")
    assert written.exit_code == 0, written.output
    assert written.stderr.startswith("Note: Left out of the store:")
    assert "uns 'ranks' of 'x'" in written.stderr
    study.layers["two words"] = study.X
    study.write_h5ad(tmp_path / "x.h5ad")
    written = run("write", tmp_path / "x.h5ad", tmp_path / "t.dao", "--overwrite")
    assert "pass --layers 'two words' to keep it" in written.stderr
    assert "Warning" not in written.stderr

    def warning(path: str) -> dict[str, Any]:
        warnings.warn("old habits", FutureWarning, stacklevel=1)
        return {}

    monkeypatch.setattr(describe, "describe", warning)
    assert not run("info", store, "--json").stderr
    with pytest.warns(FutureWarning, match="old habits"):
        run("--debug", "info", store, "--json")


def test_info_as_tables(store: Path) -> None:
    """Organisms, datasets, dtypes, obs columns and history are shown, without colours."""
    result = run("info", store)
    assert result.exit_code == 0
    for text in (
        "100 cells in 2 datasets",
        "Homo sapiens",
        "colon",
        "uint16 (from float32)",
        "doubled, X_pca",
        "ordered categorical",
        "3: B, NK, T",
        "float64",
        "create",
        "blood, colon",
    ):
        assert text in result.stdout, text
    assert "\x1b[" not in result.stdout


def test_info_as_json(store: Path) -> None:
    """--json has the same content for scripts."""
    content = json.loads(run("info", store, "--json").stdout)
    assert content["n_obs"] == 100
    assert content["feature_spaces"] == {"Homo sapiens": 40}
    assert [d["id"] for d in content["datasets"]] == ["blood", "colon"]
    blood = content["datasets"][0]
    assert (blood["n_obs"], blood["n_measured"], blood["source_dtype"]) == (50, 40, "float32")
    assert 0 < blood["bytes"] < content["bytes"]
    assert content["obs_columns"]["stage"]["kind"] == "ordered categorical"
    assert content["obs_columns"]["cell_type"]["n_categories"] == 3
    assert content["obs_columns"]["score"]["nullable"] is True
    assert content["history"][0]["datasets"] == ["blood", "colon"]


def test_info_shows_names_as_they_are(tmp_path: Path, make_study: Make) -> None:
    """Names are neither markup nor commands to the terminal, and are not cut off."""
    long = "a_column_with_a_name_that_goes_on_for_ever_and_ever"
    values = pd.Categorical(["[red]T[/red]", "\x1b[2Jcell"] * 25)
    obs = pd.DataFrame({"[/b]x": values, long: 1}, index=[f"c{i}" for i in range(50)])
    study = ad.AnnData(make_study(0).X, obs=obs)
    dao.write_store(tmp_path / "[b]s.dao", {"x": study}, progress=False)
    result = run("info", tmp_path / "[b]s.dao")
    assert result.exit_code == 0, result.output
    for text in ("[b]s.dao", "[/b]x", "[red]T[/red]", "\ufffd[2Jcell", long):
        assert text in result.stdout
    assert "\x1b" not in result.stdout


def test_info_of_many_organisms_and_categories(tmp_path: Path, make_study: Make) -> None:
    """Several feature spaces have their own lines; long lists of categories are shortened."""
    studies = {}
    for seed, organism in enumerate(("human", "mouse")):
        study = make_study(seed)
        study.obs["donor"] = pd.Categorical([f"donor-{i}" for i in range(50)])
        studies[organism] = dao.Source(study, organism=organism)
    dao.write_store(tmp_path / "s.dao", studies, progress=False)
    shown = run("info", tmp_path / "s.dao").stdout
    assert "Mus musculus" in shown
    assert "50: donor-0, donor-1," in shown
    assert "donor-9" not in shown
    columns = json.loads(run("info", tmp_path / "s.dao", "--json").stdout)["obs_columns"]
    assert columns["donor"]["n_categories"] == 50
    assert len(columns["donor"]["first_categories"]) == 10


def test_validate_a_sound_store(store: Path) -> None:
    """A sound store is exit code 0, as text and as JSON."""
    result = run("validate", store)
    assert result.exit_code == 0
    assert "sound (100 cells" in result.stdout
    content = json.loads(run("validate", store, "--json").stdout)
    assert content["ok"] is True
    assert content["problems"] == []


def test_leftovers_are_no_damage(store: Path) -> None:
    """What a killed writer left is told, and removed by --repair."""
    (store / "datasets" / "left").mkdir()
    found = run("validate", store)
    assert found.exit_code == 0
    assert "datasets/left" in found.stdout
    assert run("validate", store, "--repair").exit_code == 0
    assert not (store / "datasets" / "left").exists()
    assert dao.validate_store(store).ok


def test_damage_is_exit_code_1(store: Path) -> None:
    """A flipped bit is named, also in JSON, and not repaired."""
    damage(store)
    for arguments in ((), ("--repair",)):
        result = run("validate", store, *arguments)
        assert result.exit_code == 1
        assert "DAMAGED" in result.stdout
        assert "blood/X/data" in result.stdout
    result = run("validate", store, "--json")
    assert result.exit_code == 1
    content = json.loads(result.stdout)
    assert content["ok"] is False
    assert "blood/X/data" in content["problems"][0]


@pytest.mark.parametrize("command", [(), *((name,) for name in main.commands)])
def test_help_has_an_example(command: tuple[str, ...]) -> None:
    """Every help text shows how the command is called."""
    result = run(*command, "--help")
    assert result.exit_code == 0
    example = result.stdout.split("Example:\n")[1]
    assert example.lstrip().startswith(" ".join(("dao", *command)))


def test_help_is_quick() -> None:
    """`dao --help` imports nothing that takes long."""
    code = (
        "import sys\nfrom dao.cli import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "heavy = ('numpy', 'pandas', 'zarr', 'pyarrow', 'anndata', 'torch', 'scanpy', 'rich')\n"
        "print([m for m in heavy if m in sys.modules])"
    )
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "[]"


def test_the_program_is_installed() -> None:
    """The distribution has the program `dao`."""
    (entry,) = entry_points(group="console_scripts", name="dao")
    assert entry.load() is main


def test_as_a_process(tmp_path: Path, store: Path) -> None:
    """The program keeps stdout for results and stderr for errors; --version is the package's."""
    version = subprocess.run([*PROGRAM, "--version"], capture_output=True, text=True, check=True)
    assert dao.__version__ in version.stdout
    missing = subprocess.run(
        [*PROGRAM, "info", str(tmp_path / "none")], capture_output=True, text=True, check=False
    )
    assert (missing.returncode, missing.stdout) == (2, "")
    assert missing.stderr.startswith("Error: ")
    damage(store)
    command = [*PROGRAM, "validate", str(store)]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 1


def test_an_encoding_that_lacks_letters(tmp_path: Path, make_study: Make) -> None:
    """A terminal that cannot show a name gets a '?' and plain lines, not a traceback."""
    study = make_study(0)
    study.obs["tissue"] = pd.Categorical(["Müller"] * study.n_obs)
    dao.write_store(tmp_path / "s.dao", {"x": study}, progress=False)
    result = subprocess.run(
        [*PROGRAM, "info", str(tmp_path / "s.dao")],
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )
    assert result.returncode == 0, result.stderr
    assert "1: M?ller" in result.stdout.decode("ascii")


def test_colours_on_a_terminal_only(store: Path) -> None:
    """A terminal gets colours, unless NO_COLOR is set."""
    env = {k: v for k, v in os.environ.items() if k not in {"NO_COLOR", "FORCE_COLOR"}}
    for extra, coloured in (({}, True), ({"NO_COLOR": "1"}, False)):
        ours, theirs = pty.openpty()
        command = [*PROGRAM, "validate", str(store)]
        env_now = {**env, "TERM": "xterm", **extra}
        subprocess.run(command, stdout=theirs, stderr=subprocess.DEVNULL, check=True, env=env_now)
        os.close(theirs)
        shown = os.read(ours, 4096).decode()
        os.close(ours)
        assert "sound" in shown
        assert ("\x1b[32m" in shown) is coloured


def test_demo_without_its_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing package is answered with what to install."""
    monkeypatch.delitem(sys.modules, "dao.cli.studies", raising=False)
    monkeypatch.delattr(dao.cli, "studies", raising=False)
    monkeypatch.setitem(sys.modules, "scanpy", None)
    result = run("demo")
    assert result.exit_code == 2
    assert "pip install 'dao-store[demo]'" in result.stderr


def test_append_is_a_command(tmp_path: Path, files: list[str]) -> None:
    """`dao append` does what `dao write --append` does, with all its options but those of modes."""
    path = tmp_path / "s.dao"
    assert run("write", files[0], path).exit_code == 0
    added = run("append", f"colon={files[1]}", path, "--seed", "7")
    assert "100 cells in 2 datasets (50 in 1 dataset added)" in added.stdout
    assert [d.seed for d in dao.load_store(path).manifest.datasets] == [0, 7]
    assert "No such option" in run("append", files[1], path, "--overwrite").stderr


def test_changes_as_json(tmp_path: Path, files: list[str]) -> None:
    """write, append, remove and compact tell scripts what the store is now."""
    path = tmp_path / "s.dao"
    planned = json.loads(run("write", *files, path, "--dry-run", "--json").stdout)
    assert planned["mode"] == "create"
    assert [(d["id"], d["n_obs"], d["matching"]["by_id"]) for d in planned["datasets"]] == [
        ("blood", 50, 40),
        ("gut", 50, 40),
    ]
    assert not path.exists()
    steps = [
        (("write", files[0], path), 1, ["blood"]),
        (("append", files[1], path), 2, ["blood", "gut"]),
        (("compact", path, "--merge", "both=blood,gut"), 3, ["both"]),
        (("append", files[1], path), 4, ["both", "gut"]),
        (("remove", path, "both"), 5, ["gut"]),
    ]
    for arguments, generation, datasets in steps:
        result = run(*arguments, "--json")
        assert result.exit_code == 0, result.output
        content = json.loads(result.stdout)
        assert (content["generation"], content["datasets"]) == (generation, datasets)
        assert content["n_obs"] == 50 * (2 if "both" in datasets else 1) + 50 * (len(datasets) - 1)
    history = json.loads(run("history", path, "--json").stdout)
    assert [h["generation"] for h in history] == [1, 2, 3, 4, 5]


def test_export(tmp_path: Path, store: Path) -> None:
    """Cells that were chosen become a file that anndata reads; a file that exists stays."""
    out = tmp_path / "b.h5ad"
    result = run("export", store, out, "--where", "cell_type == 'B'")
    assert result.exit_code == 0, result.output
    expected = dao.load_store(store).subset(cell_type="B").to_anndata()
    found = ad.read_h5ad(out)
    assert f"{found.n_obs} cells, 40 features" in result.stdout
    np.testing.assert_array_equal(found.X.toarray(), expected.X.toarray())
    assert list(found.obs_names) == list(expected.obs_names)
    again = run("export", store, out)
    assert again.exit_code == 2
    assert "--overwrite" in again.stderr
    assert run("export", store, out, "--overwrite", "--organism", "human").exit_code == 0
    assert ad.read_h5ad(out).n_obs == 100
    assert "ends in .h5ad" in run("export", store, tmp_path / "b.csv").stderr
    assert "there is no folder" in run("export", store, tmp_path / "no" / "b.h5ad").stderr


@pytest.mark.parametrize(
    ("arguments", "following"),
    [
        (("info", "no.dao"), "dao write --help"),
        (("remove", "s.dao", "lung"), "dao info s.dao"),
        (("report", "s.dao", "--where", "cell_typ == 'B'", "--json"), "dao info s.dao"),
        (("export", "s.dao", "x.h5ad", "--where", "cell_type == 'C'"), "dao info s.dao"),
        (("export", "s.dao", "x.h5ad"), "dao validate s.dao"),
        (("compact", "s.dao", "--memory", "lots"), "dao compact --help"),
        (("write", "blood.h5ad", "s.dao"), "--append"),
    ],
)
def test_errors_say_what_to_run_next(
    tmp_path: Path,
    store: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    following: str,
) -> None:
    """The last line of an error is a command, or the message has the option to add."""
    monkeypatch.chdir(tmp_path)
    damage(store)
    result = run(*arguments)
    assert result.exit_code == 2
    last = result.stderr.splitlines()[-1]
    assert following in last
    assert last.startswith("Next:  dao ") or following.startswith("--")
    assert not (tmp_path / "x.h5ad").exists()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("dao va", ["validate"]),
        ("dao info --j", ["--json"]),
        ("dao remove s.dao b", ["blood"]),
        ("dao compact s.dao ", ["blood", "colon"]),
        ("dao remove no.dao b", []),
        ("dao write x s.dao --profile f", ["fast"]),
    ],
)
def test_shells_complete(
    tmp_path: Path,
    store: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: str,
    expected: list[str],
) -> None:
    """Commands, options, values and ids of datasets are completed, by click's own means."""
    from click.shell_completion import ShellComplete

    monkeypatch.chdir(tmp_path)
    *done, incomplete = words.split(" ")[1:]
    found = ShellComplete(main, {}, "dao", "_DAO_COMPLETE").get_completions(done, incomplete)
    assert [item.value for item in found] == expected


def test_completion_is_switched_on_as_documented(tmp_path: Path) -> None:
    """What docs/cli.md says to evaluate is a script of the shell."""
    code = "from dao.cli import main; main(prog_name='dao')"
    for shell, word in (
        ("bash", "complete -o nosort"),
        ("zsh", "#compdef dao"),
        ("fish", "complete --no-files"),
    ):
        env = {**os.environ, "_DAO_COMPLETE": f"{shell}_source"}
        result = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=env
        )
        if result.returncode == 0:  # click asks bash for its version
            assert word in result.stdout


def test_a_bar_tells_rate_and_time_left(store: Path, on_terminal: Any) -> None:
    """On a terminal `dao validate` shows how fast it is; never on stdout."""
    stdout, shown = on_terminal([*PROGRAM, "validate", str(store)])
    assert "generation 1" in shown
    assert "rows/s" in shown
    assert "generation" not in stdout


def test_bars_of_many_datasets(tmp_path: Path, make_study: Make, on_terminal: Any) -> None:
    """A write shows the datasets in hand with their rates, not a thousand lines."""
    code = (
        "import sys, anndata, dao\n"
        "study = anndata.read_h5ad(sys.argv[1])\n"
        "dao.write_store(sys.argv[2], {f'study{i}': study for i in range(12)})\n"
    )
    make_study(0).write_h5ad(tmp_path / "x.h5ad")
    command = [sys.executable, "-c", code, str(tmp_path / "x.h5ad"), str(tmp_path / "s.dao")]
    end = on_terminal(command)[1].strip().splitlines()
    end = [line for line in end if line][-8:]
    assert [line.split()[0] for line in end] == [f"study{i}" for i in range(4, 12)]
    assert all("100%" in line and "values/s" in line for line in end)


def test_as_a_module(store: Path) -> None:
    """`python -m dao` is the same program."""
    command = [sys.executable, "-m", "dao", "info", str(store), "--json"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(result.stdout)["n_obs"] == 100
    asked = subprocess.run([*command[:3], "--help"], capture_output=True, text=True, check=True)
    assert asked.stdout.startswith("Usage: dao ")


def test_bench_measures_a_stream(store: Path) -> None:
    """It tells speed, waiting and memory; a slow model does not wait."""
    result = run("bench", store, "--seconds", "0.2", "--batch-size", "10")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("Generator: batches of 10 from 100 cells in 2 datasets")
    for figure in ("first batch", "cells/s", "of the time", "peak memory"):
        assert figure in result.stdout
    options = ("--where", "dataset == 'blood'", "--dense", "--seconds", "0.3", "--json")
    fast, slow = (
        json.loads(run("bench", store, *options, "--step", step).stdout) for step in (0, 0.1)
    )
    assert slow["n_obs"] < fast["n_obs"]
    assert slow["waiting"] < fast["waiting"] <= 1
    assert slow["seconds"] >= 0.3


def test_bench_needs_cells(store: Path) -> None:
    """Nothing selected is nothing to measure."""
    result = run("bench", store, "--where", "dataset == 'blood' and dataset == 'colon'")
    assert result.exit_code == 2
    assert "No cells of" in result.stderr
