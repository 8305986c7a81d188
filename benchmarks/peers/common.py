"""The net, its random pattern, the batch and the interface that all peers share.

A layer is drawn as CSR of W (n_in, n_out), row = input neuron, in time and memory
O(nnz). The same seed gives every peer the same pattern, weights and batch, so that
truly sparse peers must also agree in their losses::

    Z_l = A_l W_l + b_l,  A_{l+1} = max(Z_l, 0),  loss = mean cross-entropy(softmax)
    V <- momentum V - lr dW,  W <- W + V
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from truesparse.errors import UsageError

MOMENTUM = 0.9
# Small enough that thousands of steps on one batch neither diverge nor drive the
# gradients into subnormal numbers, which would slow some peers and not others.
LEARNING_RATE = 0.01
BYTES_PER_VALUE = 4


class PeerUnavailableError(Exception):
    """A peer cannot run here; the message is the reason shown in the results."""


@dataclass(frozen=True)
class NetSpec:
    """Layer sizes and sparsity of a multilayer perceptron.

    Parameters
    ----------
    sizes : tuple of int
        Neurons of each layer, input and output included.
    epsilon : float
        Layer l has min(epsilon * (n_in + n_out), n_in * n_out) weights.

    Raises
    ------
    UsageError
        If there are fewer than two sizes, or a size or epsilon is not positive.
    """

    sizes: tuple[int, ...]
    epsilon: float = 20.0

    def __post_init__(self) -> None:
        """Refuse nets that cannot be drawn."""
        if len(self.sizes) < 2 or min(self.sizes) < 1:
            raise UsageError(
                f"sizes are {self.sizes}; give two or more positive numbers of neurons."
            )
        if not self.epsilon > 0:
            raise UsageError(f"epsilon is {self.epsilon}; give a positive number.")

    @property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        """(n_in, n_out) of each layer."""
        return tuple(zip(self.sizes[:-1], self.sizes[1:], strict=True))

    @property
    def layer_nnz(self) -> tuple[int, ...]:
        """Number of weights of each layer."""
        return tuple(
            min(round(self.epsilon * (n_in + n_out)), n_in * n_out)
            for n_in, n_out in self.shapes
        )

    @property
    def nnz(self) -> int:
        """Number of weights of the whole net, biases not counted."""
        return sum(self.layer_nnz)

    @property
    def n_dense(self) -> int:
        """Number of weights if every layer were fully connected."""
        return sum(n_in * n_out for n_in, n_out in self.shapes)


@dataclass(frozen=True)
class Layer:
    """One sparse layer as CSR of W (n_in, n_out), columns sorted and unique.

    Parameters
    ----------
    n_in, n_out : int
        Neurons before and after the layer.
    indptr : ndarray of int64, shape (n_in + 1,)
        Where each input neuron's weights begin.
    indices : ndarray of int32, shape (nnz,)
        Output neuron of each weight.
    weights : ndarray of float32, shape (nnz,)
        Initial values.
    """

    n_in: int
    n_out: int
    indptr: np.ndarray
    indices: np.ndarray
    weights: np.ndarray

    @property
    def nnz(self) -> int:
        """Number of weights."""
        return self.indices.size

    @property
    def is_full(self) -> bool:
        """Whether every cell has a weight."""
        return self.nnz == self.n_in * self.n_out

    def rows(self) -> np.ndarray:
        """Input neuron of each weight, int32, shape (nnz,)."""
        neurons = np.arange(self.n_in, dtype=np.int32)
        return np.repeat(neurons, np.diff(self.indptr))

    def by_output(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """CSR of W^T: indptr (n_out + 1,), indices (nnz,), and the order of the values.

        ``weights[order]`` are the values of W^T in its own CSR order.
        """
        order = np.argsort(self.indices, kind="stable")
        counts = np.bincount(self.indices, minlength=self.n_out)
        indptr = np.concatenate(([0], np.cumsum(counts)))
        return indptr, self.rows()[order], order


@dataclass(frozen=True)
class Task:
    """One training problem, the same for all peers.

    Parameters
    ----------
    net : NetSpec
        The net to train.
    batch : int
        Samples in the one fixed batch.
    seed : int
        Seed of the pattern, the weights and the batch.
    threads : int
        Threads each peer may use.
    max_bytes : int
        Peers whose dense arrays would exceed this are not built.

    Raises
    ------
    UsageError
        If `batch` or `threads` is not positive, or `seed` is negative.
    """

    net: NetSpec
    batch: int
    seed: int
    threads: int = 2
    max_bytes: int = 6 * 10**9

    def __post_init__(self) -> None:
        """Refuse tasks that no peer can run."""
        if min(self.batch, self.threads) < 1:
            raise UsageError(
                f"batch is {self.batch} and threads is {self.threads}; give 1 or more."
            )
        if self.seed < 0:
            raise UsageError(f"seed is {self.seed}; give 0 or more.")

    def layers(self) -> list[Layer]:
        """Draw the pattern and He-normal weights on the sparse fan-in."""
        shaped = zip(self.net.shapes, self.net.layer_nnz, strict=True)
        return [
            _draw_layer(n_in, n_out, nnz, np.random.default_rng([self.seed, index]))
            for index, ((n_in, n_out), nnz) in enumerate(shaped)
        ]

    def data(self) -> tuple[np.ndarray, np.ndarray]:
        """Draw x, float32 (batch, n_in), standard normal, and int64 labels (batch,)."""
        rng = np.random.default_rng([self.seed, len(self.net.shapes)])
        x = rng.standard_normal((self.batch, self.net.sizes[0]), dtype=np.float32)
        return x, rng.integers(0, self.net.sizes[-1], size=self.batch)

    def refuse_dense(self, arrays: int) -> None:
        """Raise PeerUnavailableError if `arrays` dense float32 copies are too large."""
        needed = arrays * self.net.n_dense * BYTES_PER_VALUE
        if needed > self.max_bytes:
            raise PeerUnavailableError(
                f"dense arrays need {needed / 1e9:.1f} GB "
                f"({arrays} of {self.net.n_dense:,} float32), "
                f"above the bound of {self.max_bytes / 1e9:.1f} GB"
            )


class Peer(ABC):
    """A training implementation, ready to take steps on the task's batch.

    Attributes
    ----------
    name : str
        Key in ``PEERS``.
    nnz : int
        Weights that the peer trains, biases not counted.
    """

    name: ClassVar[str]
    nnz: int

    @abstractmethod
    def __init__(self, task: Task) -> None:
        """Build the net; raise PeerUnavailableError if that is not possible here."""

    @abstractmethod
    def step(self) -> float:
        """Take one training step and return the batch's mean loss before it."""

    def close(self) -> None:
        """Free the arrays; the peer takes no more steps."""
        for attribute in set(vars(self)) - {"nnz"}:
            delattr(self, attribute)


