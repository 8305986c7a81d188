"""The steps an algorithm may override, shown by algorithms made up for the purpose."""

import numpy as np
import pytest
from support import naive
from support.naive_topology import important
from support.network import mask_of
from support.strategies import make_connections, to_dense
from support.topology_net import SIZES, Net, at
from support.training import arrays_of, make_problem, make_trainer

from truesparse import topology
from truesparse.callbacks import Callback
from truesparse.errors import UsageError
from truesparse.network.sparse_mlp import SparseMLP
from truesparse.topology import (
    ALGORITHMS,
    TopologyAlgorithm,
    UpdateContext,
    UpdateSchedule,
    make,
)


class LowestKeys(TopologyAlgorithm):
    """Draws four times as many cells as are grown and keeps those of lowest key."""

    name = "lowest_keys"

    def __init__(self, **options):
        super().__init__(**options)
        self.proposals = []

    def grow(self, update):
        grown = {}
        for index, count in self.grow_counts(update).items():
            wanted = min(4 * count, update.room(index))
            keys = self.grow_at_random(update, index, wanted)
            self.proposals.append((keys, count))
            grown[index] = keys[:count]
        return grown


class LargestGoFirst(TopologyAlgorithm):
    """Drops large weights and grows twice as many with the weight of their row."""

    name = "largest_go_first"

    def drop_scores(self, update, index):
        return -np.abs(update.connections[index].values)

    def drop_fraction(self, context):
        return self.zeta * (1 - context.progress)

    def grow_counts(self, update):
        return {index: 2 * update.removed(index) for index in update.connections}

    def new_weights(self, update, index, keys):
        connections = update.connections[index]
        return (keys // connections.n_out).astype(connections.values.dtype)


class Modest(TopologyAlgorithm):
    """Finds fewer cells than were dropped."""

    def grow(self, update):
        return {
            index: self.grow_at_random(update, index, update.removed(index) // 2)
            for index in update.connections
        }


def make_model():
    return SparseMLP([30, 40, 20, 5], epsilon=3)


def context(step=10):
    return UpdateContext(seed=0, step=step, epoch=1, n_steps=40, n_epochs=4)


def test_the_best_proposals_are_grown():
    model, algorithm = make_model(), LowestKeys(zeta=0.2)
    connections = [each.connections for each in model.layers[:2]]
    remaining = []
    for each in connections:
        mask = mask_of(each)
        mask[mask] = ~naive.smallest(np.abs(each.values), int(0.2 * each.nnz))
        remaining.append(mask)
    changes = algorithm.update(model, context())
    assert [change.layer for change in changes] == [0, 1]
    parts = zip(connections, remaining, algorithm.proposals, strict=True)
    for each, mask, (keys, count) in parts:
        assert keys.size == 4 * count
        grown = np.flatnonzero(mask_of(each) & ~mask)
        np.testing.assert_array_equal(grown, np.sort(keys)[:count])
        each.check()


def test_scores_counts_fraction_and_weights_can_be_overridden():
    model, algorithm = make_model(), LargestGoFirst(zeta=0.4, evolve_output=True)
    befores = [to_dense(each.connections) for each in model.layers]
    for change, before in zip(algorithm.update(model, context()), befores, strict=True):
        n_before = np.count_nonzero(before)
        # A quarter of the run is over.
        assert change.removed == int(0.3 * n_before)
        assert change.grown == 2 * change.removed
        assert change.nnz == n_before + change.removed
        connections = model.layers[change.layer].connections
        connections.check()
        after = to_dense(connections)
        survivors = (after == before) & (before != 0)
        assert (
            np.abs(after[survivors]).max()
            <= np.partition(np.abs(before).ravel(), -change.removed)[-change.removed]
        )
        rows = np.broadcast_to(np.arange(connections.n_in)[:, None], after.shape)
        new = mask_of(connections) & ~survivors
        np.testing.assert_array_equal(after[new], rows[new])


def test_fewer_proposals_than_wanted_are_all_grown():
    model = make_model()
    for change in Modest().update(model, context()):
        assert change.grown == change.removed // 2
        assert model.layers[change.layer].connections.nnz == change.nnz


@pytest.mark.parametrize("name", sorted(ALGORITHMS))
@pytest.mark.parametrize("empty", [(0,), (1,), (0, 1)])
def test_layers_without_connections(name, empty):
    net = Net()
    for k in empty:
        connections = make_connections(np.zeros(SIZES[k : k + 2], bool))
        connections.allocate_moments(True, False)
        net.model.layers[k].connections = connections
    net.model.prepare(16, net.batches.data)
    algorithm = make(name)
    algorithm.begin(net.model, net.batches)
    for step in (10, 60, 100):
        where = UpdateContext(0, step, step, 100, 100, lr=0.1, score=0.5)
        for change in net.update(algorithm, where):
            connections = net.model.layers[change.layer].connections
            connections.check()
            assert change.nnz == connections.nnz


@pytest.mark.parametrize("name", sorted(ALGORITHMS))
def test_a_run_does_not_depend_on_those_before(name):
    """What an algorithm remembers is of one run; other nets may be larger."""
    masks = []
    can_stop = "early_stop" in ALGORITHMS[name].options()
    options = {"early_stop": None} if can_stop else {}
    fresh, used = make(name, **options), make(name, **options)
    other = Net(seed=2)
    used.begin(other.model, other.batches)
    for step in (10, 20, 30):
        where = UpdateContext(0, step, step, 100, 100, lr=0.1, score=0.1)
        other.update(used, where)
    for algorithm in (fresh, used):
        net = Net()
        algorithm.begin(net.model, net.batches)
        for step in (10, 20):
            where = UpdateContext(0, step, step, 100, 100, lr=0.1, score=step / 25)
            net.update(algorithm, where)
        masks.append(net.new_masks())
    for first, second in zip(*masks, strict=True):
        np.testing.assert_array_equal(first, second)


LOOKING = [name for name in ALGORITHMS if "sample_every" in ALGORITHMS[name].options()]


@pytest.mark.parametrize("name", LOOKING)
def test_a_state_is_not_written_to(name):
    # Updates would come after the epoch: what follows looks at a batch alone.
    options = {"sample_every": 1, "schedule": UpdateSchedule()}
    net, algorithm, resumed = Net(), *(make(name, **options) for _ in range(2))
    algorithm.begin(net.model)
    algorithm.advance("step", net.model, at(1), net.batches)
    state = algorithm.state()
    resumed.begin(net.model)
    for part in state.values():
        for each in part.values() if isinstance(part, dict) else ():
            if isinstance(each, np.ndarray):
                each.flags.writeable = False
    resumed.restore(state)
    assert resumed.advance("step", net.model, at(2), net.batches) == []


class Unsure(TopologyAlgorithm):
    """Rates with NaN, or not enough."""

    def __init__(self, scores):
        super().__init__(zeta=0.2)
        self.scores = scores

    def drop_scores(self, update, index):
        return self.scores[: update.connections[index].nnz]


@pytest.mark.parametrize("scores", [np.full(3, 1.0), np.full(10**4, np.nan)])
def test_scores_that_cannot_be_ordered(scores):
    with pytest.raises(UsageError, match=r"Unsure must give \d+ scores without NaN"):
        Unsure(scores).update(make_model(), context())


class Fixed(TopologyAlgorithm):
    """Regrows exactly what it removed."""

    name = "fixed"

    def grow(self, update):
        return {index: update.dropped_keys(index) for index in update.connections}


class Keeping(Fixed):
    """Gives it back its weights and state, too."""

    keeps_regrown = True


def test_early_stop_is_for_layers_that_regrow_what_they_removed():
    model = make_model()
    algorithm = Fixed(early_stop=0.9)
    changes = algorithm.update(model, context())
    assert all(change.regrown == change.removed > 0 for change in changes)
    assert algorithm.update(model, context(11)) == []
    assert algorithm.state()["stopped"] == [0, 1]
    # A layer that has stopped stands still in a resumed run too, the others move.
    resumed = Fixed(early_stop=0.9)
    resumed.restore(algorithm.state() | {"stopped": [0]})
    assert [change.layer for change in resumed.update(model, context(11))] == [1]
    moving = topology.make("set", early_stop=0.9)
    moving.update(model, context())
    assert len(moving.update(model, context(11))) == 2


def test_connections_still_fall_when_the_fraction_has_come_to_its_end():
    algorithm = make("set", decay_end=0.2, final_share=0.5, share_end=0.5)
    due = [p for p in range(1, 40) if algorithm.due("epoch", epoch_context(p))]
    assert due == list(range(1, 21))
    plain = make("set", decay_end=0.2)
    due = [p for p in range(1, 40) if plain.due("epoch", epoch_context(p))]
    assert due == list(range(1, 9))


def epoch_context(epoch):
    return UpdateContext(seed=0, step=epoch, epoch=epoch, n_steps=40, n_epochs=40)


@pytest.mark.parametrize("algorithm", [Fixed(), Keeping()])
def test_connections_removed_and_grown_again(algorithm):
    model = make_model()
    before = arrays_of(model)
    algorithm.update(model, context())
    same = [
        np.array_equal(ours, theirs)
        for ours, theirs in zip(arrays_of(model), before, strict=True)
    ]
    assert all(same) == algorithm.keeps_regrown


@pytest.mark.parametrize("algorithm", [LowestKeys(), LargestGoFirst(zeta=0.1)])
def test_the_trainer_takes_an_algorithm(algorithm):
    assert make(algorithm) is algorithm
    trainer = make_trainer(topology=algorithm)
    before = trainer.model.nnz
    history = trainer.fit(*make_problem())
    assert history[-1].nnz == trainer.model.nnz
    assert (trainer.model.nnz > before) == isinstance(algorithm, LargestGoFirst)
    for each in trainer.model.layers:
        each.connections.check()


def test_the_pattern_stands_still_between_updates():
    patterns = []

    class Watch(Callback):
        def on_batch_end(self, run):
            connections = run.model.layers[1].connections
            patterns.append(mask_of(connections).tobytes())

    schedule = UpdateSchedule(2, "step", start=1, end=4)
    algorithm = topology.make("set", schedule=schedule)
    make_trainer(topology=algorithm, callbacks=[Watch()]).fit(*make_problem())
    first, *rest = patterns
    assert first == rest[0]
    assert rest[1] != first
    assert set(rest[1:]) == {rest[1]}


# What options do together ------------------------------------------------------------


@pytest.mark.parametrize("name", ["rigl", "granet"])
def test_what_chain_removal_takes_grows_again(name):
    removed = {}
    for chain_removal in (False, True):
        net = Net(epsilon=1)
        nnz = sum(each.connections.nnz for each in net.model.layers[:2])
        algorithm = make(name, chain_removal=chain_removal, final_share=1.0)
        algorithm.begin(net.model, net.batches)
        changes = net.update(algorithm)
        removed[chain_removal] = sum(change.removed for change in changes)
        assert sum(change.nnz for change in changes) == nnz
    assert removed[True] > removed[False] > 0


@pytest.mark.parametrize("name", ["rigl", "granet"])
def test_what_unimportant_neurons_lose_is_lost_for_good(name):
    net = Net()
    lost = nnz = 0
    for mask, weights in zip(net.masks[:2], net.weights[:2], strict=True):
        lost += np.count_nonzero(mask[:, ~important(weights, 0.4)])
        nnz += np.count_nonzero(mask)
    options = {"importance": 0.4, "importance_start": 0.0, "final_share": 1.0}
    algorithm = make(name, **options)
    algorithm.begin(net.model, net.batches)
    changes = net.update(algorithm)
    assert lost > 0
    assert sum(change.nnz for change in changes) == nnz - lost


@pytest.mark.parametrize("name", ["granet", "magnitude"])
def test_pruning_layers_jointly_empties_none(name):
    net = Net()
    net.model.layers[0].connections.values[:] *= 1e-6
    nnz = sum(each.connections.nnz for each in net.model.layers)
    options = {"evolve_output": True, "final_share": 0.3}
    options |= {"zeta": 0.0} if name == "granet" else {}
    algorithm = make(name, **options)
    algorithm.begin(net.model, net.batches)
    changes = net.update(algorithm, at(100))
    assert changes[0].nnz == 1
    assert sum(change.nnz for change in changes) == pytest.approx(0.3 * nnz, abs=2)


@pytest.mark.parametrize(
    ("start", "unit", "decay_end", "is_idle"),
    [
        (9, "step", 1.0, False),
        (10, "step", 1.0, True),
        (6, "step", 0.5, True),
        (5, "step", 0.5, False),
        (2, "epoch", 1.0, True),
        (1, "epoch", 1.0, False),
    ],
)
def test_a_run_too_short_for_an_update_says_so(start, unit, decay_end, is_idle):
    class Listener(Callback):
        def __init__(self):
            self.messages, self.updates = [], 0

        def on_warning(self, run, message):
            self.messages.append(message)

        def on_topology_update(self, run, changes):
            self.updates += 1

    X, y = make_problem(80)
    schedule = UpdateSchedule(1, unit, start=start)
    trainer = make_trainer(
        topology=make("set", schedule=schedule, decay_end=decay_end),
        epochs=2,
        batch_size=16,
        callbacks=[listener := Listener()],
    )
    trainer.fit(X, y)
    assert trainer.run.n_steps == 10
    assert len(listener.messages) == is_idle
    assert (listener.updates == 0) == is_idle
    if is_idle:
        assert f"after {unit} {start}, comes too late" in listener.messages[0]
