"""Several networks that an estimator averages, and when it trains them."""

import signal

import numpy as np
import pytest
import scipy.sparse
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_iris
from sklearn.exceptions import ConvergenceWarning
from support.estimators import small

from truesparse import SparseMLPClassifier, SparseMLPRegressor
from truesparse.callbacks import Callback
from truesparse.errors import UsageError
from truesparse.estimators.architecture import architecture_for
from truesparse.topology import UpdateSchedule

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def wide(n=40, n_features=120, seed=0):
    random = np.random.default_rng(seed)
    X = random.normal(size=(n, n_features))
    return X, (X[:, :3].sum(axis=1) > 0).astype(int)


class Seeds(Callback):
    """Notes the seed of every network that is trained."""

    def __init__(self):
        self.seeds = []

    def on_train_begin(self, run):
        self.seeds.append(run.model.seed)


def test_outputs_are_the_mean_of_single_fits():
    X, y = load_iris(return_X_y=True)
    seeds = Seeds()
    how = {"max_iter": 4, "epsilon": 3}
    net = SparseMLPClassifier(
        (8, 6), n_estimators=3, random_state=7, callbacks=[seeds], **how
    ).fit(X, y)
    assert len(set(seeds.seeds)) == 3

    class Fixed(np.random.RandomState):
        def randint(self, high):
            return self.value

    outputs = []
    for seed in seeds.seeds:
        state = Fixed()
        state.value = seed
        single = SparseMLPClassifier((8, 6), random_state=state, **how).fit(X, y)
        outputs.append(single.model_.decision_function(X))
    np.testing.assert_allclose(
        net.model_.decision_function(X), np.mean(outputs, axis=0), rtol=1e-10
    )
    assert net.model_.layer_sizes == (4, 24, 18, 3)
    # The first network is the one that is trained alone.
    alone = SparseMLPClassifier((8, 6), random_state=7, **how).fit(X, y)
    assert alone.model_.seed == seeds.seeds[0]


def test_regression_averages_too():
    X, y = load_diabetes(return_X_y=True)
    y = (y - y.mean()) / y.std()
    seeds = Seeds()
    how = {"max_iter": 3, "random_state": 0}
    net = SparseMLPRegressor((9,), n_estimators=2, callbacks=seeds, **how).fit(X, y)
    assert net.model_.layer_sizes == (10, 18, 1)
    assert len(seeds.seeds) == 2
    assert net.predict(X).shape == y.shape


def test_learning_curves_are_means_and_a_net_that_stopped_keeps_its_last_value():
    X, y = load_iris(return_X_y=True)

    class Curves(Callback):
        def __init__(self):
            self.curves = []

        def on_train_begin(self, run):
            self.curves.append([])

        def on_epoch_end(self, run, record):
            self.curves[-1].append((record.train_loss, record.val_score))

    curves = Curves()
    net = SparseMLPClassifier(
        (5,),
        n_estimators=3,
        random_state=3,
        learning_rate_init=0.02,
        early_stopping=True,
        n_iter_no_change=2,
        callbacks=[curves],
    ).fit(X, y)
    lengths = [len(curve) for curve in curves.curves]
    assert len(set(lengths)) > 1, "the nets should stop at different epochs"
    longest = max(lengths)
    padded = [curve + [curve[-1]] * (longest - len(curve)) for curve in curves.curves]
    means = np.mean(padded, axis=0)
    np.testing.assert_allclose(net.loss_curve_, means[:, 0])
    np.testing.assert_allclose(net.validation_scores_, means[:, 1])
    assert net.n_iter_ == longest


@pytest.mark.parametrize(
    ("n", "n_features", "want"),
    [
        (60, 60, ((100,), "relu", 0.0, 1, 1)),
        (60, 61, ((100,), "tanh", 0.0, 10, 10)),
        (500, 501, ((100,), "tanh", 0.0, 10, 10)),
        (501, 502, ((1000,), "relu", 0.5, 1, 1)),
        (10_000, 784, ((100,), "relu", 0.0, 1, 1)),
    ],
)
def test_the_shape_decides(n, n_features, want):
    assert tuple(architecture_for(n, n_features)) == want


