"""CHT, CHTs and CHTss: what is removed, where it grows."""

import numpy as np
import pytest
from scipy import stats
from support import naive, naive_paths
from support.naive_patterns import is_uniform
from support.network import mask_of
from support.strategies import make_connections
from support.topology_net import Net, at

from truesparse import topology
from truesparse.errors import UsageError
from truesparse.kernels.jit import DISABLED
from truesparse.network.sparse_mlp import SparseMLP
from truesparse.topology import Update, cht
from truesparse.topology.parts import paths
from truesparse.topology.parts.importance import relative_importance
from truesparse.topology.parts.paths import highest_scores
from truesparse.topology.parts.schedule import Share

LEVEL = 1e-4  # the seeds are fixed


def begun(name, net, **options):
    algorithm = topology.make(name, **options)
    algorithm.begin(net.model)
    return algorithm


@pytest.mark.parametrize("rule", ["ch3_l3p", "ch2_l3n"])
def test_cht_grows_the_highest_scores_of_what_is_left(rule):
    net = Net(epsilon=1.2)
    for k, change in enumerate(net.update(begun("cht", net, rule=rule))):
        assert change.removed >= int(0.3 * net.masks[k].sum())
        assert change.grown == change.removed
        assert net.model.layers[k].connections.nnz == net.masks[k].sum()
        assert change.growth.startswith("paths ")


def test_cht_and_its_scores_without_chains():
    net = Net(epsilon=1.2)
    algorithm = begun("cht", net, chain_removal=False)
    update = Update(net.model, at(), [0, 1])
    algorithm.drop(update)
    wanted = {}
    for k in update.connections:
        keys = algorithm.choose_cells(update, k, update.removed(k))
        remaining = net.masks[k].copy()
        remaining[remaining] = ~update.dropped[k]
        scores = naive_paths.scores(remaining, "ch3_l3p")
        absent = np.sort(scores[~remaining])
        np.testing.assert_allclose(
            np.sort(scores.flat[keys]), absent[-keys.size :], rtol=1e-12
        )
        wanted[k] = keys
    net.update(algorithm)
    for k, keys in wanted.items():
        assert mask_of(net.model.layers[k].connections).flat[keys].all()
        # What was removed and has come back keeps its weight.
        both = net.masks[k] & net.new_masks()[k]
        weights = np.zeros(both.shape)
        weights[net.new_masks()[k]] = net.model.layers[k].connections.values
        np.testing.assert_array_equal(weights[both], net.weights[k][both])


@pytest.mark.parametrize("removal", ["per_sign", "magnitude"])
def test_cht_removes_per_sign(removal):
    net = Net()
    values = net.model.layers[0].connections.values
    # Of one sign all are smaller than those of the other.
    values[values < 0] *= 1e-3
    update = Update(net.model, at(), [0])
    begun("cht", net, removal=removal).drop(update)
    want = naive.set_removed(values, 0.3)
    if removal == "magnitude":
        want = naive.smallest(abs(values), int(0.3 * values.size))
    np.testing.assert_array_equal(update.dropped[0], want)
    assert (values[want] > 0).any() == (removal == "per_sign")


@pytest.mark.parametrize("round_size", [1, 30, 10**6])
def test_cht_draws_among_equal_scores(round_size, monkeypatch):
    monkeypatch.setattr(paths, "_ROUND_SIZE", round_size)
    # Each input is connected to the next four outputs around; see test_paths.py.
    n = 20
    mask = sum(np.roll(np.eye(n, dtype=bool), k, 1) for k in range(4)) > 0
    scores = naive_paths.scores(mask, "ra_l3").ravel()
    sure, ties = (np.flatnonzero(scores == score) for score in (1.5, 0.75))
    connections, counts = make_connections(mask), np.zeros(scores.size)
    none, draw = np.zeros(connections.nnz, bool), np.random.default_rng(0)
    n_draws = 50 if DISABLED else 400
    for _ in range(n_draws):
        keys, got = highest_scores(connections, none, sure.size + 7, "ra_l3", draw)
        np.testing.assert_array_equal(got, scores[keys])
        counts[keys] += 1
    assert (counts[sure] == n_draws).all()
    assert counts[ties].sum() == counts.sum() - n_draws * sure.size == 7 * n_draws
    assert is_uniform(counts[ties])


