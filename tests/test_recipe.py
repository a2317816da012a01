"""Recipes: a TOML file says what is written, and is checked before anything is read."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

import dao
from dao import errors
from dao.cli import main
from dao.recipe.check import Problems, check_recipe

RECIPE = """
store = "atlas.dao"
organism = "human"
features = {table = "genes.csv", aliases = {OLD = "B"}}
obs_columns = ["cell_type", "tissue", "sex"]
seed = 3

[defaults]
constants = {tissue = "blood", sex = "unknown"}
obs.cell_type = "Celltype"

[[source]]
path = "data/*.h5ad"
subset = "cell_type != 'doublet'"

[[source]]
path = "data/gut.h5ad"
id = "colon"
constants = {tissue = "gut", sex = ""}
obs = {cell_type = {column = "label", values = {b = "B cell"}}, sex = "Sex"}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three files, a table of genes, and a recipe."""
    (tmp_path / "data").mkdir()
    for name, label in (("blood", "Celltype"), ("gut", "label"), ("lymph", "Celltype")):
        obs = pd.DataFrame({label: ["b", "doublet", "t"], "Sex": ["f", "m", "m"]},
                           index=["c1", "c2", "c3"])  # fmt: skip
        var = pd.DataFrame(index=["A", "OLD" if name == "lymph" else "B", "C"])
        x = np.arange(9, dtype=np.float32).reshape(3, 3)
        ad.AnnData(x, obs=obs, var=var).write_h5ad(tmp_path / "data" / f"{name}.h5ad")
    (tmp_path / "genes.csv").write_text("gene_id\nB\nA\n")
    (tmp_path / "atlas.toml").write_text(RECIPE)
    return tmp_path


def run(*arguments: Any) -> Any:
    """Run `dao` with arguments."""
    clean = {"DAO_DEBUG": None, "COLUMNS": None}
    return CliRunner(env=clean).invoke(main, [str(a) for a in arguments])


def test_a_recipe_is_written(folder: Path) -> None:
    """Globs, defaults for all, overrides for one, features and options."""
    result = run("write", folder / "atlas.toml")
    assert result.exit_code == 0, result.output
    store = dao.load_store(folder / "atlas.dao")
    assert store.datasets == ["blood", "colon", "lymph"]
    assert list(store.var_names) == ["B", "A"]
    assert store.organisms == ("Homo sapiens",)
    assert store.manifest.datasets[0].seed == 3
    obs = store.obs.astype(object)
    tissues = obs.groupby("dataset")["tissue"].unique().map(list).to_dict()
    assert tissues == {"blood": ["blood"], "colon": ["gut"], "lymph": ["blood"]}
    gut = obs[obs["dataset"] == "colon"]
    assert set(zip(gut["cell_type"], gut["sex"], strict=True)) == {("B cell", "f"), ("t", "m")}
    assert set(obs.loc[obs["dataset"] == "blood", "sex"]) == {"unknown"}
    assert store.matching()["by_alias"].to_dict() == {"blood": 0, "colon": 0, "lymph": 1}


def test_options_go_before_the_recipe(folder: Path) -> None:
    """What is said on the command line wins; the store may be another."""
    result = run("write", folder / "atlas.toml", folder / "other.dao", "--seed", "9")
    assert result.exit_code == 0, result.output
    assert not (folder / "atlas.dao").exists()
    assert dao.load_store(folder / "other.dao").manifest.datasets[0].seed == 9
    recipe = dao.read_recipe(folder / "atlas.toml")
    store = dao.write_store(folder / "p.dao", recipe.sources, **recipe.options, progress=False)
    assert store.shape == (6, 2)


def test_dry_run_shows_and_writes_nothing(folder: Path) -> None:
    """The datasets, their cells and how their features match; the disk stays as it is."""
    before = sorted(folder.rglob("*"))
    result = run("write", folder / "atlas.toml", "--dry-run")
    assert result.exit_code == 0, result.output
    assert sorted(folder.rglob("*")) == before
    lines = [line.split() for line in result.stdout.splitlines()]
    assert "6 cells would be written" in result.stdout
    assert [line[0] for line in lines if line and line[-1:] == ["2"] and len(line) > 4] == [
        "blood", "colon", "lymph",
    ]  # fmt: skip
    assert "by alias" in result.stdout
    run("write", folder / "atlas.toml")
    again = run("write", folder / "atlas.toml", "--dry-run")
    assert again.exit_code == 2
    assert "--append" in again.stderr
    assert "appended" in run(
        "write", f"more={folder}/data/blood.h5ad", folder / "atlas.dao", "--append", "--dry-run",
        "--organism", "human",
    ).stdout  # fmt: skip
    assert dao.load_store(folder / "atlas.dao").manifest.generation == 1


def test_info_shows_how_features_matched(folder: Path) -> None:
    """dao info --features has a row per dataset."""
    run("write", folder / "atlas.toml")
    result = run("info", folder / "atlas.dao", "--features")
    assert result.exit_code == 0, result.output
    head, *rows = [line.split() for line in result.stdout.splitlines() if line.strip(" ─")]
    assert " ".join(head) == "dataset columns matched by id by alias unknown missing"
    assert rows[-1] == ["lymph", "3", "2", "1", "1", "1", "0"]
    assert '"by_alias": 1' in run("info", folder / "atlas.dao", "--json").stdout


def test_everything_wrong_is_said_at_once(folder: Path) -> None:
    """Unknown keys, wrong types, missing files and bad expressions are in one error."""
    (folder / "bad.toml").write_text(
        """
