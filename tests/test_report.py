"""The report: what it tells is what pandas says of the same cells, and the page needs nothing."""

from __future__ import annotations

import json
import re
import shutil
import sys
from html.parser import HTMLParser
from importlib.util import find_spec
from itertools import pairwise
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

import dao
from dao import errors
from dao.cli import main
from dao.report import stream
from dao.report.pairs import cramers_v
from dao.report.spreads import MOST_CELLS, stretches

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Make = Callable[..., ad.AnnData]
    Write = Callable[..., dao.Store]

EVIL = "<script>alert('$x_1$')</script> \"&amp;\" \x1b[2J 漢字 $\\frac{1}{2}$"
drawn = pytest.mark.skipif(
    any(find_spec(name) is None for name in ("jinja2", "matplotlib")), reason="needs the extra"
)


@pytest.fixture(autouse=True, scope="module")
def _short_run() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stream, "SECONDS", 0.05)
        yield


@pytest.fixture
def store(write: Write, make_study: Make) -> dao.Store:
    """Two human studies that share half of their genes, and one of a mouse."""
    second = make_study(1, 80, genes=[f"G{i}" for i in range(20, 60)])
    sources = {
        "a": dao.Source(make_study(0), organism="human"),
        "b": dao.Source(second, organism="human"),
        "m": dao.Source(make_study(2, 30), organism="mouse"),
    }
    return write(sources)


