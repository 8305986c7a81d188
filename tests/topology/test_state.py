"""Arrays of a state reach no kernel unless they fit the net; what a context says."""

import dataclasses

import numpy as np
import pytest

from truesparse.network.sparse_mlp import SparseMLP
from truesparse.topology import LayerChange, UpdateContext, UpdateSchedule
from truesparse.topology.parts.schedule import Fraction, Share
from truesparse.topology.parts.stages import Layers
from truesparse.topology.parts.state import check_state
from truesparse.topology.parts.topology_update import update_bytes

SIZES = (3, 4, 2)
N_CELLS = 3 * 4


def net():
    return SparseMLP(SIZES, density=0.75, dtype="float64", activation="srelu")


def cells(*keys, dtype=np.int64):
    return np.array(keys, dtype)


def pool(keys, values=None, index="0"):
    """Return a state with a pool of these cells, by default with fitting values."""
    values = np.zeros(keys.size) if values is None else values
    return {"pool": {index: keys}, "momentum": {index: values}}


def noted(model, change=None):
    """Return a state with the weights of a layer noted, one array of them changed."""
    layer = model.layers[0]
    arrays = [layer.connections.values, *layer.neuron_parameters()]
    arrays = [each.copy() for each in arrays]
    if change is not None:
        arrays[change] = arrays[change][1:]
    return {"noted": {"0": arrays}}


def test_states_that_fit():
    model = net()
    n_bytes = (model.layers[0].connections.nnz + 7) // 8
    for state in (
        *({}, {"stopped": [1]}, noted(model)),
        *(pool(cells()), pool(cells(0)), pool(cells(0, 5, N_CELLS - 1))),
        pool(cells(7), index="1"),
        {"keys": {"0": cells(0, 1)}, "weights": {"0": np.zeros(2)}},
        {"signs": {"0": np.zeros(n_bytes, np.uint8)}},
    ):
        check_state(state, model)


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (pool(cells(N_CELLS)), "pool of layer 0 are not cells of it"),
        (pool(cells(-1, 3)), "pool of layer 0 are not cells of it"),
        (pool(cells(3, 2)), "pool of layer 0 are not cells of it"),
        (pool(cells(2, 2)), "pool of layer 0 are not cells of it"),
        (pool(cells(8), index="1"), "pool of layer 1 are not cells of it"),
        (pool(cells(0), index="2"), "no layer 2"),
        (pool(cells(0), index="-1"), "no layer -1"),
        (pool(cells(0, dtype=np.int32)), "pool of layer 0 are int32"),
        (pool(cells(0).reshape(1, 1)), r"pool of layer 0 are int64 of shape \(1, 1\)"),
        (pool(cells(0), np.zeros(2)), r"momentum of layer 0 are float64 of shape \(2"),
        (pool(cells(0), np.zeros(1, np.float32)), "momentum of layer 0 are float32"),
        ({"pool": {"0": cells(0)}, "momentum": {}}, "are of different layers"),
        ({"weights": {"0": np.zeros(1)}}, "are of different layers"),
        ({"signs": {"0": np.zeros(1, np.uint8)}}, "signs of layer 0 are uint8"),
        ({"signs": {"0": np.zeros(2, np.int8)}}, "signs of layer 0 are int8"),
        ({"signs": {"5": np.zeros(2, np.uint8)}}, "no layer 5"),
        (noted(net(), 0), "noted weights of layer 0 do not fit"),
        (noted(net(), -1), "noted weights of layer 0 do not fit"),
    ],
)
def test_states_that_do_not_fit(state, message):
    # 9 of 12 cells hold a connection: their signs take two bytes.
    with pytest.raises(ValueError, match=message):
        check_state(state, net())


def test_a_context_by_itself():
    context = UpdateContext(seed=3, step=4, epoch=2, n_steps=10, n_epochs=5)
    assert (context.lr, context.score, context.start) == (0.0, None, 0)
    assert context.progress == 0.4
    later = UpdateContext(3, 4, 2, 10, 5, start=2)
    assert later.progress == 0.25
    assert [UpdateContext(0, step, 0, 10, 5).is_final for step in (9, 10)] == [
        *(False, True)
    ]
    assert UpdateContext(0, 12, 0, 10, 5).progress == 1.0
    assert UpdateContext(0, 3, 0, 3, 1, start=2).progress == 1.0
    assert UpdateContext(0, 0, 0, 0, 5).progress == 0.0


def test_bytes_of_an_update():
    # A byte a connection for marks and eight a key of those that are new; of these, the
    # weights too.
    assert update_bytes(0.25, 4) == (3.0, 1.0)
    assert update_bytes(0.5, 8) == (5.0, 4.0)


def test_a_change_by_itself():
    change = LayerChange(layer=1, removed=2, grown=3, nnz=5)
    assert (change.regrown, change.growth) == (0, "")


@pytest.mark.parametrize(
    "each",
    [
        *(UpdateContext(0, 1, 1, 2, 2), LayerChange(0, 1, 1, 5), UpdateSchedule()),
        *(Fraction(0.3), Share(), Layers()),
    ],
    ids=lambda each: type(each).__name__,
)
def test_what_algorithms_share_does_not_change(each):
    for field in dataclasses.fields(each):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(each, field.name, getattr(each, field.name))
