"""The parts of the benchmark, and all of it at a tiny size. No figure is judged here."""

import argparse
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import anndata as ad
import atlas
import counts
import numpy as np
import page
import pandas as pd
import peer_env
import plot_fit
import plots
import pytest
import report
import report_fit
from fit import time_fit
from jobs import JOBS
from results import Results, Setting
from scenarios import SCENARIOS, Scenario, chosen
from softmax import Softmax
from timing import describe, time_epochs

pytestmark = pytest.mark.once


def draw(seed=0, cells=3000):
    library = np.full(cells, 10.0)
    kinds = np.zeros(cells, np.int64)
    weights = np.array([[0.02, 0.5, 40.0]], np.float32)
    slabs = counts.draw_counts(seed, library, kinds, weights, np.array([1, 4, 9], np.int32))
    indices, data, nnz = map(np.concatenate, zip(*slabs, strict=True))
    x = np.zeros((cells, 10))
    x[np.repeat(np.arange(cells), nnz), indices] = data
    return x


def test_counts_have_the_mean_and_variance_of_the_mixture():
    x = draw()
    for column, mean in ((1, 0.2), (4, 5.0), (9, 400.0)):
        assert x[:, column].mean() == pytest.approx(mean, rel=0.1)
        assert x[:, column].var() == pytest.approx(mean + mean**2 / 4, rel=0.15)


def test_counts_depend_on_the_seed_and_on_nothing_else(monkeypatch):
    whole = draw()
    monkeypatch.setattr(counts, "ROWS_PER_SLAB", 7)
    np.testing.assert_array_equal(whole, draw())
    assert (whole != draw(seed=1)).any()


def test_an_atlas_is_written_once_and_says_what_is_in_it(tmp_path):
    small = atlas.Atlas(cells=600, genes=300, studies=3)
    summary = atlas.write_atlas(tmp_path, small)
    studies = [ad.read_h5ad(tmp_path / file) for file in summary["files"]]
    assert sum(study.n_obs for study in studies) == 600
    assert sum(int(study.X.sum()) for study in studies) == summary["total"]
    assert sum(study.X.nnz for study in studies) == summary["nnz"]
    chosen = [study.var_names.isin(summary["chosen"]) for study in studies]
    some = sum(int(x.X[:, wanted].sum()) for x, wanted in zip(studies, chosen, strict=True))
    assert some == summary["chosen_total"]
    for study in studies:
        assert study.obs["cell_type"].is_monotonic_increasing
        assert not study.var_names.is_monotonic_increasing
        np.testing.assert_array_equal(study.obs["n_counts"], study.X.sum(axis=1).A1)
    assert not studies[0].var_names.equals(studies[1].var_names)

    (tmp_path / summary["files"][0]).write_bytes(b"")
    assert atlas.write_atlas(tmp_path, small) == summary, "found, not written again"
    assert atlas.write_atlas(tmp_path, replace(small, seed=1)) != summary


def options(**changes):
    values = {"batch_size": 4, "obs_keys": ["a"], "seconds": 0.0, "budget": None, "whole": 1}
    values |= {"types": 2, "cells": 7, "epochs": 2}
    return argparse.Namespace(**values | {"consumer": "none", "consumer_s": 0.0} | changes)


def batches(obs_keys):
    obs = pd.DataFrame({"a": 1, "n_counts": 6.0}, index=range(4))[obs_keys]
    return [{"X": np.full((rows, 2), 3.0), "obs": obs[:rows]} for rows in (4, 3)]


def test_every_epoch_is_counted_and_the_first_one_is_checked():
    measured = time_epochs(lambda obs_keys: lambda: iter(batches(obs_keys)), options())
    assert (measured.rows, measured.total, measured.expected) == (7, 42, None)
    assert (measured.epochs, measured.cells) == (1, 7)
    assert measured.yields == describe(batches(["a"])[0]) == "ndarray float64, obs ['a']"