def test_ties_of_cht_depend_on_the_seed():
    n = 20
    mask = sum(np.roll(np.eye(n, dtype=bool), k, 1) for k in range(4)) > 0
    model = SparseMLP([n, n, 2], epsilon=1)
    model.layers[0].connections = make_connections(mask)
    algorithm = topology.make("cht", rule="ra_l3")
    keys = [
        algorithm.choose_cells(Update(model, at(seed=seed), [0]), 0, 45).tolist()
        for seed in (0, 0, 1)
    ]
    assert keys[0] == keys[1] != keys[2]


@pytest.mark.parametrize("removal", ["magnitude", "relative"])
def test_chts_keeps_in_proportion(removal):
    net = Net(epsilon=1)
    index, progress = 1, 0.5
    sizes = abs(net.weights[index])
    if removal == "relative":
        with np.errstate(invalid="ignore"):
            sizes = sizes / sizes.sum(1, keepdims=True) + sizes / sizes.sum(0)
    weights = sizes[net.masks[index]] ** (1 + progress * 2)
    # The best score is a draw of one connection in proportion to its weight.
    n_draws = 300 if DISABLED else 3000
    algorithm = begun("chts", net, removal=removal, last_temperature=3.0)
    hits = np.zeros(weights.size)
    for seed in range(n_draws):
        update = Update(net.model, at(50, seed=seed), [index])
        hits[algorithm.drop_scores(update, index).argmax()] += 1
    expected = n_draws * weights / weights.sum()
    big = expected > 5
    observed = np.append(hits[big], hits[~big].sum())
    expected = np.append(expected[big], expected[~big].sum())
    statistic = ((observed - expected) ** 2 / expected).sum()
    assert stats.chi2.sf(statistic, big.sum()) > LEVEL


def test_at_temperature_0_all_connections_are_equal():
    net = Net()
    net.model.layers[0].connections.values[::3] = 0.0
    options = {"last_temperature": 0.0, "final": "prune_only"}
    algorithm = begun("chts", net, **options)
    counts = np.zeros(net.masks[0].sum())
    for seed in range(200):
        update = Update(net.model, at(100, seed=seed), [0])
        algorithm.drop(update)
        counts += update.dropped[0]
    assert counts.sum() == 200 * int(0.3 * counts.size)
    # Without replacement counts vary less than a multinomial draw's.
    assert stats.chisquare(counts).pvalue > LEVEL
    assert net.update(algorithm, at(100))[0].removed >= int(0.3 * counts.size)


def test_weights_of_zero_go_first():
    net = Net()
    connections = net.model.layers[0].connections
    connections.values[::2] = 0.0
    for removal in ("magnitude", "relative"):
        update = Update(net.model, at(), [0])
        begun("chts", net, removal=removal, zeta=0.3).drop(update)
        assert (connections.values[update.dropped[0]] == 0).all()


def test_shares_of_rows_of_tiny_weights():
    net = Net()
    connections = net.model.layers[0].connections
    row = int(np.argmax(np.diff(connections.indptr)))
    mine = slice(*connections.indptr[row : row + 2])
    # Against a sum of 1e12 they do not count, but they share a row of their own.
    connections.values[:] = 1e12
    connections.values[mine] = 1e-9
    connections.values[connections.indptr[row]] = 3e-9
    update = Update(net.model, at(), [0])
    sizes = np.abs(connections.values)
    got = relative_importance(update.connections[0])
    n = connections.indptr[row + 1] - connections.indptr[row]
    got -= sizes / np.bincount(connections.indices, sizes)[connections.indices]
    np.testing.assert_allclose(got[mine], [3 / (n + 2)] + [1 / (n + 2)] * (n - 1))
    empty = make_connections(np.zeros((3, 4), bool))
    assert relative_importance(empty).size == 0


