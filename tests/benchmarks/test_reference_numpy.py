"""The readable implementation and its rules follow the engine and the dense twins."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import naive_paths
from support.reference_runs import (
    CASES,
    GOLDEN_KIT,
    draw_batch,
    draw_update,
    make_state,
)

from benchmarks.reference import cells, numpy_dense
from benchmarks.reference.replay import mix, stays
from truesparse.activations import LayerActivation, layer_activation
from truesparse.common import rng
from truesparse.network.sparse_mlp import SparseMLP
from truesparse.optimizers import Optimizer
from truesparse.reference import check
from truesparse.sparse.connections import Connections
from truesparse.sparse.layer import SparseLayer
from truesparse.topology.set import drop_zeros_first


def engine_of(case, state):
    """Return a SparseMLP in a state, and its optimiser."""
    optimizer = Optimizer(
        case["optimizer"], weight_decay=case["weight_decay"], decay=case["decay"]
    )
    layers = []
    for number, sides in enumerate(itertools.pairwise(case["layer_sizes"])):
        arrays = (
            state[f"layer.{number}.{p}"] for p in ("indptr", "indices", "weights")
        )
        activation = layer_activation(
            case["activation"], number, dropout=case["dropout"]
        )
        if number == len(case["layer_sizes"]) - 2:
            activation = LayerActivation("identity")
        layers.append(SparseLayer(Connections(*sides, *arrays), activation))
    model = SparseMLP.from_layers(layers, case["loss"], case["seed"])
    model.allocate_moments(optimizer)
    model.prepare(8)
    return model, optimizer


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_steps_are_those_of_the_engine(case):
    case = case | {"dtype": "float64", "frozen_biases": False, "sparse_input": False}
    state = make_state(case)
    net = numpy_dense.factory(case)
    net.load(state)
    model, optimizer = engine_of(case, state)
    for step in range(5):
        # The last batches are smaller.
        batch = draw_batch(case, step, n=8 - step)._replace(
            keys=[rng.key32(case["seed"], rng.Purpose.DROPOUT, step, n) for n in (0, 1)]
        )
        samples = np.arange(len(batch.targets))
        want = model.train_batch(
            batch.inputs, batch.targets, samples, optimizer, case["lr"]
        )
        got = net.step(batch)
        assert got["loss"] == pytest.approx(want, abs=1e-13)
    after = net.state()
    for number, layer in enumerate(model.layers):
        pairs = {
            "weights": layer.connections.values,
            "bias": layer.bias,
            "first": layer.connections.moments.first,
            "second": layer.connections.moments.second,
            "bias_first": layer.bias_moments.first,
            "bias_second": layer.bias_moments.second,
        }
        for part, array in pairs.items():
            got = after[f"layer.{number}.{part}"]
            np.testing.assert_allclose(got, array, 1e-11, 1e-13, err_msg=part)


def test_biases_can_be_frozen():
    case = CASES[0] | {"dtype": "float64", "frozen_biases": True}
    net = numpy_dense.factory(case)
    net.load(make_state(case))
    gradient = net.step(draw_batch(case, 0))["layer.0.bias_gradient"]
    assert gradient.any()
    assert not net.state()["layer.0.bias"].any()
    # Their moments go on, as in the engine.
    first = net.state()["layer.0.bias_first"]
    np.testing.assert_allclose(first, -case["lr"] * gradient)


# Dropout ------------------------------------------------------------------------------


def test_dropout_takes_its_share():
    got = stays(2**32 - 1, np.arange(200)[:, None], np.arange(100), 0.25)
    # To 4 deviations.
    assert abs(got.mean() - 0.75) < 4 * np.sqrt(0.25 * 0.75 / got.size)


def test_mix_is_the_same_for_numbers_and_arrays():
    numbers = [0, 1, 2, 2**31, 2**32 - 1]
    assert mix(np.array(numbers)).tolist() == [mix(n) for n in numbers]


# Rules --------------------------------------------------------------------------------


@given(st.sets(st.integers(0, 40)), st.data())
def test_empty_cells_are_counted(numbers, data):
    connected = np.array(sorted(numbers), np.int64)
    empty = np.setdiff1d(np.arange(60), connected)
    ranks = sorted(data.draw(st.sets(st.integers(0, empty.size - 1))))
    got = cells.empty_cells(connected, np.array(ranks, np.int64))
    np.testing.assert_array_equal(got, empty[ranks])


@given(
    st.lists(st.integers(-3, 3), min_size=1, max_size=12),
    st.sampled_from([0.0, 0.1, 0.3, 0.5, 0.9]),
)
def test_removal_is_that_of_the_engine(numbers, fraction):
    weights = np.array(numbers, float)
    got = cells.nearest_to_zero(weights, fraction)
    np.testing.assert_array_equal(got, drop_zeros_first(weights, fraction))


@given(st.integers(0, 2**20), st.integers(1, 12), st.sampled_from([1, 7, 1 << 16]))
def test_the_largest_are_those_of_all_cells(seed, count, part):
    draw = np.random.default_rng(seed)
    gradient = draw.integers(-4, 5, 30).astype(float)
    connected = np.flatnonzero(draw.random(30) < 0.3)
    before, cells.PART = cells.PART, part
    try:
        keys, sizes = cells.largest_absent(connected, 30, gradient.take, count)
    finally:
        cells.PART = before
    scores = np.abs(gradient)
    scores[connected] = 0
    # Of equal ones the last.
    order = np.argsort(scores, kind="stable")[::-1][:count]
    want = np.sort(order[scores[order] > 0])
    np.testing.assert_array_equal(keys, want)
    np.testing.assert_array_equal(sizes, scores[want])


@given(st.integers(0, 2**20))
def test_path_scores_choose_as_the_twin_does(seed):
    draw = np.random.default_rng(seed)
    mask = draw.random((6, 5)) < 0.4
    scores = naive_paths.scores(mask)
    n_reached = int((scores > 0).sum())
    if n_reached == 0:
        return
    count = int(draw.integers(1, n_reached + 1))
    keys = np.flatnonzero(mask)
    got = cells.highest_scores(keys, mask.shape, count, None)
    assert got.size == count
    # Equal scores but for rounding: what is chosen has as high ones as the best.
    best = np.sort(scores.ravel())[::-1][:count]
    np.testing.assert_allclose(np.sort(scores.flat[got])[::-1], best, 1e-12)


def test_ties_choose_among_equal_scores():
    # Every absent cell has the same score.
    keys = np.flatnonzero(~np.eye(3, dtype=bool))
    got = cells.highest_scores(keys, (3, 3), 2, np.array([0, 2]))
    assert got.tolist() == [0, 8]


def test_shares_are_of_largest_remainders():
    assert cells.share_out(10, [1.0, 1.0, 2.0], [100, 100, 4]) == [3, 3, 4]
    assert cells.share_out(5, [1.0, 0.0], [2, 9]) == [2, 3]
    assert cells.share_out(0, [1.0], [9]) == [0]


def test_a_fan_in_is_that_of_the_budget_not_of_what_is_left():
    case = next(case for case in CASES if case["topology"] == "srigl")
    net = numpy_dense.factory(case | {"dtype": "float64"})
    net.load(make_state(case | {"dtype": "float64"}))
    update = draw_update(case | {"dtype": "float64"}, net, 1)
    n_out = net.shape(0)[1]
    more = net.keys(0).size + n_out
    update.draws["layer.0.budget"] = np.array(more)
    net.update_topology(update)
    fan_ins = np.bincount(net.keys(0) % n_out, minlength=n_out)
    # Neurons without outputs have no gradient to grow by.
    assert fan_ins.max() == more // np.count_nonzero(fan_ins)


# The check ----------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_readable_implementation_passes(dtype):
    words = [f"--dtype={dtype}", "--implementation"]
    assert (
        check.main([GOLDEN_KIT, *words, "benchmarks.reference.numpy_dense:factory"])
        == 0
    )
