"""Connections that are chosen before training among a superset, without SNIP's."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from support import naive_hessian
from support import naive_topology as naive
from support.strategies import to_dense
from support.topology_net import Net
from support.training import make_model, make_problem, make_trainer

from truesparse import topology
from truesparse.errors import UsageError
from truesparse.network.sparse_mlp import SparseMLP
from truesparse.topology import UpdateContext
from truesparse.topology.superset import SupersetPruning
from truesparse.topology.synflow import flows

ALL = {"gamma": 100.0}


def superset_of(algorithm, **settings):
    """Return a net that has all the candidates of an algorithm."""
    net = Net(**settings)
    for index in algorithm.evolving_layers(net.model):
        algorithm._enlarge(net.model, index)
    net.read()
    return net


def check_choice(net, bigger, masks, rescale=False):
    """Compare the weights that are left with those of the superset, or rescaled."""
    for layer, mask, weights in zip(
        net.model.layers, masks, bigger.weights, strict=True
    ):
        want = np.where(mask, weights, 0.0)
        if rescale:
            want *= np.sqrt(np.sum(weights**2) / np.sum(want**2))
        np.testing.assert_allclose(to_dense(layer.connections), want, rtol=1e-12)
        layer.connections.check()


@pytest.mark.parametrize("rescale", [False, True])
def test_without_another_score_magnitude_decides(rescale):
    net, algorithm = Net(), SupersetPruning(rescale=rescale, **ALL)
    nnz = net.model.nnz
    bigger = superset_of(algorithm)
    algorithm.begin(net.model)
    ones = [np.ones(each.shape) for each in bigger.weights]
    masks = naive.most_sensitive(bigger.weights, ones, nnz)
    check_choice(net, bigger, masks, rescale)


# SynFlow -----------------------------------------------------------------------------


@pytest.mark.parametrize("rounds", [1, 3, 100])
@pytest.mark.parametrize("gamma", [1.0, 100.0])
def test_synflow_equals_its_twin(rounds, gamma):
    net, algorithm = Net(), topology.make("synflow", gamma=gamma, rounds=rounds)
    nnz = net.model.nnz
    bigger = superset_of(algorithm)
    algorithm.begin(net.model)
    masks = naive.synflow(bigger.masks, bigger.weights, nnz, rounds)
    assert net.model.nnz == sum(mask.sum() for mask in masks) == nnz
    check_choice(net, bigger, masks)


def test_rounds_of_synflow_are_not_one():
    choices = []
    for rounds in (1, 100):
        net = Net()
        topology.make("synflow", rounds=rounds, **ALL).begin(net.model)
        choices.append(net.new_masks())
    assert any((a != b).any() for a, b in zip(*choices, strict=True))


def test_synflow_leaves_the_output_layer_if_asked():
    net = Net()
    before = to_dense(net.model.layers[-1].connections)
    topology.make("synflow", evolve_output=False).begin(net.model)
    np.testing.assert_array_equal(to_dense(net.model.layers[-1].connections), before)
    assert (net.new_masks()[0] != net.masks[0]).any()


@settings(max_examples=30)
@given(st.lists(st.integers(1, 6), min_size=2, max_size=5), st.integers(0, 2**31))
def test_flows_are_shares_of_what_flows_through_all_paths(sizes, seed):
    draw = np.random.default_rng(seed)
    weights = [
        np.abs(draw.standard_normal(shape)) * (draw.random(shape) < 0.6)
        for shape in itertools.pairwise(sizes)
    ]
    total = np.linalg.multi_dot([*weights, np.eye(sizes[-1])]).sum()
    got = flows([sparse.csr_array(each) for each in weights])
    for k, (each, shares) in enumerate(zip(weights, got, strict=True)):
        want = []
        for cell in zip(*np.nonzero(each), strict=True):
            # What is missing without one connection flowed through it.
            less = each.copy()
            less[cell] = 0.0
            chain = [*weights[:k], less, *weights[k + 1 :], np.eye(sizes[-1])]
            want.append(total - np.linalg.multi_dot(chain).sum())
        want = np.array(want) / (total if total > 0 else 1.0)
        np.testing.assert_allclose(shares, want, atol=1e-12)


def test_flows_of_a_very_deep_net_neither_overflow_nor_vanish():
    draw = np.random.default_rng(0)
    for scale in (1e-30, 1e30):
        matrix = sparse.csr_array(scale * draw.random((5, 5)))
        for shares in flows([matrix] * 400):
            assert shares.sum() == pytest.approx(1.0)
            assert (shares > 0).all()


def test_without_a_path_the_first_go():
    first = sparse.csr_array(np.eye(6, 8))
    second = sparse.csr_array(np.roll(np.eye(8, 4), 6, axis=0)[:, :2])
    algorithm = topology.make("synflow", gamma=0.0)
    assert not any(share.any() for share in flows([first, second]))
    model = SparseMLP.from_sparse([first, second])
    connections = {0: model.layers[0].connections}
    marks = algorithm.choose_dropped(model, connections, 2, None)
    # But the first of the largest scores, which are all.
    assert marks[0].tolist() == [False, True, True, True, True, False]


def test_synflow_does_not_bring_back_what_is_gone(monkeypatch):
    scores = iter([[3.0, 2.0, 4.0, 1.0], [0.0, 0.0, 4.0, 0.0]])
    monkeypatch.setattr(
        "truesparse.topology.synflow.flows", lambda weights: [np.array(next(scores))]
    )
    model = SparseMLP.from_sparse([sparse.csr_array(np.ones((4, 1)))])
    connections = {0: model.layers[0].connections}
    # 4 candidates, 2.8 after a round, 2 after the other.
    algorithm = topology.make("synflow", rounds=2)
    marks = algorithm.choose_dropped(model, connections, 2, None)
    assert marks[0].tolist() == [True, False, False, True]


def test_synflow_needs_no_batches_and_trains():
    model = make_model()
    nnz = model.nnz
    topology.make("synflow").begin(model)
    assert model.nnz == nnz
    trainer = make_trainer(topology="synflow", epochs=3)
    history = trainer.fit(*make_problem())
    assert history[-1].train_loss < history[0].train_loss
    masks = [layer.connections.indices.copy() for layer in trainer.model.layers]
    # It chooses before the first step only.
    topology.make("synflow").begin(trainer.model)
    for layer, mask in zip(trainer.model.layers, masks, strict=True):
        np.testing.assert_array_equal(layer.connections.indices, mask)


def test_bad_options():
    with pytest.raises(UsageError, match="rescale must be true or false, got 1"):
        topology.make("synflow", rescale=1)
    with pytest.raises(UsageError, match="rounds must be a whole number of at least 1"):
        topology.make("synflow", rounds=0)


# GraSP -------------------------------------------------------------------------------


@pytest.mark.parametrize("is_sparse", [False, True])
@pytest.mark.parametrize("n_batches", [1, 2])
def test_grasp_keeps_what_the_gradient_owes_most_to(is_sparse, n_batches):
    net = Net(is_sparse)
    nnz = net.model.nnz
    algorithm = topology.make("grasp", gradient_batches=n_batches, **ALL)
    bigger = superset_of(algorithm, is_sparse=is_sparse)
    biases = [layer.bias for layer in bigger.model.layers]
    start = UpdateContext(bigger.model.seed, 0, 0, 1, 1)
    drawn = list(bigger.batches.draw(start, n_batches))
    totals = [np.zeros(each.shape) for each in bigger.weights]
    products = [np.zeros(each.shape) for each in bigger.weights]

    def twin(samples, direction):
        x, y, weights = bigger.batches.samples_of(samples)
        x = x.toarray() if is_sparse else x
        rest = x, y, weights, bigger.model.loss, 200.0
        return naive_hessian.gradient_and_product(
            bigger.weights, biases, direction, *rest
        )

    for samples in drawn:
        for total, each in zip(totals, twin(samples, totals)[0], strict=True):
            total += each
    for samples in drawn:
        for total, each in zip(products, twin(samples, totals)[1], strict=True):
            total += each
    scores = [w * p for w, p in zip(bigger.weights, products, strict=True)]
    limit = np.sort(np.concatenate([each.ravel() for each in scores]))[-nnz]
    algorithm.begin(net.model, net.batches)
    assert net.model.nnz == nnz
    check_choice(net, bigger, [each >= limit for each in scores])
    assert limit < max(each.max() for each in scores) / 10


def test_the_temperature_of_grasp_matters():
    choices = []
    for temperature in (0.5, 200.0):
        net = Net()
        algorithm = topology.make("grasp", temperature=temperature, **ALL)
        algorithm.begin(net.model, net.batches)
        choices.append(net.new_masks())
    assert any((a != b).any() for a, b in zip(*choices, strict=True))


def test_grasp_leaves_the_output_layer_if_asked():
    net = Net()
    before = to_dense(net.model.layers[-1].connections)
    algorithm = topology.make("grasp", evolve_output=False)
    algorithm.begin(net.model, net.batches)
    np.testing.assert_array_equal(to_dense(net.model.layers[-1].connections), before)
    assert (net.new_masks()[0] != net.masks[0]).any()


def test_grasp_trains():
    trainer = make_trainer(topology="grasp", epochs=3)
    nnz = trainer.model.nnz
    history = trainer.fit(*make_problem())
    assert trainer.model.nnz == nnz
    assert history[-1].train_loss < history[0].train_loss


def test_grasp_says_that_it_needs_batches():
    model = make_model()
    nnz = model.nnz
    with pytest.raises(UsageError, match=r"'grasp' looks at gradients: give begin\(\)"):
        topology.make("grasp").begin(model)
    assert model.nnz == nnz


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan"), "hot"])
def test_bad_temperatures(temperature):
    with pytest.raises(UsageError, match="temperature must be"):
        topology.make("grasp", temperature=temperature)
