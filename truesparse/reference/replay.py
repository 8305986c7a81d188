"""One step in float64, by sparse products alone, with rules that may be varied.

The formulas are those of FORMAT.md. Nothing of size n_in x n_out is allocated.
"""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy.sparse
import scipy.special

from truesparse.reference.protocol import Batch, Description, Tensors, n_layers_of, name


@dataclass(frozen=True)
class Rules:
    """Rules of a step; the defaults are right, all others are mistakes to recognise.

    Parameters
    ----------
    reduction : {"mean", "sum", "whole_batch", "outputs"}
        What divides the sum of the losses: samples, nothing, the size of a whole batch,
        samples times outputs.
    momentum : {"step", "buffer", "dampened"}
        m holds the step; the sum of gradients; or the step dampened by 1 - momentum.
    nesterov : {"both", "plain", "moment_only"}
    decay : str or None
        Kind of decay in place of the case's.
    decays_bias, decays_after : bool
    decay_sign : float
    epsilon : {"outside", "inside"}
    correction : {"both", "none", "late"}
    parity : float
        Factor of the slopes of all_relu.
    gelu : {"erf", "tanh"}
    scale, mask_backward, mask_transposed : bool
        Whether dropout scales up, acts on deltas, and exchanges neuron and sample.
    trains_bias : bool
    """

    reduction: str = "mean"
    momentum: str = "step"
    nesterov: str = "both"
    decay: str | None = None
    decays_bias: bool = False
    decays_after: bool = False
    decay_sign: float = 1.0
    epsilon: str = "outside"
    correction: str = "both"
    parity: float = 1.0
    gelu: str = "erf"
    scale: bool = True
    mask_backward: bool = True
    mask_transposed: bool = False
    trains_bias: bool = True


@dataclass
class Replay:
    """What one step computes, layer by layer; arrays are (n, neurons).

    Attributes
    ----------
    weights : list of csr_array
    inputs, sums, outputs, slopes, deltas : list of array
        Input x, z = x W + b, f(z), f'(z), and the gradient of the loss by z.
    observed, after : dict of str to array
        As an implementation returns them.
    """

    weights: list[Any] = field(default_factory=list)
    inputs: list[np.ndarray] = field(default_factory=list)
    sums: list[np.ndarray] = field(default_factory=list)
    outputs: list[np.ndarray] = field(default_factory=list)
    slopes: list[np.ndarray] = field(default_factory=list)
    deltas: list[np.ndarray] = field(default_factory=list)
    observed: Tensors = field(default_factory=dict)
    after: Tensors = field(default_factory=dict)


def replay(
    case: Description, state: Tensors, batch: Batch, rules: Rules | None = None
) -> Replay:
    """Return what one step does.

    Parameters
    ----------
    case : dict
        Description of the case.
    state : dict of str to array
        State before the step.
    batch : Batch
    rules : Rules, optional
    """
    rules = rules or Rules()
    run = Replay()
    with np.errstate(all="ignore"):
        _forward(case, state, batch.inputs, batch.keys, rules, run)
        _loss(case, batch, rules, run)
        _backward(run)
        for index in range(n_layers_of(state)):
            _step(case, state, batch.step, rules, run, index)
    return run


def replay_outputs(case: Description, state: Tensors, inputs: Any) -> Replay:
    """Return what a net makes of samples that it is not trained on: without dropout.

    Parameters
    ----------
    case : dict
        Description of the case.
    state : dict of str to array
    inputs : (n, n_features) array or csr_array
    """
    run = Replay()
    _forward({**case, "dropout": 0.0}, state, inputs, (), Rules(), run)
    return run


def dense(inputs) -> np.ndarray:
    """Return the inputs of a batch as a float64 array."""
    if scipy.sparse.issparse(inputs):
        inputs = inputs.toarray()
    return np.asarray(inputs, np.float64)


