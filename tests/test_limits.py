"""Limits of sizes and values: at each, training works or says why it does not.

One line a limit. What works also survives being saved, loaded and condensed.
"""

import numpy as np
import pytest
from scipy import sparse

from truesparse import SparseMLP, Trainer, load, save
from truesparse.condensed import CondensedMLP
from truesparse.errors import DataError, DivergedError, MemoryLimitError, UsageError
from truesparse.estimators import SparseMLPClassifier, SparseMLPRegressor
from truesparse.optimizers import Optimizer
from truesparse.topology import ALGORITHMS, UpdateSchedule
from truesparse.topology import make as make_topology

DRAW = np.random.default_rng(0)
X = DRAW.standard_normal((12, 5)).astype(np.float32)
Y = np.arange(12) % 3
OPTIONS = {"batch_size": 4, "epochs": 2, "lr": 0.05}
EVOLVING = [name for name in ALGORITHMS if "schedule" in ALGORITHMS[name].options()]


def train(sizes=(5, 8, 3), x=X, y=Y, net=None, **options):
    """Train a small net, and return it once it has been through files."""
    model = SparseMLP(sizes, **{"density": 0.5, "seed": 1} | (net or {}))
    Trainer(model, **OPTIONS | options).fit(x, y, X_val=x, y_val=y)
    return model


def survives(model, x, folder):
    """Predictions are finite, and the same after saving and condensing."""
    expected = model.decision_function(x)
    assert np.isfinite(expected).all()
    again = load(save(model, folder / "m"))
    np.testing.assert_array_equal(again.decision_function(x), expected)
    fast = CondensedMLP.from_model(model)
    got = CondensedMLP.load(fast.save(folder / "c")).decision_function(x)
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)


def wide(n):
    return {"net": {"density": None, "epsilon": 0.01}, "sizes": (5, n, n, 3)}


# Works: what to train, and on what.
WORKS = {
    "a layer of more than 2^31 cells": wide(50_000),
    "one neuron": {"sizes": (5, 1, 3)},
    "one neuron in each layer": {"sizes": (1, 1, 1, 2), "x": X[:, :1], "y": Y % 2},
    "one feature": {"sizes": (1, 8, 3), "x": X[:, :1]},
    "one sample": {"x": X[:1], "y": Y[:1]},
    "one class among several outputs": {"y": np.zeros(12, int)},
    "constant features": {"x": np.ones_like(X)},
    "features that are all zero": {"x": np.zeros_like(X)},
    "sparse features without any value": {"x": sparse.csr_array((12, 5), dtype="f4")},
    "subnormal features": {"x": X * np.float32(1e-40)},
    "features of 1e30 and weights of zero": {
        **{"x": X * np.float32(1e30), "net": {"weight_init": "zero"}, "lr": 1e-38},
    },
    "one connection": {"sizes": (5, 3), "net": {"density": 1e-9}},
    "a batch larger than the data": {"batch_size": 10_000},
    "a subnormal learning rate": {"lr": 1e-310},
    "weights of zero": {"net": {"weight_init": "zero"}},
}


# Without the JIT it takes long, and numbers of 32 bits do not become longer.
WIDE = "a layer of more than 2^31 cells"


@pytest.mark.parametrize(
    "name",
    [pytest.param(WIDE, marks=pytest.mark.compiled), *sorted(WORKS.keys() - {WIDE})],
)
def test_it_works(name, tmp_path):
    options = dict(WORKS[name])
    x = options.get("x", X)
    survives(train(**options), x, tmp_path)


