"""Models of given matrices: SparseMLP.from_sparse."""

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st
from support.strategies import SEEDS, masks, to_dense

from truesparse import SparseMLP
from truesparse.errors import UsageError

W1 = scipy.sparse.csr_array(np.array([[1.0, 0, 2], [0, 3, 0]]))
W2 = scipy.sparse.csr_array(np.array([[4.0], [0], [5]]))


@given(
    masks(),
    st.sampled_from(["csr", "csc", "coo", "lil", "dok", "bsr", "dia"]),
    st.sampled_from(["float32", "float64"]),
    SEEDS,
)
def test_connections_and_weights_are_those_of_the_matrices(mask, format, dtype, seed):
    draw = np.random.default_rng(seed)
    first = np.where(mask, draw.uniform(1, 2, mask.shape), 0).astype(dtype)
    second = draw.uniform(1, 2, (mask.shape[1], 3)).astype(dtype)
    biases = [draw.standard_normal(mask.shape[1]), draw.standard_normal(3)]
    given_ = [scipy.sparse.csr_array(W).asformat(format) for W in (first, second)]
    model = SparseMLP.from_sparse(given_, biases, dtype=dtype, activation="tanh")
    for layer, W, bias in zip(model.layers, (first, second), biases, strict=True):
        layer.connections.check()
        np.testing.assert_array_equal(to_dense(layer.connections), W)
        np.testing.assert_array_equal(layer.bias, bias.astype(dtype))
    assert model.nnz == np.count_nonzero(first) + second.size
    x = draw.standard_normal((5, len(first)))
    want = np.tanh(x @ first + biases[0]) @ second + biases[1]
    np.testing.assert_allclose(model.decision_function(x), want, rtol=1e-4, atol=1e-4)


def test_a_model_is_made_again_of_its_own_matrices():
    model = SparseMLP([6, 9, 4], epsilon=2, loss="squared", seed=3, dropout=0.2)
    biases = [layer.bias for layer in model.layers]
    settings = {"loss": "squared", "seed": 3, "dropout": 0.2}
    again = SparseMLP.from_sparse(model.to_scipy(), biases, **settings)
    x = np.ones((2, 6))
    np.testing.assert_array_equal(
        again.decision_function(x), model.decision_function(x)
    )
    assert [layer.activation for layer in again.layers] == [
        layer.activation for layer in model.layers
    ]


def test_given_arrays_are_copied():
    W, bias = W1.copy(), np.zeros(3)
    model = SparseMLP.from_sparse([W], [bias], dtype="float64")
    model.layers[0].connections.values[:] = 7
    model.layers[0].bias[:] = 7
    for array in model.layers[0].connections.csr:
        for other in (W.indptr, W.indices, W.data):
            assert not np.shares_memory(array, other)
    np.testing.assert_array_equal(W.toarray(), W1.toarray())
    assert not bias.any()


def test_entries_of_one_cell_are_added_and_a_stored_zero_is_a_connection():
    twice = scipy.sparse.coo_array(([1.0, 2.0, 0.0], ([0, 0, 1], [1, 1, 0])), (2, 2))
    model = SparseMLP.from_sparse([twice])
    assert model.nnz == 2
    np.testing.assert_array_equal(model.to_scipy()[0].toarray(), [[0, 3], [0, 0]])


def broken(format, index):
    """Return a matrix with an index that was changed after SciPy had checked it."""
    matrix = W1.copy().asformat(format)
    array = matrix.row if format == "coo" else matrix.indices
    array[-1] = index
    return matrix


@pytest.mark.parametrize("index", [-1, 3, 2**30])
@pytest.mark.parametrize("format", ["csr", "csc", "coo"])
def test_indices_are_checked_before_they_are_used(format, index):
    """SciPy's conversions would write outside of their arrays."""
    with pytest.raises(UsageError, match=r"weights\[0\] is not a valid sparse matrix"):
        SparseMLP.from_sparse([broken(format, index), W2])


@pytest.mark.parametrize(
    ("weights", "biases", "message"),
    [
        (W1, None, "weights must be a list of scipy.sparse matrices"),
        (None, None, "weights must be a list .* got NoneType"),
        ([], None, "at least one layer"),
        (
            [W1.toarray()],
            None,
            r"weights\[0\] must be .* matrix.*csr_array",
        ),
        ([W1, W1], None, "3 outputs cannot feed one with 2 inputs"),
        ([W1, W2 * np.nan], None, r"weights\[1\] holds NaN"),
        ([W1 * 1e39], None, r"weights\[0\] holds .* infinite in float32"),
        ([W1 * 1j], None, r"weights\[0\] must be .* real numbers, got complex128"),
        ([W1], 5, "biases must be a list of arrays, got 5"),
        ([W1], [], "biases must be as many as weights, 1, got 0"),
        ([W1], [[1.0, 2.0]], r"biases\[0\] must be real numbers of shape \(3,\)"),
        ([W1], [[1.0, 2.0, np.inf]], r"biases\[0\] holds NaN"),
        ([W1], [["a", "b", "c"]], r"biases\[0\] must be real numbers"),
        ([scipy.sparse.csr_array((0, 3))], None, "n_in must be a whole number"),
    ],
)
def test_what_makes_no_model_is_refused(weights, biases, message):
    with pytest.raises(UsageError, match=message):
        SparseMLP.from_sparse(weights, biases)


def test_options_are_checked_as_those_of_a_new_model():
    for settings in ({"loss": "hinge"}, {"activation": "rely"}, {"dtype": "float16"}):
        with pytest.raises(UsageError, match="unknown"):
            SparseMLP.from_sparse([W1, W2], **settings)


def test_srelu_starts_as_in_a_new_model():
    settings = {"activation": "srelu", "seed": 4}
    new = SparseMLP([2, 3, 1], density=1.0, **settings)
    made = SparseMLP.from_sparse([W1, W2], **settings)
    np.testing.assert_array_equal(
        made.layers[0].srelu.values, new.layers[0].srelu.values
    )


def test_the_poisson_loss_is_that_of_scikit_learn_on_the_same_weights():
    from sklearn.neural_network import MLPRegressor

    draw = np.random.default_rng(0)
    X, y = draw.standard_normal((40, 3)), draw.poisson(2.0, 40)
    if "loss" not in MLPRegressor().get_params():
        pytest.skip("scikit-learn has it since 1.7")
    # So small a step that the weights are those at which the loss was computed.
    settings = {"learning_rate_init": 1e-300, "alpha": 0.0, "max_iter": 1}
    net = MLPRegressor("poisson", (5,), solver="sgd", batch_size=40, **settings)
    with pytest.warns(match="iterations"):
        net.fit(X, y)
    matrices = [scipy.sparse.csr_array(W) for W in net.coefs_]
    model = SparseMLP.from_sparse(
        matrices, net.intercepts_, loss="poisson", dtype="float64"
    )
    np.testing.assert_allclose(model.predict_proba(X)[:, 0], net.predict(X), rtol=1e-12)
    assert model.evaluate(X, y)[0] == pytest.approx(net.loss_, rel=1e-12)
    assert model.evaluate(X, y)[1] == pytest.approx(net.score(X, y), rel=1e-12)