class Page(HTMLParser):
    """What is in a page: tags, attributes, text, and whether tags are closed in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.rows: list[list[str]] = []
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in {"meta", "br"}:
            self._open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in {"td", "th"}:
            self.rows[-1].append("")

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)
        if {"td", "th"} & set(self._open):
            self.rows[-1][-1] += data

    def table(self, header: str) -> list[list[str]]:
        """Return the rows below the one that begins with a header, up to the next such row."""
        begin = next(i for i, row in enumerate(self.rows) if row[0] == header)
        return self.rows[begin + 1 :]


def test_datasets_and_columns_are_as_pandas_counts(store: dao.Store) -> None:
    """Cells by dataset and by value, missing ones, and the range of numbers."""
    facts, obs = store.report().facts, store.obs
    assert (facts.n_obs, facts.n_stored, facts.n_datasets) == (160, 160, 3)
    assert dict(facts.n_vars) == {"Homo sapiens": 60, "Mus musculus": 40}
    counts = obs["dataset"].value_counts()
    assert {d.id: d.n_obs for d in facts.datasets} == counts.to_dict()
    assert [d.id for d in facts.datasets] == ["b", "a", "m"]
    columns = {c.name: c for c in facts.columns}
    for name in ("cell_type", "stage", "doublet"):
        top, theirs = columns[name].top, obs[name].value_counts()
        assert top is not None
        found = dict(zip(top.values, top.cells, strict=True))
        assert found == {str(k): n for k, n in theirs.items() if n}
    assert columns["stage"].top is not None
    assert columns["stage"].top.values == ("early", "late")  # in their own order
    assert columns["score"].missing == obs["score"].isna().sum()
    numbers = columns["n_counts"].histogram
    assert numbers is not None
    assert sum(numbers.cells) == 160
    assert list(numbers.cells) == np.histogram(obs["n_counts"], numbers.edges)[0].tolist()
    assert {b - a for a, b in pairwise(numbers.edges)} == {numbers.edges[1] - numbers.edges[0]}
    assert numbers.edges[0] == obs["n_counts"].min() - 0.5  # whole numbers lie between the edges
    assert columns["barcode"].distinct == 160
    assert columns["barcode"].top is None  # a bar for each cell would say nothing


def test_pairs_are_as_pandas_counts(store: dao.Store) -> None:
    """Cells by two columns, and how much one says of the other."""
    obs = store.obs
    pairs = store.report().facts.pairs
    assert pairs
    for pair in pairs:
        theirs = pd.crosstab(obs[pair.row].astype(str), obs[pair.column].astype(str))
        mine = pd.DataFrame(pair.cells, pair.row_values, pair.column_values)
        pd.testing.assert_frame_equal(
            mine.sort_index().sort_index(axis=1),
            theirs.loc[theirs.sum(axis=1) > 0, theirs.sum() > 0],
            check_names=False,
            check_index_type=False,
            check_column_type=False,
        )
        assert pair.n_obs == 160
        assert not pair.is_sample
    assert [p.association for p in pairs] == sorted((p.association for p in pairs), reverse=True)


def test_pairs_leave_missing_values_and_rare_ones_out(write: Write, make_study: Make) -> None:
    """Values beyond the first are added up; a cell that lacks one of the two is not counted."""
    study = make_study(0, 400)
    i = np.arange(400)
    study.obs["donor"] = pd.Categorical([f"d{k}" for k in np.minimum(i // 8, 39)])
    study.obs["site"] = pd.Categorical(
        np.where(i < 100, None, np.char.add("s", (i // 20).astype(str)))
    )
    pair = next(
        p for p in write(study).report().facts.pairs if {p.row, p.column} == {"donor", "site"}
    )
    assert pair.row == "donor"
    assert (len(pair.row_values), pair.row_values[-1]) == (13, "16 others")
    assert (len(pair.column_values), pair.column_values[-1]) == (9, "7 others")
    assert np.sum(pair.cells) == pair.n_obs == 300


@settings(deadline=None)
@given(st.lists(st.lists(st.integers(0, 9), min_size=3, max_size=3), min_size=2, max_size=5))
def test_cramers_v(rows: list[list[int]]) -> None:
    """As scipy says of the same table."""
    from scipy.stats.contingency import association

    table = np.array(rows)
    cut = table[table.sum(axis=1) > 0][:, table.sum(axis=0) > 0]
    if min(cut.shape) < 2:
        assert cramers_v(table) == 0
    else:
        np.testing.assert_allclose(cramers_v(table), association(cut, method="cramer"), atol=1e-9)


def test_genes_and_cells_are_as_in_memory(store: dao.Store, oracle: Any) -> None:
    """Overlap of features, and percentiles of counts and features per cell."""
    facts = store.report().facts
    genes = {g.organism: g for g in facts.genes}["Homo sapiens"]
    assert dict(zip(genes.datasets, genes.measured, strict=True)) == {"a": 40, "b": 40}
    assert genes.by_number == (0, 40, 20)
    np.testing.assert_allclose(genes.shared, [[1, 1 / 3], [1 / 3, 1]])
    for spread in facts.spreads:
        x = store.subset(dataset=spread.dataset).to_anndata().X
        percent = [5, 25, 50, 75, 95]
        sums = np.asarray(x.sum(axis=1)).ravel()
        np.testing.assert_allclose(spread.counts, np.percentile(sums, percent))
        np.testing.assert_allclose(spread.genes, np.percentile(np.diff(x.indptr), percent))
        assert spread.whole
        assert spread.n_looked_at == spread.n_obs == x.shape[0]


def test_features_that_were_chosen(store: dao.Store) -> None:
    """Counts per cell are those of the selected features."""
    chosen = store["human"].select_features(["G25", "G3"])
    facts = chosen.report().facts
    assert dict(facts.n_vars) == {"Homo sapiens": 2}
    x = chosen.subset(dataset="a").to_anndata().X
    spread = next(s for s in facts.spreads if s.dataset == "a")
    assert spread.counts[2] == np.median(np.asarray(x.sum(axis=1)))
    assert facts.genes[0].n_vars == 2


def test_a_selection_in_an_order_of_its_own(store: dao.Store) -> None:
    """Repeats count; cells of the whole store are told beside."""
    rows = np.array([100, 3, 3, 7, 159])
    taken = store.take(rows)
    facts = taken.report().facts
    assert (facts.n_obs, facts.n_stored) == (5, 160)
    assert {d.id: d.n_obs for d in facts.datasets} == taken.obs["dataset"].value_counts().to_dict()
    spread = next(s for s in facts.spreads if s.dataset == "a")
    sums = np.asarray(store.take([3, 7]).to_anndata().X.sum(axis=1)).ravel()
    np.testing.assert_allclose(spread.counts[2], sums[0])


def test_bytes_are_those_of_the_files(store: dao.Store, tmp_path: Path) -> None:
    """Sizes on disk by array, and what they decode to."""
    facts = {a.name: a for a in store.report().facts.arrays}
    root = tmp_path / "store.dao" / "datasets"
    stored = sum(
        f.stat().st_size for d in "abm" for f in (root / d / "X" / "data").rglob("*") if f.is_file()
    )
    assert facts["X/data"].stored == stored
    nnz = sum(d.matrices["X"].nnz for d in store.manifest.datasets)
    assert facts["X/data"].decoded == nnz * 2
    assert facts["X/data"].chunks == facts["X/data"].shards == 3
    assert facts["obs"].stored == sum((root / d / "obs.parquet").stat().st_size for d in "abm")


def test_the_stream_is_run(store: dao.Store) -> None:
    """Of the organism with most cells: mixing as the generator says, cells per second."""
    told = store.report().facts.stream
    assert told is not None
    assert (told.organism, told.n_obs) == ("Homo sapiens", 130)
    assert told.cells_per_second > 0
    assert told.n_streamed >= 130
    mixing = store["human"].generator().mixing("cell_type")
    assert {m.column: m.ratio for m in told.mixing}["cell_type"] == mixing.ratio


def test_what_is_odd_is_found(write: Write, make_study: Make, tmp_path: Path) -> None:
    """Normalised beside counts, empty cells, labels that may be the same, files that are left."""
    one, two = make_study(0), make_study(1)
    two.X = two.X * np.float32(0.37)
    one.X = sp.csr_matrix(one.X.toarray() * (np.arange(50) > 2)[:, None])
    one.obs["label"] = pd.Categorical(
        np.array(["T cell", "t-cell", "CD4+", "CD4-"])[np.arange(50) % 4]
    )
    store = write({"one": one, "two": two})
    (tmp_path / "store.dao" / "datasets" / "left").mkdir()
    said = {(f.kind, f.text) for f in store.report().facts.findings}
    assert (
        "look",
        "X is whole numbers in one, and not in two: counts beside values that were normalised.",
    ) in said
    assert ("look", "Cells without any value of the selected features: one (3 of 50).") in said
    assert ("look", "Values of label that may be the same: 'T cell' = 't-cell'.") in said
    assert any(kind == "note" and "datasets/left" in text for kind, text in said)
    assert not any("CD4" in text for _, text in said)


def test_damage_is_told_and_the_rest_too(store: dao.Store, tmp_path: Path) -> None:
    """A shard that is gone is a finding; what can be read is still there."""
    (tmp_path / "store.dao" / "datasets" / "a" / "X" / "data" / "c" / "0").unlink()
    cut = tmp_path / "store.dao" / "datasets" / "b" / "X" / "indptr" / "c" / "0"
    cut.write_bytes(cut.read_bytes()[:-1])
    facts = dao.load_store(tmp_path / "store.dao").report().facts
    damage = [f.text for f in facts.findings if f.kind == "damage"]
    assert any(text.startswith("datasets/a/X/data/c/0 cannot be read") for text in damage)
    assert any(text.startswith("X: ") for text in damage)
    assert any(text.startswith("datasets/b/X/indptr/c/0 has ") for text in damage)
    assert facts.stream is None
    assert len(facts.datasets) == 3
    assert facts.columns


def test_earlier_generations(store: dao.Store, tmp_path: Path) -> None:
    """What only they need is told; of one that is open itself, later files are no leftovers."""
    store.remove("b")
    copy = shutil.copytree(tmp_path / "store.dao", tmp_path / "copy.dao")  # nobody has it open
    texts = [f.text for f in dao.load_store(copy).report().facts.findings]
    assert any(text.startswith("Only earlier generations need ") for text in texts)
    opened = dao.load_store(tmp_path / "store.dao", generation=1)
    facts = opened.report().facts
    assert facts.generation == 1
    assert not any("writer" in f.text or "earlier" in f.text for f in facts.findings)


def test_nothing_selected(store: dao.Store) -> None:
    """No cells, no statistics."""
    facts = store.head(0).report().facts
    assert (facts.n_obs, facts.datasets, facts.spreads, facts.stream) == (0, (), (), None)


@pytest.mark.parametrize("n", [0, 1, MOST_CELLS, MOST_CELLS + 1, 123_457])
def test_a_sample_is_spread(n: int) -> None:
    """Each position once, in order, from the first to the last; all of them where they are few."""
    found = stretches(n, MOST_CELLS)
    assert (np.diff(found) > 0).all()
    assert len(found) <= MOST_CELLS
    if n > MOST_CELLS:
        assert (found[0], found[-1]) == (0, n - 1)
    else:
        assert len(found) == n


@drawn
def test_the_page_has_the_numbers(store: dao.Store, tmp_path: Path) -> None:
    """The page is well formed, and its tables are the facts."""
    page = store.report(tmp_path / "r.html")
    html = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert html == page.html
    found = Page(html)
    assert [row[:4] for row in found.table("dataset")[:3]] == [
        ["b", "Homo sapiens", "80", "80"],
        ["a", "Homo sapiens", "50", "50"],
        ["m", "Mus musculus", "30", "30"],
    ]
    assert found.table("column")[0][0] == "cell_type"
    assert sum(tag == "svg" for tag, _ in found.tags) == len(re.findall("<figure>", html)) > 10
    ids = [a["id"] for _, a in found.tags if "id" in a]
    assert len(ids) == len(set(ids))
    referred = re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', html)
    assert {a or b for a, b in referred} <= set(ids)


@drawn
def test_the_page_loads_nothing(store: dao.Store) -> None:
    """No address, no script, no style sheet of others: it is whole without a network."""
    html = store.report().html
    assert "//" not in re.sub(r"data:image/png;base64,[A-Za-z0-9+/=]+", "", html)
    found = Page(html)
    assert not {"script", "link", "iframe", "object", "embed"} & {tag for tag, _ in found.tags}
    for _, attributes in found.tags:
        assert not any(name.startswith("on") for name in attributes)
        for name in ("src", "href"):
            assert (attributes.get(name) or "#").startswith(("#", "data:image/png;base64,"))


@drawn
def test_names_are_text(write: Write, make_study: Make) -> None:
    """Whatever studies call things: it is shown as it is, never obeyed, and a dollar stays one."""
    study = make_study()
    evil = EVIL.replace("\x1b", "")
    study.obs[evil] = pd.Categorical(np.array([EVIL, "b </svg>", "$y_2$"])[np.arange(50) % 3])
    store = write(
        {"a": dao.Source(study, organism=evil), "b": dao.Source(make_study(1), organism=evil)}
    )
    page = store.report()
    found = Page(page.html)
    assert "script" not in {tag for tag, _ in found.tags}
    assert "\x1b" not in page.html
    text = "".join(found.text)
    assert "<script>alert('$x_1$')</script>" in text
    assert "$y_2$" in re.findall(r"<text[^>]*>([^<]*)</text>", page.html)  # no formula
    assert "b </svg>" in text
    frame = Page(page._repr_html_())
    assert [tag for tag, _ in frame.tags] == ["iframe"]
    assert frame.tags[0][1]["srcdoc"] == page.html
    assert "sandbox" in frame.tags[0][1]


@drawn
def test_any_character_can_be_drawn(write: Write, make_study: Make) -> None:
    """Marks of HTML, XML, templates and formulas, controls, other scripts: the page stays whole."""
    names = [
        "", " ", "<b>&amp;</b>", "]]>", "<!--", "{{ 7 * 7 }}", "{% raw %}", "%s", "$$x$", "\\frac{1", "_", "^",
        "'", '"', "`", "a\nb", "a\tb", "\x1b[31m", "\x7f", "\x85", "\u202eabc", "\u2028", "\ufeff", "\ufffe",
        "é", "e\u0301", "😀", "漢字", "NaN", "None", "0", "x" * 1000,
    ]  # fmt: skip
    study = make_study(0, 2 * len(names))
    study.obs = pd.DataFrame(
        {
            "first": pd.Categorical(names[:12] * 5 + names[:4], categories=names[:12]),
            "second": pd.Categorical(names[12:24] * 5 + names[12:16], categories=names[12:24]),
            "third": pd.Categorical(names[24:] * 8, categories=names[24:]),
        },
        index=study.obs_names,
    )
    page = write(study).report()
    found = Page(page.html)
    assert not {"b", "script"} & {tag for tag, _ in found.tags}
    text = "".join(found.text)
    for name in (
        "<b>&amp;</b>",
        "]]>",
        "{{ 7 * 7 }}",
        "$$x$",
        "\\frac{1",
        "漢字",
        "xxx…xxx",
        "a b",
    ):
        assert name in text
    assert all(c.isprintable() or c == "\n" for c in text)
    for svg in re.findall(r"<svg.*?</svg>", page.html, re.DOTALL):
        ET.fromstring(svg)


@drawn
@pytest.mark.once
def test_many_datasets_and_values_are_a_small_page(write: Write) -> None:
    """The first ones are shown, the others added up."""
    n_datasets, n_each = 60, 50
    sources = {}
    for k in range(n_datasets):
        names = np.array([f"value {k} {i}" for i in range(n_each)])
        obs = pd.DataFrame({f"column {j}": pd.Categorical(np.repeat(names[j:][:25], 2)) for j in range(3)},
                           index=[f"{k}-{i}" for i in range(n_each)])  # fmt: skip
        x = sp.random(n_each, 20, 0.3, "csr", np.float32, rng=k)
        sources[f"study {k}"] = ad.AnnData(
            x, obs=obs, var=pd.DataFrame(index=[f"G{i}" for i in range(20)])
        )
    page = write(sources).report()
    assert len(page.html) < 1_500_000
    facts = page.facts
    assert (len(facts.datasets), facts.n_datasets) == (50, 60)
    assert len(facts.spreads) == len(facts.genes[0].datasets) == 25
    assert facts.genes[0].n_others == 35
    top = facts.columns[0].top
    assert top is not None
    assert (len(top.values), top.n_others) == (12, 1488)
    assert sum(top.cells) + top.others == 3000
    assert ["10 others", "", "500", ""] in Page(page.html).rows


@drawn
def test_unconverted_files(tmp_path: Path, make_study: Make) -> None:
    """A report of .h5ad files: no sizes on disk, for dao did not write them."""
    make_study(0).write_h5ad(tmp_path / "one.h5ad")
    store = dao.load_store([tmp_path / "one.h5ad"], backend="h5ad")
    page = store.report()
    arrays = {a.name: a for a in page.facts.arrays}
    assert arrays["X/data"].stored is None
    assert arrays["X/data"].ratio is None
    assert "obs" not in arrays
    assert "one" in Page(page.html).table("dataset")[0]


@drawn
def test_a_store_at_a_url(store: dao.Store, web_server: Any, tmp_path: Path) -> None:
    """The same facts as of the folder."""
    there = dao.load_store(web_server.url(tmp_path / "store.dao"), cache_dir=tmp_path / "cache")
    mine, theirs = there.report().facts, store.report().facts
    assert mine.columns == theirs.columns
    assert mine.spreads == theirs.spreads
    assert mine.arrays == theirs.arrays


def run(*arguments: Any) -> Any:
    """Run `dao report`."""
    return CliRunner(env={"DAO_DEBUG": None}).invoke(main, ["report", *map(str, arguments)])


@drawn
def test_the_command(store: dao.Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It writes the page where it is told to, else beside; and says what is odd."""
    monkeypatch.chdir(tmp_path)
    result = run("store.dao", "-o", "r.html", "--where", "dataset == 'a'")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("r.html\n  note")
    assert "of 160 in the store" in (tmp_path / "r.html").read_text(encoding="utf-8")
    assert run("store.dao").exit_code == 0
    assert (tmp_path / "store.html").exists()
    refused = run("store.dao", "-o", "no/such/folder.html")
    assert refused.exit_code == 2
    assert "there is no folder" in refused.stderr


