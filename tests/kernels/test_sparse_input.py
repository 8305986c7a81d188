"""The first layer on sparse input equals the same layer on the dense input."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse
from support import naive
from support.compare import assert_close
from support.strategies import (
    BATCHES,
    DTYPES,
    cases,
    layer,
    make_connections,
    padded,
    tile_for,
    to_dense,
)

from truesparse.kernels.arrays import Csr, Head, SparseBatch
from truesparse.kernels.batch import gather_csr
from truesparse.kernels.update import STORE
from truesparse.optimizers import Optimizer

INPUTS = st.sampled_from([0.1, 0.0, 0.5, 1.0])


def sparse_batch(case, batch, density):
    """Return a sparse batch and the same as a dense (n_in, columns) array."""
    x = case.normal(batch, case.connections.n_in)
    x *= case.draw.random(x.shape) < density
    csr = sparse.csr_array(x)
    out = SparseBatch(
        np.zeros(case.connections.n_in + 1, np.int64),
        np.zeros(csr.nnz, np.int32),
        np.zeros(csr.nnz, x.dtype),
    )
    parts = csr.indptr.astype(np.int64), csr.indices.astype(np.int32), csr.data
    gather_csr(Csr(*parts), np.arange(batch), out)
    columns, tile = tile_for(batch, x.dtype)
    return out, padded(np.ascontiguousarray(x.T), columns), tile


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("batch", BATCHES)
def test_forward(batch, dtype):
    @given(cases(dtype), INPUTS, st.sampled_from(["identity", "relu"]))
    def compare(case, density, name):
        inputs, x, tile = sparse_batch(case, batch, density)
        subject = layer(case.connections, name)
        subject.bias[:] = case.normal(case.connections.n_out)
        out = np.full((case.connections.n_out, x.shape[1]), np.nan, dtype)
        head = Head(subject.bias, out, out[:0, :0])
        how = subject.activation.for_inference()
        room = np.full(subject.partial_size(x.shape[1], is_sparse=True), np.nan, dtype)
        subject.forward(tile, inputs, head, how, room)
        want = naive.activation(name, naive.forward(case.dense, subject.bias, x))
        assert_close(out, want, naive.forward_scale(case.dense, subject.bias, x))

    compare()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("batch", BATCHES)
def test_gradient(batch, dtype):
    @given(cases(dtype), INPUTS)
    def compare(case, density):
        inputs, x, tile = sparse_batch(case, batch, density)
        delta = padded(case.normal(case.connections.n_out, batch), x.shape[1])
        gradient = np.full(case.connections.nnz, np.nan, dtype)
        room = np.zeros((1, 0), dtype), gradient
        weights = case.connections.values.copy()
        layer(case.connections).backward(tile, inputs, delta, STORE, STORE, *room)
        want = naive.weight_gradient(x, delta)[case.mask]
        assert_close(gradient, want, naive.weight_gradient_scale(x, delta)[case.mask])
        np.testing.assert_array_equal(case.connections.values, weights)

    compare()


@pytest.mark.parametrize("dtype", DTYPES)
def test_step_moves_weights_of_absent_features_too(dtype):
    method = Optimizer("sgd", 0.9, weight_decay=0.01)

    @given(cases(dtype), st.sampled_from(BATCHES), INPUTS)
    def compare(case, batch, density):
        connections = case.connections
        inputs, x, tile = sparse_batch(case, batch, density)
        delta = padded(case.normal(connections.n_out, batch), x.shape[1])
        subject = layer(connections)
        subject.allocate_moments(True, False)
        connections.moments.first[:] = case.normal(connections.nnz)
        m = to_dense(connections, connections.moments.first)
        g = naive.weight_gradient(x, delta)
        want_w, want_m, _ = naive.optimizer_step(method, case.dense, m, 0.0, g, 0.1, 0)
        scratch = np.zeros((1, 0), dtype)
        rules = method.rule(0.1, 0), method.bias_rule(0.1, 0)
        subject.backward(tile, inputs, delta, *rules, scratch)
        g_scale = naive.weight_gradient_scale(x, delta)
        scale = (np.abs(case.dense) + np.abs(m) + g_scale)[case.mask]
        assert_close(connections.values, want_w[case.mask], scale)
        assert_close(connections.moments.first, want_m[case.mask], scale)

    compare()


def test_moments_are_left_alone_by_a_gradient():
    subject = layer(make_connections(np.ones((3, 2), bool)))
    subject.allocate_moments(True, True)
    inputs = SparseBatch(np.zeros(4, np.int64), np.zeros(0, np.int32), np.zeros(0))
    delta, gradient = np.ones((2, 4)), np.full(6, np.nan)
    scratch = np.zeros((1, 0))
    subject.backward((0.0,) * 4, inputs, delta, STORE, STORE, scratch, gradient)
    assert not any(m.any() for m in subject.connections.moments)
    np.testing.assert_array_equal(gradient, np.zeros(6))
