"""Kernels take subnormal numbers as zero; everything outside them keeps them."""

import numba
import numpy as np
import pytest
from support.strategies import DTYPES, layer, make_connections, tile_for

from truesparse.kernels import subnormal
from truesparse.kernels.activation import NO_GRADIENT
from truesparse.kernels.arrays import Above, Head, Moments, Source, SparseBatch
from truesparse.kernels.backward import backward
from truesparse.kernels.candidates import candidate_gradients
from truesparse.kernels.update import STORE, step_all
from truesparse.network.buffers import Buffers
from truesparse.optimizers import Optimizer

pytestmark = pytest.mark.compiled

# A subnormal weight, and an input that would lift its product into the normal range.
TINY = {np.float32: np.float32(1e-41), np.float64: np.float64(1e-310)}
HUGE = {np.float32: np.float32(1e30), np.float64: np.float64(1e300)}
FLUSHES = subnormal._IS_X86 or subnormal._IS_ARM


def expected(dtype, factor=1.0):
    """Return the product of the two numbers as the kernels should see it."""
    return 0.0 if FLUSHES else float(TINY[dtype]) * float(HUGE[dtype]) * factor


@numba.njit(parallel=True)
def halve_on_all_threads(values, out):
    """Compute out = values / 2 on the threads that kernels run on."""
    for i in numba.prange(values.size):
        out[i] = values[i] * 0.5


def assert_subnormals_are_kept_outside():
    """Check the calling thread, and the pool, which other users of Numba share."""
    for dtype in DTYPES:
        tiny = np.full(64, TINY[dtype])
        assert (tiny * dtype(0.5) > 0).all()
        assert (tiny * HUGE[dtype] > 0).all()
    assert float(TINY[np.float64]) * 0.5 > 0.0
    tiny = np.full(1000, TINY[np.float64])
    halves = np.zeros_like(tiny)
    halve_on_all_threads(tiny, halves)
    assert (halves > 0).all()


def full_layer(dtype, n_in=5, n_out=4):
    connections = make_connections(np.ones((n_in, n_out), bool), dtype)
    connections.values[:] = TINY[dtype]
    return connections


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("batch", [3, 9])
def test_forward(batch, dtype):
    subject = layer(full_layer(dtype))
    buffers = Buffers([subject], batch)
    buffers.x[:] = HUGE[dtype]
    head = Head(subject.bias, buffers.outputs[0], buffers.slopes[0])
    how = subject.activation.for_inference()
    subject.forward(buffers.tile, buffers.x, head, how, buffers.partial)
    np.testing.assert_allclose(head.out, np.full_like(head.out, expected(dtype, 5)))
    assert_subnormals_are_kept_outside()


def sources(dtype, n_in, columns):
    x = np.full((n_in, columns), HUGE[dtype])
    none = x[0, :0]
    return Source(x, x[:0, :0], none, none, none, none, NO_GRADIENT, 0.0, 1.0)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("batch", [3, 9, 300])
def test_backward(batch, dtype):
    connections = full_layer(dtype)
    columns, tile = tile_for(batch, dtype)
    delta = np.full((connections.n_out, columns), TINY[dtype])
    gradient = np.full(connections.nnz, np.nan, dtype)
    scratch = np.zeros((64, connections.n_out), dtype)
    moments = Moments(gradient, gradient[:0])
    parts = connections.csr, moments, STORE, sources(dtype, 5, columns), STORE
    backward(tile, connections.row_tasks, *parts, Above(delta, scratch))
    want = np.full(connections.nnz, expected(dtype, columns))
    np.testing.assert_allclose(gradient, want, rtol=1e-4)
    assert_subnormals_are_kept_outside()


@pytest.mark.parametrize("dtype", DTYPES)
def test_sparse_input(dtype):
    subject = layer(full_layer(dtype))
    connections, (columns, tile) = subject.connections, tile_for(3, dtype)
    values = np.full(5, HUGE[dtype])
    batch = SparseBatch(np.arange(6), np.zeros(5, np.int32), values)
    out = np.full((4, columns), np.nan, dtype)
    head = Head(subject.bias, out, out[:0, :0])
    how = subject.activation.for_inference()
    room = np.full(subject.partial_size(columns, is_sparse=True), np.nan, dtype)
    subject.forward(tile, batch, head, how, room)
    np.testing.assert_allclose(out[:, 0], np.full(4, expected(dtype, 5)))
    delta = np.full((4, columns), TINY[dtype])
    gradient, scratch = np.full(connections.nnz, np.nan, dtype), np.zeros((1, 0), dtype)
    subject.backward(tile, batch, delta, STORE, STORE, scratch, gradient)
    np.testing.assert_allclose(
        gradient, np.full(connections.nnz, expected(dtype)), rtol=1e-4
    )
    assert_subnormals_are_kept_outside()


@pytest.mark.parametrize("dtype", DTYPES)
def test_candidates(dtype):
    columns, tile = tile_for(3, dtype)
    x = np.full((2, columns), HUGE[dtype])
    delta = np.full((2, columns), TINY[dtype])
    out, keys = np.zeros(6, dtype), np.zeros(6, np.int64)
    candidate_gradients(tile, keys, x, delta, 2, out)
    np.testing.assert_allclose(out, np.full(6, expected(dtype, columns)), rtol=1e-4)
    assert_subnormals_are_kept_outside()


@pytest.mark.parametrize("dtype", DTYPES)
def test_weights_that_die_away_become_zero(dtype):
    smallest = np.finfo(dtype).tiny
    w, m = np.full(50, smallest), np.full(50, smallest)
    # One step shrinks weight and moment below the normal range.
    rule = Optimizer("sgd", 0.5, weight_decay=0.99, decay="set").rule(0.1, 0)
    step_all(rule, w, Moments(m, m[:0]), np.zeros(50, dtype), 7)
    if FLUSHES:
        assert not w.any()
        assert not m.any()
    assert_subnormals_are_kept_outside()
