"""The benchmark of defaults: its splits, its scores, and its tables."""

import functools
import json

import numpy as np
import pytest
import scipy.sparse
from sklearn.ensemble import RandomForestClassifier

from benchmarks import default_sets, defaults, report, stored, tables_defaults
from benchmarks.default_sets import SETS
from truesparse.commands import config
from truesparse.errors import DataError


def test_classes_keep_their_share_and_parts_are_disjoint():
    X, y = np.zeros((100, 2)), np.repeat([0, 1], [80, 20])
    train, test = defaults.split(X, y, False, 3, validate=False)
    assert sorted([*train, *test]) == list(range(100))
    assert (y[test] == 0).sum() == 16
    assert len(test) == 20
    rows, held_out = defaults.split(X, y, False, 3, validate=True)
    assert sorted([*rows, *held_out]) == sorted(train)
    assert len(held_out) == 16


def test_scales_are_those_of_the_training_part():
    X = np.array([[1.0, 5.0], [3.0, 5.0], [9.0, 7.0]])
    y = np.array([1.0, 3.0, 7.0])
    train, test = np.array([0, 1]), np.array([2])
    X_train, y_train, X_test, y_test = defaults.prepare(X, y, train, test, True)
    assert X_train.tolist() == [[-1, 0], [1, 0]]
    assert y_train.tolist() == [-1, 1]
    assert X_test.tolist() == [[7, 2]]
    assert y_test.tolist() == [5]
    counts = scipy.sparse.csr_matrix(np.array([[2.0, 0], [4, 8], [8, 8]]))
    scaled = defaults.prepare(counts, y, train, test, False)
    assert scaled[0].toarray().tolist() == [[0.5, 0], [1, 1]]
    assert scaled[1].tolist() == [1, 3]


def test_a_score_is_that_of_the_method_alone():
    options = defaults.parse(["--smoke"])
    run = defaults.measure("digits", "forest", 1, options)
    X, y = default_sets.load("digits", None)
    train, test = defaults.split(X, y, False, 1, validate=False)
    parts = defaults.prepare(X, y, train, test, False)
    forest = RandomForestClassifier(random_state=0).fit(*parts[:2])
    assert run["score"] == forest.score(*parts[2:])
    assert (run["n_train"], run["n_test"], run["n_features"]) == (1437, 360, 64)


@pytest.fixture
def small_nets(monkeypatch):
    """Let benchmarks train smaller nets than the defaults, and not as long."""
    make = defaults.make

    def make_small(method, is_regression):
        made = make(method, is_regression)
        small = {
            "hidden_layer_sizes": (20,),
            "max_iter": 30,
            "learning_rate_init": 0.01,
        }
        return made.set_params(**small) if method == "sparse" else made

    monkeypatch.setattr(defaults, "make", make_small)
    monkeypatch.setattr(defaults, "HIDDEN", (20,))
    short = functools.partial(config.RunConfig, epochs=30)
    monkeypatch.setattr(config, "RunConfig", short)


# Kernels in plain Python take ten minutes for it.
@pytest.mark.compiled
@pytest.mark.usefixtures("small_nets")
def test_smoke_runs_resume_and_fill_tables(tmp_path, monkeypatch):
    path = tmp_path / "defaults.json"
    words = ["--smoke", "--out", str(path), "--methods", "train,sparse,forest"]
    assert defaults.main(words) == 0
    file = json.loads(path.read_text())
    assert [(row["data"], row["method"]) for row in file["rows"]] == [
        ("digits", "sparse"),
        ("digits", "forest"),
        ("diabetes", "train"),
        ("diabetes", "sparse"),
        ("diabetes", "forest"),
    ]
    assert all(row["score"] > 0.2 for row in file["rows"])
    monkeypatch.setattr(defaults, "measure", None)  # nothing is missing
    assert defaults.main(words) == 0
    text = report.table("regression", stored.Results(tmp_path))
    assert text.startswith("| data | training rows x features | **truesparse.train** |")
    assert "| Diabetes | 353 x 10 | 0." in text
    assert "Not measured with the present code: Boston housing" in text
    assert "benchmarks.defaults" in report.table("wide", stored.Results(tmp_path))


def test_a_table_shows_means_over_complete_sets(tmp_path):
    rows = [
        {"data": name, "method": method, "splits": 5, "n_train": 50, "n_features": 2000}
        | {"score": score, "fit_s": 2.0}
        for name, score in (("colon", 0.8), ("nci9", 0.6))
        for method in defaults.CLASSIFIERS
    ]
    partial = rows[0] | {"data": "pcmac", "score": 0.1}
    file = {
        "rows": [*rows, partial],
        "date": "2026-11-20T10:00:00+00:00",
        "commit": "abc",
        "machine": {"cpu": "a processor", "usable_cores": 2},
    }
    (tmp_path / "defaults.json").write_text(json.dumps(file))
    text = tables_defaults.wide(stored.Results(tmp_path))
    assert "| Colon | 50 x 2,000 | 80.0 |" in text
    assert "| PCMAC | 50 x 2,000 | 10.0 | - |" in text
    assert "| **mean, %** |  | 70.0 |" in text
    assert "| **mean fit, s** |  | 2.00 |" in text


@pytest.mark.parametrize(
    "flags", ["--splits 0", "--sets nothing", "--methods nothing", "--smoke --sets x"]
)
def test_wrong_flags_are_refused(flags):
    assert defaults.main(flags.split()) == 2


def test_what_is_published():
    out = defaults.parse([]).out
    assert out == stored.ROOT / "benchmarks" / "results" / "defaults.json"
    assert defaults.parse(["--validate"]).out is None
    assert defaults.parse(["--smoke"]).out is None


def test_files_of_a_folder(tmp_path):
    X, y = np.arange(12).reshape(4, 3), np.array([0, 1, 0, 1])
    np.savez(tmp_path / "colon.npz", X=X, y=y[:, None])
    np.savez(tmp_path / "madelon.npz", X_train=X, y_train=y, X_test=X[:1], y_test=y[:1])
    scipy.sparse.save_npz(tmp_path / "pcmac_X.npz", scipy.sparse.csr_matrix(X))
    np.savez(tmp_path / "pcmac_y.npz", y=y)
    for name in ("colon", "madelon", "pcmac"):
        got, classes = default_sets.load(name, tmp_path)
        dense = got.toarray() if scipy.sparse.issparse(got) else got
        assert dense.tolist() == X.tolist()
        assert classes.tolist() == y.tolist()
        assert got.dtype == np.float32
    with pytest.raises(DataError, match="cannot read nci9"):
        default_sets.load("nci9", tmp_path)


def test_only_so_many_rows(tmp_path):
    n = SETS["mnist"].rows + 5
    np.savez(
        tmp_path / "mnist.npz", X_train=np.arange(n)[:, None], y_train=np.arange(n)
    )
    X, y = default_sets.load("mnist", tmp_path)
    assert len(y) == 10_000
    assert (X[:, 0] == y).all()
    assert len(set(y)) == 10_000
