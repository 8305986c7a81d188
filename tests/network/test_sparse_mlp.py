"""SparseMLP: training equals a dense network's, step for step; predictions; errors."""

import numpy as np
import pytest
from scipy import sparse
from support import naive
from support.network import (
    SIZES,
    as_csr,
    by_output,
    make_data,
    make_model,
    make_twin,
    mask_of,
)
from support.strategies import layer, make_connections
from support.twin_training import (
    LR,
    MOMENTUM,
    assert_same,
    batches_of,
    parameters,
    train,
    train_twin,
)

from truesparse.common import rng
from truesparse.errors import DataError, UsageError
from truesparse.losses import Loss
from truesparse.network.sparse_mlp import SparseMLP
from truesparse.optimizers import OPTIMIZERS, Optimizer


@pytest.mark.parametrize("density", [1.0, 0.4])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_twenty_steps_equal_a_dense_network(name, density):
    # RMSprop's first steps are lr / sqrt(1 - beta2): the usual 0.999 would scatter the
    # weights, and with them magnify rounding.
    method = Optimizer(name, weight_decay=0.01, beta2=0.9)
    model = make_model(density=density)
    twin, (x, targets) = make_twin(model), make_data(12)
    assert model.density == pytest.approx(density, abs=0.02)
    model.allocate_moments(method)
    model.prepare(3)
    for batch in batches_of(3, 20):
        got = model.train_batch(x, targets, batch, method, LR)
        want = train_twin(twin, x, targets, [batch], method)
        assert got == pytest.approx(want[0], rel=1e-10)
        assert_same(model, twin)
    assert model.step == 20


@pytest.mark.parametrize("loss", ["logistic", "squared", "huber"])
def test_other_losses_train_alike(loss):
    model = make_model(loss=loss)
    twin, (x, targets) = make_twin(model), make_data(12, loss=loss)
    batches = batches_of(3, 8)
    got = train(model, x, targets, batches)
    np.testing.assert_allclose(got, train_twin(twin, x, targets, batches), rtol=1e-10)
    assert_same(model, twin)


def test_label_smoothing():
    model = make_model(loss=Loss(label_smoothing=0.2))
    twin, (x, targets) = make_twin(model), make_data(12)
    train(model, x, targets, batches_of(3, 8))
    train_twin(twin, x, targets, batches_of(3, 8))
    assert_same(model, twin)


@pytest.mark.parametrize("batch", [3, 9])
def test_all_relu_alternates_in_training(batch):
    model = make_model(activation="all_relu", activation_parameter=0.7)
    twin, (x, targets) = make_twin(model), make_data(12)
    assert [p for _, p in twin.activations] == [-0.7, 0.7, 0.0]
    train(model, x, targets, batches_of(batch, 8), batch_size=batch)
    train_twin(twin, x, targets, batches_of(batch, 8))
    assert_same(model, twin)


@pytest.mark.parametrize("activation", ["relu", "silu"])
def test_dropout_draws_a_new_mask_each_step_and_layer(activation):
    rate = 0.4
    model = make_model(dropout=rate, activation=activation)
    twin, (x, targets) = make_twin(model), make_data(12)
    batches = batches_of(3, 6)
    train(model, x, targets, batches)
    seen = set()
    for step, batch in enumerate(batches):
        factors = []
        for k in range(2):
            key = rng.key32(model.seed, rng.Purpose.DROPOUT, step, k)
            mask = naive.dropout_mask(key, rate, (SIZES[k + 1], 3))
            factors.append(mask / (1 - rate))
            seen.add(mask.tobytes())
        train_twin(twin, x, targets, [batch], factors=factors)
    assert len(seen) == 12
    assert_same(model, twin)
    # Predictions drop nothing.
    zs, _ = twin.outputs(x.T)
    np.testing.assert_allclose(model.decision_function(x), zs[-1].T, atol=1e-10)


