"""Exports to ONNX, run by ONNX Runtime and compared with the model's predictions."""

import math

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_diabetes, load_digits
from support.network import make_data, make_model
from support.onnx_runs import close, numbers, open_session, run
from support.strategies import DTYPES, SEEDS, layer, make_connections, masks

from truesparse import SparseMLP, Trainer
from truesparse.activations import ACTIVATIONS
from truesparse.condensed import CondensedMLP
from truesparse.errors import UsageError
from truesparse.export import to_onnx
from truesparse.export.onnx_export import _groups
from truesparse.losses import LOSSES


@pytest.fixture
def path(tmp_path):
    return tmp_path / "net.onnx"


def sizes_of_tensors(path):
    """Return how many numbers each array of the file and of the runtime has."""
    model = onnx.shape_inference.infer_shapes(onnx.load(path), strict_mode=True)
    held = [math.prod(tensor.dims) for tensor in model.graph.initializer]
    computed = []
    for value in model.graph.value_info:
        shape = [side.dim_value or 1 for side in value.type.tensor_type.shape.dim]
        computed.append(math.prod(shape))
    return held, computed


# What is computed --------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations_and_losses(activation, loss, dtype, path):
    model = make_model(activation=activation, loss=loss, dtype=dtype)
    x = 3.0 * make_data(9)[0].astype(dtype)
    if (activation, dtype) == ("gelu", "float64"):
        with pytest.raises(UsageError, match=r"GELU in float64.*dtype='float32'"):
            to_onnx(model, path)
        return
    assert to_onnx(model, path) == path
    onnx.checker.check_model(str(path), full_check=True)
    outputs, expected = run(path, x), model.predict_proba(x)
    if loss in ("squared", "huber", "poisson"):
        assert list(outputs) == ["predictions"]
        close(outputs["predictions"], expected)
        return
    assert list(outputs) == ["probabilities", "labels"]
    close(outputs["probabilities"], expected)
    assert outputs["labels"].dtype == np.int64
    wanted = expected.argmax(axis=1) if loss == "softmax" else expected > 0.5
    np.testing.assert_array_equal(outputs["labels"], wanted)


@pytest.mark.parametrize("activation", ["leaky_relu", "all_relu", "elu"])
@pytest.mark.parametrize("parameter", [0.0, 0.3, 2.0])
def test_parameters_of_activations(activation, parameter, path):
    settings = {"activation": activation, "activation_parameter": parameter}
    model = make_model(**settings)
    x = make_data(9)[0]
    close(numbers(model.to_onnx(path))(x), model.predict_proba(x))


