"""DST-EE beside its dense twin, which counts every cell."""

import numpy as np
import pytest
from support import naive_topology
from support.topology_net import Net, at

from truesparse import topology
from truesparse.errors import UsageError
from truesparse.topology.parts.schedule import Fraction


# Without exploration, with some, and with so much that gradients hardly count.
@pytest.mark.parametrize("exploration", [0.0, 0.005, 100.0])
@pytest.mark.parametrize("candidates", ["exact", "sampled"])
def test_four_updates_equal_the_twin(candidates, exploration):
    net = Net()
    options = {"candidates": candidates, "gamma": 100.0, "smoothing": 0.5}
    algorithm = topology.make("dst_ee", zeta=0.4, exploration=exploration, **options)
    algorithm.begin(net.model)
    visits = [np.zeros(mask.shape) for mask in net.masks]
    grown_again = 0
    for step in (10, 20, 30, 40):
        where, before = at(step), net.new_masks()
        gradients = net.gradients(where)
        net.update(algorithm, where)
        fraction = Fraction(0.4, "cosine", 0.75).at(step / 100)
        for k in range(2):
            known = visits[k] > 0
            want, visits[k] = naive_topology.dst_ee(
                before[k],
                net.weights[k],
                gradients[k],
                visits[k],
                fraction,
                exploration,
                0.5,
                step,
            )
            np.testing.assert_array_equal(net.new_masks()[k], want)
            grown_again += (want & ~before[k] & known).sum()
        net.train(step)
    # Cells without a connection that once had one are compared as well.
    assert (grown_again > 0) == (exploration < 1.0)


def test_without_exploration_it_is_rigl():
    nets = Net(), Net()
    for name, options, net in zip(
        ("rigl", "dst_ee"), ({}, {"exploration": 0.0}), nets, strict=True
    ):
        algorithm = topology.make(name, **options)
        algorithm.begin(net.model)
        net.update(algorithm)
    for ours, theirs in zip(*(net.new_masks() for net in nets), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_cells_without_gradient_grow_by_a_draw():
    net = Net()
    net.batches.data[:] = 0.0
    algorithm = topology.make("dst_ee", zeta=0.6)
    algorithm.begin(net.model)
    first = net.update(algorithm)[0]
    # Those with a counter, just removed, have no precedence over others.
    assert 0 < first.removed == first.grown
    assert first.regrown < first.removed


def test_there_are_counters_of_connected_cells_alone():
    net = Net()
    algorithm = topology.make("dst_ee")
    algorithm.begin(net.model)
    net.update(algorithm, at(10))
    net.update(algorithm, at(20))
    visited, visits = algorithm.state()["visited"], algorithm.state()["visits"]
    for k in range(2):
        once = net.masks[k] | net.new_masks()[k]
        assert visited[str(k)].size <= once.sum()
        assert visits[str(k)].max() == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"exploration": -1.0}, "exploration must be at least 0"),
        ({"smoothing": 0.0}, "smoothing must be above 0"),
    ],
)
def test_options_that_are_not_accepted(options, message):
    with pytest.raises(UsageError, match=message):
        topology.make("dst_ee", **options)
