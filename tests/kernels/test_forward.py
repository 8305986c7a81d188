"""Both orders of the forward sum against the dense product."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import naive
from support.compare import assert_close
from support.strategies import (
    BATCHES,
    DTYPES,
    SMALL_BATCHES,
    cases,
    layer,
    make_connections,
    padded,
    tile_for,
)

from truesparse.activations import LayerActivation
from truesparse.kernels.arrays import Head
from truesparse.kernels.forward import combine, forward_gather, scatter
from truesparse.kernels.jit import DISABLED
from truesparse.network.buffers import Buffers
from truesparse.sparse.balance import balance

ACTIVATIONS = st.sampled_from(["identity", "relu"])


def inputs(case, batch, dtype):
    """Return x and bias; padded columns hold numbers too, which nobody may mix in."""
    columns, tile = tile_for(batch, dtype)
    return (
        case.normal(case.connections.n_in, columns),
        case.normal(case.connections.n_out),
        tile,
    )


def empty_head(bias, columns):
    """Return a head whose output is full of NaN, all of which must be overwritten."""
    out = np.full((len(bias), columns), np.nan, bias.dtype)
    return Head(bias, out, out[:0, :0])


def check(case, name, x, head):
    want = naive.activation(name, naive.forward(case.dense, head.bias, x))
    assert_close(head.out, want, naive.forward_scale(case.dense, head.bias, x))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("batch", [b for b in BATCHES if b not in SMALL_BATCHES])
def test_gather(batch, dtype):
    @given(cases(dtype), ACTIVATIONS, st.integers(1, 70))
    def compare(case, name, n_tasks):
        x, bias, tile = inputs(case, batch, dtype)
        head = empty_head(bias, x.shape[1])
        view, how = case.connections.view, LayerActivation(name).for_inference()
        tasks = balance(view.indptr, n_tasks)
        forward_gather(tile, tasks, view, case.connections.values, x, head, how)
        check(case, name, x, head)

    compare()


@pytest.mark.parametrize(
    ("batch", "dtype"),
    [*itertools.product(SMALL_BATCHES, DTYPES), (100, np.float32), (300, np.float32)],
)
def test_scatter(batch, dtype):
    @given(cases(dtype), ACTIVATIONS, st.integers(1, 8), st.integers(1, 50))
    def compare(case, name, n_tasks, task_size):
        x, bias, tile = inputs(case, batch, dtype)
        head = empty_head(bias, x.shape[1])
        tasks = balance(case.connections.indptr, n_tasks)
        shape = ((tasks.size - 1) * case.connections.n_out, x.shape[1])
        partial = np.full(shape, np.nan, dtype)
        scatter(tile, tasks, case.connections.csr, x, partial)
        combine(tile, partial, head, LayerActivation(name).for_inference(), task_size)
        check(case, name, x, head)

    compare()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("batch", BATCHES)
def test_layer_in_its_buffers(batch, dtype):
    @given(cases(dtype), ACTIVATIONS)
    def compare(case, name):
        subject = layer(case.connections, name)
        subject.bias[:] = case.normal(case.connections.n_out)
        buffers = Buffers([subject], batch)
        buffers.x[:] = padded(
            case.normal(case.connections.n_in, batch), buffers.columns
        )
        head = Head(subject.bias, buffers.outputs[0], buffers.slopes[0])
        how = subject.activation.for_inference()
        subject.forward(buffers.tile, buffers.x, head, how, buffers.partial)
        check(case, name, buffers.x, head)

    compare()


def test_few_outputs_of_many_inputs_are_scattered_at_any_batch():
    n_in = 3000 if DISABLED else 9000
    draw = np.random.default_rng(3)
    connections = make_connections(draw.random((n_in, 6)) < 0.02, np.float32, draw)
    subject = layer(connections)
    assert subject.scatters(112)
    assert not layer(make_connections(np.eye(50) > 0)).scatters(112)
    buffers = Buffers([subject], 100)
    buffers.x[:] = draw.standard_normal(buffers.x.shape)
    head = Head(subject.bias, buffers.outputs[0], buffers.slopes[0])
    how = subject.activation.for_inference()
    subject.forward(buffers.tile, buffers.x, head, how, buffers.partial)
    dense = connections.to_scipy().toarray()
    want = naive.forward(dense, subject.bias, buffers.x)
    assert_close(head.out, want, naive.forward_scale(dense, subject.bias, buffers.x))


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("batch", [2, 3, 9])
def test_a_diverged_input_is_seen_in_what_it_reaches(batch, value):
    connections = make_connections(np.array([[True, False], [True, True]]))
    connections.values[:] = 1.0
    subject = layer(connections, "relu")
    buffers = Buffers([subject], batch)
    buffers.x[0, 1] = value
    head = Head(subject.bias, buffers.outputs[0], buffers.slopes[0])
    how = subject.activation.for_inference()
    subject.forward(buffers.tile, buffers.x, head, how, buffers.partial)
    want = np.zeros((2, buffers.columns))
    want[0, 1] = value
    np.testing.assert_array_equal(head.out, want)
