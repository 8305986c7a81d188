"""Smaller models predict the same, and have only neurons on paths."""

import dataclasses

import numpy as np
import pytest
import scipy.sparse
from hypothesis import assume, given
from hypothesis import strategies as st
from support.strategies import SEEDS

from truesparse import SparseMLP, datasets, save
from truesparse.analysis import shrink, structure
from truesparse.commands.config import CHOICES
from truesparse.datasets import Preprocessing
from truesparse.errors import UsageError

TOLERANCES = {"float32": 1e-5, "float64": 1e-12}
ACTIVATIONS = CHOICES["activation"]


def make(seed, *, sizes=(7, 30, 20, 3), dtype="float64", density=0.06, **options):
    """Return a model with dead neurons of all kinds, and biases."""
    model = SparseMLP(sizes, density=density, dtype=dtype, seed=seed, **options)
    draw = np.random.default_rng(seed)
    for layer in model.layers:
        layer.bias[:] = draw.normal(0, 0.5, layer.bias.size)
        if layer.srelu is not None:
            layer.srelu.draw(draw)
    return model


@given(
    seed=st.integers(0, 10_000),
    activation=st.sampled_from(ACTIVATIONS),
    dtype=st.sampled_from(list(TOLERANCES)),
)
def test_predictions_stay_and_dead_neurons_go(seed, activation, dtype):
    model = make(seed, activation=activation, dtype=dtype)
    assume(min(structure(model).active) > 0)
    X = np.random.default_rng(seed + 1).standard_normal((8, 7))
    wanted = model.decision_function(X)
    small, neurons = shrink(model)
    got = small.decision_function(X[:, neurons[0]])
    np.testing.assert_allclose(
        got, wanted, rtol=TOLERANCES[dtype], atol=TOLERANCES[dtype]
    )
    assert list(small.layer_sizes) == [each.size for each in neurons]
    assert list(small.layer_sizes)[:-1] == structure(model).active[:-1]
    # Nothing is left to remove, and the same model comes out.
    again = shrink(small)
    assert again.model.layer_sizes == small.layer_sizes
    np.testing.assert_array_equal(model.decision_function(X), wanted)
    whole, everything = shrink(model, features=False)
    assert everything[0].tolist() == list(range(7))
    np.testing.assert_allclose(
        whole.decision_function(X),
        wanted,
        rtol=TOLERANCES[dtype],
        atol=TOLERANCES[dtype],
    )


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("stored", ["float32", "bfloat16"])
def test_constants_are_rounded_as_the_network_rounds_them(activation, stored):
    n_equal = 0
    for seed in range(4):
        model = make(
            seed,
            sizes=(7, 60, 40, 5),
            dtype="float32",
            activation=activation,
            activation_dtype=stored,
        )
        X = np.random.default_rng(seed).standard_normal((8, 7)).astype(np.float32)
        wanted = model.decision_function(X)
        small, neurons = shrink(model)
        assert small.activation_dtype == stored
        assert min(small.layer_sizes) > 0
        assert neurons[1].size < 60
        got = small.decision_function(X[:, neurons[0]])
        n_equal += np.isclose(got, wanted, rtol=1e-5, atol=1e-5).sum()
        # A sum in the middle of two numbers of 16 bits may go to either side.
        tolerance = 0.02 if stored == "bfloat16" else 1e-5
        np.testing.assert_allclose(got, wanted, rtol=tolerance, atol=tolerance)
    assert n_equal >= 0.95 * 4 * 8 * 5


@given(seed=SEEDS)
def test_weights_and_biases_of_neurons_on_paths_stay(seed):
    model = make(seed % 1000, density=0.3)
    small, neurons = shrink(model)
    for index, layer in enumerate(small.layers):
        dense = model.layers[index].connections.to_scipy().toarray()
        wanted = dense[neurons[index]][:, neurons[index + 1]]
        np.testing.assert_array_equal(layer.connections.to_scipy().toarray(), wanted)
        assert layer.activation == model.layers[index].activation


def test_a_chain_of_constants_ends_in_the_bias():
    # Feature 0 - neuron 0 - output 0; neuron 1 has no input, and feeds output 0.
    first = scipy.sparse.coo_array(([2.0], ([0], [0])), (2, 2))
    second = scipy.sparse.coo_array(([3.0, 5.0], ([0, 1], [0, 0])), (2, 2))
    model = SparseMLP.from_sparse(
        [first, second], [[0.0, 0.25], [0.5, 7.0]], dtype="float64"
    )
    small, neurons = shrink(model)
    assert [each.tolist() for each in neurons] == [[0], [0], [0, 1]]
    assert small.layers[1].bias.tolist() == [0.5 + 5 * 0.25, 7.0]
    assert small.nnz == 2


def test_the_scales_and_names_of_the_features_that_are_left_stay(tmp_path):
    iris = datasets.load("iris")
    how = dataclasses.replace(
        Preprocessing.of(iris), feature_names=("a", "b", "c", "d"), first_index=1
    )
    weights = np.zeros((4, 3))
    weights[[0, 2], [1, 2]] = 1.0
    full = scipy.sparse.csr_array(np.ones((3, 3)))
    model = SparseMLP.from_sparse([scipy.sparse.csr_array(weights), full])
    model.preprocessing = how
    model.step = 12
    small, neurons = shrink(model)
    left = small.preprocessing
    assert neurons[0].tolist() == [0, 2]
    assert left.feature_names == ("a", "c")
    np.testing.assert_array_equal(left.feature_mean, how.feature_mean[::2])
    assert left.first_index is None
    assert small.step == 12
    save(small, tmp_path / "small.safetensors")  # which checks that all fits
    same = shrink(model, features=False).model.preprocessing
    assert vars(same) == vars(how)


def test_features_of_encoded_columns_cannot_go():
    from truesparse.datasets.feature_columns import fit_encoding

    colours = np.array(["red", "blue", "red"], dtype=object)
    encoding = fit_encoding([colours], ["colour"])
    weights = scipy.sparse.coo_array(([1.0], ([0], [0])), (2, 2))
    model = SparseMLP.from_sparse([weights])
    model.preprocessing = Preprocessing("classification", encoding=encoding)
    with pytest.raises(UsageError, match="features=False"):
        shrink(model)
    assert shrink(model, features=False).model.layer_sizes == (2, 2)


def test_a_model_without_paths_is_refused():
    first = scipy.sparse.coo_array(([1.0], ([0], [0])), (2, 2))
    second = scipy.sparse.coo_array(([1.0], ([1], [0])), (2, 2))
    with pytest.raises(UsageError, match="no path leads"):
        shrink(SparseMLP.from_sparse([first, second]))
    with pytest.raises(UsageError, match="SparseMLP"):
        shrink(3)
