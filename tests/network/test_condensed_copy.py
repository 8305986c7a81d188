"""Predictions on a few samples: right however weights change, and always the same."""

import copy
import itertools
import pickle
import threading

import numpy as np
import pytest
from scipy import sparse
from support.compare import assert_close
from support.network import make_model, make_twin
from support.strategies import DTYPES

from truesparse.activations import ACTIVATIONS, LayerActivation
from truesparse.drawing.patterns import INIT_TOPOLOGIES
from truesparse.kernels import jit
from truesparse.network import condensed_copy, feedforward
from truesparse.network.sparse_mlp import SparseMLP
from truesparse.optimizers import Optimizer
from truesparse.sparse.srelu import Srelu
from truesparse.storage import models

SIZES = (20, 35, 40, 3)
BOTH = pytest.mark.parametrize("dtype", DTYPES)


def rows(n, dtype=np.float64, n_features=SIZES[0]):
    x = np.random.default_rng(n).standard_normal((n, n_features))
    return (x * (x > -0.5)).astype(dtype)


def exact(model, x):
    """Return the outputs of the dense twin."""
    outputs = make_twin(model).outputs(x.T)[1]
    return outputs[-1].T


def check(model, x, scale=30.0):
    got = model.decision_function(x)
    assert got.dtype == model.dtype
    assert_close(got, exact(model, x), scale)
    return got


@BOTH
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_all_activations_and_batch_sizes(dtype, activation):
    # So thin that some neurons have no inputs, or feed no other.
    model = make_model(SIZES, 0.06, activation=activation, dtype=np.dtype(dtype).name)
    x = rows(9, dtype)
    want = np.vstack([model.decision_function(x[i : i + 1]) for i in range(9)])
    assert_close(want, exact(model, x), 30.0)
    for n in range(1, 9):
        assert (check(model, x[:n]) == want[:n]).all()
        assert (model.decision_function(x, n) == want).all()
        csr = sparse.csr_array(x[:n])
        assert (model.decision_function(csr) == want[:n]).all()


@pytest.mark.parametrize("name", INIT_TOPOLOGIES)
def test_all_topologies(name):
    data = {"init_data": rows(50)} if name == "csti" else {}
    model = make_model(SIZES, 0.25, init_topology=name, **data)
    for n in (1, 5):
        check(model, rows(n))


@pytest.mark.parametrize("density", [1.0, 0.02, 0.0])
def test_full_and_empty_layers(density):
    masks = [np.zeros(shape) for shape in itertools.pairwise(SIZES)]
    draw = np.random.default_rng(0)
    for mask in masks:
        mask[draw.random(mask.shape) < density] = 0.5
    model = SparseMLP.from_sparse([sparse.csr_array(mask) for mask in masks])
    for layer in model.layers:
        layer.bias[:] = draw.standard_normal(layer.bias.size)
    check(model, rows(2, np.float32))


def values(model):
    model.layers[0].connections.values[7] += 0.5


def bias(model):
    model.layers[1].bias[3] = -2.0


def swap(model):
    first = model.layers[1].connections.values
    first[[4, 5]] = first[[5, 4]]


def units(model):
    model.layers[1].srelu.values[1, :9] += 1.0


def new_units(model):
    model.layers[1].srelu = Srelu(40, np.float64)


def shared(model):
    model.to_scipy(copy=False)[2].data[:] *= -1.0


def new_values(model):
    connections = model.layers[0].connections
    connections.values = connections.values * 2.0


def new_bias(model):
    model.layers[0].bias = model.layers[0].bias + 1.0


def rewired(model):
    connections = model.layers[0].connections
    dropped = np.zeros(connections.nnz, bool)
    dropped[:9] = True
    connections.rewire(dropped, np.empty(0, np.int64), np.empty(0))


def adopted(model):
    other = make_model(SIZES, 0.3, seed=8, activation="srelu")
    model.layers[1].connections.adopt(other.layers[1].connections)


def new_layer(model):
    model.layers[1] = make_model(SIZES, 0.3, seed=9, activation="srelu").layers[1]


def new_connections(model):
    other = make_model(SIZES, 0.3, seed=9, activation="srelu")
    model.layers[0].connections = other.layers[0].connections


def new_activation(model):
    model.layers[0].srelu = None
    model.layers[0].activation = LayerActivation("tanh")


def trained(model):
    X, y = rows(30), np.arange(30, dtype=np.int32) % 3
    optimizer = Optimizer("sgd", momentum=0.9)
    model.prepare(30)
    model.allocate_moments(optimizer)
    model.train_batch(X, y, np.arange(30), optimizer, 0.1)


CHANGES = (
    *(values, bias, swap, units, new_units, shared, new_values, new_bias, rewired),
    *(adopted, new_layer, new_connections, new_activation, trained),
)


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array])
def test_no_change_goes_unnoticed(change, form):
    model, x = make_model(SIZES, 0.3, activation="srelu"), rows(1)
    before = model.decision_function(form(x))
    change(model)
    after = model.decision_function(form(x))
    assert (after != before).any()
    assert (check(model, x) == after).all()
    # What was noticed once is not forgotten.
    assert (model.decision_function(form(x)) == after).all()


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array])
def test_changes_of_an_array_with_gaps_show_too(form):
    model, x = make_model(SIZES, 0.3), rows(1)
    room, outputs = np.zeros(2 * SIZES[2]), []
    model.layers[1].bias = room[::2]
    for number in range(3):
        room[:] = number
        outputs.append(model.decision_function(form(x)))
        assert_close(outputs[-1], exact(model, x), 30.0)
    assert (np.diff(outputs, axis=0) != 0).any(axis=(1, 2)).all()


