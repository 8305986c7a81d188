"""S-shaped rectified linear units: forward, backward, training."""

import numpy as np
import pytest
from hypothesis import given
from support import naive
from support.compare import assert_close
from support.estimates import estimate
from support.network import make_data, make_model, make_twin
from support.srelu import SHAPE, shapes, units
from support.strategies import DTYPES, cases, layer, make_connections, padded, tile_for
from support.twin_training import LR, assert_same, batches_of, train, train_twin

from truesparse import datasets
from truesparse.activations import LayerActivation, layer_activation
from truesparse.common import rng
from truesparse.errors import UsageError
from truesparse.kernels.arrays import Head
from truesparse.kernels.jit import most_threads, set_threads
from truesparse.network.sparse_mlp import SparseMLP
from truesparse.optimizers import Optimizer
from truesparse.sparse.srelu import Srelu
from truesparse.training.trainer import Trainer

BOTH = pytest.mark.parametrize("dtype", DTYPES)


# One layer ---------------------------------------------------------------------------


@pytest.mark.parametrize("dropout", [0.0, 0.4])
@pytest.mark.parametrize("batch", [1, 7, 32, 100])
@BOTH
def test_a_layer_there_and_back(dtype, batch, dropout):
    key = 0xDEADBEEF

    @given(cases(dtype))
    def compare(case):
        n_out = case.connections.n_out
        subject = layer(case.connections, "srelu", dropout=dropout)
        subject.bias[:] = case.normal(n_out)
        subject.srelu.values[:] = SHAPE + case.normal(4, n_out)
        columns, tile = tile_for(batch, dtype)
        x = padded(case.normal(case.connections.n_in, batch), columns)
        room = np.zeros(subject.partial_size(columns), dtype)
        out, z, plain = (np.full((n_out, columns), np.nan, dtype) for _ in range(3))
        head = Head(subject.bias, out, z)
        subject.forward(tile, x, head, subject.activation.for_training(key), room)
        scale = naive.forward_scale(case.dense, subject.bias, x)
        assert_close(z, naive.forward(case.dense, subject.bias, x), scale)
        # From here on z as computed: the side of a threshold that it is on counts.
        parameters, computed = subject.srelu.values, z.copy()
        value, slope, _ = naive.srelu_pieces(naive.wide(computed), parameters)
        factor = naive.dropout_mask(key, dropout, z.shape) / (1 - dropout)
        size = 1 + np.abs(naive.wide(parameters)).max(0)[:, None]
        size = size * (size + np.abs(computed))
        assert_close(out, value * factor, size * factor)
        # Predictions neither drop nor keep anything.
        head = Head(subject.bias, plain, plain[:0, :0])
        subject.forward(tile, x, head, subject.activation.for_inference(), room)
        assert_close(plain, value, size)
        # The layer above leaves the gradient of the outputs, zero where it is padded.
        out[:] = padded(case.normal(n_out, batch), columns)
        g = naive.wide(out) * factor
        subject.complete_delta(out, z)
        np.testing.assert_array_equal(z, computed)
        assert_close(out, g * slope, np.abs(g) * size)
        scale = 1e-30 + (np.abs(g) * size).sum(1)
        assert_close(subject.bias_gradient, (g * slope).sum(1), scale)
        want = naive.srelu_gradient(naive.wide(computed), parameters, g)
        assert_close(subject.srelu.gradient, want, scale)

    compare()


