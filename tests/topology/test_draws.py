"""What topology updates draw: without bias, by the right scores, in the right numbers.

Frequencies over seeds are compared with what the definitions say, by chi-square tests.
"""

import itertools

import numpy as np
import pytest
from scipy import stats
from support import naive_paths, naive_topology
from support.naive_patterns import agree, is_uniform
from support.network import mask_of
from support.topology_net import SIZES, Net, at

from truesparse import topology
from truesparse.kernels.jit import DISABLED
from truesparse.topology import Update
from truesparse.topology.parts.path_sampler import DRAWN
from truesparse.topology.parts.paths import RULES

# The seeds are fixed, so that a test passes always or never.
N_DRAWS = 200 if DISABLED else 2000


class SameBatch:
    """Shows the batch of seed 0, whatever the seed, with gradients made as large."""

    def __init__(self, batches, factors):
        self.batches, self.factors = batches, factors

    def observe(self, context, count, observer):
        def scaled(index, inputs, delta):
            observer(index, inputs, self.factors[index] * delta)

        self.batches.observe(at(), count, scaled)


def net_of(densities, seed=1):
    """Return a Net whose hidden layers have given densities."""
    net, draw = Net(seed=seed), np.random.default_rng(seed)
    pairs = zip(itertools.pairwise(SIZES), densities, strict=False)
    net.connect([draw.random(pair) < density for pair, density in pairs], draw)
    return net


def half_dropped(net, index):
    """Return makers of updates, by seed, in which the same half of a layer goes."""
    marks = np.random.default_rng(0).random(net.masks[index].sum()) < 0.5

    def update(seed):
        made = Update(net.model, at(seed=seed), [index], net.batches)
        made.dropped[index] = marks
        return made

    remaining = net.masks[index].copy()
    remaining[remaining] = ~marks
    return update, remaining


# GGR ---------------------------------------------------------------------------------


def test_candidates_of_ggr_count_as_many_times_as_their_layer_is_large(monkeypatch):
    net = net_of((0.1, 0.6))
    gradients = net.gradients(at())
    factors = [1 / abs(gradient).mean() for gradient in gradients]
    gradients = [g * factor for g, factor in zip(gradients, factors, strict=True)]
    batches = SameBatch(net.batches, factors)
    options = {"zeta": 0.4, "decay": "constant", "candidates": "sampled"}
    algorithm = topology.make("ggr", gamma=1.0, **options)
    monkeypatch.setattr(algorithm, "least_candidates", 0)
    counts, total = np.zeros(2), 0
    n_updates = N_DRAWS // 10
    for seed in range(n_updates):
        update = Update(net.model, at(seed=seed), [0, 1], batches)
        algorithm.drop(update)
        counts += [keys.size for keys in algorithm.grow(update).values()]
        total = sum(update.removed(index) for index in update.connections)
    left = [mask.copy() for mask in net.masks[:2]]
    for index, mask in enumerate(left):
        mask[mask] = ~update.dropped[index]
    want = np.array(naive_topology.ggr_counts(left, gradients[:2], total))
    np.testing.assert_allclose(counts / n_updates, want, atol=0.1 * total)
    # That layer has more of the largest gradients than it has candidates.
    assert want[0] > 2 * net.masks[0].sum()


# CHT and CHTs ------------------------------------------------------------------------


@pytest.mark.parametrize("rule", RULES)
def test_cht_grows_by_its_rule(rule):
    net = net_of((0.4, 0.4), seed=9)  # any two rules differ on it
    algorithm = topology.make("cht", rule=rule)
    make_update, remaining = half_dropped(net, 0)
    count = 12
    keys = algorithm.choose_cells(make_update(0), 0, count)
    scores = {each: naive_paths.scores(remaining, each) for each in RULES}
    best = np.sort(scores[rule][~remaining])[-count:]
    assert best[0] > 0
    np.testing.assert_allclose(np.sort(scores[rule].flat[keys]), best, rtol=1e-12)
    for other in set(RULES) - {rule}:
        assert scores[rule].flat[naive_paths.highest(scores[other], count)].sum() < (
            best.sum() - 1e-9
        )


