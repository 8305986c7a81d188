"""Cyclic sparsity: the share of connections rises and falls in waves."""

import numpy as np
import pytest
from support.topology_net import Net, at

from truesparse import topology
from truesparse.errors import UsageError
from truesparse.topology.parts.schedule import Share

EAST = {"share_peak": 3.0, "share_cycles": 2, "share_end": 0.4}


@pytest.mark.parametrize(
    ("progress", "wanted"),
    # 1 + 2 (1 - cos(2 pi 2 p / 0.4)) / 2, as the authors' code has it.
    [(0.0, 1.0), (0.025, 1.2928932), (0.1, 3.0), (0.2, 1.0), (0.35, 2.0), (0.41, 1.0)],
)
def test_golden_values_of_east(progress, wanted):
    share = Share(peak=3.0, cycles=2, end=0.4)
    assert share.at(progress) == pytest.approx(wanted, abs=1e-6)


def test_waves_ride_on_a_falling_share():
    share = Share(0.2, end=0.5, peak=2.0, cycles=1)
    assert share.at(0.25) == pytest.approx(2.0 * (0.2 + 0.8 * 0.5**3))
    assert share.at(0.5) == pytest.approx(0.2)


@pytest.mark.parametrize("name", ["set", "rigl", "dst_ee", "wast", "mest", "deepr"])
def test_layers_follow_the_waves(name):
    net = Net(epsilon=1)
    algorithm = topology.make(name, **EAST)
    algorithm.begin(net.model)
    first = [layer.connections.nnz for layer in net.model.layers[:2]]
    for step, factor in ((5, 2.0), (10, 3.0), (20, 1.0), (30, 3.0), (40, 1.0)):
        net.train(step)
        net.update(algorithm, at(step))
        counts = [layer.connections.nnz for layer in net.model.layers[:2]]
        # SET's rule removes a fraction of each sign, which is rounded.
        np.testing.assert_allclose(counts, [factor * each for each in first], atol=2)


def test_a_run_may_need_room_for_the_peak():
    assert topology.make("set", **EAST).growth == 3.0
    assert topology.make("mest", soft_bound=True, zeta=0.5, **EAST).growth == 4.5
    assert topology.make("set").growth == 1.0


def test_updates_go_on_while_there_are_waves():
    algorithm = topology.make("set", decay_end=0.1, share_peak=2.0, share_end=0.5)
    due = [algorithm.due("step", at(step)) for step in (5, 30, 60)]
    assert due == [False] * 3
    by_step = topology.UpdateSchedule(1, "step")
    algorithm = topology.make(
        "set", decay_end=0.1, share_peak=2.0, share_end=0.5, schedule=by_step
    )
    assert [algorithm.due("step", at(step)) for step in (5, 30, 60)] == [
        True,
        True,
        False,
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"share_peak": 0.5}, "share_peak must be at least 1 and finite, got 0.5"),
        ({"share_peak": np.inf}, "share_peak must be at least 1 and finite, got inf"),
        ({"share_peak": "3"}, "share_peak must be a number"),
        ({"share_cycles": 0}, "share_cycles must be a whole number"),
        ({"share_cycles": 1.5}, "share_cycles must be a whole number"),
    ],
)
def test_waves_that_are_not_accepted(options, message):
    with pytest.raises(UsageError, match=message):
        topology.make("set", **options)