@pytest.mark.parametrize("clip_norm", [0.05, 0.5, 100.0])
def test_clipping_scales_the_whole_gradient(clip_norm):
    model = make_model()
    twin, (x, targets) = make_twin(model), make_data(12)
    batches = batches_of(3, 8)
    train(model, x, targets, batches, clip_norm=clip_norm)
    train_twin(twin, x, targets, batches, clip_norm=clip_norm)
    assert_same(model, twin)


@pytest.mark.parametrize("clip_norm", [None, 0.5])
def test_powerpropagation_equals_a_dense_network(clip_norm):
    method = Optimizer("sgd", 0.9, weight_decay=0.01, powerprop=2.0)
    model = make_model(density=0.4)
    before = parameters(model)
    twin, (x, targets) = make_twin(model), make_data(12)
    batches = batches_of(3, 8)
    train(model, x, targets, batches, method, clip_norm=clip_norm)
    train_twin(twin, x, targets, batches, method, clip_norm=clip_norm)
    assert_same(model, twin)
    assert not np.allclose(parameters(model)[0], before[0])


def test_sample_weights():
    shares = np.random.default_rng(4).random(12)
    shares[3] = 0.0
    model = make_model()
    twin, (x, targets) = make_twin(model), make_data(12)
    batches = batches_of(3, 8)
    got = train(model, x, targets, batches, sample_weight=shares)
    want = train_twin(twin, x, targets, batches, shares=shares)
    np.testing.assert_allclose(got, want, rtol=1e-10)
    assert_same(model, twin)


def test_layers_of_large_fan_in_learn_slowly():
    method = Optimizer("sgd", 0.9, fan_in_limit=3)
    model = make_model()
    twin, (x, targets) = make_twin(model), make_data(12)
    train(model, x, targets, batches_of(3, 8), method)
    train_twin(twin, x, targets, batches_of(3, 8), method)
    assert_same(model, twin)


def test_a_partial_batch_equals_one_in_buffers_of_its_size():
    x, targets = make_data(12)
    models = make_model(), make_model()
    for model, batch_size in zip(models, (9, 3), strict=True):
        # Numbers that a larger batch left in the padding must not be seen.
        train(model, x, targets, [range(9)] if batch_size == 9 else [], batch_size=9)
        for ours, theirs in zip(model.layers, make_model().layers, strict=True):
            ours.connections.values[:] = theirs.connections.values
            ours.bias[:] = theirs.bias
        model.step = 0
        train(model, x, targets, [[4, 0, 7], [2, 3]], batch_size=batch_size)
    for got, want in zip(*map(parameters, models), strict=True):
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-12)


def test_sparse_data_train_alike():
    x, targets = make_data(12, density=0.4)
    batches = batches_of(3, 8)
    dense, thin = make_model(), make_model()
    train(dense, x, targets, batches)
    train(thin, as_csr(x), targets, batches)
    for got, want in zip(parameters(thin), parameters(dense), strict=True):
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-12)
    np.testing.assert_allclose(
        thin.decision_function(sparse.csr_array(x)),
        dense.decision_function(x),
        rtol=0,
        atol=1e-12,
    )


@pytest.mark.parametrize("clip_norm", [None, 0.5])
def test_training_continues_after_rewiring(clip_norm):
    model = make_model()
    twin, (x, targets) = make_twin(model), make_data(12)
    train(model, x, targets, batches_of(3, 4), clip_norm=clip_norm)
    train_twin(twin, x, targets, batches_of(3, 4), clip_norm=clip_norm)
    draw = np.random.default_rng(8)
    for k, layer_ in enumerate(model.layers):
        connections = layer_.connections
        dropped = draw.random(connections.nnz) < 0.4
        keys = np.flatnonzero(~twin.masks[k])[: dropped.sum() + 2]
        mask, change = twin.masks[k], (dropped, keys)
        twin.masks[k], twin.weights[k] = naive.rewire(
            mask, twin.weights[k], *change, 0.1
        )
        twin.moments[k][0] = naive.rewire(mask, twin.moments[k][0], *change, 0.0)[1]
        connections.rewire(dropped, keys, np.full(keys.size, 0.1))
    for batch in batches_of(3, 4, seed=1):
        model.train_batch(x, targets, batch, MOMENTUM, LR, clip_norm=clip_norm)
    train_twin(twin, x, targets, batches_of(3, 4, seed=1), clip_norm=clip_norm)
    assert_same(model, twin)


