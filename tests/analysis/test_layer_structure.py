"""The structure of networks against dense masks."""

import itertools

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st
from support import naive_analysis as naive
from support.strategies import SEEDS, cases

from truesparse import SparseMLP
from truesparse.analysis import exploration, overlap, structure
from truesparse.analysis.reach import count_between, reach_of
from truesparse.errors import UsageError
from truesparse.plots import counts

SIZES = st.lists(st.integers(1, 9), min_size=2, max_size=5)


def make(sizes, seed, density):
    """Return a model of any pattern, and its masks."""
    draw = np.random.default_rng(seed)
    masks = [draw.random(pair) < density for pair in itertools.pairwise(sizes)]
    weights = [
        scipy.sparse.coo_array(np.where(m, draw.standard_normal(m.shape), 0))
        for m in masks
    ]
    return SparseMLP.from_sparse(weights, dtype="float64"), masks


DENSITIES = st.sampled_from([0.0, 0.15, 0.3, 0.7, 1.0])


@given(sizes=SIZES, seed=SEEDS, density=DENSITIES)
def test_active_neurons_and_connections_match_products_of_masks(sizes, seed, density):
    model, masks = make(sizes, seed, density)
    wanted = naive.active_neurons(masks)
    for got, flags in zip(reach_of(model).active, wanted, strict=True):
        np.testing.assert_array_equal(got, flags)
    result = structure(model)
    assert result.active == [flags.sum() for flags in wanted]
    on_paths = [mask[wanted[i]][:, wanted[i + 1]].sum() for i, mask in enumerate(masks)]
    assert [layer.on_paths for layer in result.layers] == on_paths
    assert result.chains == sum(mask.sum() for mask in masks) - sum(on_paths)
    active = result.active
    assert result.active_cells == sum(a * b for a, b in itertools.pairwise(active))


@given(sizes=SIZES, seed=SEEDS, density=DENSITIES)
def test_layers_match_their_dense_weights(sizes, seed, density):
    model, masks = make(sizes, seed, density)
    for layer, mask, dense in zip(
        structure(model).layers, masks, naive.dense_weights(model), strict=True
    ):
        assert (layer.n_in, layer.n_out, layer.nnz) == (*mask.shape, mask.sum())
        assert layer.density == pytest.approx(mask.mean())
        rows, columns = mask.sum(axis=1), mask.sum(axis=0)
        assert layer.out_degree[::3] == (rows.min(), rows.max())
        assert layer.in_degree.mean == pytest.approx(columns.mean())
        assert layer.in_degree.deviation == pytest.approx(columns.std())
        strengths = np.abs(dense).sum(axis=1)
        assert layer.out_strength.high == pytest.approx(strengths.max())
        strengths = np.abs(dense).sum(axis=0)
        assert layer.in_strength.low == pytest.approx(strengths.min())
        assert layer.empty_inputs == (rows == 0).sum()
        assert layer.empty_outputs == (columns == 0).sum()
        rest = dense[rows > 0][:, columns > 0]
        assert layer.remaining_cells == rest.size
        values = dense[mask]
        assert layer.weight.mean == pytest.approx(values.mean() if values.size else 0)


@given(sizes=SIZES, seed=SEEDS, density=DENSITIES)
def test_components_match_merged_labels(sizes, seed, density):
    model, masks = make(sizes, seed, density)
    sizes = naive.components(masks)
    result = structure(model)
    larger = [size for size in sizes if size > 1]
    assert result.n_components == len(larger)
    assert result.largest_component == max(larger, default=0)
    assert result.isolated == sizes.count(1)


@given(case=cases(), chunk=st.sampled_from([1, 7, 1 << 20]))
def test_chunks_do_not_matter(case, chunk):
    draw, connections = case.draw, case.connections
    inputs = draw.random(case.mask.shape[0]) < 0.5
    outputs = draw.random(case.mask.shape[1]) < 0.5
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(counts, "CHUNK", chunk)
        count = count_between(connections, inputs, outputs)
        strengths = counts.in_strengths(connections)
    assert count == case.mask[inputs][:, outputs].sum()
    wanted = np.abs(case.dense).sum(axis=0)
    np.testing.assert_allclose(strengths, wanted, atol=1e-12)


@given(sizes=SIZES, seed=SEEDS, density=DENSITIES, other=DENSITIES)
def test_overlap_and_exploration_match_sets_of_cells(sizes, seed, density, other):
    first, a = make(sizes, seed, density)
    second, b = make(sizes, seed + 1, other)
    shares, explored = overlap(first, second), exploration([first, second, first])
    for share, rate, one, two in zip(shares, explored, a, b, strict=True):
        union = (one | two).sum()
        wanted = (one & two).sum() / union if union else 1.0
        assert share == pytest.approx(wanted)
        assert rate == pytest.approx((one | two).mean())
    assert overlap(first, first) == [1.0] * len(a)


def test_cells_of_wide_layers_are_told_apart():
    # Numbers of cells beyond 32 bits.
    side = 70_000
    corners = ([1.0, 1.0], ([0, side - 1], [0, side - 1]))
    one = SparseMLP.from_sparse([scipy.sparse.coo_array(corners, (side, side))])
    other = ([1.0, 1.0], ([0, side - 2], [0, side - 1]))
    two = SparseMLP.from_sparse([scipy.sparse.coo_array(other, (side, side))])
    assert overlap(one, two) == [pytest.approx(1 / 3)]
    assert exploration([one, two]) == [pytest.approx(3 / side**2)]


def test_networks_of_other_shapes_are_refused():
    one, two = SparseMLP([4, 3]), SparseMLP([4, 5])
    with pytest.raises(UsageError, match="4 - 3; 4 - 5"):
        overlap(one, two)
    with pytest.raises(UsageError, match="4 - 3; 4 - 5"):
        exploration([one, two])
    with pytest.raises(UsageError, match="at least one model"):
        exploration([])
    for single in (one, "model.safetensors"):
        with pytest.raises(UsageError, match="must be a sequence of models, got"):
            exploration(single)
    with pytest.raises(UsageError, match="SparseMLP"):
        structure(7)