def softmax_cross_entropy(
    logits: np.ndarray, labels: np.ndarray
) -> tuple[float, np.ndarray]:
    """Return the mean loss and its gradient with respect to the logits.

    Parameters
    ----------
    logits : ndarray of float32, shape (batch, n_classes)
        Scores before softmax.
    labels : ndarray of int64, shape (batch,)
        Index of the true class of each sample.
    """
    samples = np.arange(labels.size)
    shifted = logits - logits.max(axis=1, keepdims=True)
    gradient = np.exp(shifted)
    total = gradient.sum(axis=1, keepdims=True)
    loss = float(np.mean(np.log(total[:, 0]) - shifted[samples, labels]))
    gradient /= total
    gradient[samples, labels] -= 1
    gradient /= labels.size
    return loss, gradient


def momentum_step(
    parameter: np.ndarray, velocity: np.ndarray, gradient: np.ndarray
) -> None:
    """Update `parameter` and `velocity` in place; `gradient` is overwritten."""
    velocity *= np.float32(MOMENTUM)
    gradient *= np.float32(LEARNING_RATE)
    velocity -= gradient
    parameter += velocity


def draw_cells(n_cells: int, nnz: int, rng: np.random.Generator) -> np.ndarray:
    """Draw `nnz` distinct cells of `n_cells` uniformly, in O(nnz) memory.

    Returns
    -------
    ndarray of int64, shape (nnz,)
        Sorted keys row * n_out + column.
    """
    if nnz > n_cells // 2:
        left_out = draw_cells(n_cells, n_cells - nnz, rng)
        return np.delete(np.arange(n_cells, dtype=np.int64), left_out)
    keys = np.empty(0, dtype=np.int64)
    # Drawing exactly what is missing never overshoots, so no cell is favoured by the
    # choice of which to throw away.
    while keys.size < nnz:
        drawn = rng.integers(0, n_cells, size=nnz - keys.size)
        # np.union1d does the same with a hash table, ten times slower.
        keys = np.sort(np.concatenate((keys, drawn)))
        keys = keys[np.append(True, keys[1:] != keys[:-1])]
    return keys


def _draw_layer(n_in: int, n_out: int, nnz: int, rng: np.random.Generator) -> Layer:
    keys = draw_cells(n_in * n_out, nnz, rng)
    rows, columns = np.divmod(keys, n_out)
    counts = np.bincount(rows, minlength=n_in)
    weights = rng.standard_normal(nnz, dtype=np.float32)
    weights *= np.float32(np.sqrt(2 * n_out / max(nnz, 1)))
    return Layer(
        n_in=n_in,
        n_out=n_out,
        indptr=np.concatenate(([0], np.cumsum(counts))),
        indices=columns.astype(np.int32),
        weights=weights,
    )
