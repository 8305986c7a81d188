"""Gradient of the loss, and the product of its Hessian with a direction: exactly.

The product is the derivative of the gradient along a direction in the space of the
weights. It takes a second pass forward and backward beside the first one (Pearlmutter,
"Fast exact multiplication by the Hessian", Neural Computation 6, 1994). With a dot for
derivatives along the direction V, and f the activation of a layer:

    forward     z = W^T x + b                dz = W^T dx + V^T x
                a = f(z)                     da = f'(z) dz
    backward    e = W delta                  de = W ddelta + V delta
                delta = f'(z) e              ddelta = f'(z) de + f''(z) dz e
    gradient    g = x delta                  dg = x ddelta + dx delta

As with automatic differentiation, f'' of a piecewise linear activation is 0 also where
it bends. Finite differences of gradients would count the samples that a step takes
across a bend. Everything is float64 and at connected cells alone; memory is that of the
connections and of the neurons times a part of the batch.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import scipy.special
from scipy import sparse

from truesparse.losses import Loss
from truesparse.sparse.connections import Connections
from truesparse.sparse.layer import SparseLayer

# Samples of a pass, and products of a connection and a sample that are held at a time.
PASS_SAMPLES = 64
_PRODUCTS = 1 << 18


class Samples(NamedTuple):
    """A batch for the passes below.

    Attributes
    ----------
    x : (n, n_features) array or csr_array
    targets : (n,) int32 array for softmax, else (n, n_out) array
    weights : (n,) float64 array
        Weights of the samples; the loss is the sum of theirs, so weighted.
    """

    x: np.ndarray | sparse.csr_array
    targets: np.ndarray
    weights: np.ndarray

    def parts(self) -> Iterator["Samples"]:
        """Yield the batch in parts of few samples."""
        for start in range(0, self.weights.size, PASS_SAMPLES):
            part = slice(start, start + PASS_SAMPLES)
            yield Samples(self.x[part], self.targets[part], self.weights[part])


class Curvature:
    """Gradients of the loss and products of its Hessian, for the weights of a net.

    Parameters
    ----------
    layers : sequence of SparseLayer
        Dropout does not take part.
    loss : Loss
    temperature : float
        What outputs are divided by before the loss.

    Examples
    --------
    >>> import numpy as np
    >>> from truesparse import SparseMLP
    >>> model = SparseMLP([3, 2], density=1.0, loss="squared", dtype="float64")
    >>> batch = Samples(np.eye(3), np.zeros((3, 2)), np.ones(3))
    >>> Curvature(model.layers, model.loss).product(batch, [np.arange(6.0)])[0].tolist()
    [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    """

    def __init__(
        self, layers: Sequence[SparseLayer], loss: Loss, temperature: float = 1.0
    ):
        self._layers, self._loss, self._temperature = layers, loss, temperature
        self._weights = [
            matrix_of(layer.connections, layer.connections.values) for layer in layers
        ]

    def gradient(self, batch: Samples) -> list[np.ndarray]:
        """Return the gradient of the loss, (nnz,) float64 for each layer."""
        sums = [np.zeros(each.nnz) for each in self._weights]
        for part in batch.parts():
            inputs, slopes, _, outputs = self._forward(part)
            delta = outputs.delta / self._temperature
            for k in reversed(range(len(sums))):
                _add_products(self._weights[k], inputs[k], delta, sums[k])
                if k > 0:
                    delta = slopes[k - 1] * (self._weights[k] @ delta)
        return sums

    def product(
        self, batch: Samples, direction: Sequence[np.ndarray]
    ) -> list[np.ndarray]:
        """Return the Hessian times a direction, both (nnz,) for each layer."""
        sums = [np.zeros(each.nnz) for each in self._weights]
        moves = [
            matrix_of(layer.connections, each)
            for layer, each in zip(self._layers, direction, strict=True)
        ]
        for part in batch.parts():
            inputs, slopes, bends, outputs = self._forward(part)
            d_inputs, d_sums = [], [_dense(moves[0].T @ inputs[0])]
            for k, slope in enumerate(slopes):
                d_inputs.append(slope * d_sums[k])
                d_sum = moves[k + 1].T @ inputs[k + 1]
                d_sum += self._weights[k + 1].T @ d_inputs[k]
                d_sums.append(d_sum)
            delta = outputs.delta / self._temperature
            d_delta = outputs.bend(d_sums[-1]) / self._temperature**2
            for k in reversed(range(len(sums))):
                weights = self._weights[k]
                _add_products(weights, inputs[k], d_delta, sums[k])
                if k > 0:
                    _add_products(weights, d_inputs[k - 1], delta, sums[k])
                    below, slope = weights @ delta, slopes[k - 1]
                    d_below = weights @ d_delta
                    d_below += moves[k] @ delta
                    d_delta = slope * d_below + bends[k - 1] * d_sums[k - 1] * below
                    delta = slope * below
        return sums

    def _forward(self, part: Samples):
        """Return each layer's inputs, hidden layers' f' and f'', and the loss's."""
        if isinstance(part.x, np.ndarray):
            inputs = [np.ascontiguousarray(part.x.T)]
        else:
            inputs = [part.x.T.tocsr()]
        slopes, bends = [], []
        for layer, weights in zip(self._layers, self._weights, strict=True):
            sums = _dense(weights.T @ inputs[-1]) + layer.bias[:, None]
            if layer is self._layers[-1]:
                break
            value, slope, bend = _activate(layer, sums)
            inputs.append(value)
            slopes.append(slope)
            bends.append(bend)
        outputs = Outputs(self._loss, sums / self._temperature, part)
        return inputs, slopes, bends, outputs


class Outputs:
    """Derivatives of the loss with respect to outputs z, (n_out, samples).

    Attributes
    ----------
    delta : (n_out, samples) float64 array
        The gradient.
    """

    def __init__(self, loss: Loss, z: np.ndarray, batch: Samples):
        self._name, self._weights = loss.name, batch.weights
        self._means = loss.activate(z.T).T
        residuals = self._means - _as_means(loss, z.shape[0], batch.targets)
        self._is_inside = np.ones_like(z, bool)
        if loss.name == "huber":
            limit = loss.huber_threshold
            self._is_inside = np.abs(residuals) <= limit
            residuals = np.clip(residuals, -limit, limit)
        self.delta = self._weights * residuals

    def bend(self, dz: np.ndarray) -> np.ndarray:
        """Return the derivative of `delta` along a change of the outputs."""
        means = self._means
        if self._name == "softmax":
            change = means * (dz - (means * dz).sum(axis=0))
        elif self._name == "logistic":
            change = means * (1.0 - means) * dz
        elif self._name == "poisson":
            change = means * dz
        else:
            change = self._is_inside * dz
        return self._weights * change


def matrix_of(connections: Connections, values: np.ndarray) -> sparse.csr_array:
    """Return values at connections, (nnz,), as a float64 matrix (n_in, n_out)."""
    pattern = connections.to_scipy()
    parts = (np.asarray(values, np.float64), pattern.indices, pattern.indptr)
    return sparse.csr_array(parts, shape=pattern.shape)


def _as_means(loss: Loss, n_out: int, targets: np.ndarray) -> np.ndarray:
    """Return targets as (n_out, samples); labels as means that softmax is to have."""
    if not loss.takes_labels:
        return targets.T
    means = np.full((n_out, targets.size), loss.label_smoothing / n_out)
    means[targets, np.arange(targets.size)] += 1.0 - loss.label_smoothing
    return means


def _activate(
    layer: SparseLayer, z: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return f(z), f'(z) and f''(z) of a hidden layer, in float64."""
    name, parameter = layer.activation.name, layer.activation.parameter
    if layer.srelu is not None:
        left, a_left, right, a_right = layer.srelu.values[:, :, None]
        where = [z >= right, z <= left]
        values = [right + a_right * (z - right), left + a_left * (z - left)]
        slopes = [np.broadcast_to(each, z.shape) for each in (a_right, a_left)]
        return np.select(where, values, z), np.select(where, slopes, 1.0), 0.0 * z
    if name in ("tanh", "logistic"):
        a = np.tanh(z) if name == "tanh" else scipy.special.expit(z)
        slope = 1.0 - a * a if name == "tanh" else a * (1.0 - a)
        return a, slope, slope * (-2.0 * a if name == "tanh" else 1.0 - 2.0 * a)
    if name == "silu":
        s = scipy.special.expit(z)
        falls = s * (1.0 - s)
        return z * s, s + z * falls, falls * (2.0 + z * (1.0 - 2.0 * s))
    if name == "gelu":
        below = scipy.special.ndtr(z)
        peak = np.exp(-0.5 * z * z) / np.sqrt(2.0 * np.pi)
        return z * below, below + z * peak, peak * (2.0 - z * z)
    if name == "elu":
        rising = parameter * np.exp(np.minimum(z, 0.0))
        is_left = z <= 0.0
        value = np.where(is_left, parameter * np.expm1(np.minimum(z, 0.0)), z)
        return value, np.where(is_left, rising, 1.0), np.where(is_left, rising, 0.0)
    # relu, leaky_relu, all_relu and identity: a line on either side of 0.
    left = 1.0 if name == "identity" else parameter
    slope = np.where(z > 0.0, 1.0, left)
    return slope * z, slope, np.zeros_like(z)


def _dense(array) -> np.ndarray:
    return array.toarray() if sparse.issparse(array) else array


def _add_products(pattern: sparse.csr_array, x, delta: np.ndarray, sums) -> None:
    """Add the sum over the samples of x_ib delta_jb for each connection (i, j)."""
    size = max(1, _PRODUCTS // delta.shape[1])
    for start in range(0, sums.size, size):
        positions = np.arange(start, min(start + size, sums.size))
        rows = np.searchsorted(pattern.indptr, positions, side="right") - 1
        inputs, deltas = x[rows], delta[pattern.indices[positions]]
        if sparse.issparse(inputs):
            sums[positions] += inputs.multiply(deltas).sum(axis=1)
        else:
            sums[positions] += np.einsum("kb,kb->k", inputs, deltas)
