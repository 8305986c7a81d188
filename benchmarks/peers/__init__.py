"""Other implementations that take the same training step, behind one interface.

    peer = build("torch_csr", NetSpec((784, 1000, 1000, 1000, 10), 20), 128, seed=0)
    if isinstance(peer, str):
        print("not run:", peer)
    else:
        loss = peer.step()

A step is forward, softmax cross-entropy, backward and SGD with momentum 0.9 on one
fixed batch of standard normal float32 data; hidden layers are ReLU, every layer has
biases. ``peer.nnz`` counts the weights it trains (all n_in * n_out for dense ones).
`TorchCsr` in torch_peers.py is the one to read before writing another; add its class to
`PEERS`, and tests/benchmarks/test_benchmark_peers.py runs it too.

Time peers in processes of their own (``python -m benchmarks.peers``, see harness.py).
"""

from truesparse.common.checks import choose

from .common import Layer, NetSpec, Peer, PeerUnavailableError, Task
from .machine import machine
from .numpy_peers import ScipyCsr, SklearnMlp
from .set_numba import SetNumba
from .torch_peers import SparseProp, TorchCsr, TorchDense, TorchMasked

__all__ = [
    "PEERS",
    "Layer",
    "NetSpec",
    "Peer",
    "PeerUnavailableError",
    "Task",
    "build",
    "machine",
]

PEERS: dict[str, type[Peer]] = {
    peer.name: peer
    for peer in (
        TorchDense,
        TorchMasked,
        TorchCsr,
        ScipyCsr,
        SparseProp,
        SklearnMlp,
        SetNumba,
    )
}


def build(
    name: str,
    net: NetSpec,
    batch: int,
    seed: int,
    *,
    threads: int = 2,
    max_bytes: int = 6 * 10**9,
) -> Peer | str:
    """Return the peer `name` ready to step, or the reason why it cannot run here.

    Parameters
    ----------
    name : str
        Key in ``PEERS``.
    net : NetSpec
        Sizes and epsilon.
    batch : int
        Samples in the fixed batch.
    seed : int
        Seed of pattern, weights and data; the same for all sparse peers.
    threads : int
        Threads the peer may use.
    max_bytes : int
        Peers whose dense arrays exceed this many bytes are not built.

    Raises
    ------
    UsageError
        If `name` is unknown or an argument is out of range.
    """
    peer = PEERS[choose(name, PEERS, "peer")]
    task = Task(net, batch, seed, threads, max_bytes)
    try:
        return peer(task)
    except PeerUnavailableError as reason:
        return str(reason)
