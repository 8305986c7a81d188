"""The steps an algorithm may override, shown by algorithms made up for the purpose."""

import naive
import numpy as np
import pytest
from network import mask_of
from strategies import to_dense
from training import make_problem, make_trainer

from truesparse.errors import UsageError
from truesparse.model import SparseMLP
from truesparse.sparse.init import sample_absent
from truesparse.topology import TopologyAlgorithm, UpdateContext, make


class LowestKeys(TopologyAlgorithm):
    """Proposes four times as many cells as are grown and keeps those of lowest key."""

    name = "lowest_keys"

    def __init__(self, **options):
        super().__init__(**options)
        self.proposals = []

    def propose(self, connections, dropped, count, generator):
        free = connections.n_in * connections.n_out - connections.nnz
        keys = sample_absent(connections, dropped, min(4 * count, free), generator)
        self.proposals.append((keys, count))
        return keys

    def proposal_scores(self, connections, keys):
        return -keys


class LargestGoFirst(TopologyAlgorithm):
    """Drops large weights and grows twice as many with the weight of their row."""

    name = "largest_go_first"

    def drop_scores(self, connections):
        return -np.abs(connections.values)

    def drop_fraction(self, context):
        return self.zeta * (1 - context.step / context.n_steps)

    def grow_counts(self, links, dropped):
        return {index: 2 * int(dropped[index].sum()) for index in links}

    def new_weights(self, connections, keys, generator):
        rows = keys // connections.n_out
        return rows.astype(connections.values.dtype)


class Careless(LowestKeys):
    """Proposes too many and cannot rate them."""

    proposal_scores = TopologyAlgorithm.proposal_scores


class Modest(TopologyAlgorithm):
    """Finds fewer cells than were dropped."""

    def propose(self, connections, dropped, count, generator):
        return sample_absent(connections, dropped, count // 2, generator)


def make_model():
    return SparseMLP([30, 40, 20, 5], epsilon=3)


def context(step=10):
    return UpdateContext(seed=0, step=step, epoch=1, n_steps=40, n_epochs=4)


def test_the_best_proposals_are_grown():
    model, algorithm = make_model(), LowestKeys(zeta=0.2)
    links = [each.connections for each in model.layers[:2]]
    kept = []
    for each in links:
        mask = mask_of(each)
        mask[mask] = ~naive.smallest(np.abs(each.values), int(0.2 * each.nnz))
        kept.append(mask)
    changes = algorithm.update(model, context())
    assert [change.layer for change in changes] == [0, 1]
    parts = zip(links, kept, algorithm.proposals, strict=True)
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
        links = model.layers[change.layer].connections
        links.check()
        after = to_dense(links)
        survivors = (after == before) & (before != 0)
        assert (
            np.abs(after[survivors]).max()
            <= np.partition(np.abs(before).ravel(), -change.removed)[-change.removed]
        )
        rows = np.broadcast_to(np.arange(links.n_in)[:, None], after.shape)
        new = mask_of(links) & ~survivors
        np.testing.assert_array_equal(after[new], rows[new])


def test_fewer_proposals_than_wanted_are_all_grown():
    model = make_model()
    for change in Modest().update(model, context()):
        assert change.grown == change.removed // 2
        assert model.layers[change.layer].connections.nnz == change.nnz


def test_proposals_that_cannot_be_rated():
    with pytest.raises(NotImplementedError, match=r"Careless .* proposal_scores"):
        Careless().update(make_model(), context())


class Unsure(LowestKeys):
    """Rates with NaN, or not enough, in one of its two steps."""

    def __init__(self, step, scores):
        super().__init__(zeta=0.2)
        setattr(self, step, scores)


@pytest.mark.parametrize("step", ["drop_scores", "proposal_scores"])
@pytest.mark.parametrize("scores", [np.full(3, 1.0), np.full(10**4, np.nan)])
def test_scores_that_cannot_be_ordered(step, scores):
    def rate(connections, keys=None):
        size = connections.nnz if keys is None else keys.size
        return scores[: size - 1] if np.isfinite(scores).all() else scores[:size]

    with pytest.raises(UsageError, match=r"Unsure must give \d+ scores without NaN"):
        Unsure(step, rate).update(make_model(), context())


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
