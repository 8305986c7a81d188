"""Rewiring takes one array at a time, and an interrupt does not halve a change."""

import tracemalloc

import numpy as np
import pytest
from support.strategies import make_connections

from truesparse.kernels.jit import DISABLED
from truesparse.optimizers import Optimizer
from truesparse.sparse import rewiring
from truesparse.sparse.connections import Connections
from truesparse.topology import Set, UpdateContext

MASK = np.array([[1, 0, 1, 1], [0, 0, 0, 0], [0, 1, 1, 0]], bool)
# Drop two connections; connect two cells, one of them just emptied.
DROPPED, KEYS = np.array([True, False, False, True, False]), np.array([0, 5])


def changed(interrupt=None):
    """Return connections after the change, and what is left of the old arrays."""
    connections = make_connections(MASK)
    connections.allocate_moments(True, True)
    for k, array in enumerate((connections.values, *connections.moments)):
        array[:] = 10 * k + np.arange(5)
    before = [*connections.csr, *connections.moments]
    copies = [array.copy() for array in before]
    version = connections.version
    if interrupt is None:
        connections.rewire(DROPPED, KEYS, np.array([-1.0, -2.0]))
    else:
        with pytest.raises(KeyboardInterrupt):
            connections.rewire(DROPPED, KEYS, np.array([-1.0, -2.0]))
    assert connections.version == version + 1
    # Whoever holds the old arrays still has what they were.
    for array, copy in zip(before, copies, strict=True):
        np.testing.assert_array_equal(array, copy)
    return connections


@pytest.mark.parametrize("turn", [None, 0, 1, 2])
def test_an_interrupt_does_not_halve_a_change(turn, monkeypatch):
    calls, merge = [], rewiring.merge_values

    def interrupted(*arguments):
        merge(*arguments)
        calls.append(arguments)
        if len(calls) - 1 == turn:
            raise KeyboardInterrupt

    monkeypatch.setattr(rewiring, "merge_values", interrupted)
    connections = changed(turn)
    connections.check()
    assert connections.indices.tolist() == [0, 2, 3, 1, 2]
    assert connections.values.tolist() == [-1, 1, 2, -2, 4]
    assert connections.moments.first.tolist() == [0, 11, 12, 0, 14]
    assert connections.moments.second.tolist() == [0, 21, 22, 0, 24]


def test_a_layer_without_memory_for_its_new_arrays_has_no_connections(monkeypatch):
    def fail(*arguments):
        raise MemoryError

    connections = make_connections(MASK)
    monkeypatch.setattr(rewiring, "merge_values", fail)
    with pytest.raises(MemoryError):
        connections.rewire(DROPPED, KEYS, np.array([-1.0, -2.0]))
    connections.check()
    assert connections.nnz == 0


def test_state_that_is_not_needed_holds_no_other_array():
    connections = make_connections(MASK)
    connections.allocate_moments(True, False)
    assert connections.moments.second.base is None
    connections.rewire(DROPPED, KEYS, np.array([-1.0, -2.0]))
    assert connections.moments.second.base is None


N, DEGREE = 20_000, 10


def wide(n_layers, dtype="float32"):
    """Return a net of equal layers, with momentum and without column views."""
    from truesparse.network.sparse_mlp import SparseMLP

    model = SparseMLP([N] * (n_layers + 1) + [2], epsilon=DEGREE / 2, dtype=dtype)
    model.allocate_moments(Optimizer("sgd"))
    return model


def peak(work):
    """Return by how many bytes memory rises at most."""
    tracemalloc.start()
    try:
        work()
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        work()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


@pytest.mark.compiled
@pytest.mark.parametrize("n_moments", [0, 1, 2])
def test_a_change_takes_one_array_whatever_the_optimiser(n_moments):
    connections: Connections = wide(1).layers[0].connections
    connections.allocate_moments(n_moments > 0, n_moments > 1)
    dropped = np.zeros(connections.nnz, bool)
    keys, values = np.empty(0, np.int64), np.empty(0)
    got = peak(lambda: connections.rewire(dropped, keys, values))
    # New indices of 4 bytes, and pointers of 8 bytes of which three may coexist.
    assert 4 * connections.nnz < got < 4.1 * connections.nnz + 24 * N


class Together(Set):
    """SET that marks all layers before it changes one."""

    takes_turns = False


def test_layers_in_turn_are_layers_together():
    models = [wide(3, "float64") for _ in range(2)]
    for model, algorithm in zip(models, (Set(), Together()), strict=True):
        algorithm.begin(model)
        context = UpdateContext(3, 7, 1, 10**6, 10**3)
        changes = algorithm.update(model, context)
        assert [change.layer for change in changes] == [0, 1, 2]
        assert all(change.grown > 0 for change in changes)
    for one, other in zip(models[0].layers, models[1].layers, strict=True):
        for a, b in zip(one.connections.csr, other.connections.csr, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("options", "in_turn"),
    [
        ({}, True),
        ({"chain_removal": True}, False),
        ({"importance": 0.1}, False),
        ({"early_stop": 0.9, "final": "prune_only"}, True),
    ],
)
def test_layers_wait_for_each_other_where_a_stage_looks_at_two(options, in_turn):
    assert Set(**options).takes_turns is in_turn
    of_all, of_one = Set(**options).update_bytes(4)
    assert (of_all == 0.0) is in_turn
    assert of_all + of_one == pytest.approx(1 + 8 * 0.3 + 4 * 0.3)


@pytest.mark.skipif(DISABLED, reason="too slow")
def test_an_update_of_several_layers_takes_no_more_than_of_one():
    peaks = []
    for n_layers in (1, 4):
        model, steps = wide(n_layers), iter(range(1, 10))

        def update(model=model, steps=steps):
            Set().update(model, UpdateContext(0, next(steps), 1, 10**6, 10**3))

        peaks.append(peak(update))
    assert peaks[1] < 1.05 * peaks[0]
