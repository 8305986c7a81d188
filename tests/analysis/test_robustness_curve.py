"""Robustness curves against dense predictions, their areas, and what is refused."""

import math

import numpy as np
import pytest
import scipy.sparse
from support import naive_analysis as naive

from truesparse import SparseMLP
from truesparse.analysis import PERTURBATIONS, RobustnessCurve, robustness
from truesparse.analysis.twin import twin_of
from truesparse.errors import DataError, UsageError

DRAW = np.random.default_rng(5)
X = DRAW.standard_normal((90, 6))
Y = DRAW.integers(0, 3, 90)


def make_model(**options):
    options = {"density": 0.5, "dtype": "float64", "seed": 2} | options
    model = SparseMLP([6, 12, 9, 3], **options)
    for layer in model.layers:
        layer.bias[:] = np.random.default_rng(1).normal(0, 0.1, layer.bias.size)
    return model


MODEL = make_model()


def dense_accuracy(weights):
    biases = [layer.bias for layer in MODEL.layers]
    z = naive.forward(weights, biases, naive.relu, X)
    return float((z.argmax(axis=1) == Y).mean())


def weights_without(fraction, name, scope):
    """Return the dense weights of MODEL after a removal, the read-out untouched."""
    weights = naive.dense_weights(MODEL)
    values = [layer.connections.values for layer in MODEL.layers[:-1]]
    groups = [np.concatenate(values)] if scope == "joint" else values
    flat = np.concatenate(
        [naive.removed(group, fraction, name == "weight_order") for group in groups]
    )
    start = 0
    for index, layer in enumerate(MODEL.layers[:-1]):
        stop = start + layer.connections.nnz
        rows = layer.connections.rows()
        weights[index][rows, layer.connections.indices] = flat[start:stop]
        start = stop
    return weights


@pytest.mark.parametrize("scope", ["joint", "layer"])
@pytest.mark.parametrize("name", ["weight_order", "reverse_order"])
def test_accuracies_match_a_dense_network(name, scope):
    got = robustness(MODEL, X, Y, name, fractions=11, scope=scope)
    wanted = [
        dense_accuracy(weights_without(fraction, name, scope))
        for fraction in got.fractions
    ]
    np.testing.assert_allclose(got.accuracies, [wanted])
    assert got.area == pytest.approx(naive.area(got.fractions, wanted))
    assert got.scope == scope


@pytest.mark.parametrize("name", PERTURBATIONS)
def test_nothing_changes_at_0_and_the_model_stays_as_it_is(name):
    before = [layer.connections.values.copy() for layer in MODEL.layers]
    curve = robustness(MODEL, X, Y, name, fractions=5, seeds=3)
    clean = dense_accuracy(naive.dense_weights(MODEL))
    np.testing.assert_allclose(curve.accuracies[:, 0], clean)
    for layer, values in zip(MODEL.layers, before, strict=True):
        np.testing.assert_array_equal(layer.connections.values, values)
    is_fixed = name in ("weight_order", "reverse_order")
    assert curve.accuracies.shape == (1 if is_fixed else 3, 5)
    again = robustness(MODEL, X, Y, name, fractions=5, seeds=[0, 1, 2])
    np.testing.assert_array_equal(again.accuracies, curve.accuracies)
    by_layer = "layer" if name in ("shuffled", "noise") else "joint"
    assert curve.scope == by_layer


@pytest.mark.parametrize("name", ["weight_order", "reverse_order", "random"])
def test_removing_all_leaves_the_biases(name):
    curve = robustness(MODEL, X, Y, name, fractions=2, seeds=1)
    weights = naive.dense_weights(MODEL)
    wanted = dense_accuracy([np.zeros_like(weights[0]), weights[1] * 0, weights[2]])
    assert curve.accuracies[0, 1] == pytest.approx(wanted)


def test_only_the_chosen_layers_are_perturbed():
    curve = robustness(MODEL, X, Y, "random", fractions=2, seeds=1, layers=[2])
    weights = naive.dense_weights(MODEL)
    weights[2][:] = 0.0
    assert curve.accuracies[0, 1] == pytest.approx(dense_accuracy(weights))
    # A network of one layer has no other.
    single = SparseMLP([6, 3], density=1.0, seed=1)
    assert robustness(single, X, Y, fractions=2).accuracies[0, 1] < 1.0


def test_noise_by_layer_uses_the_deviation_of_each_layer():
    model = make_model()
    model.layers[0].connections.values[:] = 1.0  # no deviation, so no noise
    curves = [
        robustness(model, X, Y, "noise", fractions=9, seeds=2, layers=0, scope=scope)
        for scope in ("layer", "joint")
    ]
    assert (curves[0].accuracies == curves[0].accuracies[0, 0]).all()
    joint = robustness(
        model, X, Y, "noise", fractions=9, seeds=2, layers=[0, 1], scope="joint"
    )
    assert joint.accuracies.std() > 0


