"""Gradients of connections that do not exist."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import naive
from support.compare import assert_close
from support.strategies import cases, padded, tile_for

from truesparse.kernels.candidates import candidate_gradients


@pytest.mark.parametrize(
    ("batch", "dtype"),
    [
        (1, np.float64),
        (3, np.float32),
        (9, np.float64),
        (300, np.float32),
        (300, np.float64),
    ],
)
def test_every_cell(batch, dtype):
    @given(cases(dtype), st.integers(1, 500))
    def compare(case, task_size):
        connections = case.connections
        columns, tile = tile_for(batch, dtype)
        x = case.normal(connections.n_in, columns)
        delta = padded(case.normal(connections.n_out, batch), columns)
        # In any order and with repetitions, connected or not.
        cells = case.draw.integers(0, case.mask.size, case.mask.size // 2)
        rows, cols = np.divmod(cells, connections.n_out)
        got = np.zeros(cells.size, dtype)
        candidate_gradients(tile, cells, x, delta, task_size, got)
        want = naive.candidate_gradients(rows, cols, x, delta)
        scale = naive.weight_gradient_scale(x, delta)[rows, cols]
        assert_close(got, want, scale)

    compare()
