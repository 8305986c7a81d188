"""The benchmark's peers train the same net, and its harness times and reports them."""

import json
import math
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.harness import (
    Timing,
    Worker,
    WorkerError,
    median_times,
    sgemm_gflops,
    stream_gbs,
    worker_environment,
)
from benchmarks.peers import PEERS, NetSpec, Peer, Task, build, machine
from benchmarks.peers.common import draw_cells
from benchmarks.peers.machine import peak_rss_mb
from benchmarks.peers.truesparse_step import Truesparse
from truesparse.errors import UsageError

# The last layer is fully connected, the others are not.
NET = NetSpec((20, 30, 25, 5), 5)
DENSE = {"torch_dense", "torch_masked", "sklearn_mlp"}
SPARSE = sorted(PEERS.keys() - {"torch_dense", "sklearn_mlp"})


def built(name, batch=16, **options) -> Peer:
    """Build a peer, or skip if its optional library is not installed."""
    peer = build(name, NET, batch, 7, **options)
    if isinstance(peer, str):
        assert "is not installed" in peer
        pytest.skip(peer)
    return peer


@pytest.mark.parametrize("batch", [1, 2, 16, 21])
def test_truesparse_follows_a_peer(batch):
    peer, ours = built("scipy_csr", batch), Truesparse(Task(NET, batch, 7))
    assert ours.nnz == peer.nnz
    reference = [peer.step() for _ in range(5)]
    got = [ours.step() for _ in range(5)]
    np.testing.assert_allclose(got, reference, rtol=1e-4)


def naive_losses(task: Task, steps: int) -> list[float]:
    """Train the masked dense net in float64; return the loss before each step."""
    x, labels = task.data()
    targets = np.eye(task.net.sizes[-1])[labels]
    weights, masks, biases = [], [], []
    for layer in task.layers():
        dense = np.zeros((layer.n_in, layer.n_out))
        dense[layer.rows(), layer.indices] = layer.weights
        weights.append(dense)
        masks.append(dense != 0)
        biases.append(np.zeros(layer.n_out))
    velocities = [np.zeros_like(a) for a in weights + biases]
    losses = []
    for _ in range(steps):
        a = [x.astype(np.float64)]
        for i, (w, b) in enumerate(zip(weights, biases, strict=True)):
            z = a[-1] @ w + b
            a.append(np.maximum(z, 0) if i < len(weights) - 1 else z)
        p = np.exp(a[-1]) / np.exp(a[-1]).sum(axis=1, keepdims=True)
        losses.append(float(-np.mean(np.log(p[targets == 1]))))
        delta = (p - targets) / len(x)
        gradients = [None] * len(velocities)
        for i in reversed(range(len(weights))):
            gradients[i] = (a[i].T @ delta) * masks[i]
            gradients[len(weights) + i] = delta.sum(axis=0)
            delta = (delta @ weights[i].T) * (a[i] > 0)
        for p, v, g in zip(weights + biases, velocities, gradients, strict=True):
            v *= 0.9
            v -= 0.01 * g
            p += v
    return losses


@given(st.integers(1, 300), st.floats(0, 1), st.integers(0, 2**32))
def test_cells_are_distinct_sorted_and_exactly_as_many_as_asked(n_cells, share, seed):
    nnz = round(share * n_cells)
    keys = draw_cells(n_cells, nnz, np.random.default_rng(seed))
    assert keys.dtype == np.int64
    assert keys.size == nnz
    assert np.all(np.diff(keys) > 0)
    assert nnz == 0 or (keys[0] >= 0 and keys[-1] < n_cells)


@pytest.mark.parametrize("nnz", [7, 13])
def test_cells_are_uniform(nnz):
    rng = np.random.default_rng(0)
    draws = [draw_cells(20, nnz, rng) for _ in range(4000)]
    counts = np.bincount(np.concatenate(draws), minlength=20)
    expected = 4000 * nnz / 20
    assert np.all(np.abs(counts - expected) < 5 * np.sqrt(expected))


def test_cells_of_a_huge_layer_take_memory_of_their_number_only():
    keys = draw_cells(10**12, 1000, np.random.default_rng(0))
    assert keys.size == 1000
    assert keys[-1] > 2**32


def test_net_counts_weights_by_epsilon():
    assert NetSpec((784, 1000, 1000, 1000, 10), 20).nnz == 125_680
    assert NET.layer_nnz == (250, 275, 125)
    assert NET.n_dense == 20 * 30 + 30 * 25 + 25 * 5


def test_layers_and_data_depend_on_the_seed_alone():
    first, again, other = (Task(NET, 4, seed) for seed in (3, 3, 4))
    for a, b in zip(first.layers(), again.layers(), strict=True):
        np.testing.assert_array_equal(a.indptr, b.indptr)
        np.testing.assert_array_equal(a.indices, b.indices)
        np.testing.assert_array_equal(a.weights, b.weights)
    np.testing.assert_array_equal(first.data()[0], again.data()[0])
    assert np.any(first.layers()[0].indices != other.layers()[0].indices)


def test_transposed_order_names_the_same_cells():
    for layer in Task(NET, 4, 0).layers():
        indptr, indices, order = layer.by_output()
        columns = np.repeat(np.arange(layer.n_out), np.diff(indptr))
        np.testing.assert_array_equal(layer.rows()[order], indices)
        np.testing.assert_array_equal(layer.indices[order], columns)
        assert np.all(np.diff(columns * layer.n_in + indices) > 0)