def test_observers_see_inputs_deltas_and_gradients_and_no_step_is_taken():
    model = make_model()
    twin, (x, targets) = make_twin(model), make_data(12)
    masks = [mask_of(each.connections) for each in model.layers]
    twin.masks = [np.ones_like(mask) for mask in masks]
    parts = x[:3].T, by_output(targets)[:3], np.full(3, 1 / 3)
    want_loss, want = twin.gradients(*parts)
    before = [p.copy() for p in parameters(model)]
    seen, collected = {}, {}

    def observe(index, source, delta):
        seen[index] = naive.weight_gradient(source, delta)

    def collect(index, gradient):
        collected[index] = gradient.copy()

    model.prepare(3)
    for watch in ({"observer": observe}, {"observer": observe, "collector": collect}):
        loss = model.observe_batch(x, targets, np.arange(3), **watch)
        assert loss == pytest.approx(want_loss, rel=1e-12)
        assert sorted(seen) == [0, 1, 2]
        for k in range(3):
            np.testing.assert_allclose(seen.pop(k), want[k], rtol=0, atol=1e-12)
    for k, mask in enumerate(masks):
        np.testing.assert_allclose(collected[k], want[k][mask], rtol=0, atol=1e-12)
    assert model.step == 0
    for got, old in zip(parameters(model), before, strict=True):
        np.testing.assert_array_equal(got, old)


def test_phases_are_announced():
    phases = []
    x, targets = make_data(12)
    train(make_model(), x, targets, [range(3)], clock=phases.append)
    assert phases == ["data", "forward", "backward"]


def test_a_diverged_batch_changes_nothing():
    model = make_model()
    x, targets = make_data(12)
    x[1, 2] = np.inf
    before = [p.copy() for p in parameters(model)]
    # With the JIT off NumPy remarks upon inf - inf.
    with np.errstate(invalid="ignore"):
        (loss,) = train(model, x, targets, [range(3)])
    assert not np.isfinite(loss)
    assert model.step == 0
    for got, want in zip(parameters(model), before, strict=True):
        np.testing.assert_array_equal(got, want)


def test_predictions_do_not_depend_on_the_batch_size():
    model = make_model()
    x, targets = make_data(300)
    want = make_twin(model).outputs(x.T)[0][-1].T
    for data in (x, sparse.csr_array(x), as_csr(x)):
        for batch_size in (1, 3, 9, 100, 1000):
            got = model.decision_function(data, batch_size)
            np.testing.assert_allclose(got, want, rtol=0, atol=1e-12)
    # Nor on buffers that training left behind.
    model.prepare(9)
    for batch_size in (3, 100):
        got = model.decision_function(x, batch_size)
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-12)
    probabilities = model.predict_proba(x)
    np.testing.assert_allclose(probabilities.sum(1), np.ones(300))
    loss, score = model.evaluate(x, targets)
    even = np.full(300, 1 / 300)
    assert loss == pytest.approx(
        naive.loss_and_delta("softmax", want.T, targets, even)[0]
    )
    assert score == pytest.approx((want.argmax(1) == targets).mean())


@pytest.mark.parametrize("loss", ["logistic", "squared", "huber"])
def test_evaluation_of_numbers(loss):
    model = make_model(loss=loss)
    x, targets = make_data(30, loss=loss)
    z = model.decision_function(x)
    got, score = model.evaluate(x, targets)
    want, _ = naive.loss_and_delta(loss, z.T, targets.T, np.full(30, 1 / 30))
    assert got == pytest.approx(want)
    assert score == model.loss.score(z, targets)


def test_no_samples_no_predictions():
    assert make_model().decision_function(np.zeros((0, 6))).shape == (0, 3)
    assert make_model().decision_function(sparse.csr_array((0, 6))).shape == (0, 3)


