"""The parts of the benchmark: drawn counts, the written atlas, the tables. Nothing is timed."""

import sys
from dataclasses import replace

import anndata as ad
import atlas
import counts
import numpy as np
import peer_env
import pytest
import report
from timing import Build, Stream, describe, time_epochs


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


def test_every_epoch_is_counted_and_the_first_one_is_checked():
    batches = [{"X": np.full((rows, 2), 3.0), "obs": {"a": 1}} for rows in (4, 3)]
    options = {"reader": "fake", "x_format": "dense", "settings": "", "seconds": 0.0}
    measured = time_epochs(lambda: lambda: iter(batches), **options)
    assert (measured.rows, measured.total, measured.epochs) == (7, 42, 1)
    assert measured.yields == describe(batches[0]) == "ndarray float64, obs ['a']"


def test_tables_compare_each_reader_with_dao_in_the_same_round():
    def one(reader, speed):
        return Stream(reader, "csr", "x", speed, 1, 1.0, 0.1, 1.0, 1 << 20, 1, 1, "")

    rounds = [[one("dao", 2e5), one("other", 1e5)], [one("dao", 3e5), one("other", 1e5)]]
    builds = [Build("dao", 1.0, 1 << 30, 500, 3)]
    reading, each, writing, _ = report.sheets(builds, rounds, nnz=100, versions={"dao": "1"})
    assert reading.rows[1][2:4] == ("100,000", "2.50")
    assert each.rows[1][2:4] == ("100 · 100", "2.00 · 3.00")
    assert writing.rows[0][4] == "5.00"
    assert "| csr | other, x | 100,000 |" in reading.markdown()


def test_a_missing_environment_is_a_reason_not_an_error(tmp_path):
    assert peer_env.runs(sys.executable, "pass")
    assert not peer_env.runs(tmp_path / "python", "pass")
    python, reason = peer_env.annbatch_python(tmp_path, create=False)
    assert python is None
    assert "no environment" in reason