@BOTH
def test_at_the_thresholds(dtype):
    subject = Srelu(3, dtype)
    #                     apart         equal         crossed
    subject.values[:] = np.array([[-1, 0.5, 2, 3], [1, 0.5, 1, 3], [1, 0.5, -1, 3]]).T
    z = np.array([[-3, -1, 0, 2, 4], [0, 1, 2, -1, 3], [-2, -1, 0, 1, 2]], dtype)
    out = z.copy()
    subject.predict(out)
    want = [[-2, -1, 0, 2, 8], [0.5, 1, 4, 0, 7], [-0.5, -1, 2, 5, 8]]
    np.testing.assert_array_equal(out, want)
    assert_close(out, naive.activation("srelu", z, subject.values), 1.0)
    how, bias_gradient = LayerActivation("srelu").for_training(0), np.empty(3, dtype)
    out, stored = z.copy(), np.empty_like(z)
    subject.forward(out, stored, how)
    np.testing.assert_array_equal(stored, z)
    delta = np.ones_like(z)
    subject.backward(stored, delta, bias_gradient)
    want = [[0.5, 0.5, 1, 3, 3], [0.5, 3, 3, 0.5, 3], [0.5, 3, 3, 3, 3]]
    np.testing.assert_array_equal(delta, want)
    np.testing.assert_array_equal(bias_gradient, np.sum(want, 1))
    np.testing.assert_array_equal(
        subject.gradient, naive.srelu_gradient(z, subject.values, np.ones_like(z))
    )


def test_a_nan_comes_through():
    z = np.zeros((2, 4))
    z[1, 2] = np.nan
    out = z.copy()
    units(2).predict(out)
    np.testing.assert_array_equal(np.isnan(out), np.isnan(z))


def test_results_do_not_depend_on_the_number_of_threads():
    results = []
    how = LayerActivation("srelu", dropout=0.3).for_training(5)
    z = np.random.default_rng(1).standard_normal((3000, 32)).astype(np.float32)
    try:
        for threads in range(1, most_threads() + 1):
            set_threads(threads)
            subject, out, stored = units(3000, np.float32), z.copy(), np.empty_like(z)
            bias_gradient = np.empty(3000, np.float32)
            subject.forward(out, stored, how)
            delta = np.sin(z)
            subject.backward(stored, delta, bias_gradient)
            results.append((out, delta, bias_gradient, subject.gradient))
    finally:
        set_threads(most_threads())
    for arrays in results:
        for ours, theirs in zip(arrays, results[0], strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_other_activations_have_no_parameters():
    connections = make_connections(np.ones((2, 3), bool))
    assert layer(connections, "leaky_relu", 0.1).srelu is None
    assert len(layer(connections).neuron_parameters()) == 1
    # Until it is drawn or read it is the identity.
    z = np.random.default_rng(0).standard_normal((3, 8))
    out = z.copy()
    layer(connections, "srelu").srelu.predict(out)
    assert_close(out, z, 1.0)
    with pytest.raises(UsageError, match="takes no parameter"):
        layer_activation("srelu", 0, 0.5)


# Models ------------------------------------------------------------------------------


def test_initial_values_follow_the_seed():
    def values(**settings):
        model = SparseMLP([5, 400, 300, 2], activation="srelu", **settings)
        assert model.layers[2].srelu is None
        return [each.srelu.values for each in model.layers[:2]]

    first, again, other = values(seed=1), values(seed=1), values(seed=2)
    for got, same, different in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(got, same)
        assert not (got[1] == different[1]).any()
        assert (got[0] == 0).all()
        assert (got[3] == 1).all()
        # Uniform in (0, 1) and (0, 5): mean and deviation, to six of their errors.
        for row, width in ((1, 1.0), (2, 5.0)):
            assert (got[row] >= 0).all()
            assert (got[row] <= width).all()
            error = width / np.sqrt(12 * got.shape[1])
            assert abs(got[row].mean() - width / 2) < 6 * error
            assert abs(got[row].std() - width / np.sqrt(12)) < 6 * error
    assert not (first[0][1, :300] == first[1][1]).any()
    wide = values(seed=1, dtype="float64")
    np.testing.assert_allclose(first[0], wide[0], rtol=1e-6)


def assert_same_shapes(model, twin):
    for got, want in zip(shapes(model), twin.shapes, strict=True):
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-10)