@pytest.mark.parametrize("name", PEERS)
def test_peer_trains(name):
    peer = built(name)
    losses = [peer.step() for _ in range(60)]
    assert all(math.isfinite(loss) for loss in losses)
    assert losses[-1] < 0.5 * losses[0]
    assert peer.name == name
    dense = name in {"torch_dense", "sklearn_mlp"}
    assert peer.nnz == (NET.n_dense if dense else NET.nnz)
    peer.close()
    with pytest.raises(AttributeError):
        peer.step()


@pytest.mark.parametrize("batch", [1, 2, 16, 21])
@pytest.mark.parametrize("name", SPARSE)
def test_sparse_peers_follow_the_naive_losses(name, batch):
    reference = naive_losses(Task(NET, batch, 7), 4)
    peer = built(name, batch)
    got = [peer.step() for _ in range(4)]
    np.testing.assert_allclose(got, reference, rtol=1e-4)


@pytest.mark.parametrize("name", sorted(DENSE))
def test_dense_peers_are_refused_above_the_memory_bound(name):
    built(name).close()
    reason = build(name, NET, 16, 0, max_bytes=10_000)
    assert isinstance(reason, str)
    assert "GB" in reason


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("torch_dense", "torch"),
        ("torch_csr", "torch"),
        ("sklearn_mlp", "sklearn.neural_network"),
        ("scipy_csr", "scipy.sparse"),
        ("set_numba", "numba"),
    ],
)
def test_missing_library_is_a_reason(name, module, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    reason = build(name, NET, 16, 0)
    assert isinstance(reason, str)
    assert "is not installed" in reason


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: NetSpec((5,), 1),
        lambda: NetSpec((5, 0), 1),
        lambda: NetSpec((5, 5), 0),
        lambda: NetSpec((5, 5), math.nan),
        lambda: Task(NET, 0, 0),
        lambda: Task(NET, 1, -1),
        lambda: Task(NET, 1, 0, threads=0),
        lambda: build("torch_crs", NET, 1, 0),
    ],
)
def test_bad_arguments_are_usage_errors(wrong):
    with pytest.raises(UsageError):
        wrong()


def test_worker_takes_orders():
    reference = naive_losses(Task(NET, 16, 7), 4)
    with Worker("scipy_csr", NET, 16, 7) as worker:
        assert worker.unavailable is None
        assert worker.nnz == NET.nnz
        assert worker.first > 0
        assert worker.loss == pytest.approx(reference[0], rel=1e-4)
        times = worker.go(3)
        assert len(times) == 3
        assert min(times) > 0
        assert worker.loss == pytest.approx(reference[3], rel=1e-4)
        assert worker.peak_rss_mb is None or worker.peak_rss_mb > 1


def test_worker_builds_what_a_module_names():
    with Worker("benchmarks.peers.numpy_peers:ScipyCsr", NET, 16, 7) as worker:
        assert len(worker.go(2)) == 2


def test_worker_says_why_it_cannot_run():
    with Worker("sklearn_mlp", NET, 16, max_bytes=10_000) as worker:
        assert "GB" in worker.unavailable


def test_worker_that_fails_is_an_error():
    with pytest.raises(WorkerError, match="exit code 2"):
        Worker("no_such_peer", NET, 16)


def test_worker_that_is_gone_is_an_error():
    with Worker("scipy_csr", NET, 16) as worker:
        worker._process.kill()
        worker._process.wait()
        with pytest.raises(WorkerError, match="exit code -9"):
            worker.go(1)


def test_worker_environment_sets_threads_and_drops_waiting_policies(monkeypatch):
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")
    environment = worker_environment(3)
    assert environment["OMP_NUM_THREADS"] == environment["NUMBA_NUM_THREADS"] == "3"
    assert "OMP_WAIT_POLICY" not in environment


def test_median_times_alternates_and_keeps_the_first_call_apart():
    calls = []
    got = median_times(
        {"a": lambda: calls.append("a"), "b": lambda: calls.append("b")},
        repeats=2,
        min_seconds=0,
        settle=0,
    )
    # First and warm-up calls of each, then the rounds, the second one in reverse.
    assert "".join(calls) == "aaabbb" + "ab" + "ba"
    assert list(got) == ["a", "b"]
    assert all(timing.steps == 2 and timing.first > 0 for timing in got.values())


def test_timing_summarises_quartiles():
    got = Timing.of([4.0, 1.0, 2.0, 3.0, 5.0], first=9.0)
    assert got == Timing(median=3, q1=2, q3=4, minimum=1, steps=5, first=9)


def test_rates_are_positive():
    assert sgemm_gflops(1, size=64, seconds=0.01) > 0
    rates = stream_gbs(2, n_values=1001, seconds=0.01)
    assert rates.keys() == {"copy_scale", "read"}
    assert min(rates.values()) > 0


def test_machine_and_memory_are_reported():
    described = json.loads(json.dumps(machine()))
    assert described["versions"]["numpy"] == np.__version__
    assert described["cores"] >= 1
    assert peak_rss_mb() is None or peak_rss_mb() > 1