def test_wide_data_have_ten_networks_unless_the_caller_designs_them():
    X, y = wide()
    net = SparseMLPClassifier(max_iter=2, random_state=0).fit(X, y)
    assert net.model_.layer_sizes == (120, 1000, 2)
    assert {layer.activation.name for layer in net.model_.layers[:-1]} == {"tanh"}
    assert net.get_params()["n_estimators"] == "auto"
    given = SparseMLPClassifier((100,), max_iter=2, random_state=0).fit(X, y)
    assert given.model_.layer_sizes == (120, 100, 2)
    assert given.model_.layers[0].activation.name == "relu"
    for partly, sizes in (
        ({"n_estimators": 2}, (120, 200, 2)),
        ({"hidden_layer_sizes": 7, "n_estimators": 3}, (120, 21, 2)),
    ):
        net = SparseMLPClassifier(max_iter=1, random_state=0, **partly).fit(X, y)
        assert net.model_.layer_sizes == sizes
    stated = SparseMLPClassifier(max_iter=1, activation="elu", dropout=0.2).fit(X, y)
    assert {layer.activation.name for layer in stated.model_.layers[:-1]} == {"elu"}
    assert stated.model_.layers[0].activation.dropout == 0.2
    long = SparseMLPClassifier(max_iter=1, random_state=0)
    long.fit(scipy.sparse.random(510, 600, 0.02, "csr", random_state=0), [0, 1] * 255)
    assert long.model_.layer_sizes == (600, 1000, 2)
    assert long.model_.layers[0].activation.dropout == 0.5


class Updates(Callback):
    """Notes after which epochs the connections of every network have changed."""

    def __init__(self):
        self.runs = []

    def on_train_begin(self, run):
        self.runs.append([])
        self.cells = self.read(run)

    def on_epoch_end(self, run, record):
        cells = self.read(run)
        if not np.array_equal(cells, self.cells):
            # The update follows the end of its epoch.
            self.runs[-1].append(run.epoch - 1)
        self.cells = cells

    @staticmethod
    def read(run):
        connections = run.model.layers[0].connections
        return np.stack([connections.rows(), connections.indices])


@pytest.mark.compiled
def test_few_rows_of_more_features_have_an_update_after_every_tenth_epoch():
    X, y = wide()

    def updates(X=X, y=y, fits=1, **how):
        noted = Updates()
        how = {"max_iter": 12, "callbacks": [noted], "n_iter_no_change": 99, **how}
        net = SparseMLPClassifier(epsilon=1, n_estimators=2, **how)
        for _ in range(fits):
            net.fit(X, y)
        return noted.runs

    each = list(range(1, 12))
    assert updates() == [[1, 11]] * 2
    assert updates(fits=2, warm_start=True) == [[1, 11]] * 3
    assert updates(topology_options={"zeta": 0.5}) == [[1, 11]] * 2
    every_fourth = {"schedule": UpdateSchedule(every=4)}
    assert updates(topology_options=every_fourth) == [[1, 5, 9]] * 2
    assert updates(topology="static") == [[]] * 2
    assert updates(hidden_layer_sizes=50) == [each] * 2
    assert updates(X[:, :20], y) == [each] * 2
    many = scipy.sparse.random(510, 600, 0.02, "csr", random_state=0)
    assert updates(many, [0, 1] * 255, max_iter=3) == [each[:2]] * 2