def count_copies(monkeypatch):
    made, make = [], condensed_copy._Copy

    def counted(layers):
        made.append(layers)
        return make(layers)

    monkeypatch.setattr(condensed_copy, "_Copy", counted)
    return made


def test_a_copy_lasts_as_long_as_the_weights(monkeypatch):
    made, model = count_copies(monkeypatch), make_model(SIZES, 0.3)
    for n in (1, 2, 8):
        model.decision_function(rows(n))
        model.evaluate(rows(n), np.zeros(n, np.int32))
    assert len(made) == 1
    model.decision_function(rows(9))
    values(model)
    model.decision_function(rows(9))
    assert len(made) == 1
    model.decision_function(rows(1))
    assert len(made) == 2
    trained(model)
    assert model._few._copies == {}
    model.decision_function(rows(1))
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert other._few._copies == {}
        assert (other.decision_function(rows(1)) == check(model, rows(1))).all()


def test_large_nets_are_not_copied(monkeypatch):
    made, model = count_copies(monkeypatch), make_model(SIZES, 0.3)
    monkeypatch.setattr(condensed_copy, "_MOST_CONNECTIONS", model.nnz - 1)
    want = feedforward.predict(model.layers, None, rows(1), 1)
    assert (check(model, rows(1)) == want).all()
    assert made == []
    monkeypatch.setattr(condensed_copy, "_MOST_CONNECTIONS", model.nnz)
    check(model, rows(1))
    assert len(made) == 1


def test_the_first_layer_is_not_copied_for_sparse_samples(monkeypatch):
    made, model = count_copies(monkeypatch), make_model(SIZES, 0.3)
    rest = sum(layer.connections.nnz for layer in model.layers[1:])
    monkeypatch.setattr(condensed_copy, "_MOST_CONNECTIONS", rest)
    x = rows(2)
    got = model.decision_function(sparse.csr_array(x))
    assert_close(got, exact(model, x), 30.0)
    assert [len(layers) for layers in made] == [2]
    check(model, x)
    assert len(made) == 1
    alone = make_model((20, 3), 0.3)
    want = check(alone, x)
    assert (alone.decision_function(sparse.csr_array(x)) == want).all()


def test_activations_in_bfloat16_are_rounded_for_few_samples_too(monkeypatch):
    made = count_copies(monkeypatch)
    settings = {"dtype": "float32", "activation_dtype": "bfloat16"}
    model, x = make_model(SIZES, 0.3, **settings), rows(9, np.float32)
    got = np.vstack([model.decision_function(row) for row in x[:, None]])
    np.testing.assert_allclose(got, model.decision_function(x), rtol=1e-2, atol=1e-2)
    assert made == []


def test_windows_change_no_bit_when_they_come():
    model = SparseMLP([300, 512, 4], density=0.3, seed=1)
    x = rows(1, np.float32, 300)
    want = model.decision_function(x)
    first = model._few._copies[0].chain.layers[0]
    small = first.nbytes
    for _ in range(condensed_copy._PATIENCE + 1):
        np.testing.assert_array_equal(model.decision_function(x), want)
    has_windows = vars(first).get("windows") is not None
    assert has_windows == (jit.has_avx512() and first.nnz > 3000)
    assert (first.nbytes > small) == has_windows
    assert 8 * first.nnz < small < 10 * first.nnz
    assert first.nbytes <= 27 * first.nnz


@pytest.mark.compiled
def test_the_number_of_threads_changes_no_bit():
    model = SparseMLP([700, 900, 4], density=0.15, seed=1)
    x, outputs = rows(2, np.float32, 700), []
    try:
        for count in range(1, jit.most_threads() + 1):
            jit.set_threads(count)
            outputs += [model.decision_function(x) for _ in range(120 // count)]
    finally:
        jit.set_threads(jit.most_threads())
    for got in outputs:
        np.testing.assert_array_equal(got, outputs[0])


@pytest.mark.compiled
def test_threads_predict_at_the_same_time():
    model, x = make_model(SIZES, 0.3), rows(8)
    want = np.vstack([check(model, row) for row in x[:, None]])
    model._few.forget()
    wrong = []

    def run(i):
        jit.set_threads(1)
        for _ in range(200):
            if (model.decision_function(x[i : i + 1]) != want[i]).any():
                wrong.append(i)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_model_from_a_file(tmp_path):
    model, x = make_model(SIZES, 0.3), rows(3)
    want = check(model, x)
    again = models.load(models.save(model, tmp_path / "m"))
    assert (again.decision_function(x) == want).all()


def test_overflow_is_the_same_as_with_many_samples():
    model = make_model((3, 4, 2), 1.0, activation="relu", dtype="float32")
    model.layers[0].connections.values[:] = 3e38
    x = np.full((1, 3), 2.0, np.float32)
    with np.errstate(all="ignore"):
        got = model.decision_function(x)
        want = model.decision_function(np.repeat(x, 9, 0))[:1]
    assert not np.isfinite(got).any()
    np.testing.assert_array_equal(got, want)