def test_a_slow_reader_is_stopped_and_checked_against_the_labels_of_its_rows():
    measured = time_epochs(lambda obs_keys: lambda: iter(batches(obs_keys)), options(budget=0.0))
    assert (measured.rows, measured.total, measured.expected) == (4, 24, 24)
    assert (measured.epochs, measured.cells, measured.epoch_s) == (0, 4, None)


@pytest.mark.parametrize("kind", ["sleep", "burn"])
def test_a_consumer_takes_its_time_for_every_batch(kind):
    slow = options(consumer=kind, consumer_s=0.2)
    measured = time_epochs(lambda obs_keys: lambda: iter(batches(obs_keys)), slow)
    assert measured.seconds > 0.2 * 7 / 4 / 3


def test_the_model_learns_by_the_gradient_of_its_loss():
    random = np.random.default_rng(0)
    x = random.poisson(3, (8, 5)).astype("float32")
    types = pd.Series(list("babcbacb"), dtype="category")
    model = Softmax(5, 3)
    right, total = model.step(x, types)
    assert total == x.sum()
    assert right == 2, "it begins with the first of a, b, c for all"

    z = np.log1p(x * (1e4 / x.sum(axis=1, keepdims=True)))
    z = (z - z.mean(axis=0)) / z.std(axis=0)
    slope = np.full((8, 3), 1 / 3) - np.eye(3)[types.cat.codes]
    np.testing.assert_allclose(model._weights, -z.T @ slope / 8, atol=1e-5)
    np.testing.assert_allclose(model._bias, -slope.mean(axis=0), atol=1e-6)
    for _ in range(20):
        right, _ = model.step(x, types)
    assert right == 8


def test_types_are_told_by_their_names_whatever_categories_a_batch_has():
    model = Softmax(2, 3)
    first = model._numbered(pd.Series(["b", "c"], dtype="category"))
    again = pd.Series(pd.Categorical(["c", "a", "b"], categories=["z", "c", "b", "a"]))
    np.testing.assert_array_equal(first, [0, 1])
    np.testing.assert_array_equal(model._numbered(again), [1, 2, 0])


def cells(rows=(4, 3)):
    def epoch():
        for n in rows:
            types = pd.DataFrame({"cell_type": pd.Categorical(["a", "b"] * 2)[:n]})
            yield {"X": np.full((n, 3), 2, np.float32), "obs": types}

    return lambda obs_keys: epoch


def test_a_fit_learns_from_whole_epochs_and_tells_what_time_went_into():
    fitted = time_fit(cells(), options())
    assert (fitted.learnt, fitted.wanted) == (14, 14)
    assert (fitted.rows, fitted.total) == (7, 42), "those of the first epoch are checked"
    assert fitted.start_s > 0
    assert min(fitted.waiting_s, fitted.computing_s, fitted.alone_s) > 0


def test_a_fit_with_a_slow_reader_is_stopped_after_a_whole_load():
    fitted = time_fit(cells([4] * 9), options(budget=0.0, whole=3, cells=36))
    assert (fitted.learnt, fitted.wanted) == (12, 72)


def test_scenarios_are_quotients_within_a_round_and_are_judged():
    scenario = Scenario("x", "", ("a", "speed"), ("b", "speed"), 2, 4)
    assert scenario.value({"a": {"speed": 6}, "b": {"speed": 2}}) == 3
    assert scenario.value({"a": {"speed": 6}}) is None
    assert [scenario.verdict(x) for x in (1, 2, 4, None)] == [
        "missed",
        "least reached",
        "aim reached",
        "not measured",
    ]
    upper = replace(scenario, most=True, least=0.5, aim=0.4)
    assert [upper.verdict(x) for x in (0.6, 0.5, 0.4)] == ["missed", "least reached", "aim reached"]
    assert replace(scenario, least=None, aim=None).verdict(1) == "no target"


def test_every_scenario_is_made_of_jobs_that_exist():
    assert set().union(*(scenario.jobs for scenario in SCENARIOS)) <= {job.name for job in JOBS}
    names = [job.name for job in chosen(["accelerator"], {"stream"}, {"dao", "annbatch"})]
    assert names == ["dao/csr", "annbatch/csr", "dao/sleep", "annbatch/sleep"]
    assert chosen(["write"], {"stream"}, {"dao", "annbatch"}) == []