def test_the_command_for_scripts(store: dao.Store, tmp_path: Path) -> None:
    """--json prints the facts and needs no extra; damage is exit code 1."""
    result = run(tmp_path / "store.dao", "--json")
    assert result.exit_code == 0, result.output
    content = json.loads(result.stdout)
    assert content["n_obs"] == 160
    assert [d["id"] for d in content["datasets"]] == ["b", "a", "m"]
    (tmp_path / "store.dao" / "datasets" / "a" / "uns.json").unlink()
    assert run(tmp_path / "store.dao", "--json").exit_code == 1


def test_without_the_extra(
    store: dao.Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What is missing is named with what to install, and facts are there without it."""
    monkeypatch.delitem(sys.modules, "dao.report.pictures", raising=False)
    monkeypatch.setitem(sys.modules, "jinja2", None)
    page = store.report()
    assert str(page).startswith("Report of ")
    with pytest.raises(errors.MissingExtraError, match=r"'dao-store\[report\]'"):
        page.save(tmp_path / "r.html")
    with pytest.raises(errors.MissingExtraError):
        store.report(tmp_path / "r.html")
    result = run(store.path, "-o", tmp_path / "r.html")
    assert result.exit_code == 2
    assert "pip install 'dao-store[report]'" in result.stderr
    assert not (tmp_path / "r.html").exists()
