"""Losses on a batch of outputs: the value, and the delta in place of the outputs.

Every kernel takes the pre-activations of the last layer, `z`, as (n_out, columns), and
replaces them by the gradient of the loss with respect to them; columns from `batch` on
are padding and become zero. `weights` are the samples' weights, already divided by
their sum over the batch: the loss is a weighted mean. Each task owns a block of
columns.

    softmax     L = -sum_k t_k log softmax(z)_k,  t = (1 - s) onehot + s / n_out
    logistic    L = sum_k max(z, 0) - z t + log(1 + exp(-|z|))
    squared     L = sum_k (z - t)^2 / 2
    huber       L = sum_k  r^2 / 2 if |r| <= d else d (|r| - d / 2),  r = z - t
    poisson     L = sum_k t log(t / m) - t + m,  m = exp(z)
"""

import math

import numpy as np

from truesparse.kernels.activation import exp, logistic
from truesparse.kernels.bfloat16 import write
from truesparse.kernels.jit import inner_kernel, kernel, parallel_kernel, prange

LOGISTIC, SQUARED, HUBER, POISSON = 0, 1, 2, 3
COLUMNS = 16
# Beyond, `exp` stays at its last value, which would hide that a mean has overflowed.
_LARGEST_LOG_MEAN = 700.0


@inner_kernel
def _softmax_block(z, labels, weights, smoothing, scratch, first, last):
    n_out = z.shape[0]
    number = z.dtype.type
    out_loss, largest, sums, linear = scratch[0], scratch[1], scratch[2], scratch[3]
    # LLVM uses no vectors for an index that could be negative; with them, a batch of
    # 128 and 10 classes takes 5 us instead of 22 (EPYC with AVX-512, 2026-11).
    first, last = np.uint64(first), np.uint64(last)
    for b in range(first, last):
        largest[b] = -np.inf
        sums[b] = 0.0
        linear[b] = 0.0
    for k in range(n_out):
        for b in range(first, last):
            value = np.float64(z[k, b])
            # Not `value > largest[b]`: a NaN must stay and make the loss NaN.
            largest[b] = largest[b] if value <= largest[b] else value
            linear[b] += value
    for k in range(n_out):
        for b in range(first, last):
            sums[b] += exp(np.float64(z[k, b]) - largest[b])
    share = smoothing / n_out
    for b in range(first, last):
        log_sum = math.log(sums[b]) + largest[b]
        true = np.float64(z[labels[b], b])
        expected = (1.0 - smoothing) * true + share * linear[b]
        out_loss[b] = weights[b] * (log_sum - expected)
    for k in range(n_out):
        for b in range(first, last):
            p = exp(np.float64(z[k, b]) - largest[b]) / sums[b]
            target = share + (1.0 - smoothing if labels[b] == k else 0.0)
            z[k, b] = number(weights[b] * (p - target))


@parallel_kernel
def softmax_cross_entropy(z, labels, weights, smoothing, scratch):
    """Replace z by the delta of softmax cross-entropy.

    Parameters
    ----------
    z : (n_out, columns) float array
        Pre-activations on entry, delta on return.
    labels : (batch,) int32 array
        Class of each sample, in 0..n_out - 1.
    weights : (batch,) float64 array
    smoothing : float
        Share of the target spread evenly over the classes.
    scratch : (4, columns) float64 array
        scratch[0] receives the weighted loss of each sample; the rest is overwritten.
    """
    batch = labels.size
    for task in prange((z.shape[1] + COLUMNS - 1) // COLUMNS):
        first = task * COLUMNS
        last = min(first + COLUMNS, batch)
        if first < last:
            _softmax_block(z, labels, weights, smoothing, scratch, first, last)
        for k in range(z.shape[0]):
            for b in range(max(first, batch), min(first + COLUMNS, z.shape[1])):
                z[k, b] = 0


@inner_kernel
def _pointwise(code, z, t, threshold):
    """Return loss and derivative of one output."""
    if code == LOGISTIC:
        value = max(z, 0.0) - z * t + math.log1p(exp(-abs(z)))
        return value, logistic(z) - t
    if code == POISSON:
        mean = exp(z) if z <= _LARGEST_LOG_MEAN else np.inf
        constant = t * (math.log(t) - 1.0) if t > 0.0 else 0.0
        return constant - t * z + mean, mean - t
    r = z - t
    if code == SQUARED or abs(r) <= threshold:
        return 0.5 * r * r, r
    return threshold * (abs(r) - 0.5 * threshold), math.copysign(threshold, r)


@parallel_kernel
def pointwise_loss(code, z, targets, weights, threshold, out_loss):
    """Replace z by the delta of a loss that is a sum over outputs.

    Parameters
    ----------
    code : int
        LOGISTIC, SQUARED, HUBER or POISSON.
    z : (n_out, columns) float array
        Pre-activations on entry, delta on return.
    targets : (n_out, columns) float array
    weights : (batch,) float64 array
    threshold : float
        Error from which Huber's loss is linear.
    out_loss : (batch,) float64 array
        Weighted loss of each sample.
    """
    batch = weights.size
    for task in prange((z.shape[1] + COLUMNS - 1) // COLUMNS):
        first, end = task * COLUMNS, min((task + 1) * COLUMNS, z.shape[1])
        last = min(end, batch)
        for b in range(first, last):
            out_loss[b] = 0.0
        for k in range(z.shape[0]):
            for b in range(first, last):
                loss, slope = _pointwise(
                    code, np.float64(z[k, b]), np.float64(targets[k, b]), threshold
                )
                out_loss[b] += weights[b] * loss
                z[k, b] = weights[b] * slope
            for b in range(max(first, batch), end):
                z[k, b] = 0


@kernel
def store_delta(delta, out):
    """Write the delta of the outputs to a C-contiguous array of bfloat16."""
    flat = delta.reshape(delta.size)
    for k in range(flat.size):
        write(out, k, flat[k])