@pytest.mark.parametrize("clip_norm", [None, 0.3])
@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_training_equals_a_dense_network(name, clip_norm):
    # Decay is for weights alone.
    method = Optimizer(name, weight_decay=0.01)
    model = make_model(activation="srelu")
    twin, (x, targets) = make_twin(model), make_data(12)
    before = [each.copy() for each in shapes(model)]
    batches = batches_of(3, 10)
    got = train(model, x, targets, batches, method, clip_norm=clip_norm)
    want = train_twin(twin, x, targets, batches, method, clip_norm=clip_norm)
    np.testing.assert_allclose(got, want, rtol=1e-10)
    assert_same(model, twin)
    assert_same_shapes(model, twin)
    for now, old in zip(shapes(model), before, strict=True):
        assert (now != old).any(1).all()


def test_dropout():
    rate, model = 0.4, make_model(activation="srelu", dropout=0.4)
    twin, (x, targets) = make_twin(model), make_data(12)
    batches = batches_of(3, 6)
    train(model, x, targets, batches)
    for step, batch in enumerate(batches):
        factors = []
        for k in range(2):
            key = rng.key32(model.seed, rng.Purpose.DROPOUT, step, k)
            n_out = model.layer_sizes[k + 1]
            factors.append(naive.dropout_mask(key, rate, (n_out, 3)) / (1 - rate))
        train_twin(twin, x, targets, [batch], factors=factors)
    assert_same(model, twin)
    assert_same_shapes(model, twin)
    np.testing.assert_allclose(
        model.decision_function(x), twin.outputs(x.T)[0][-1].T, atol=1e-10
    )


def test_observers_see_the_true_deltas_and_no_step_is_taken():
    model, (x, targets) = make_model(activation="srelu"), make_data(12)
    twin = make_twin(model)
    twin.masks = [np.ones_like(mask) for mask in twin.masks]
    _, want = twin.gradients(x[:3].T, targets[:3], np.full(3, 1 / 3))
    before, seen = [each.copy() for each in shapes(model)], {}

    def observe(index, source, delta):
        seen[index] = naive.weight_gradient(source, delta)

    model.prepare(3)
    for collector in (None, lambda *_: None):
        model.observe_batch(
            x, targets, np.arange(3), observer=observe, collector=collector
        )
        for k in range(3):
            np.testing.assert_allclose(seen.pop(k), want[k], rtol=0, atol=1e-12)
    for now, old in zip(shapes(model), before, strict=True):
        np.testing.assert_array_equal(now, old)


def test_optimiser_state_is_asked_for():
    model, (x, targets) = make_model(activation="srelu"), make_data(12)
    model.prepare(3)
    model.allocate_moments(Optimizer())
    model.layers[0].srelu.allocate_moments(False, False)
    with pytest.raises(UsageError, match="allocate_moments"):
        model.train_batch(x, targets, np.arange(3), Optimizer(), LR)


def test_digits_are_learnt():
    data = datasets.load("digits")
    sizes = [data.n_features, 60, 40, data.n_outputs]
    model = SparseMLP(sizes, epsilon=10, activation="srelu", dropout=0.1, seed=1)
    before = [each.copy() for each in shapes(model)]
    settings = {"topology": "set", "epochs": 5, "batch_size": 32, "lr": 0.05}
    Trainer(model, **settings).fit(data.X_train[:600], data.y_train[:600])
    _, score = model.evaluate(data.X_test, data.y_test)
    assert score > 0.85
    for now, old in zip(shapes(model), before, strict=True):
        assert (now != old).any(1).all()


def test_memory_is_counted():
    sizes, adam = (30, 70, 50, 4), Optimizer("adam")
    settings = {"optimizer": adam, "epsilon": 3, "clips": True}
    plain, got = (
        estimate(sizes, activation=name, **settings) for name in ("gelu", "srelu")
    )
    model = SparseMLP(sizes, epsilon=3, activation="srelu")
    model.allocate_moments(adam)
    trained = [each.srelu for each in model.layers[:-1]]
    values = sum(each.values.nbytes for each in trained)
    gradients = sum(each.gradient.nbytes for each in trained)
    moments = sum(m.nbytes for each in trained for m in each.moments)
    assert got.weights - plain.weights == values + gradients
    # Clipping needs no other gradients than those that are there; it counts one more.
    assert got.optimizer - plain.optimizer == moments + gradients
    assert got.activations == plain.activations