organsm = "human"
seed = "three"
shuffle = 1
features = {tabel = "outer", where = "a ==", table = "no.csv"}
obs_schema = {sex = {dtyp = "category"}, age = "itn"}

[defaults]
constant = {tissue = "blood"}
constants = {tissue = ["blood"]}

[[source]]
path = "data/blod.h5ad"
subset = "sex =="
obs = {sex = {colum = "Sex"}, age = 3}

[[source]]
path = "nothing/*.h5ad"

[[source]]
path = "data/*.h5ad"
id = "all"

[[source]]
pth = "x"
"""
    )
    with pytest.raises(errors.RecipeError) as caught:
        dao.read_recipe(folder / "bad.toml")
    message = str(caught.value)
    for part in (
        "unknown key 'organsm'. Did you mean 'organism'",
        "seed: must be a whole number, not 'three'",
        "shuffle: must be true or false, not 1",
        "features: unknown key 'tabel'. Did you mean 'table'",
        "features.table: there is no file 'no.csv'",
        "features.where: ",
        "sex: unknown key 'dtyp'. Did you mean 'dtype'",
        "age: there is no dtype 'itn'. Did you mean 'int",
        "defaults: unknown key 'constant'. Did you mean 'constants'",
        "defaults.constants.tissue: must be one value",
        "source 1.path: there is no file 'data/blod.h5ad'. Did you mean 'blood.h5ad'",
        "source 1.subset: ",
        "source 1.obs.sex: unknown key 'colum'. Did you mean 'column'",
        "source 1.obs.age: must be a column",
        "source 2.path: no file matches 'nothing/*.h5ad'",
        "source 3.id: 'all' cannot be the id of 3 files",
        "source 4: has no path",
        "source 4: unknown key 'pth'. Did you mean 'path'",
    ):
        assert part in message, part
    result = run("write", folder / "bad.toml", folder / "x.dao")
    assert result.exit_code == 2
    assert not (folder / "x.dao").exists()


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("store = ", "not TOML"),
        ("", "no \\[\\[source\\]\\]"),
        ("source = 3", "written as"),
        ('[[source]]\npath = ["data/gut.h5ad", "data/../data/gut.h5ad"]', "has the id 'gut'"),
        ('[[source]]\npath = "data/gut.h5ad"\nid = "a/b"', "cannot be a dataset id"),
        ('features = {humn = ["A"], tabel = "x"}\n[[source]]\npath="data/gut.h5ad"', "'tabel'"),
    ],
)
def test_recipes_that_cannot_be(folder: Path, text: str, match: str) -> None:
    """Each is refused in words."""
    (folder / "bad.toml").write_text(text)
    with pytest.raises(errors.RecipeError, match=match):
        dao.read_recipe(folder / "bad.toml")
    with pytest.raises(errors.RecipeError, match="There is no recipe"):
        dao.read_recipe(folder / "none.toml")


def test_one_file_may_become_two_datasets(folder: Path) -> None:
    """A file named by itself twice keeps what the pattern says, with an id for each."""
    (folder / "two.toml").write_text(
        """
[[source]]
path = "data/g*.h5ad"
constants = {tissue = "gut"}
[[source]]
path = "data/gut.h5ad"
id = "female"
subset = "Sex == 'f'"
[[source]]
path = "data/gut.h5ad"
id = "male"
subset = "Sex == 'm'"
"""
    )
    sources = dao.read_recipe(folder / "two.toml").sources
    assert [(s.id, s.subset, dict(s.constants)) for s in sources] == [
        ("female", "Sex == 'f'", {"tissue": "gut"}),
        ("male", "Sex == 'm'", {"tissue": "gut"}),
    ]


def test_features_by_organism(folder: Path) -> None:
    """A table of organisms gives each features of its own."""
    text = '[features]\nhuman = ["A"]\nmouse = {table = "genes.csv"}\n'
    (folder / "f.toml").write_text(text + '[[source]]\npath = "data/gut.h5ad"')
    features = dao.read_recipe(folder / "f.toml").options["features"]
    assert features == {"human": ["A"], "mouse": dao.Features(folder / "genes.csv")}


def test_write_needs_a_store(folder: Path) -> None:
    """A single file, and a recipe without a store, ask for one."""
    (folder / "s.toml").write_text('[[source]]\npath = "data/gut.h5ad"')
    for arguments in (["s.toml"], ["data/gut.h5ad"]):
        result = run("write", *(folder / a for a in arguments))
        assert result.exit_code == 2
        assert "store" in result.stderr.lower()
    result = run("write", folder / "s.toml", folder / "a.dao", folder / "b.dao")
    assert "names all sources" in result.stderr


def test_the_recipe_of_the_page_is_one() -> None:
    """The example of docs/cli.md has no unknown key and no wrong value."""
    page = (Path(__file__).parents[1] / "docs" / "cli.md").read_text()
    text = page.split("```toml")[1].split("```")[0]
    problems = Problems("docs/cli.md")
    check_recipe(tomllib.loads(text), problems)
    assert problems.found == []