def test_chtss_removes_the_surplus_by_relative_importance():
    # Importances 1.75, 0.583 and 1.667, by magnitude and by chance others could go.
    mask = np.array([[True, True], [False, True]])
    for seed in range(50):
        model = SparseMLP([2, 2, 2], density=1.0)
        connections = model.layers[0].connections = make_connections(mask, np.float32)
        connections.values[:] = 3, 1, 2
        update = Update(model, at(99, seed=seed), [0])
        algorithm = topology.make("chtss", final_share=2 / 3, zeta=0.0)
        algorithm.drop(update)
        assert update.dropped[0].tolist() == [False, True, False]


def test_chtss_does_not_go_by_magnitude_nor_draw_the_surplus():
    net = Net()
    update = Update(net.model, at(50), [0, 1])
    begun("chtss", net, final_share=0.3, zeta=0.0).drop(update)
    for k, connections in update.connections.items():
        importance = relative_importance(connections)
        want = naive.smallest(importance, update.removed(k))
        assert update.removed(k) > 10
        np.testing.assert_array_equal(update.dropped[k], want)
        sizes = abs(connections.values)
        assert (want != naive.smallest(sizes, update.removed(k))).any()


def test_chtss_exchanges_by_magnitude_what_the_surplus_leaves():
    net = Net()
    values = net.model.layers[0].connections.values
    values[::4] *= 1e-9
    update = Update(net.model, at(50), [0])
    begun("chtss", net, final_share=0.5).drop(update)
    pruned, dropped = update.pruned[0], update.dropped[0]
    share = Share(0.5, "sigmoid").at(0.5)
    left = round(share * values.size)
    assert pruned.sum() == values.size - left
    assert dropped[pruned].all()
    assert dropped.sum() == pruned.sum() + int(0.3 * left)
    tiny = np.zeros(values.size, bool)
    tiny[::4] = True
    # Next to nothing in proportion to their size: all of them go, if there is room.
    assert (dropped[tiny]).mean() > 0.9


def test_chtss_has_no_surplus_below_its_budget():
    net = Net()
    algorithm = begun("chtss", net, final_share=1.0, zeta=0.1)
    nnz = net.model.layers[0].connections.nnz
    algorithm.budgets[0] = nnz + 10
    update = Update(net.model, at(50), [0])
    algorithm.drop(update)
    assert not np.any(update.pruned.get(0, False))
    assert nnz % 10 < 9  # or one more connection would be one more to exchange
    assert update.removed(0) == int(0.1 * nnz)
    assert algorithm.grow_counts(update) == {0: int(0.1 * nnz) + 10}


class Returning(cht.Chtss):
    """CHTss that grows in the cells it has just emptied."""

    def grow(self, update):
        self.pruned = update.pruned[0].copy()
        self.dropped = update.dropped[0].copy()
        return {0: update.dropped_keys(0)}


def test_what_the_decay_removes_does_not_return_with_its_weight():
    net = Net()
    algorithm = Returning(final_share=0.5, layers=[0], chain_removal=False)
    algorithm.begin(net.model)
    before = net.model.layers[0].connections.values.copy()
    net.update(algorithm, at(40))
    after = net.model.layers[0].connections.values
    want = np.where(algorithm.pruned, 0.0, before)
    np.testing.assert_array_equal(after, want)
    assert 0 < algorithm.pruned.sum() < algorithm.dropped.sum()


def test_chtss_has_fewer_connections_in_the_end():
    net = Net()
    algorithm = begun("chtss", net, final_share=0.5)
    counts = [net.model.nnz]
    for step in range(5, 100, 10):
        net.update(algorithm, at(step))
        counts.append(net.model.nnz)
    assert counts == sorted(counts, reverse=True)
    for layer, mask in zip(net.model.layers[:2], net.masks[:2], strict=True):
        assert layer.connections.nnz == round(0.5 * mask.sum())


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("cht", {"rule": "ch3"}, "unknown rule of path scores 'ch3'"),
        ("chts", {"rule": "ra_l3"}, "unknown rule to draw cells by 'ra_l3'"),
        ("chts", {"removal": "per_sign"}, "unknown removal 'per_sign'"),
        ("chts", {"last_temperature": -1}, "last_temperature must be at least 0"),
    ],
)
def test_bad_options(name, options, message):
    with pytest.raises(UsageError, match=message):
        topology.make(name, **options)