@pytest.mark.parametrize("activation", ["elu", "silu", "logistic", "tanh", "srelu"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_activations_do_not_overflow(activation, dtype, path):
    model = make_model(activation=activation, dtype=dtype, loss="squared")
    x = (1000.0 * make_data(9)[0]).astype(dtype)
    expected = model.predict_proba(x)
    assert np.isfinite(expected).all()
    close(numbers(model.to_onnx(path))(x), expected)


@given(masks(), masks(), st.sampled_from(DTYPES), SEEDS, st.sampled_from([1, 7, 1000]))
def test_any_pattern(tmp_path_factory, left, right, dtype, seed, chunk_size):
    draw = np.random.default_rng(seed)
    right = np.resize(right, (left.shape[1], right.shape[1]))
    first = layer(make_connections(left, dtype, draw), "leaky_relu", 0.3)
    model = SparseMLP.from_layers(
        [first, layer(make_connections(right, dtype, draw))], "huber"
    )
    for each in model.layers:
        each.bias[:] = draw.standard_normal(each.bias.size)
    path = tmp_path_factory.getbasetemp() / "pattern.onnx"
    predict = numbers(to_onnx(model, path, chunk_size=chunk_size))
    for batch in (1, 5):
        x = draw.standard_normal((batch, left.shape[0])).astype(dtype)
        close(predict(x), model.predict_proba(x))


@pytest.mark.parametrize("density", [0.25, 1.0])
@pytest.mark.parametrize("activation", ["relu", "srelu"])
def test_condensed_nets(activation, density, path):
    model = make_model((9, 12, 12, 5), density, activation=activation)
    x = make_data(6, (9, 12, 12, 5))[0]
    condensed = CondensedMLP.from_model(model)
    close(numbers(to_onnx(condensed, path))(x), model.predict_proba(x))


def test_condensed_nets_without_a_connection(path):
    none = (
        make_connections(np.zeros((4, 3), bool)),
        make_connections(np.zeros((3, 2), bool)),
    )
    model = SparseMLP.from_layers([layer(each) for each in none])
    model.layers[1].bias[:] = [0.5, -0.5]
    for each in (model, CondensedMLP.from_model(model)):
        close(numbers(to_onnx(each, path))(np.ones((3, 4))), np.full((3, 2), _HALVES))


_HALVES = [1 / (1 + math.exp(-1)), 1 / (1 + math.exp(1))]


def test_a_sample_does_not_depend_on_its_batch(path):
    model = make_model(activation="relu", dtype="float32")
    session = open_session(to_onnx(model, path))
    x = make_data(40)[0].astype(np.float32)
    whole = session.run(["probabilities"], {"x": x})[0]
    for row in (0, 17, 39):
        single = session.run(["probabilities"], {"x": x[row : row + 1]})[0]
        np.testing.assert_allclose(single[0], whole[row], atol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_dtype_can_be_chosen(dtype, path):
    other = "float64" if dtype == "float32" else "float32"
    model = make_model(activation="tanh", dtype=other)
    x = make_data(5)[0]
    got = numbers(to_onnx(model, path, dtype=dtype))(x.astype(dtype))
    assert got.dtype == dtype
    np.testing.assert_allclose(got, model.predict_proba(x), atol=1e-5)


def test_gelu_of_float64_as_float32(path):
    model = make_model(activation="gelu")
    x = make_data(5)[0]
    got = numbers(to_onnx(model, path, dtype="float32"))(x.astype(np.float32))
    np.testing.assert_allclose(got, model.predict_proba(x), atol=1e-5)


def test_dropout_is_for_training(path):
    model = make_model(activation="relu", dropout=0.5)
    x = make_data(5)[0]
    close(numbers(to_onnx(model, path))(x), model.predict_proba(x))


# Real data ---------------------------------------------------------------------------


@pytest.mark.compiled  # it takes minutes without
def test_digits(path):
    data = load_digits()
    x = (data.data / 16.0).astype(np.float32)
    model = SparseMLP([64, 200, 200, 10], epsilon=8, activation="all_relu", seed=1)
    trainer = Trainer(model, epochs=5, lr=0.05, topology="set", batch_size=32)
    trainer.fit(x[:1500], data.target[:1500])
    score = model.evaluate(x[1500:], data.target[1500:])[1]
    assert score > 0.8
    outputs = run(to_onnx(model, path), x)
    expected = model.predict_proba(x)
    close(outputs["probabilities"], expected)
    np.testing.assert_array_equal(outputs["labels"], expected.argmax(axis=1))
    assert (outputs["labels"][1500:] == data.target[1500:]).mean() == score


def test_diabetes(path):
    data = load_diabetes()
    x = (20.0 * data.data).astype(np.float32)
    y = (data.target - 150.0) / 80.0
    model = SparseMLP([10, 60, 1], epsilon=4, loss="squared", activation="srelu")
    Trainer(model, epochs=10, lr=0.01, topology="set").fit(x, y)
    assert model.evaluate(x, y)[1] > 0.2
    close(run(to_onnx(model, path), x)["predictions"], model.predict_proba(x))


# Size --------------------------------------------------------------------------------


def test_nothing_of_the_size_of_a_dense_layer(path):
    model = SparseMLP([300, 3000, 3000, 10], epsilon=2, seed=3)
    to_onnx(model, path, chunk_size=2000)
    held, computed = sizes_of_tensors(path)
    # Indices and weights, filled up by at most an eighth, biases, and the constants.
    assert sum(held) <= 2.25 * model.nnz + 2 * model.n_neurons + 200
    assert max(computed) <= 3000
    assert len(computed) > 20
    assert path.stat().st_size < 4 * sum(held) + 40_000


def test_constant_fan_in_needs_three_nodes_a_layer(path):
    mask = np.random.default_rng(0).permuted(
        np.tile(np.arange(40) < 5, (30, 1)), axis=1
    )
    model = SparseMLP.from_layers([layer(make_connections(mask.T))], "squared")
    to_onnx(model, path)
    names = [node.op_type for node in onnx.load(path).graph.node]
    assert names == ["Transpose", "Gather", "MatMul", "Squeeze", "Add", "Transpose"]
    assert sum(sizes_of_tensors(path)[0]) == 2 * model.nnz + 30 + 1


def test_full_layers_are_one_product(path):
    model = make_model(density=1.0, activation="relu")
    to_onnx(model, path)
    names = [node.op_type for node in onnx.load(path).graph.node]
    assert names.count("Gemm") == 3
    assert "Gather" not in names


def test_large_nets_do_not_become_many_nodes(path, monkeypatch):
    monkeypatch.setattr("truesparse.export.onnx_export._LEAST_CHUNK", 1)
    mask = np.ones((100, 300), bool)
    mask[::2, ::3] = False
    model = SparseMLP.from_layers([layer(make_connections(mask))], "squared")
    to_onnx(model, path)
    names = [node.op_type for node in onnx.load(path).graph.node]
    assert 200 < names.count("Gemm") + names.count("Gather") < 400


@given(st.lists(st.integers(0, 60)), st.integers(1, 200))
def test_groups_cover_all_neurons_with_little_padding(counts, chunk_size):
    counts = np.sort(np.array(counts, int))
    end = 0
    for start, stop, width in _groups(counts, chunk_size):
        assert start == end
        fan_ins, end = counts[start:stop], stop
        assert fan_ins.max() == width
        assert width <= fan_ins.min() * 9 / 8
        assert fan_ins.size * width <= chunk_size or fan_ins.size == 1 or width == 0
    assert end == counts.size
