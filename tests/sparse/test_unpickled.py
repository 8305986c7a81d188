"""A pickled network whose arrays were damaged is refused before a kernel sees it."""

import copy
import pickle

import numpy as np
import pytest

from truesparse import SparseMLP
from truesparse.condensed import CondensedMLP
from truesparse.errors import ModelFileError, UsageError

X = np.random.default_rng(0).standard_normal((4, 6)).astype(np.float32)


def make(**options):
    return SparseMLP([6, 9, 5, 3], density=0.5, seed=1, **options)


def place(content, array):
    """Return where the bytes of an array stand in a pickle, once."""
    start = content.index(array.tobytes())
    assert content.count(array.tobytes()) == 1
    return start


@pytest.mark.parametrize("activation", ["relu", "srelu"])
def test_a_pickle_comes_back_with_the_same_bits(activation):
    model = make(activation=activation)
    want = model.decision_function(X)
    for other in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        np.testing.assert_array_equal(other.decision_function(X), want)
        assert (other.step, other.layer_sizes) == (model.step, model.layer_sizes)


@pytest.mark.parametrize("bit", [0, 7])
@pytest.mark.parametrize("name", ["indices", "indptr"])
def test_any_index_that_leads_outside_is_noticed(name, bit):
    model = make()
    content = pickle.dumps(model)
    n_refused = 0
    for layer in model.layers:
        array = getattr(layer.connections, name)
        start = place(content, array)
        for k in range(start, start + array.nbytes):
            changed = bytearray(content)
            changed[k] ^= 1 << bit
            try:
                other = pickle.loads(bytes(changed))
            except ModelFileError as error:
                n_refused += "the pickled network is damaged: ind" in str(error)
            else:
                # Another pattern, and a valid one.
                assert np.isfinite(other.decision_function(X)).all()
    assert n_refused > 100


def shorten(model):
    model.layers[1].bias = model.layers[1].bias[:-1].copy()


def widen(model):
    model.layers[1].bias = model.layers[1].bias.astype(np.float64)


def swap(model):
    model.layers.reverse()


def retype(model):
    connections = model.layers[0].connections
    connections.indices = connections.indices.astype(np.int64)


def cut(model):
    model.layers[0].srelu.values = model.layers[0].srelu.values[:3].copy()


def forget(model):
    del model.layers[0].connections.indptr


def flatten(model):
    model.layers[0].bias = np.zeros((), np.float32)


def raise_dimensions(model):
    connections = model.layers[0].connections
    connections.values = connections.values[:, None]


def empty(model):
    model.layers = []


SPOILS = [shorten, widen, swap, retype, cut, forget, flatten, raise_dimensions, empty]


@pytest.mark.parametrize("spoil", SPOILS)
def test_arrays_that_do_not_fit_are_noticed(spoil):
    model = make(activation="srelu")
    spoil(model)
    with pytest.raises(ModelFileError, match="the pickled network is damaged"):
        pickle.loads(pickle.dumps(model))


def test_gradients_are_made_anew():
    """Kernels write as many numbers into them as there are neurons."""
    model = make(activation="srelu")
    for layer in model.layers:
        layer._bias_gradient = np.zeros(1, np.float32)
        if layer.srelu is not None:
            layer.srelu.gradient = np.zeros((4, 1), np.float32)
    other = pickle.loads(pickle.dumps(model))
    for layer in other.layers:
        assert layer.bias_gradient.shape == layer.bias.shape
        if layer.srelu is not None:
            assert layer.srelu.gradient.shape == layer.srelu.values.shape


def test_tasks_are_split_anew():
    model = make()
    for layer in model.layers:
        layer.connections.row_tasks[:] = 10**6
        layer.connections.longest_row = 10**6
    other = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(
        other.decision_function(X), make().decision_function(X)
    )


def test_a_condensed_layer_is_checked_as_its_arguments_are():
    model = CondensedMLP.from_model(make())
    other = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(
        other.decision_function(X), model.decision_function(X)
    )
    assert [a.cache_share for a in other.layers] == [
        a.cache_share for a in model.layers
    ]
    model.layers.reverse()
    with pytest.raises(ModelFileError, match="the pickled network is damaged"):
        pickle.loads(pickle.dumps(model))
    model.layers.reverse()
    content = pickle.dumps(model.layers[0])
    inputs = model.layers[0].by_output()[1]
    start = place(content, inputs)
    changed = bytearray(content)
    changed[start + 1] ^= 1
    with pytest.raises(UsageError, match="inputs must be from 0 to n_in - 1 = 5"):
        pickle.loads(bytes(changed))