@pytest.mark.parametrize("name", ["chts", "chtss"])
@pytest.mark.parametrize("rule", DRAWN)
def test_chts_grows_in_proportion_to_the_score(rule, name):
    net = net_of((0.25, 0.3))
    algorithm = topology.make(name, rule=rule)
    make_update, remaining = half_dropped(net, 0)
    scores = naive_paths.scores(remaining, rule)
    drawn = [
        int(algorithm.choose_cells(make_update(seed), 0, 1)[0])
        for seed in range(N_DRAWS)
    ]
    cells = np.flatnonzero(scores)
    shares = scores.flat[cells] / scores.sum()
    assert agree(drawn, dict(zip(cells.tolist(), shares, strict=True)))


# Filling up --------------------------------------------------------------------------


def test_what_is_filled_up_is_uniform():
    net = net_of((0.4, 0.4))
    algorithm = topology.make("rigl")
    make_update, remaining = half_dropped(net, 0)
    empty = np.flatnonzero(~remaining)
    # Those chosen already are many, and not spread evenly.
    chosen = empty[: empty.size // 2]
    free = np.setdiff1d(empty, chosen)
    counts = np.zeros(remaining.size)
    for seed in range(5 * N_DRAWS):
        keys = algorithm.fill_at_random(make_update(seed), 0, chosen, chosen.size + 1)
        assert keys.size == chosen.size + 1
        counts[np.setdiff1d(keys, chosen, assume_unique=True)] += 1
    assert counts.sum() == counts[free].sum() == 5 * N_DRAWS
    assert is_uniform(counts[free])


@pytest.mark.parametrize("share", [0.2, 0.6])
def test_neurons_of_srigl_are_filled_up_uniformly(share):
    net = net_of((share, share))
    algorithm = topology.make("srigl")
    make_update, remaining = half_dropped(net, 0)
    # One more for every neuron that has room, which has got its first empty cell.
    first = np.flatnonzero(~remaining.all(0))
    chosen = np.sort((~remaining).argmax(0)[first] * remaining.shape[1] + first)
    free = ~remaining
    free.flat[chosen] = False
    wanted = (~remaining).any(0).astype(np.int32) + free.any(0)
    counts = np.zeros(remaining.shape)
    for seed in range(N_DRAWS):
        update = make_update(seed)
        keys = algorithm._fill_neurons(update, 0, chosen, wanted)
        counts.flat[np.setdiff1d(keys, chosen, assume_unique=True)] += 1
    assert (counts[~free] == 0).all()
    np.testing.assert_array_equal(counts.sum(0), N_DRAWS * free.any(0))
    # A test for each neuron, and one of all of them.
    pairs = zip(counts.T, free.T, strict=True)
    values = [
        stats.chisquare(each[open_]).pvalue for each, open_ in pairs if open_.any()
    ]
    assert stats.combine_pvalues(values).pvalue > 1e-4


# DSR ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("share", "factor"), [(0.85, 2.0), (0.95, 1.0), (1.05, 1.0), (1.15, 0.5)]
)
def test_the_threshold_of_dsr_moves_when_a_tenth_is_missed(share, factor):
    net = net_of((0.9, 0.9))
    sizes = np.concatenate(
        [abs(w[m]) for w, m in zip(net.weights[:2], net.masks[:2], strict=True)]
    )
    n_removed = round(share * 0.2 * sizes.size)
    # Far from the bounds of 0.9 and 1.1 times the target, for all rounding.
    assert abs(n_removed / (0.2 * sizes.size) - share) < 0.03
    threshold = float(np.sort(sizes)[n_removed - 1 : n_removed + 1].mean())
    algorithm = topology.make("dsr", zeta=0.2, threshold=threshold)
    changes = net.update(algorithm)
    assert sum(change.removed for change in changes) == n_removed
    assert algorithm.threshold == factor * threshold


def test_masks_are_those_asked_for():
    net = net_of((0.1, 0.6))
    shares = [mask.mean() for mask in net.masks[:2]]
    np.testing.assert_allclose(shares, (0.1, 0.6), atol=0.08)
    for layer, mask in zip(net.model.layers, net.masks, strict=True):
        np.testing.assert_array_equal(mask_of(layer.connections), mask)
