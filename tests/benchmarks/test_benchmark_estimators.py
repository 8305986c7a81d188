"""The benchmark beside MLPClassifier: its data, runs, refusals and table."""

import itertools
import json

import numpy as np
import pytest
import scipy.sparse
from sklearn.feature_extraction.text import TfidfTransformer
from support.training import hashes_may_wrap

from benchmarks import (
    estimator_data,
    estimator_run,
    estimators,
    report,
    stored,
    tables_estimators,
)
from benchmarks.estimators import SPARSE
from benchmarks.harness import WorkerError
from benchmarks.stored import ROOT
from truesparse.datasets import save_npz
from truesparse.errors import DataError, UsageError

HEADER = {
    "date": "2026-11-20T10:00:00+00:00",
    "commit": "abc",
    "machine": {"cpu": "a processor", "usable_cores": 2},
}


@pytest.fixture
def home(tmp_path):
    """Return a folder with small sets that bear the names of the true ones."""
    draw = np.random.default_rng(0)
    X = draw.standard_normal((45, 7)).astype(np.float32)
    y = np.repeat(np.arange(3), 15)
    X[:, 0] += 3 * y
    save_npz(tmp_path / "micro_nakayama.npz", X, y)
    counts = scipy.sparse.csr_array(draw.poisson(0.5, (60, 30)).astype(np.uint16))
    labels = draw.integers(0, 4, 60)
    save_npz(
        tmp_path / "20news.npz", counts[:40], labels[:40], counts[40:], labels[40:]
    )
    return tmp_path


def task(home, **settings):
    common = {"seed": 0, "fold": 0, "epochs": 3, "hidden": [12, 9], "holdout": 0.0}
    common |= {"data_home": str(home), "few": False, "method": "mlp", "options": {}}
    return common | settings


# Data --------------------------------------------------------------------------------


def test_folds_cover_all_samples_once_and_are_scaled_by_their_training_part(home):
    folds = [estimator_data.load("micro_nakayama", home, fold=i) for i in range(5)]
    assert sum(len(fold.y_test) for fold in folds) == 45
    for fold in folds:
        assert np.bincount(fold.y_test).tolist() == [3, 3, 3]
        assert fold.X_train.dtype == fold.X_test.dtype == np.float32
        np.testing.assert_allclose(fold.X_train.mean(axis=0), 0.0, atol=1e-5)
        np.testing.assert_allclose(fold.X_train.std(axis=0), 1.0, atol=1e-4)
    again = estimator_data.load("micro_nakayama", home, fold=1)
    other = estimator_data.load("micro_nakayama", home, fold=1, seed=1)
    np.testing.assert_array_equal(again.X_test, folds[1].X_test)
    assert not np.array_equal(other.X_test, folds[1].X_test)


def test_words_are_weighed_by_the_training_part_and_stay_sparse(home):
    got = estimator_data.load("20news", home)
    raw = estimator_data.read("20news", home, is_scaled=False)
    assert raw.X_train.max() > 1
    want = TfidfTransformer().fit(raw.X_train)
    for name in ("X_train", "X_test"):
        X = getattr(got, name)
        assert scipy.sparse.issparse(X)
        assert X.format == "csr"
        assert X.dtype == np.float32
        expected = want.transform(getattr(raw, name)).toarray()
        np.testing.assert_allclose(X.toarray(), expected, rtol=1e-5)


def test_sparse_sets_may_be_three_files(home):
    want = estimator_data.load("20news", home)
    raw = estimator_data.read("20news", home, is_scaled=False)
    (home / "20news.npz").unlink()
    with pytest.raises(UsageError, match=r"put 20news\.npz into"):
        estimator_data.load("20news", home)
    for name in ("X_train", "X_test"):
        scipy.sparse.save_npz(home / f"20news_{name}.npz", getattr(raw, name))
    np.savez(home / "20news_y.npz", y_train=raw.y_train, y_test=raw.y_test)
    got = estimator_data.load("20news", home)
    np.testing.assert_array_equal(got.X_test.toarray(), want.X_test.toarray())
    np.testing.assert_array_equal(got.y_train, want.y_train)
    (home / "20news_y.npz").write_bytes(b"")
    with pytest.raises(DataError, match="cannot read"):
        estimator_data.load("20news", home)