def matrix(state: Tensors, index: int, values: np.ndarray) -> scipy.sparse.csr_array:
    """Return values on a layer's connections as a matrix (n_in, n_out)."""
    indptr, indices = (state[name(index, each)] for each in ("indptr", "indices"))
    shape = indptr.size - 1, state[name(index, "bias")].size
    return scipy.sparse.csr_array((values.astype(float), indices, indptr), shape=shape)


def ends(state: Tensors, index: int) -> tuple[np.ndarray, np.ndarray]:
    """Return input and output neuron of each connection, (nnz,) both."""
    indptr = state[name(index, "indptr")]
    rows = np.repeat(np.arange(indptr.size - 1), np.diff(indptr))
    return rows, state[name(index, "indices")]


def dropout_mask(
    key: int, n_samples: int, n_neurons: int, share: float, transposed: bool = False
) -> np.ndarray:
    """Return which outputs stay, (n_samples, n_neurons) bool, to the bit.

    Examples
    --------
    >>> from truesparse.reference.replay import dropout_mask
    >>> dropout_mask(1, 3, 4, 0.25).astype(int).tolist()
    [[1, 0, 1, 0], [1, 1, 1, 1], [1, 1, 1, 0]]
    """
    neurons = np.arange(n_neurons, dtype=np.uint32)[None, :]
    samples = np.arange(n_samples, dtype=np.uint32)[:, None]
    if transposed:
        neurons, samples = samples, neurons
    hashed = _mix(_mix(_mix(neurons) ^ np.uint32(key)) ^ samples)
    return hashed >= np.uint32(int(share * 2.0**32))


def _mix(x: np.ndarray) -> np.ndarray:
    x = x ^ (x >> np.uint32(16))
    x = x * np.uint32(0x7FEB352D)
    x = x ^ (x >> np.uint32(15))
    x = x * np.uint32(0x846CA68B)
    return x ^ (x >> np.uint32(16))


def _forward(case, state, inputs, keys, rules, run) -> None:
    x = dense(inputs)
    last = n_layers_of(state) - 1
    for index in range(last + 1):
        weights = matrix(state, index, state[name(index, "weights")])
        z = x @ weights + state[name(index, "bias")].astype(float)
        a, slope = z, np.ones_like(z)
        if index < last:
            a, slope = _activate(case, rules, z, index)
            if case["dropout"] > 0.0:
                share = case["dropout"]
                mask = dropout_mask(
                    int(keys[index]),
                    len(z),
                    z.shape[1],
                    share,
                    rules.mask_transposed,
                )
                factor = mask / (1.0 - share) if rules.scale else mask.astype(float)
                a = a * factor
                slope = slope * factor if rules.mask_backward else slope
        run.weights.append(weights)
        run.inputs.append(x)
        run.sums.append(z)
        run.outputs.append(a)
        run.slopes.append(slope)
        run.observed[name(index, "output")] = x = a


def _activate(case, rules, z, index) -> tuple[np.ndarray, np.ndarray]:
    """Return f(z) and f'(z)."""
    if case["activation"] == "relu":
        return np.maximum(z, 0.0), (z > 0.0).astype(float)
    if case["activation"] == "all_relu":
        parameter = rules.parity * case["parameters"][index]
        slope = np.where(z > 0.0, 1.0, parameter)
        return z * slope, slope
    if rules.gelu == "tanh":
        c = math.sqrt(2.0 / math.pi)
        t = np.tanh(c * (z + 0.044715 * z**3))
        inner = c * (1.0 + 3 * 0.044715 * z**2)
        return 0.5 * z * (1.0 + t), 0.5 * (1.0 + t) + 0.5 * z * (1.0 - t * t) * inner
    below = scipy.special.ndtr(z)
    return z * below, below + z * np.exp(-0.5 * z * z) / math.sqrt(2.0 * math.pi)


