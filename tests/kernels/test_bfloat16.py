"""Storage in bfloat16: rounding, for every number; kernels, where sums are exact."""

import numpy as np
import pytest
from hypothesis import given
from support import naive
from support.naive_bfloat16 import bfloat16, bits
from support.processes import run_script
from support.run_bfloat16 import (
    EMPTY,
    all_bits,
    as_sparse,
    digest,
    store_numbers,
    store_tiles,
)
from support.strategies import cases, layer, make_connections, tile_for

from truesparse.activations import LayerActivation
from truesparse.kernels import jit, simd
from truesparse.kernels.arrays import Head
from truesparse.kernels.bfloat16 import BFLOAT16, rounded, widened
from truesparse.kernels.jit import DISABLED
from truesparse.kernels.update import STORE
from truesparse.sparse.layer import data_source

# With the JIT off a tenth of all numbers.
NUMBERS = all_bits(10 if DISABLED else 1).view(np.float32)
WIDTHS = (1, 4, 16, 48)
# Scattered, two of them; gathered, one tile and several.
BATCHES = (1, 3, 20, 300)


def check_rounding(numbers, got):
    """Compare with the definition, to the bit; NaN may be any NaN."""
    is_nan = np.isnan(numbers)
    assert is_nan.any()
    assert np.isnan(widened(got)[is_nan]).all()
    want = bits(bfloat16(numbers[~is_nan]).astype(np.float32))
    np.testing.assert_array_equal(got[~is_nan], want)


def test_rounding_of_every_number():
    check_rounding(NUMBERS, rounded(NUMBERS))
    part = NUMBERS[:: 5 if DISABLED else 1]
    out = np.zeros(part.size, BFLOAT16)
    store_numbers(part, out)
    check_rounding(part, out)


@pytest.mark.parametrize("width", WIDTHS)
def test_rounding_of_tiles(width):
    data = NUMBERS[: NUMBERS.size // width * width].reshape(-1, width)
    data = data[:: max(1, len(data) // 500)] if DISABLED else data
    out = np.zeros(data.shape, BFLOAT16)
    store_tiles(simd.make_tile(width), data, out)
    check_rounding(data, out)
    # The way back keeps all bits.
    back = np.zeros(data.shape, np.float32)
    store_tiles(simd.make_tile(width), out, back)
    np.testing.assert_array_equal(back.view(np.uint32), out.astype(np.uint32) << 16)


def test_other_arrays_are_left_as_they_are():
    numbers = np.array([1.1, 2.2])
    assert widened(numbers) is numbers
    assert widened(rounded([1.0, -2.5])).tolist() == [1.0, -2.5]


def whole(case, *shape, largest=8):
    """Return whole numbers, whose sums of products are exact in any order."""
    return case.draw.integers(-largest, largest + 1, shape).astype(np.float32)


def data_for(case, columns):
    """Return whole numbers of which many have more digits than bfloat16."""
    return whole(case, case.connections.n_in, columns, largest=2000)


def exact_case(case):
    """Return a layer whose weights are quarters, and its dense weights."""
    values = case.connections.values
    values[:] = case.draw.integers(-8, 9, values.size) / 4
    dense = np.zeros(case.mask.shape)
    dense[case.mask] = values
    subject = layer(case.connections, "relu")
    subject.bias[:] = case.draw.integers(-8, 9, subject.bias.size) / 4
    return subject, dense


@pytest.mark.parametrize("kind", ["outputs", "data", "sparse data"])
@pytest.mark.parametrize(
    ("batch", "out_dtype"),
    [*((batch, BFLOAT16) for batch in BATCHES), (3, np.float32), (20, np.float32)],
)
def test_outputs_are_rounded_once_all_is_summed(batch, out_dtype, kind):
    @given(cases(np.float32))
    def compare(case):
        subject, dense = exact_case(case)
        columns, tile = tile_for(batch, np.float32)
        x = data_for(case, columns)
        inputs = as_sparse(x) if kind == "sparse data" else x
        if kind == "outputs":
            x = whole(case, case.connections.n_in, columns)
            inputs = bits(x)
        out = np.full((case.connections.n_out, columns), 9, out_dtype)
        room = subject.partial_size(columns, kind == "sparse data")
        partial = np.full(room, np.nan, np.float32)
        how = LayerActivation("relu").for_inference()
        head = Head(subject.bias, out, EMPTY)
        subject.forward(tile, inputs, head, how, partial)
        want = np.maximum(naive.forward(dense, subject.bias, x), 0.0)
        want = bfloat16(want) if out_dtype == BFLOAT16 else want
        np.testing.assert_array_equal(widened(out), want)

    compare()


def gradients_by(case, subject, tile, source, delta):
    """Return the gradients of a layer's weights; its source is overwritten."""
    gradient = np.full(case.connections.nnz, np.nan, np.float32)
    scratch = np.zeros((64, case.connections.longest_row), np.float32)
    subject.backward(tile, source, bits(delta), STORE, STORE, scratch, gradient)
    return gradient


@pytest.mark.parametrize("batch", BATCHES)
def test_gradients_are_not_rounded_but_deltas_are(batch):
    @given(cases(np.float32))
    def compare(case):
        subject, dense = exact_case(case)
        n_in, n_out = dense.shape
        columns, tile = tile_for(batch, np.float32)
        x, delta = whole(case, n_in, columns), whole(case, n_out, columns)
        below = layer(make_connections(np.eye(n_in) > 0, np.float32), "relu")
        source, _ = below.as_source(bits(x), EMPTY, STORE)
        gradient = gradients_by(case, subject, tile, source, delta)
        want = naive.weight_gradient(x, delta)[case.mask]
        np.testing.assert_array_equal(gradient, want)
        new_delta = naive.input_gradient(dense, delta, x > 0)
        np.testing.assert_array_equal(widened(source.x), bfloat16(new_delta))
        np.testing.assert_array_equal(below.bias_gradient, new_delta.sum(1))

    compare()


@pytest.mark.parametrize("batch", BATCHES)
def test_gradients_of_the_first_layer_are_those_of_unrounded_data(batch):
    @given(cases(np.float32))
    def compare(case):
        subject, dense = exact_case(case)
        columns, tile = tile_for(batch, np.float32)
        x, delta = data_for(case, columns), whole(case, dense.shape[1], columns)
        want = naive.weight_gradient(x, delta)[case.mask]
        given_x = x.copy()
        for inputs in (data_source(x, np.dtype(np.float32)), as_sparse(x)):
            gradient = gradients_by(case, subject, tile, inputs, delta)
            np.testing.assert_array_equal(gradient, want)
        np.testing.assert_array_equal(x, given_x)

    compare()


AVX2 = "+sse,+sse2,+sse3,+ssse3,+sse4.1,+sse4.2,+popcnt,+avx,+avx2,+fma,+bmi,+bmi2"


@pytest.mark.compiled
@pytest.mark.skipif("avx2" not in jit.host()[1], reason="the processor has no AVX2")
def test_narrower_vectors_give_the_same_bits(tmp_path, monkeypatch):
    settings = {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": AVX2}
    for name, value in {**settings, "NUMBA_CACHE_DIR": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    assert run_script("run_bfloat16.py", threads=1) == digest()