@pytest.mark.parametrize("name", ["digits", "20news", "micro_nakayama"])
def test_held_out_samples_are_of_the_training_part(name, home):
    whole = estimator_data.load(name, home)
    got = estimator_data.load(name, home, holdout=0.25)
    n = len(whole.y_train)
    assert len(got.y_train) + len(got.y_test) == n
    assert len(got.y_test) == -(-n // 4)
    counts = np.bincount(np.concatenate([got.y_train, got.y_test]))
    np.testing.assert_array_equal(counts, np.bincount(whole.y_train))
    if name == "digits":
        rows = {row.tobytes() for row in whole.X_train}
        assert {row.tobytes() for row in got.X_test} <= rows


# Runs --------------------------------------------------------------------------------


@hashes_may_wrap
@pytest.mark.parametrize("name", ["20news", "micro_nakayama"])
@pytest.mark.parametrize("method", estimators.METHODS)
def test_a_run_does_all_its_epochs_and_counts_weights(name, method, home):
    options = {"epsilon": 1} if method == "sparse" else {}
    got = estimator_run.measure(task(home, data=name, method=method, options=options))
    assert got["epochs_done"] == 3
    parts = estimator_data.load(name, home)
    sizes = (parts.X_train.shape[1], 12, 9, len(np.unique(parts.y_train)))
    pairs = list(itertools.pairwise(sizes))
    cells = sum(a * b for a, b in pairs)
    # A budget of epsilon 1 is a few connections a neuron.
    assert got["weights"] == (
        cells if method == "mlp" else sum(a + b for a, b in pairs)
    )
    assert (got["n_train"], got["n_test"]) == (len(parts.y_train), len(parts.y_test))
    right = got["accuracy"] * got["n_test"]
    assert right == pytest.approx(round(right))
    assert min(got["fit_s"], got["predict_s"], got["predict_one_s"]) > 0
    assert got["memory_mb"] >= 0


def test_a_fit_that_compiles_takes_few_samples(monkeypatch, home):
    monkeypatch.setattr(estimator_run, "FEW", 20)
    assert estimator_run.measure(task(home, data="20news", few=True))["n_train"] == 20


def test_memory_of_a_fit_is_what_it_takes_beyond_the_data():
    before = estimator_run.reset_peak()
    np.ones(10**7, np.uint8)
    after = estimator_run.peak_rss_mb()
    assert after - before == pytest.approx(10, abs=5)


@pytest.fixture
def runs(monkeypatch):
    """Take runs in this process and return those taken; few of them count here."""
    taken = []

    def run_here(options, run, cache=None):
        if run.get("few"):
            return {"fit_s": 9.0 if cache else 1.0}
        taken.append(estimators.identity(run))
        ours = run["method"] == "sparse"
        return {
            "accuracy": 0.9 if ours else 0.8 + 0.1 * run["seed"],
            "fit_s": 1.0 if ours else 11.0,
            **{"predict_s": 0.001, "predict_one_s": 0.0001, "memory_mb": 5.0},
            **{"peak_mb": 50.0, "weights": 1000, "n_train": 40, "n_features": 30},
            **{"n_test": 10 + run["fold"], "epochs_done": run["epochs"], "loss": 0.1},
        }

    monkeypatch.setattr(estimators, "in_new_process", run_here)
    return taken


def test_runs_are_kept_and_those_missing_are_taken(home, tmp_path, runs, capsys):
    path = tmp_path / "estimators.json"
    words = f"--sets 20news,micro_nakayama --data-home {home} --out {path}".split()
    assert estimators.main([*words, "--seeds", "1"]) == 0
    assert len(runs) == len(set(runs)) == 2 + 2 * 5
    first = json.loads(path.read_text())
    assert first["first_fit"]["csr"]["cold_s"] == 9.0
    runs.clear()
    assert estimators.main([*words, "--seeds", "2"]) == 0
    assert {key[2] for key in runs} == {1}
    again = json.loads(path.read_text())
    assert again["runs"][:12] == first["runs"]
    rows = {(row["data"], row["method"]): row for row in again["rows"]}
    dense = rows["micro_nakayama", "mlp"]
    assert (dense["seeds"], dense["runs"]) == (2, 10)
    assert dense["accuracy_mean"] == pytest.approx(0.85)
    assert dense["accuracy_sd"] == pytest.approx(np.std([0.8, 0.9], ddof=1))
    written = path.read_bytes()
    for flags, said in (
        ("--epochs 3", "epochs 10, not 3"),
        ("--options epsilon=3", "options"),
        ("--hidden 30", "hidden"),
        ("--holdout 0.5", "holdout"),
    ):
        assert estimators.main([*words, *flags.split()]) == 2
        assert said in capsys.readouterr().err
    assert path.read_bytes() == written
    # What was changed in one method does not bar runs of the other.
    assert estimators.main([*words, "--options", "epsilon=3", "--methods", "mlp"]) == 0
    path.write_text("[]")
    assert estimators.main(words) == 4


def test_accuracy_of_folds_goes_by_their_samples():
    common = {"data": "micro_nakayama", "method": "mlp", "seed": 0, "epochs": 1}
    common |= {"fit_s": 1.0, "predict_s": 1.0, "predict_one_s": 1.0, "weights": 1}
    common |= {"memory_mb": None, "n_train": 4, "n_features": 1}
    folds = [{"accuracy": 1.0, "n_test": 3}, {"accuracy": 0.0, "n_test": 1}]
    [row] = estimators.summarise([common | fold for fold in folds])
    assert row["accuracy_mean"] == 0.75
    assert row["accuracy_sd"] is None
    assert row["memory_mb"] is None


def test_a_run_that_ended_early_is_an_error(home, runs, monkeypatch, capsys):
    run_here = estimators.in_new_process
    short = {"epochs_done": 1}
    monkeypatch.setattr(
        estimators, "in_new_process", lambda *args: run_here(*args) | short
    )
    words = f"--sets 20news --data-home {home} --smoke".split()
    assert estimators.main(words) == 1
    assert "1 epochs" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "code"),
    [
        ("--sets digitss", 2),
        ("--methods dense", 2),
        ("--seeds 0", 2),
        ("--holdout 1", 2),
        ("--sets 20news --data-home nowhere --smoke", 2),
    ],
)
def test_bad_requests_are_refused_before_anything_runs(flags, code, runs, capsys):
    assert estimators.main(flags.split()) == code
    assert capsys.readouterr().err.startswith("error: ")
    assert not runs