def _loss(case, batch, rules, run) -> None:
    """Note the loss, and the delta of the last layer."""
    z, targets = run.outputs[-1], batch.targets
    n = len(z)
    if case["loss"] == "softmax":
        log_p = scipy.special.log_softmax(z, axis=1)
        rows = np.arange(n)
        losses = -log_p[rows, targets]
        delta = np.exp(log_p)
        delta[rows, targets] -= 1.0
    else:
        losses = (np.logaddexp(0.0, z) - z * targets).sum(axis=1)
        delta = scipy.special.expit(z) - targets
    divisor = {
        "mean": n,
        "sum": 1,
        "whole_batch": case["batch_size"],
        "outputs": n * z.shape[1],
    }[rules.reduction]
    run.observed["loss"] = np.array(losses.sum() / divisor)
    run.deltas = [delta / divisor]


def _backward(run) -> None:
    for index in range(len(run.weights) - 1, -1, -1):
        delta = run.deltas[0]
        rows, columns = run.weights[index].tocoo().coords
        x = run.inputs[index]
        gradient = np.einsum("bk,bk->k", x[:, rows], delta[:, columns])
        run.observed[name(index, "gradient")] = gradient
        run.observed[name(index, "bias_gradient")] = delta.sum(axis=0)
        if index > 0:
            below = (run.weights[index] @ delta.T).T * run.slopes[index - 1]
            run.deltas.insert(0, below)


def _step(case, state, step, rules, run, index) -> None:
    """Note the state of a layer after the step."""
    after = run.after
    for key in ("indptr", "indices"):
        after[name(index, key)] = state[name(index, key)]
    for key, prefix, decays in (
        ("weights", "", True),
        ("bias", "bias_", rules.decays_bias),
    ):
        w = state[name(index, key)].astype(float)
        g = run.observed[name(index, f"{prefix}gradient")]
        moments = [
            state[name(index, f"{prefix}{each}")].astype(float)
            for each in ("first", "second")
        ]
        new, first, second = stepped(case, rules, step, w, g, moments, decays)
        if key == "bias":
            new = w if not rules.trains_bias else new
            new = np.zeros_like(new) if case["frozen_biases"] else new
        after[name(index, key)] = new
        after[name(index, f"{prefix}first")] = first
        after[name(index, f"{prefix}second")] = second


def decay_terms(case, rules, decays) -> tuple[float, float]:
    """Return l2, which is added to gradients, and shrink, which weights lose."""
    amount = rules.decay_sign * case["weight_decay"] if decays else 0.0
    kind = rules.decay or case["decay"]
    l2 = amount if kind == "l2" else 0.0
    shrink = {"l2": 0.0, "decoupled": case["lr"] * amount, "set": amount}
    return l2, shrink.get(kind, 0.0)


def stepped(case, rules, step, w, g, moments, decays):
    """Return weights and moments after an optimiser step."""
    first, second = moments
    lr, mu = case["lr"], case["momentum"]
    l2, shrink = decay_terms(case, rules, decays)
    g = g + l2 * w
    if case["optimizer"].startswith("adam"):
        beta1, beta2, epsilon = case["beta1"], case["beta2"], case["epsilon"]
        first = beta1 * first + (1.0 - beta1) * g
        second = beta2 * second + (1.0 - beta2) * g * g
        t = {"both": step + 1, "late": step + 2, "none": math.inf}[rules.correction]
        m, s = first / (1.0 - beta1**t), second / (1.0 - beta2**t)
        if rules.epsilon == "inside":
            size = np.sqrt(s + epsilon)
        else:
            size = np.sqrt(s) + epsilon
        change = -lr * m / size
    elif rules.momentum == "buffer":
        first = mu * first + g
        both = case["optimizer"] == "nesterov" and rules.nesterov == "both"
        change = -lr * (mu * first + g if both else first)
    else:
        factor = 1.0 - mu if rules.momentum == "dampened" else 1.0
        first = mu * first - factor * lr * g
        change = first
        if case["optimizer"] == "nesterov" and rules.nesterov != "plain":
            change = mu * first - (lr * g if rules.nesterov == "both" else 0.0)
    if rules.decays_after:
        return (w + change) * (1.0 - shrink), first, second
    return w + change - shrink * w, first, second
