"""Gathering batches and the buffers they go to."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse
from support import naive
from support.strategies import DTYPES, SEEDS, layer, make_connections

from truesparse.kernels.aligned import aligned_zeros
from truesparse.kernels.arrays import Csr, SparseBatch
from truesparse.kernels.batch import FEATURES, gather_csr, gather_dense
from truesparse.kernels.jit import DISABLED, most_threads
from truesparse.network.buffers import Buffers, padded_columns, tile_columns

# Below, at and above the blocks of 16 x 16 and the features of a task.
FEATURE_COUNTS = st.sampled_from([1, 15, 16, 33, FEATURES, FEATURES + 17])
BATCHES = st.sampled_from([1, 5, 16, 17, 33] if DISABLED else [1, 5, 16, 17, 100, 129])


@pytest.mark.parametrize("dtype", DTYPES)
def test_gather_dense(dtype):
    @given(FEATURE_COUNTS, BATCHES, SEEDS)
    def compare(n_features, batch, seed):
        draw = np.random.default_rng(seed)
        data = draw.standard_normal((40, n_features)).astype(dtype)
        samples = draw.integers(0, 40, batch)
        columns, _ = padded_columns(batch, dtype)
        out = np.full((n_features, columns), np.nan, dtype)
        gather_dense(data, samples, out)
        np.testing.assert_array_equal(out, naive.gather_dense(data, samples, columns))

    compare()


@pytest.mark.parametrize("dtype", DTYPES)
def test_gather_csr(dtype):
    @given(FEATURE_COUNTS, BATCHES, st.sampled_from([0.1, 0.0, 1.0]), SEEDS)
    def compare(n_features, batch, density, seed):
        draw = np.random.default_rng(seed)
        data = draw.standard_normal((40, n_features)).astype(dtype)
        data *= draw.random(data.shape) < density
        csr = sparse.csr_array(data)
        samples = draw.integers(0, 40, batch)
        room = int(np.diff(csr.indptr)[samples].sum())
        out = SparseBatch(
            np.full(n_features + 1, -1),
            np.full(room + 3, -1, np.int32),
            np.full(room + 3, np.nan, dtype),
        )
        parts = csr.indptr.astype(np.int64), csr.indices.astype(np.int32), csr.data
        gather_csr(Csr(*parts), samples, out)
        assert out.indptr[-1] == room
        # Nothing beyond the room the batch needs is touched.
        assert (out.positions[room:] == -1).all()
        want = naive.gather_dense(data, samples, batch)
        np.testing.assert_array_equal(naive.dense_batch(out, batch), want)
        # Feature by feature: samples ascend, which is what makes sums repeatable.
        for f in range(n_features):
            run = out.positions[out.indptr[f] : out.indptr[f + 1]]
            assert (np.diff(run) > 0).all()

    compare()


@pytest.mark.parametrize("dtype", DTYPES)
def test_padded_columns(dtype):
    widest = tile_columns(dtype)
    for batch in range(1, 1200):
        columns, tile = padded_columns(batch, dtype)
        assert columns >= batch
        assert columns % tile == 0
        if batch <= 8:
            assert columns == tile
            assert columns < 2 * batch
        else:
            assert tile % 16 == 0
            assert tile <= widest
            # Fewer than 16 columns of each tile are padding.
            assert columns - batch < 16 * (columns // tile)


@given(st.integers(0, 20), st.integers(1, 40), st.sampled_from(DTYPES))
def test_aligned_zeros(rows, columns, dtype):
    out = aligned_zeros((rows, columns), dtype)
    assert out.shape == (rows, columns)
    assert out.dtype == dtype
    assert out.flags.c_contiguous
    assert not out.any()
    assert not out.size or out.ctypes.data % 64 == 0


def test_sample_weights_become_shares_of_the_batch():
    buffers = Buffers([layer(make_connections(np.ones((2, 2), bool)))], 3)
    samples = np.array([4, 0])
    np.testing.assert_array_equal(buffers.load_weights(None, samples), [0.5, 0.5])
    weights = np.array([1.0, 9.0, 9.0, 9.0, 3.0])
    np.testing.assert_array_equal(buffers.load_weights(weights, samples), [0.75, 0.25])
    none = buffers.load_weights(np.zeros(5), samples)
    np.testing.assert_array_equal(none, [0.0, 0.0])


def test_targets_are_gathered_as_labels_or_numbers():
    buffers = Buffers([layer(make_connections(np.ones((2, 3), bool)))], 3)
    samples = np.array([4, 0])
    labels = np.arange(5, dtype=np.int32)
    np.testing.assert_array_equal(buffers.load_targets(labels, samples), [4, 0])
    numbers = np.arange(15.0).reshape(5, 3)
    got = buffers.load_targets(numbers, samples)
    np.testing.assert_array_equal(got, naive.gather_dense(numbers, samples, 4))


@pytest.mark.parametrize(("batch", "is_wide"), [(2, False), (300, True)])
def test_buffers_grow_with_the_topology_only(batch, is_wide):
    subject = layer(make_connections(np.eye(40) > 0))
    buffers = Buffers([subject], batch)
    partial, scratch = buffers.partial, buffers.scratch
    # Only batches of several tiles need to keep a row's gradients for a while.
    assert scratch.shape == (most_threads(), int(is_wide))
    buffers.fit([subject])
    assert buffers.partial is partial
    assert buffers.scratch is scratch
    full = layer(make_connections(np.ones((40, 40), bool)))
    buffers.fit([full])
    assert buffers.partial.size >= full.partial_size(buffers.columns)
    assert buffers.scratch.shape == (most_threads(), 40 if is_wide else 0)