def test_a_classifier_that_never_fails_has_area_1():
    # Both classes are decided by a bias-free identity that the read-out keeps.
    eye = scipy.sparse.eye_array(2).tocsr()
    model = SparseMLP.from_sparse([eye], dtype="float64")
    data, labels = np.eye(2), np.arange(2)
    curve = robustness(model, data, labels, "shuffled", fractions=5, seeds=2)
    assert curve.area == 1.0
    assert curve.normalised_area == 1.0
    assert curve.area_spread == 0.0


def test_areas_are_normalised_by_chance_and_the_unperturbed_accuracy():
    x = np.array([0.0, 0.25, 1.0])
    accuracies = np.array([[0.8, 0.8, 0.2], [0.8, 0.4, 0.2]])
    curve = RobustnessCurve("random", x, accuracies, 0.2, "joint")
    np.testing.assert_allclose(curve.areas, [0.575, 0.375])
    np.testing.assert_allclose(curve.normalised_areas, [0.375 / 0.6, 0.175 / 0.6])
    assert curve.area_spread == pytest.approx(np.std([0.575, 0.375], ddof=1))
    low = RobustnessCurve("random", x, accuracies * 0 + 0.2, 0.2, "joint")
    assert math.isnan(low.normalised_area)
    assert low.to_json()["normalised_area"] is None


def test_chance_is_the_best_constant_answer():
    labels = np.array([0, 0, 0, 1, 2, 0])
    curve = robustness(MODEL, X[:6], labels, fractions=2, seeds=1)
    assert curve.chance == pytest.approx(4 / 6)
    several = make_model(loss="logistic")
    columns = np.array([[1, 0, 1], [1, 0, 0], [1, 0, 0], [0, 1, 0]])
    curve = robustness(several, X[:4], columns, fractions=2, seeds=1)
    assert curve.chance == pytest.approx(0.75)


def test_sparse_samples_give_the_same_curve():
    curves = [
        robustness(MODEL, data, Y, "random", fractions=4, seeds=2)
        for data in (X, scipy.sparse.csr_array(X))
    ]
    np.testing.assert_allclose(curves[0].accuracies, curves[1].accuracies)


@pytest.mark.parametrize("activation", ["srelu", "all_relu", "gelu"])
def test_a_twin_predicts_like_the_model(activation):
    model = make_model(activation=activation, dropout=0.3)
    twin = twin_of(model, {})
    got, wanted = twin.decision_function(X), model.decision_function(X)
    np.testing.assert_array_equal(got, wanted)
    assert all(layer.activation.dropout == 0 for layer in twin.layers)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"data": X[:, :5]}, DataError, r"shape \(n, 6\), got \(90, 5\)"),
        ({"targets": Y[:4]}, DataError, "90 samples but 4 targets"),
        ({"targets": Y * 0}, DataError, "all targets are of one class"),
        ({"data": X[:0], "targets": Y[:0]}, DataError, "no samples"),
        ({"perturbation": "randm"}, UsageError, "random"),
        ({"scope": "global"}, UsageError, "scope"),
        ({"fractions": 1}, UsageError, "fractions"),
        ({"fractions": [0.0, 0.5, 1.5]}, UsageError, "rise from 0 to 1"),
        ({"fractions": [0.0, 0.5, 0.5, 1.0]}, UsageError, "rise from 0 to 1"),
        ({"fractions": [-0.1, 1.0]}, UsageError, "rise from 0 to 1"),
        ({"fractions": [0.0, math.nan, 1.0]}, UsageError, "rise from 0 to 1"),
        ({"fractions": "all"}, UsageError, "rise from 0 to 1"),
        ({"seeds": 0}, UsageError, "seeds"),
        ({"seeds": []}, UsageError, "seeds"),
        ({"seeds": [-1]}, UsageError, "seed"),
        ({"layers": 7}, UsageError, "layers"),
        ({"batch_size": 0}, UsageError, "batch_size"),
        ({"data": X * math.nan}, DataError, "NaN"),
    ],
)
def test_what_does_not_suit_is_refused(change, error, message):
    arguments = {"data": X, "targets": Y, "fractions": 2, "seeds": 1} | change
    with pytest.raises(error, match=message):
        robustness(MODEL, **arguments)


def test_models_that_cannot_be_measured_are_refused():
    regression = make_model(loss="squared")
    with pytest.raises(UsageError, match=r"needs a classifier.*squared"):
        robustness(regression, X, np.zeros((90, 3)))
    empty = scipy.sparse.csr_array((6, 4))
    full = scipy.sparse.csr_array(np.ones((4, 3)))
    with pytest.raises(UsageError, match="layer 0, counted from 0, has no connections"):
        robustness(SparseMLP.from_sparse([empty, full]), X, Y)
    broken = make_model()
    broken.layers[1].bias[0] = np.nan
    with pytest.raises(DataError, match="NaN"):
        robustness(broken, X, Y)