def test_sizes_and_counts():
    model = SparseMLP([10, 20, 5], epsilon=3)
    assert model.layer_sizes == (10, 20, 5)
    assert model.n_neurons == 25
    assert model.nnz == 90 + 75
    assert model.density == pytest.approx(165 / 300)
    assert model.dtype == np.float32
    assert SparseMLP([30, 40]).nnz == 1200  # 20 a neuron exceed the cells


def test_the_seed_decides_everything():
    first, again, other = (make_model(seed=seed) for seed in (3, 3, 4))
    for a, b in zip(first.layers, again.layers, strict=True):
        for ours, theirs in zip(a.connections.csr, b.connections.csr, strict=True):
            np.testing.assert_array_equal(ours, theirs)
    assert not np.array_equal(
        mask_of(first.layers[0].connections), mask_of(other.layers[0].connections)
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"layer_sizes": [5]}, "at least features and outputs"),
        ({"layer_sizes": [5, 0, 2]}, "from 1 to 2147483647, got 0"),
        ({"layer_sizes": [5, -3]}, "from 1 to 2147483647, got -3"),
        ({"layer_sizes": [5, 2.5]}, "from 1 to 2147483647, got 2.5"),
        ({"layer_sizes": [5, True]}, "from 1 to 2147483647, got True"),
        ({"layer_sizes": [5, 2**31]}, "layer size must be a whole number from 1"),
        ({"layer_sizes": 5}, "layer_sizes must be whole numbers, from .* got 5"),
        ({"init_topology": ["bsf"]}, "unknown initial topology .* use one of brf"),
        ({"init_options": "soft"}, "init_options must be a dict, got 'soft'"),
        ({"epsilon": 1, "density": 0.5}, "either epsilon or density"),
        ({"density": 2.0}, "density must be"),
        ({"activation": "rel"}, "Did you mean 'relu'"),
        ({"epsilon": "many"}, "epsilon must be a number, got 'many'"),
        ({"density": True}, "density must be a number, got True"),
        ({"dropout": "x"}, "dropout must be a number, got 'x'"),
        ({"activation": "elu", "activation_parameter": []}, "must be a number"),
        ({"loss": "hinge"}, "unknown loss"),
        ({"loss": 4}, "loss must be a name or a Loss, got 4"),
        ({"dtype": 5}, "unknown dtype 5"),
        ({"dropout": 1.0}, "dropout must be"),
        ({"weight_init": "one"}, "unknown weight initialiser"),
        ({"dtype": "float16"}, "unknown dtype 'float16'"),
        ({"seed": -1}, "seed must be a whole number from 0"),
        ({"seed": 1.5}, "seed must be a whole number"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(UsageError, match=message):
        SparseMLP(**({"layer_sizes": [5, 4, 2]} | arguments))


def test_layers_must_fit_together():
    wide, narrow = (layer(make_connections(np.ones(s, bool))) for s in ((2, 4), (3, 2)))
    with pytest.raises(UsageError, match="4 outputs cannot feed one with 3 inputs"):
        SparseMLP.from_layers([wide, narrow])
    with pytest.raises(UsageError, match="at least one layer"):
        SparseMLP.from_layers([])
    model = SparseMLP.from_layers([narrow, wide], loss="squared", seed=5)
    assert model.layer_sizes == (3, 2, 4)
    assert (model.loss.name, model.seed) == ("squared", 5)


def broken_csr():
    csr = sparse.csr_array(np.eye(6))
    csr.indices[3] = 17
    return csr


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (np.zeros((4, 5)), "shape \\(n, 6\\), got \\(4, 5\\)"),
        (np.zeros(6), "shape \\(n, 6\\), got \\(6,\\)"),
        (sparse.csr_array((4, 7)), "shape \\(n, 6\\), got \\(4, 7\\)"),
        (broken_csr(), "not a valid sparse matrix: .* must be < 6"),
    ],
)
def test_bad_data(data, message):
    with pytest.raises(DataError, match=message):
        make_model().decision_function(data)