# Refused: the call, the error, and a part of its message.
REFUSED = {
    "a side beyond 2^31": (
        lambda: SparseMLP([4, 2**31, 3]),
        *(UsageError, "from 1 to 2147483647"),
    ),
    "a side beyond 2^63": (lambda: SparseMLP([4, 2**63, 3]), UsageError, "whole"),
    "a layer of nearly 2^62 cells": (
        lambda: SparseMLP([2**31 - 1, 2**31 - 1], density=1e-3),
        *(MemoryLimitError, "needs about"),
    ),
    "no rows": (lambda: train(x=X[:0], y=Y[:0]), DataError, "no samples"),
    "no features": (lambda: train(x=X[:, :0]), DataError, r"shape \(n, 5\)"),
    "no neurons": (lambda: train((5, 0, 3)), UsageError, "from 1"),
    "targets beyond the outputs": (lambda: train(y=Y + 1), DataError, "0 to 2"),
    "features of 1e30": (
        lambda: train(x=X * np.float32(1e30), lr=1.0),
        *(DivergedError, "layer . of 2 became NaN or infinite"),
    ),
    "features that float32 does not hold": (
        lambda: train(x=X.astype(float) * 1e300),
        *(DataError, "infinite|too large"),
    ),
    "a learning rate of 0": (lambda: train(lr=0.0), UsageError, "above 0"),
    "an infinite learning rate": (lambda: train(lr=np.inf), UsageError, "lr|learning"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused(name):
    call, error, words = REFUSED[name]
    with np.errstate(all="ignore"), pytest.raises(error, match=words) as caught:
        call()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("optimizer", ["sgd", "nesterov", "rmsprop", "adam", "adamw"])
@pytest.mark.parametrize("decay", ["decoupled", "l2", "set"])
def test_weight_decay_to_zero_everywhere(optimizer, decay, tmp_path):
    """A decay of lr times strength of 1 leaves nothing of a weight."""
    # That of SET does not depend on the learning rate.
    options = {"weight_decay": {"set": 1.0}.get(decay, 20.0), "decay": decay}
    method = Optimizer(optimizer, **options)
    model = train(optimizer=method, epochs=8, x=np.zeros_like(X))
    survives(model, X, tmp_path)
    # Inputs of zero move no weight of the first layer but by decay; L2 is a gradient,
    # which momentum carries on.
    if decay != "l2":
        assert abs(model.layers[0].connections.values).max() < 1e-6


@pytest.mark.parametrize("name", EVOLVING)
@pytest.mark.parametrize("value", [0.0, 1e-45], ids=["zero", "subnormal"])
def test_updates_of_weights_that_do_not_differ(name, value):
    """All magnitudes are the same: any connections may go, but as many as shall."""
    model = SparseMLP((5, 8, 6, 3), density=0.5, seed=1)
    for layer in model.layers:
        layer.connections.values[:] = np.float32(value)
    topology = make_topology(name, schedule=UpdateSchedule(2, "step"))
    Trainer(model, topology=topology, **OPTIONS).fit(
        np.zeros_like(X), Y, X_val=X, y_val=Y
    )
    for layer in model.layers:
        layer.connections.check()
        assert np.isfinite(layer.connections.values).all()


def empty_model():
    """Return a net whose middle layer has lost all its connections."""
    model = SparseMLP((5, 8, 6, 3), density=0.5, seed=1)
    connections = model.layers[1].connections
    gone = np.ones(connections.nnz, bool)
    connections.rewire(gone, np.empty(0, np.int64), np.empty(0, np.float32))
    assert connections.nnz == 0
    return model


def test_a_layer_without_connections(tmp_path):
    model = empty_model()
    survives(model, X, tmp_path)
    Trainer(model, topology="static", **OPTIONS).fit(X, Y)
    survives(model, X, tmp_path)
    assert model.layers[1].connections.nnz == 0


@pytest.mark.parametrize("name", EVOLVING)
def test_updates_of_a_layer_without_connections(name):
    model = empty_model()
    topology = make_topology(name, schedule=UpdateSchedule(2, "step"))
    Trainer(model, topology=topology, **OPTIONS).fit(X, Y, X_val=X, y_val=Y)
    for layer in model.layers:
        layer.connections.check()


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_classifier_of_one_class():
    net = SparseMLPClassifier((4,), max_iter=2).fit(X, ["rose"] * 12)
    assert set(net.predict(X)) == {"rose"}
    assert net.predict_proba(X).shape == (12, 1)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_zero_rows_to_predict():
    """No rows give no predictions, or an error that says so."""
    model = train()
    assert model.decision_function(X[:0]).shape == (0, 3)
    fast = CondensedMLP.from_model(model)
    assert fast.decision_function(X[:0]).shape == (0, 3)
    net = SparseMLPRegressor((4,), max_iter=2).fit(X, Y)
    with pytest.raises(ValueError, match="0 sample"):
        net.predict(X[:0])


@pytest.mark.compiled
def test_positions_of_64_bits(monkeypatch):
    """Positions of more than 2^31 connections, in all kernels that take them."""

    def results():
        arrays = []
        for options in ({}, {"optimizer": "adam"}, {"clip_norm": 1.0}):
            for topology in ("set", "rigl", "cht", "srigl"):
                method = make_topology(topology, schedule=UpdateSchedule(2, "step"))
                model = train((5, 40, 30, 3), topology=method, **options)
                arrays += [layer.connections.values for layer in model.layers]
                views = {
                    layer.connections.view.permutation.dtype for layer in model.layers
                }
        return arrays, views

    narrow, dtypes = results()
    assert dtypes == {np.dtype("i4")}
    monkeypatch.setattr(
        "truesparse.sparse.connections.position_dtype", lambda nnz: np.int64
    )
    wide, dtypes = results()
    assert dtypes == {np.dtype("i8")}
    for one, other in zip(narrow, wide, strict=True):
        np.testing.assert_array_equal(one, other)