def test_only_full_runs_go_to_the_results_by_themselves():
    out = ROOT / "benchmarks" / "results" / "estimators.json"
    assert estimators.parse([]).out == out
    assert estimators.parse(["--smoke"]).out is None
    assert estimators.parse(["--holdout", "0.2"]).out is None
    given = estimators.parse(["--options", "epsilon=3:solver=sgd"]).options
    assert given == SPARSE | {"epsilon": 3, "solver": "sgd"}


def test_smoke_run_in_processes_of_its_own(tmp_path):
    path = tmp_path / "estimators.json"
    assert estimators.main(["--smoke", "--out", str(path)]) == 0
    result = json.loads(path.read_text())
    assert [run["method"] for run in result["runs"]] == ["mlp", "sparse"]
    assert result["runs"][0]["weights"] == 64 * 30 + 30 * 20 + 20 * 10
    text = report.table("estimators", stored.Results(tmp_path))
    assert "| digits | **SparseMLPClassifier** | 2 |" in text
    assert "a smoke run" in text
    # Figures of no meaning have no verdicts.
    assert "met" not in text.replace("Hidden", "")
    assert "missed" not in text


def test_a_run_that_fails_says_why(home):
    options = estimators.parse(f"--smoke --data-home {home}".split())
    run = task(home, data="micro_nakayama", method="sparse", options={"epsilon": -1})
    with pytest.raises(WorkerError, match=r"exit code 2: error: epsilon"):
        estimators.in_new_process(options, run)


# Table -------------------------------------------------------------------------------


def test_the_table_says_what_is_met_and_missed(tmp_path):
    def row(name, method, **figures):
        common = {"data": name, "method": method, "seeds": 3, "epochs": 10}
        common |= {"weights": 9000, "accuracy_sd": 0.001, "predict_s": 0.01}
        common |= {"predict_one_s": 0.001, "memory_mb": 20.0}
        return common | {"n_train": 11314, "n_features": 23236} | figures

    rows = [
        row("20news", "mlp", accuracy_mean=0.83, fit_s=300.0),
        row("20news", "sparse", accuracy_mean=0.8312, fit_s=20.0),
        row("digits", "mlp", accuracy_mean=0.98, fit_s=10.0),
        row("digits", "sparse", accuracy_mean=0.976, fit_s=1.1),
        row("mnist", "sparse", accuracy_mean=0.98, fit_s=1.1),
    ]
    settings = {"hidden": [1000, 1000, 1000], "threads": 2, "smoke": False}
    settings["holdout"] = 0.0
    runs = [{"commit": "abc", "method": "sparse", "options": {"epsilon": 10}}]
    first = {"csr": {"data": "20news", "cold_s": 30.0, "warm_s": 1.5}}
    result = {"settings": settings, "rows": rows, "runs": runs, "first_fit": first}
    path = tmp_path / "estimators.json"
    path.write_text(json.dumps(HEADER | result))
    text = report.table("estimators", stored.Results(tmp_path))
    assert "| +0.12: met | 20.0 | 15.0x: met |" in text
    assert "| -0.40: **missed** | 1.10 | 9.09x: **missed** |" in text
    assert "20 newsgroups in under a minute: 20.0 s, met" in text
    assert "would take 1.05 GB" in text
    assert "epsilon 10" in text
    assert "(csr X, a few samples) takes 30.0 s, in a later process 1.50 s" in text
    lines = text.splitlines()
    # In the order of the data sets; what has no partner has no verdict.
    titles = [line.split("|")[1].strip() for line in lines if line.startswith("| ")]
    want = ["digits", "digits", "MNIST", *["20 newsgroups, CSR"] * 2]
    assert [title for title in titles if title not in ("data", "---")] == want
    assert "| 98.00% ± 0.10 | - | 1.10 | - |" in text


@pytest.mark.parametrize(
    ("accuracy", "verdict"),
    [(0.977, "-0.30: met"), (0.9769, "-0.31: **missed**"), (0.99, "+1.00: met")],
)
def test_accuracy_may_be_lower_by_three_tenths_of_a_point(accuracy, verdict):
    dense, ours = {"accuracy_mean": 0.98}, {"accuracy_mean": accuracy}
    assert tables_estimators.difference(dense, ours) == verdict
    assert tables_estimators.difference(dense, ours, False) == verdict.split(":")[0]
