"""Measures of bipartite graphs against loops, and of graphs that are known."""

import itertools

import numpy as np
import pytest
import scipy.linalg
import scipy.sparse
from hypothesis import assume, given
from hypothesis import strategies as st
from support import naive_analysis as naive
from support.strategies import cases, make_connections

from truesparse import SparseMLP
from truesparse.analysis import graph_measures
from truesparse.analysis.bipartite import clustering, modularity, path_length
from truesparse.errors import UsageError


def draw(seed=0):
    return np.random.default_rng(seed)


@given(case=cases(max_side=9))
def test_clustering_and_path_length_match_loops(case):
    assume(case.mask.any())
    share, error = clustering(case.connections, case.draw)
    np.testing.assert_allclose(share, naive.clustering(case.mask))
    assert error == 0.0
    mean, error = path_length(case.connections, case.draw)
    assert mean == pytest.approx(naive.path_length(case.mask))
    assert error == 0.0


def test_samples_are_within_their_errors():
    # Two dense halves and a sparse rest, so that neurons differ.
    mask = draw(3).random((60, 50)) < 0.08
    mask[:30, :25] |= draw(4).random((30, 25)) < 0.3
    connections = make_connections(mask)
    exact, _ = clustering(connections, draw())
    length, _ = path_length(connections, draw(), n_sources=110)
    offs = []
    for seed in range(20):
        share, error = clustering(connections, draw(seed), n_paths=2000)
        offs.append((share - exact) / error)
        mean, error = path_length(connections, draw(seed), n_sources=12)
        offs.append((mean - length) / error)
    assert np.mean(np.abs(offs) < 2) > 0.8
    assert 0.5 < np.sqrt(np.mean(np.square(offs))) < 1.7


@given(case=cases(max_side=5), n=st.integers(2, 3))
def test_modularity_is_that_of_its_communities_and_at_most_the_largest(case, n):
    mask = case.mask
    assume(mask.any() and sum(mask.shape) <= 7)
    quality, _ = modularity(case.connections, case.draw)
    best = max(
        naive.modularity(mask, labels[: mask.shape[0]], labels[mask.shape[0] :])
        for labels in itertools.product(range(3), repeat=sum(mask.shape))
    )
    assert quality <= best + 0.1  # there may be more than 3 communities
    assert quality >= 0.8 * best - 1e-6


@pytest.mark.parametrize("n_blocks", [2, 3, 4])
def test_blocks_without_connections_between_them_are_the_communities(n_blocks):
    mask = scipy.linalg.block_diag(*[np.ones((6, 5))] * n_blocks) > 0
    quality, n_communities = modularity(make_connections(mask), draw(1))
    assert quality == pytest.approx(1 - 1 / n_blocks)
    assert n_communities == n_blocks


def test_a_complete_layer_has_no_communities():
    connections = make_connections(np.ones((5, 6), bool))
    assert modularity(connections, draw()) == (0.0, 1)
    assert clustering(connections, draw()) == (1.0, 0.0)


def test_a_ring_of_blocks_is_a_small_world():
    mask = scipy.linalg.block_diag(*[np.ones((4, 4))] * 12) > 0
    for i in range(12):
        mask[4 * i, (4 * i + 4) % 48] = True
    model = SparseMLP.from_sparse([scipy.sparse.csr_array(mask.astype(float))])
    [measures] = graph_measures(model, seed=1)
    assert measures.clustering == pytest.approx(naive.clustering(mask))
    assert measures.small_world > 1.5
    ratio = measures.clustering / measures.random_clustering
    ratio /= measures.path_length / measures.random_path_length
    assert measures.small_world == pytest.approx(ratio)
    [random] = graph_measures(SparseMLP([80, 80], density=0.1, seed=3), seed=1)
    assert random.small_world == pytest.approx(1.0, abs=0.25)
    assert random.random_clustering == pytest.approx(random.clustering, rel=0.2)
    assert random.random_path_length == pytest.approx(random.path_length, rel=0.05)


def test_layers_are_chosen_and_the_seed_decides():
    model = SparseMLP([40, 30, 20, 3], epsilon=4)
    measures = graph_measures(model, seed=2)
    assert [each.layer for each in measures] == [0, 1]
    assert measures == graph_measures(model, seed=2)
    with pytest.raises(UsageError, match="no connections"):
        graph_measures(SparseMLP.from_sparse([scipy.sparse.csr_array((3, 3))]))