def test_data_with_more_rows_than_features_have_the_defaults_of_before():
    X, y = small(n=70)
    net = SparseMLPClassifier(max_iter=5, random_state=0).fit(X, y)
    before = SparseMLPClassifier(
        hidden_layer_sizes=(100,),
        activation="relu",
        epsilon=20,
        topology="set",
        topology_options={"zeta": 0.3},
        dropout=0.0,
        solver="adam",
        alpha=0.0001,
        batch_size=200,
        learning_rate_init=0.001,
        n_estimators=1,
        max_iter=5,
        random_state=0,
    ).fit(X, y)
    for got, want in zip(net.model_.layers, before.model_.layers, strict=True):
        pair = got.connections, want.connections
        np.testing.assert_array_equal(*[each.indices for each in pair])
        np.testing.assert_array_equal(*[each.values for each in pair])
        np.testing.assert_array_equal(got.bias, want.bias)


def test_sizes_may_be_an_array():
    X, y = wide()
    net = SparseMLPClassifier(np.array([8, 6]), max_iter=1).fit(X, y)
    assert net.model_.layer_sizes == (120, 8, 6, 2)


def test_narrow_data_and_regressions_have_one_network_of_100():
    X, y = load_iris(return_X_y=True)
    net = SparseMLPClassifier(max_iter=1).fit(X, y)
    assert net.model_.layer_sizes == (4, 100, 3)
    X, y = wide()
    regressor = SparseMLPRegressor(max_iter=1).fit(X, y.astype(float))
    assert regressor.model_.layer_sizes == (120, 100, 1)
    assert regressor.model_.layers[0].activation.name == "relu"


def test_partial_fit_trains_one_network():
    X, y = wide()
    net = SparseMLPClassifier(random_state=0).partial_fit(X, y, classes=[0, 1])
    assert net.model_.layer_sizes == (120, 100, 2)
    several = SparseMLPClassifier(n_estimators=3)
    with pytest.raises(UsageError, match="partial_fit trains one network, but n_est"):
        several.partial_fit(X, y, classes=[0, 1])


def test_a_warm_start_trains_the_average():
    X, y = wide()
    net = SparseMLPClassifier(random_state=0, max_iter=2, warm_start=True).fit(X, y)
    before, outputs = net.model_, net.predict_proba(X)
    net.fit(X, y)
    assert net.model_ is before
    assert net.n_iter_ == 4
    assert (net.predict_proba(X) != outputs).any()


@pytest.mark.usefixtures("ctrl_c")
def test_an_interrupt_keeps_the_networks_that_are_complete():
    X, y = wide()

    class Interrupt(Callback):
        def __init__(self, at):
            self.at = at

        def on_epoch_end(self, run, record):
            self.at -= 1
            if self.at == 0:
                signal.raise_signal(signal.SIGINT)

    how = {"max_iter": 3, "random_state": 0, "n_iter_no_change": 99}
    for at, n_nets, n_iter in ((5, 1, 3), (8, 2, 3), (2, 1, 2)):
        net = SparseMLPClassifier(callbacks=[Interrupt(at)], **how)
        with pytest.raises(KeyboardInterrupt):
            net.fit(X, y)
        assert net.model_.layer_sizes == (120, 100 * n_nets, 2)
        assert net.n_iter_ == n_iter


def test_it_warns_once_and_says_which_parameter():
    X, y = load_iris(return_X_y=True)
    net = SparseMLPClassifier((9,), n_estimators=3, max_iter=2)
    with pytest.warns(ConvergenceWarning, match=r"2 epochs \(max_iter\)") as seen:
        net.fit(X, y)
    assert len(seen) == 1
    assert seen[0].filename == __file__


@pytest.mark.parametrize("value", [0, 1.5, None, "ten", True])
def test_wrong_numbers_of_networks_are_refused(value):
    X, y = load_iris(return_X_y=True)
    with pytest.raises(UsageError, match="n_estimators"):
        SparseMLPClassifier(n_estimators=value).fit(X, y)


def test_parameters_survive_a_clone():
    net = clone(SparseMLPClassifier(n_estimators=4))
    assert net.n_estimators == 4
