"""ITOP: cells that were never connected grow first; the list of the others."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.naive_patterns import is_uniform
from support.topology_net import Net, at

from truesparse import topology
from truesparse.errors import UsageError
from truesparse.topology import UpdateSchedule
from truesparse.topology.itop import ranks_besides
from truesparse.topology.parts.state import check_state

OPTIONS = {"zeta": 0.4, "decay": "constant", "decay_floor": 0.0}


def begun(net, **options):
    algorithm = topology.make("itop", **OPTIONS | options)
    algorithm.begin(net.model)
    return algorithm


def cells(algorithm, index, shape):
    """Return the mask of the cells that the algorithm has noted."""
    fired = np.zeros(shape, bool)
    fired.flat[algorithm.state()["fired"][str(index)]] = True
    return fired


@given(st.sets(st.integers(0, 60)), st.data())
def test_ranks_are_of_what_is_not_taken(taken, data):
    free = np.setdiff1d(np.arange(80), list(taken))
    ranks = np.array(sorted(data.draw(st.sets(st.integers(0, free.size - 1)))), int)
    got = ranks_besides(np.array(sorted(taken), np.int64), ranks.copy())
    np.testing.assert_array_equal(got, free[ranks])


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**31))
def test_cells_that_were_never_connected_come_first(seed):
    net = Net()
    algorithm = begun(net)
    fired = [mask.copy() for mask in net.masks]
    for step in range(1, 9):
        changes = net.update(algorithm, at(step, seed=seed))
        for k, change in enumerate(changes):
            new = net.new_masks()[k] & ~net.masks[k]
            again = net.new_masks()[k] & net.masks[k]
            n_first = min(change.grown, int((~fired[k]).sum()))
            np.testing.assert_array_equal(cells(algorithm, k, new.shape), fired[k])
            # All that were never connected, or none but those.
            assert (new & ~fired[k]).sum() == n_first
            assert change.growth == f"new {n_first}, random {change.grown - n_first}"
            assert change.grown == change.removed == int(0.4 * net.masks[k].sum())
            assert again.sum() + new.sum() == net.masks[k].sum()
            fired[k] |= net.new_masks()[k]
        net.read()
    # By then there were too few in every layer.
    assert all(mask.all() for mask in fired[:2])


def test_cells_are_uniform_among_those_never_connected():
    net = Net()
    algorithm = begun(net)
    net.update(algorithm, at(1))
    state, counts = algorithm.state(), np.zeros(net.masks[0].shape)
    masks = net.new_masks()
    allowed = ~(net.masks[0] | masks[0])
    for step in range(2, 302):
        again = Net()
        again.connect(masks, np.random.default_rng(0))
        other = begun(again, layers=[0])
        other.restore(state)
        again.update(other, at(step))
        counts += again.new_masks()[0] & ~masks[0]
    assert not counts[~allowed].any()
    assert is_uniform(counts[allowed])


def test_all_absent_cells_are_alike_if_asked():
    net = Net()
    algorithm = begun(net, unfired_first=False)
    for step in range(1, 4):
        net.update(algorithm, at(step))
    assert algorithm.state()["fired"] == {}
    like_set = Net()
    other = topology.make("set", removal="magnitude", zeta=0.4)
    other.begin(like_set.model)
    for step in range(1, 4):
        like_set.update(other, at(step))
    for one, another in zip(net.new_masks(), like_set.new_masks(), strict=True):
        np.testing.assert_array_equal(one, another)


def test_another_run_starts_without_the_cells_of_the_last():
    net = Net()
    algorithm = begun(net)
    net.update(algorithm)
    assert algorithm.state()["fired"]
    algorithm.begin(net.model)
    assert algorithm.state()["fired"] == {}


@pytest.mark.parametrize(
    "keys", [[3, 2], [2, 2], [-1, 2], [0, 9 * 14], np.array([0.5])], ids=str
)
def test_cells_of_a_damaged_file_are_refused(keys):
    net = Net()
    keys = np.asarray(keys)
    keys = keys if keys.dtype.kind == "f" else keys.astype(np.int64)
    with pytest.raises(ValueError, match="fired of layer 0"):
        check_state({"fired": {"0": keys}}, net.model)


def test_a_bad_option():
    with pytest.raises(UsageError, match="unfired_first must be true or false, got 1"):
        topology.make("itop", unfired_first=1)
    assert topology.make("itop", zeta=0.001).fraction.floor == 0.001
    schedule = UpdateSchedule(3)
    assert topology.make("itop", schedule=schedule).schedule == schedule
