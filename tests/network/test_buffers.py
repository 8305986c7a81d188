"""Buffers: how columns are padded and aligned, and when they serve again."""

import numpy as np
import pytest
from support.network import as_csr, make_data, make_model
from support.strategies import DTYPES

from truesparse.kernels.aligned import aligned_zeros
from truesparse.network import feedforward
from truesparse.network.buffers import Buffers, lend, padded_columns, tile_columns
from truesparse.network.inputs import as_source_data, batch_room


@pytest.mark.parametrize("dtype", DTYPES)
def test_padded_columns(dtype):
    widest = tile_columns(dtype)
    for size in range(1, 301):
        columns, tile = padded_columns(size, dtype)
        assert size <= columns
        assert columns % tile == 0
        assert tile <= widest
        if size > 8:
            # Less than a vector of 16 is wasted on each tile.
            assert columns - size < 16 * (columns // tile)
            assert tile % 16 == 0
        else:
            assert columns == tile < 2 * size


@pytest.mark.parametrize("shape", [(0, 0), (1, 1), (3, 5), (1000,)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_aligned_zeros(shape, dtype):
    got = aligned_zeros(shape, dtype)
    assert (got.shape, got.dtype) == (shape, dtype)
    assert got.flags.c_contiguous
    assert got.size == 0 or got.ctypes.data % 64 == 0
    assert not got.any()


def test_buffers_serve_batches_of_the_same_columns_and_kind():
    layers = make_model().layers
    dense, sparse = Buffers(layers, 20), Buffers(layers, 20, 50)
    assert dense.serve(20, None)
    assert dense.serve(17, None)
    assert not dense.serve(16, None)
    assert not dense.serve(33, None)
    assert not dense.serve(20, 50)
    assert sparse.serve(20, 50)
    assert sparse.serve(20, 49)
    assert not sparse.serve(20, 51)
    assert not sparse.serve(20, None)


def test_training_takes_buffers_of_its_columns_and_samples():
    layers = make_model().layers
    assert Buffers(layers, 20).can_train(17, None)
    assert not Buffers(layers, 20).can_train(21, None)
    assert not Buffers(layers, 20).can_train(16, None)
    assert not Buffers(layers, 20, training=False).can_train(20, None)
    assert not Buffers(layers, 20, 50).can_train(20, 51)


def test_buffers_are_lent_to_one_at_a_time():
    layers = make_model().layers
    shared = Buffers(layers, 20)
    with lend(shared, layers, 20, 40, None) as first:
        assert first is shared
        with lend(shared, layers, 20, 40, None) as second:
            assert second is not shared
            assert not second.training
    with lend(shared, layers, 20, 40, None) as third:
        assert third is shared
    with lend(None, layers, 20, 3, None) as small:
        assert small.batch_size == 3


@pytest.mark.parametrize("is_sparse", [False, True])
@pytest.mark.parametrize("batch_size", [3, 5, 12])
def test_predictions_are_the_same_in_buffers_of_a_training_run(is_sparse, batch_size):
    x = make_data(12, density=0.6)[0]
    data = as_csr(x) if is_sparse else x
    model = make_model()
    want = model.decision_function(data, batch_size)
    source = as_source_data(data, x.dtype, x.shape[1])
    model.prepare(batch_size, source)
    buffers = model._buffers
    room = batch_room(source, batch_size) if is_sparse else None
    assert buffers.serve(batch_size, room)
    # What training left there must not be seen.
    for array in (buffers.x, *buffers.outputs, buffers.partial):
        array.fill(7.0)
    np.testing.assert_array_equal(model.decision_function(data, batch_size), want)


@pytest.mark.parametrize("is_sparse", [False, True])
def test_predictions_take_no_wider_buffers_than_pay(is_sparse, monkeypatch):
    x = make_data(300, density=0.6)[0]
    data = as_csr(x) if is_sparse else x
    model, sizes = make_model(), []
    want = model.decision_function(data, 128)
    predict = feedforward.predict

    def noted(layers, buffers, source, batch_size, *how):
        sizes.append(batch_size)
        return predict(layers, buffers, source, batch_size, *how)

    monkeypatch.setattr(feedforward, "predict", noted)
    np.testing.assert_array_equal(model.decision_function(data, 300), want)
    assert sizes == [128]
