"""ITOP: the share of all cells that have been connected at some time in training.

Liu, Yin, Mocanu and Pechenizkiy, "Do we actually need dense over-parameterization?
In-time over-parameterization in sparse training", ICML 2021: the exploration rate
R_s = |union of the patterns so far| / (n_in n_out), for each layer and for the net.

`Explored` hashes the cells and keeps the smallest hashes of the union (Bar-Yossef,
Jayram, Kumar, Sivakumar and Trevisan, "Counting distinct elements in a data stream",
RANDOM 2002). Its count is exact as long as all hashes fit, and an estimate beyond.

For methods that grow connections in uniformly drawn cells, the rate follows from counts
alone. When k of N connections have been removed, M - N + k of M cells are empty; one
that was never connected is drawn with probability k / (M - N + k). Therefore

    R_s = 1 - (1 - N / M) prod_t (1 - k_t / (M - N + k_t)).
"""

from collections.abc import Iterable
from typing import Any

import numpy as np

from truesparse.common.checks import check_whole
from truesparse.drawing.cells import is_among
from truesparse.sparse.connections import Connections
from truesparse.training.events import Callback


class Explored:
    """The cells of a layer that have been connected at some time.

    Parameters
    ----------
    connections : Connections
        The present connections, which count.
    room : int
        Number of hashes to keep, 8 bytes each. With more cells than that the count is
        an estimate with a relative deviation of 1 / sqrt(room).

    Examples
    --------
    >>> from scipy import sparse
    >>> from truesparse.sparse.connections import Connections
    >>> weights = sparse.csr_array([[1.0, 0.0], [0.0, 2.0]])
    >>> connections = Connections.from_scipy(weights)
    >>> explored = Explored(connections)
    >>> explored.add(connections)
    >>> explored.rate
    0.5
    """

    def __init__(self, connections: Connections, room: int = 1 << 20):
        self.cells = connections.n_in * connections.n_out
        self.room = check_whole("room", room, 2)
        self._hashes = np.empty(0, np.uint64)
        self.is_exact = True
        self.add(connections)

    def add(self, connections: Connections) -> None:
        """Count the present connections, in O(nnz + room log room)."""
        hashes = _mix(connections.keys(np.arange(connections.nnz)).view(np.uint64))
        if not self.is_exact:
            hashes = hashes[hashes < self._hashes[-1]]
        if hashes.size > self.room:
            # One more than fits shows that there are more.
            hashes = np.partition(hashes, self.room)[: self.room + 1]
        hashes.sort()
        hashes = hashes[~is_among(hashes, self._hashes)]
        # Two sorted runs, which a stable sort merges.
        hashes = np.concatenate([self._hashes, hashes])
        hashes.sort(kind="stable")
        self.is_exact = self.is_exact and hashes.size <= self.room
        self._hashes = hashes[: self.room].copy()

    def state(self) -> dict[str, Any]:
        """Return the hashes as int64, a dtype that checkpoints store."""
        return {"hashes": self._hashes.view(np.int64), "is_exact": self.is_exact}

    def restore(self, state: dict[str, Any]) -> None:
        """Restore an earlier state."""
        self._hashes = np.array(state["hashes"], np.int64).view(np.uint64)
        self.is_exact = bool(state["is_exact"])

    @property
    def count(self) -> int:
        """Number of cells that have been connected, or an estimate of it."""
        if self.is_exact:
            return self._hashes.size
        # Hashes are uniform from 0 to 2^64: this share of them is below the largest.
        below = (float(self._hashes[-1]) + 1.0) / 2.0**64
        return min(round((self.room - 1) / below), self.cells)

    @property
    def rate(self) -> float:
        """Share of the layer's cells that have been connected."""
        return self.count / self.cells


class Exploration(Callback):
    """Track the exploration rate of a run.

    Parameters
    ----------
    room : int
        Number of hashes to keep for each layer, see Explored.

    Attributes
    ----------
    layers : list of Explored
        One for each layer; empty before training.
    history : list of float
        Rate of all layers together at the end of every epoch.

    Examples
    --------
    >>> import numpy as np
    >>> from truesparse import SparseMLP, Trainer
    >>> from truesparse.callbacks import Exploration
    >>> X = np.random.default_rng(0).standard_normal((64, 8)).astype(np.float32)
    >>> model = SparseMLP([8, 32, 2], density=0.25)
    >>> tracked = Exploration()
    >>> history = Trainer(model, epochs=3, callbacks=[tracked]).fit(X, X[:, 0] > 0)
    >>> 0.25 == round(tracked.history[0], 2) < tracked.rate < 0.5
    True
    """

    def __init__(self, room: int = 1 << 20):
        self.room = check_whole("room", room, 2)
        self.layers: list[Explored] = []
        self.history: list[float] = []
        self._earlier: list[dict[str, Any]] = []

    @property
    def rate(self) -> float:
        """Share of the cells of all layers that have been connected so far."""
        cells = sum(each.cells for each in self.layers)
        return sum(each.count for each in self.layers) / cells

    def on_train_begin(self, run) -> None:
        """Count the first connections, or continue from the restored state."""
        if run.is_new:
            self.history, self.layers, self._earlier = [], [], []
        if not self.layers:
            self.layers = [
                Explored(layer.connections, self.room) for layer in run.model.layers
            ]
        for explored, earlier in zip(self.layers, self._earlier, strict=False):
            explored.restore(earlier)
        self._earlier = []

    def on_topology_update(self, run, changes) -> None:
        """Count the grown connections."""
        for change in changes:
            if change.grown:
                layer = run.model.layers[change.layer]
                self.layers[change.layer].add(layer.connections)

    def on_epoch_end(self, run, record) -> None:
        """Append the rate to the history."""
        self.history.append(self.rate)

    def state(self) -> dict[str, Any]:
        """Return the rates so far and the hashes of each layer."""
        layers = [each.state() for each in self.layers]
        return {"history": list(self.history), "layers": layers}

    def restore(self, state: dict[str, Any]) -> None:
        """Restore an earlier state."""
        self.history, self._earlier = list(state["history"]), list(state["layers"])
        self.layers = []


def uniform_rate(cells: int, nnz: int, grown: Iterable[int]) -> float:
    """Return the expected rate of a layer whose new connections are drawn uniformly.

    Parameters
    ----------
    cells, nnz : int
        Number of cells, n_in n_out, and of connections.
    grown : iterable of int
        Number of connections that each update so far has replaced.

    Examples
    --------
    >>> from truesparse.callbacks.exploration import uniform_rate
    >>> round(uniform_rate(10_000, 1_000, [300] * 10), 3)
    0.352
    """
    never = 1.0 - nnz / cells
    for count in grown:
        never *= 1.0 - count / (cells - nnz + count)
    return 1.0 - never


def _mix(keys: np.ndarray) -> np.ndarray:
    """Hash 64 bits to 64 bits, one to one, by the finaliser of splitmix64."""
    keys = keys + np.uint64(0x9E3779B97F4A7C15)
    keys ^= keys >> np.uint64(30)
    keys *= np.uint64(0xBF58476D1CE4E5B9)
    keys ^= keys >> np.uint64(27)
    keys *= np.uint64(0x94D049BB133111EB)
    keys ^= keys >> np.uint64(31)
    return keys