def measured(cells_per_s):
    return {"cells_per_s": cells_per_s, "peak_bytes": 1 << 20, "first_batch_s": 0.5, "seconds": 1.0}


@pytest.fixture
def results(tmp_path):
    setting = Setting(5, 3, 10, 2, 1, 4, 1.0, "make bench", {"cores": "2"}, {}, {"backed": "no x"})
    results = Results.begin(tmp_path / "some.jsonl", setting)
    for number, ours in enumerate((2e5, 3e5)):
        results.add(number, "dao/csr", measured(ours))
        results.add(number, "annbatch/csr", measured(1e5))
        results.add_noise({"stolen": 0.01, "others": 0.02})
    results.add(1, "dao/dense", {"error": "broke"})
    return results


def test_what_an_interrupted_run_measured_can_be_read_again(results):
    assert Results.load(results.file) == results
    assert results.errors == {"dao/dense": "broke"}


def test_tables_compare_readers_in_the_same_round(results):
    targets, readers, streams, *_ = report.sheets(results)
    assert targets.rows[0][1:] == ("2.50x", "2.00x to 3.00x", "3.50x", "6.00x", "missed")
    assert readers.rows[1][2:4] == ("100,000", "2.50")
    assert "| dao | CSR | 250,000 | 200 · 300 | 1 MiB |" in streams.markdown()
    assert "by 40% at most (dao, CSR)" in report.noise(results)


def test_the_page_keeps_what_people_wrote(results, tmp_path):
    file = tmp_path / "page.md"
    page.write_page(file, results)
    file.write_text("# Mine\n\n" + file.read_text().partition("\n\n")[2] + "\nMy words.\n")
    first = file.read_text()
    page.write_page(file, results)
    assert file.read_text() == first
    assert first.startswith("# Mine\n\n<!-- measured")
    assert first.endswith("\nMy words.\n")
    assert "- backed was left out: no x." in first
    assert "- dao/dense failed: broke" in first
    assert Results.load(tmp_path / "page" / "measurements.jsonl").rounds == results.rounds


def fit(learnt=100, **changes):
    times = {"start_s": 1.0, "waiting_s": 2.0, "computing_s": 3.0, "alone_s": 2.5}
    counts = {"types": 9, "epochs": 2, "wanted": 100, "learnt": learnt}
    return {**times, **counts, "accuracy": 0.9, "peak_bytes": 1 << 20, **changes}


@pytest.fixture
def fits(results, tmp_path):
    fits = Results.begin(tmp_path / "fits.jsonl", replace(results.setting, command="only fit"))
    for number, waiting in enumerate((4.0, 2.0, 9.0)):
        fits.add(number, "dao/fit", fit(waiting_s=waiting))
    fits.add(0, "backed/fit", fit(learnt=10))
    return fits


def test_a_stopped_fit_is_multiplied_up_from_its_first_batch_on(fits):
    rows = report_fit.fit_sheet(fits).rows
    assert rows[0][2:7] == ("8.0 s", "1.0 s", "4.0 s", "3.0 s", "3.5 s")
    assert rows[1][2:7] == ("51 s, from 10 cells", "1.0 s", "20 s", "30 s", "25 s")
    words = report_fit.fit_words(fits)
    assert "dao 8.0 s (50% of it waiting). Every further epoch: dao 3.5 s." in words
    assert "backed AnnData would take too long" in words


def test_a_fit_has_a_part_of_the_page_of_its_own(results, fits, tmp_path):
    file = tmp_path / "page.md"
    page.write_page(file, results)
    before = file.read_text()
    page.write_page(file, fits)
    both = file.read_text()
    assert both.startswith(before.rstrip("\n"))
    assert "## Fitting a model" in both
    page.write_page(file, results)
    page.write_page(file, fits)
    assert file.read_text() == both
    kept = Results.load(tmp_path / "page" / "fit.jsonl")
    assert (kept.rounds, kept.setting) == (fits.rounds, fits.setting)
    assert Results.load(tmp_path / "page" / "measurements.jsonl").rounds == results.rounds


