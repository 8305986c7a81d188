"""The twins themselves, against known values: an error here would hide others."""

import numpy as np
import pytest
from support import naive

from truesparse.activations import ACTIVATIONS
from truesparse.losses import LOSSES

H = 1e-6
PARAMETERS = {
    "leaky_relu": 0.1,
    "all_relu": -0.6,
    "elu": 1.3,
    "srelu": [[-1.03], [0.2], [1.33], [1.8]],
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_derivatives(name):
    z = np.linspace(-4.05, 4.0, 60)[None]
    parameter = PARAMETERS.get(name, 0.0)
    up, down = (naive.activation(name, z + h, parameter) for h in (H, -H))
    got = naive.derivative(name, z, parameter)
    np.testing.assert_allclose(got, (up - down) / (2 * H), rtol=0, atol=1e-8)


@pytest.mark.parametrize("name", LOSSES)
def test_deltas(name):
    draw = np.random.default_rng(0)
    z = draw.standard_normal((3, 4))
    targets = draw.integers(0, 3, 4) if name == "softmax" else draw.random((3, 4))
    _, slope = naive.loss_terms(name, z, targets)
    for k in range(3):
        shift = H * (np.arange(3) == k)[:, None]
        up, down = (naive.loss_terms(name, z + s, targets)[0] for s in (shift, -shift))
        np.testing.assert_allclose(slope[k], (up - down) / (2 * H), rtol=0, atol=1e-8)


def test_mix_is_a_permutation_that_spreads():
    x = np.arange(1 << 16)
    hashes = naive.mix(x)
    assert np.unique(hashes).size == x.size
    assert hashes.max() < 2**32
    # Each bit is set for about half of the inputs.
    bits = (hashes[:, None] >> np.arange(32, dtype=np.uint64)) & np.uint64(1)
    np.testing.assert_allclose(bits.mean(0), 0.5, atol=0.01)
    assert naive.mix(0) == 0
    assert naive.mix(1) == _mix_of_integers(1)
    assert naive.mix(2**32 - 1) == _mix_of_integers(2**32 - 1)


def _mix_of_integers(x):
    x = ((x ^ (x >> 16)) * 0x7FEB352D) % 2**32
    x = ((x ^ (x >> 15)) * 0x846CA68B) % 2**32
    return x ^ (x >> 16)


def test_view_and_absent_cells():
    mask = np.array([[1, 0, 1], [0, 1, 1]], bool)
    indptr, rows, order = naive.column_view(mask)
    np.testing.assert_array_equal(indptr, [0, 1, 2, 4])
    np.testing.assert_array_equal(rows, [0, 1, 0, 1])
    np.testing.assert_array_equal(order, [0, 2, 1, 3])
    np.testing.assert_array_equal(naive.absent_keys(mask, np.array([0, 1])), [1, 3])


def test_rewire():
    mask = np.array([[1, 0, 1], [0, 1, 0]], bool)
    dense = np.where(mask, 5.0, 0.0)
    dropped = np.array([False, True, True])
    mask, dense = naive.rewire(mask, dense, dropped, np.array([2, 3]), 7.0)
    np.testing.assert_array_equal(mask, [[1, 0, 1], [1, 0, 0]])
    np.testing.assert_array_equal(dense, [[5, 0, 7], [7, 0, 0]])


# Counts of the reference code at zeta 0.3: both pivots go too.
@pytest.mark.parametrize(
    ("n_negative", "n_positive", "n_removed"),
    [(500, 500, 302), (7, 5, 5), (0, 10, 4), (1, 1, 2)],
)
def test_set_removes_the_share_closest_to_zero_of_each_sign(
    n_negative, n_positive, n_removed
):
    negative, positive = -1.0 - np.arange(n_negative), 1.5 + np.arange(n_positive)
    weights = np.random.default_rng(0).permutation([*negative, *positive])
    removed = naive.set_removed(weights, 0.3)
    assert removed.sum() == n_removed
    for sign in (-1, 1):
        sizes = np.abs(weights[np.sign(weights) == sign])
        gone = removed[np.sign(weights) == sign]
        if gone.any() and not gone.all():
            assert sizes[gone].max() < sizes[~gone].min()


def test_a_dense_network_learns():
    draw = np.random.default_rng(0)
    weights = [draw.standard_normal(shape) / 2 for shape in ((4, 8), (8, 2))]
    network = naive.DenseMLP(weights, [("tanh", 0.0), ("identity", 0.0)])

    class Method:
        name, momentum, weight_decay, decay, fan_in_limit = "sgd", 0.9, 0.0, None, None

    x = draw.standard_normal((4, 50))
    targets, even = (x[0] > x[1]).astype(int), np.full(50, 0.02)
    losses = [network.train_step(x, targets, even, Method, 0.1) for _ in range(60)]
    assert losses[-1] < 0.3 * losses[0]
