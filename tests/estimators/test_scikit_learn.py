"""The estimators in scikit-learn's tools: pipelines, searches, selection, copies."""

import pickle
import subprocess
import sys

import cloudpickle
import numpy as np
import pytest
import scipy.sparse
import sklearn
from joblib import parallel_backend
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_diabetes, load_digits
from sklearn.ensemble import BaggingClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.feature_selection import SelectFromModel
from sklearn.metrics import accuracy_score, make_scorer
from sklearn.model_selection import GridSearchCV, cross_val_score, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from truesparse import SparseMLPClassifier, SparseMLPRegressor, topology

pytestmark = [
    pytest.mark.compiled,
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
]
DIGITS, LABELS = load_digits(return_X_y=True)
DIGITS, LABELS = DIGITS[:500].astype(np.float32), LABELS[:500]


def classifier(**settings):
    defaults = {"epsilon": 5, "max_iter": 10, "random_state": 0}
    defaults |= {"learning_rate_init": 0.01, "batch_size": 32}
    return SparseMLPClassifier((60,), **defaults | settings)


def test_pipeline():
    pipe = make_pipeline(MinMaxScaler(), classifier())
    assert cross_val_score(pipe, DIGITS, LABELS, cv=3).mean() > 0.85


@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_grid_search_in_parallel(backend):
    pipe = make_pipeline(MinMaxScaler(), classifier(max_iter=3))
    grid = {
        "sparsemlpclassifier__epsilon": [1, 8],
        "sparsemlpclassifier__topology": ["static", "set"],
    }
    with parallel_backend(backend):
        got = GridSearchCV(pipe, grid, cv=2, n_jobs=2).fit(DIGITS, LABELS)
    want = GridSearchCV(pipe, grid, cv=2, n_jobs=1).fit(DIGITS, LABELS)
    for name in ("mean_test_score", "std_test_score"):
        np.testing.assert_array_equal(got.cv_results_[name], want.cv_results_[name])
    assert got.best_params_["sparsemlpclassifier__epsilon"] == 8


def test_metadata_is_routed():
    weights = np.where(LABELS == 3, 5.0, 1.0)
    with sklearn.config_context(enable_metadata_routing=True):
        net = classifier(max_iter=2).set_fit_request(sample_weight=True)
        scoring = make_scorer(accuracy_score).set_score_request(sample_weight=False)
        routed = cross_validate(
            make_pipeline(MinMaxScaler(), net),
            DIGITS,
            LABELS,
            params={"sample_weight": weights},
            scoring=scoring,
            cv=2,
            return_estimator=True,
        )
    # Without parameters scikit-learn 1.6.0 cannot route them.
    plain = cross_validate(
        make_pipeline(MinMaxScaler(), classifier(max_iter=2)),
        DIGITS,
        LABELS,
        cv=2,
        return_estimator=True,
    )
    weighted, equal = (each["estimator"][0] for each in (routed, plain))
    p = [each.predict_proba(DIGITS)[:, 3].mean() for each in (weighted, equal)]
    assert p[0] > 1.2 * p[1]


def test_validation_data_are_routed():
    with sklearn.config_context(enable_metadata_routing=True):
        net = classifier(max_iter=2).set_fit_request(X_val=True, y_val=True)
        pipe = make_pipeline(net)
        pipe.fit(DIGITS, LABELS, X_val=DIGITS[:50], y_val=LABELS[:50])
    assert len(pipe[-1].validation_scores_) == 2


def test_calibration_bagging_and_selection():
    X = MinMaxScaler().fit_transform(DIGITS)
    calibrated = CalibratedClassifierCV(classifier(), cv=2).fit(X, LABELS)
    np.testing.assert_allclose(calibrated.predict_proba(X).sum(axis=1), 1, rtol=1e-5)
    assert calibrated.score(X, LABELS) > 0.9
    bagged = BaggingClassifier(classifier(max_iter=3), n_estimators=2, random_state=0)
    assert bagged.fit(X, LABELS).score(X, LABELS) > 0.6
    chosen = SelectFromModel(
        classifier(epsilon=None, density=0.2), max_features=32, threshold=-np.inf
    )
    assert chosen.fit(X, LABELS).transform(X).shape == (500, 32)


def test_regression_on_scaled_targets():
    X, y = load_diabetes(return_X_y=True)
    net = SparseMLPRegressor(
        (50,), epsilon=5, max_iter=40, learning_rate_init=0.01, random_state=0
    )
    scaled = TransformedTargetRegressor(net, transformer=StandardScaler())
    assert cross_val_score(make_pipeline(StandardScaler(), scaled), X, y).mean() > 0.35


def test_text_stays_sparse(monkeypatch):
    monkeypatch.setattr(scipy.sparse.csr_matrix, "toarray", None)
    texts = [
        "a sunny day",
        "rain all day",
        "sun and more sun",
        "cold rain and fog",
    ] * 20
    fair = np.array([1, 0, 1, 0] * 20)
    pipe = make_pipeline(TfidfVectorizer(), classifier(batch_size=8)).fit(texts, fair)
    assert pipe.score(texts, fair) == 1.0
    assert pipe.predict(["sunny sun"]).tolist() == [1]


@pytest.mark.parametrize(
    "settings",
    [{}, {"topology": topology.make("rigl", zeta=0.2)}, {"hidden_layer_sizes": [5, 5]}],
)
def test_a_clone_has_the_parameters_and_nothing_learnt(settings):
    net = SparseMLPClassifier(**settings, random_state=3)
    copy = clone(net.fit(DIGITS, LABELS))
    assert not hasattr(copy, "model_")
    for name, value in net.get_params().items():
        if name != "topology":
            assert copy.get_params()[name] == value, name
    again = copy.fit(DIGITS, LABELS)
    np.testing.assert_array_equal(
        again.decision_function(DIGITS), net.decision_function(DIGITS)
    )


@pytest.mark.parametrize("dump", [pickle.dumps, cloudpickle.dumps])
def test_a_pickle_predicts_in_another_process(dump, tmp_path):
    net = classifier(max_iter=2).fit(DIGITS, LABELS)
    (tmp_path / "net.pkl").write_bytes(dump(net))
    np.save(tmp_path / "x.npy", DIGITS)
    program = (
        "import pickle, sys, numpy as np\n"
        "net = pickle.load(open(sys.argv[1] + '/net.pkl', 'rb'))\n"
        "x = np.load(sys.argv[1] + '/x.npy')\n"
        "np.save(sys.argv[1] + '/z.npy', net.decision_function(x))\n"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True)
    got = np.load(tmp_path / "z.npy")
    np.testing.assert_array_equal(got, net.decision_function(DIGITS))


def test_a_pickle_holds_no_buffers():
    net = SparseMLPClassifier((2000,), density=0.001, max_iter=1, random_state=0)
    net.fit(np.ones((200, 50), np.float32), np.arange(200) % 2)
    weights = sum(c.data.nbytes for c in net.coefs_)
    # Weights twice (attributes, model), two moments, indices, biases; no activations.
    neurons = 2000 * 4 * 10
    assert len(pickle.dumps(net)) < 12 * weights + neurons + 20_000