def test_rounds_are_added_only_to_a_run_of_the_same_kind(fits):
    setting = replace(fits.setting, command="another", missing={})
    assert Results.resume(fits.file, setting).rounds == fits.rounds
    with pytest.raises(ValueError, match=r"of another run: machine differ"):
        Results.resume(fits.file, replace(setting, machine={"cores": "4"}))


def test_what_is_measured_anew_takes_the_place_of_what_was(results, tmp_path):
    machine = {"cores": "2", "measured": "today", "commit": "abc"}
    renewed = Results.renew(results.file, replace(results.setting, machine=machine), ["dao/csr"])
    renewed.add(0, "dao/csr", measured(7.0))
    again = Results.load(results.file)
    assert again == renewed
    assert again.values("dao/csr", "cells_per_s") == [7.0]
    assert again.values("annbatch/csr", "cells_per_s") == [1e5, 1e5]
    page.write_page(tmp_path / "page.md", again)
    assert "- dao/csr was measured later, today, commit abc." in (tmp_path / "page.md").read_text()
    with pytest.raises(ValueError, match="another machine"):
        Results.renew(results.file, replace(results.setting, cells=6), ["dao/csr"])


def test_a_fit_is_drawn_always_the_same(fits, tmp_path):
    pytest.importorskip("matplotlib")
    words = plot_fit.draw_fit(fits, tmp_path / "a")
    plot_fit.draw_fit(fits, tmp_path / "b")
    assert words == {
        "fit.svg": "How long a fit takes with each reader: dao 8.0 s; backed AnnData 51 s."
    }
    assert (tmp_path / "a/fit.svg").read_bytes() == (tmp_path / "b/fit.svg").read_bytes()


def test_plots_are_small_and_always_the_same(results, tmp_path):
    pytest.importorskip("matplotlib")
    words = plots.draw(results, tmp_path / "a")
    plots.draw(results, tmp_path / "b")
    assert set(words) == {"readers.svg", "ratios.svg"}
    for name in words:
        content = (tmp_path / "a" / name).read_bytes()
        assert content == (tmp_path / "b" / name).read_bytes()
        assert len(content) < 100_000
    assert "csr 2.50" in words["ratios.svg"]


def test_what_grows_is_drawn_always_the_same(tmp_path):
    pytest.importorskip("matplotlib")
    from plot_scale import MEMORY, SECONDS, draw

    costs = {n: dict.fromkeys([*SECONDS, *MEMORY], n / 1000) for n in (100, 1000)}
    for name in ("a.svg", "b.svg"):
        draw(costs, tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert "filter on three columns" in (tmp_path / "a.svg").read_text(encoding="utf-8")


def test_a_missing_environment_is_a_reason_not_an_error(tmp_path):
    assert peer_env.runs(sys.executable, "pass")
    assert not peer_env.runs(tmp_path / "python", "pass")
    python, reason = peer_env.peer_python("annbatch", root=tmp_path, create=False)
    assert python is None
    assert "no environment" in reason


def test_the_whole_benchmark_runs_at_a_tiny_size(tmp_path):
    script = Path(__file__).with_name("run.py")
    some = ["csr", "accelerator", "rare-clustered", "start", "limit", "disk", "peers", "fit"]
    slow = ["annbatch", "scdataset", "backed"]
    command = [sys.executable, script, "--quick", "--workdir", tmp_path, "--only", *some]
    done = subprocess.run(
        [*command, "--without", *slow], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (file,) = tmp_path.glob("*/measurements-*.jsonl")
    results = Results.load(file)
    assert not results.errors
    assert set(results.rounds[0]) == {
        *("dao/csr", "dao/sleep", "dao/rare-clustered", "dao/start", "dao/disk"),
        *("zarrs/decode", "memory/csr", "dao/fit", "memory/fit"),
    }
    written = file.with_suffix(".md").read_text()
    assert "| in memory |" in written
    assert "- annbatch was left out: not wanted." in written
    assert json.loads(file.read_text().splitlines()[0])["setting"]["cells"] == 3000
