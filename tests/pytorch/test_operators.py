"""The operators of torch: against dense products, and by the checks of torch."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.strategies import DTYPES, SEEDS, make_connections, masks, to_dense

torch = pytest.importorskip("torch")

# torch says once that they are in beta state.
pytestmark = pytest.mark.filterwarnings("ignore:Sparse CSR tensor support")

from truesparse.torch import observing, operators, products  # noqa: E402
from truesparse.torch.wiring import wiring_of  # noqa: E402

BATCHES = (1, 3, 8, 16, 21, 64, 300)


def make(mask=None, dtype=np.float64, seed=0):
    """Return connections and their wiring."""
    draw = np.random.default_rng(seed)
    mask = draw.random((7, 5)) < 0.4 if mask is None else mask
    connections = make_connections(mask, dtype, draw)
    return connections, list(wiring_of(connections))


def tensors(connections, batch=4, seed=0):
    """Return x, weight, bias and a delta, all of which need gradients."""
    draw = torch.Generator().manual_seed(seed)
    weight = torch.from_numpy(connections.values)
    shapes = (batch, connections.n_in), (connections.n_out,), (batch, connections.n_out)
    x, bias, delta = (
        torch.randn(shape, generator=draw, dtype=weight.dtype) for shape in shapes
    )
    return [each.requires_grad_() for each in (x, weight, bias, delta)]


@given(masks(), st.sampled_from(DTYPES), st.sampled_from(BATCHES), SEEDS)
def test_products_equal_dense_ones(mask, dtype, batch, seed):
    connections, wiring = make(mask, dtype, seed)
    x, weight, bias, delta = tensors(connections, batch, seed)
    matrix = torch.from_numpy(to_dense(connections)).requires_grad_()
    tolerance = 1e-4 if dtype == np.float32 else 1e-11
    got = operators.linear(x, weight, bias, *wiring)
    want = x @ matrix + bias
    torch.testing.assert_close(got, want, atol=tolerance, rtol=tolerance)
    assert got.stride() == (1, batch)
    got = torch.autograd.grad(got, (x, weight, bias), delta)
    of_x, of_matrix, of_bias = torch.autograd.grad(want, (x, matrix, bias), delta)
    want = of_x, of_matrix[torch.from_numpy(mask)], of_bias
    torch.testing.assert_close(got, want, atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("layout", ["feature_major", "sliced", "expanded"])
def test_memory_of_any_layout_is_read_and_left_alone(layout):
    connections, wiring = make()
    _, weight, bias, delta = tensors(connections, 16)
    memory = torch.randn(7, 48, dtype=torch.float64)
    x = {
        "feature_major": memory[:, :16].contiguous().t(),
        "sliced": memory[:, 1:17].t(),
        "expanded": memory[:, :1].t().expand(16, 7),
    }[layout]
    x = x.requires_grad_()
    before = x.detach().clone()
    got = operators.linear(x, weight, bias, *wiring)
    want = x @ torch.from_numpy(to_dense(connections)) + bias
    torch.testing.assert_close(got, want)
    got, want = (torch.autograd.grad(each, x, delta) for each in (got, want))
    torch.testing.assert_close(got, want)
    assert torch.equal(x, before)


def test_feature_major_memory_is_read_where_it_is():
    rows = torch.randn(7, 16)
    assert products.feature_major(rows.t(), 16).ctypes.data == rows.data_ptr()
    copied = products.feature_major(rows.t(), 16, copy=True)
    assert copied.ctypes.data != rows.data_ptr()
    np.testing.assert_array_equal(copied, rows.numpy())
    padded = products.feature_major(torch.ones(3, 7), 4)
    np.testing.assert_array_equal(padded, [[1.0, 1.0, 1.0, 0.0]] * 7)


def test_derivatives_are_those_of_finite_differences():
    connections, wiring = make()
    x, weight, bias, _ = tensors(connections)

    def product(x, weight, bias):
        return operators.linear(x, weight, bias, *wiring)

    assert torch.autograd.gradcheck(product, (x, weight, bias))
    assert torch.autograd.gradgradcheck(product, (x, weight, bias))
    # Without a gradient of x.
    fixed = x.detach()
    assert torch.autograd.gradcheck(product, (fixed, weight, None))
    assert torch.autograd.gradgradcheck(product, (fixed, weight, None))


def test_operators_pass_all_checks_of_torch():
    connections, wiring = make()
    x, weight, bias, delta = tensors(connections)
    for of_bias in (bias, None):
        torch.library.opcheck(operators.linear, (x, weight, of_bias, *wiring))
    for needs_input in (True, False):
        arguments = (delta, x, weight, needs_input, *wiring)
        torch.library.opcheck(operators.linear_backward, arguments)
    csr = torch.randn(4, 7, dtype=torch.float64).relu().to_sparse_csr()
    batch = [torch.from_numpy(each) for each in products.feature_major_batch(csr)]
    for of_bias in (bias, None):
        arguments = (*batch, 4, weight, of_bias, *wiring)
        torch.library.opcheck(operators.sparse_linear, arguments)
    fixed = *batch, delta.detach(), weight.detach(), *wiring
    torch.library.opcheck(operators.sparse_linear_backward, fixed)


@given(masks(), st.sampled_from(DTYPES), st.sampled_from((1, 5, 33)), SEEDS)
def test_sparse_batches_equal_dense_ones(mask, dtype, size, seed):
    connections, wiring = make(mask, dtype, seed)
    x, weight, bias, delta = tensors(connections, size, seed)
    x = x.detach().relu()
    csr = x.to_sparse_csr()
    batch = [torch.from_numpy(each) for each in products.feature_major_batch(csr)]
    results = []
    for y in (
        operators.sparse_linear(*batch, size, weight, bias, *wiring),
        operators.linear(x, weight, bias, *wiring),
    ):
        results.append((y, *torch.autograd.grad(y, (weight, bias), delta)))
    tolerance = 1e-4 if dtype == np.float32 else 1e-11
    torch.testing.assert_close(*results, atol=tolerance, rtol=tolerance)


def test_second_derivatives_of_sparse_batches_are_refused():
    connections, wiring = make()
    _, weight, bias, _ = tensors(connections)
    csr = torch.eye(4, 7, dtype=torch.float64).to_sparse_csr()
    batch = [torch.from_numpy(each) for each in products.feature_major_batch(csr)]
    y = operators.sparse_linear(*batch, 4, weight, bias, *wiring)
    [of_weight] = torch.autograd.grad(y.square().sum(), weight, create_graph=True)
    with pytest.raises(RuntimeError, match="sparse_linear_backward"):
        of_weight.sum().backward()


def test_threads_are_those_of_torch(monkeypatch):
    used = []
    monkeypatch.setattr(products.jit, "thread_count", lambda: 2)
    monkeypatch.setattr(products.jit, "most_threads", lambda: 2)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    real = products.jit.threads
    monkeypatch.setattr(products.jit, "threads", lambda n: used.append(n) or real(n))
    connections, wiring = make()
    x, weight, bias, _ = tensors(connections)
    y = operators.linear(x, weight, bias, *wiring)
    y.sum().backward()
    assert used == [1, 1]


def test_only_active_recorders_take_notes():
    connections, wiring = make()
    x, weight, bias, delta = tensors(connections)
    recorder = observing.Recorder([(wiring[0], weight)])
    other = [each.clone() for each in wiring]
    for each in (other, wiring):
        operators.linear(x, weight, bias, *each).backward(delta)
    recorder.stop()
    operators.linear(x, weight, bias, *wiring).backward(delta)
    [[(inputs, deltas)]] = recorder.notes
    np.testing.assert_array_equal(inputs, x.detach().numpy().T)
    np.testing.assert_array_equal(deltas, delta.detach().numpy().T)
    assert not observing._active
