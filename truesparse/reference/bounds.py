"""How far a correct implementation can be from the truth: a running error analysis.

With u the unit roundoff of a dtype, a sum of n products in any order is off by at most
(n + 2) u times the sum of their magnitudes, to first order (Higham, "Accuracy and
stability of numerical algorithms", 2002, sections 3.1 and 3.3); two are for operands
that were rounded when they were loaded. Each quantity gets a bound for every element:
errors of what it is made of, times the derivative, and those of its arithmetic.
FORMAT.md derives each line.
"""

import numpy as np

from truesparse.reference.protocol import Batch, Description, Tensors, n_layers_of, name
from truesparse.reference.replay import Replay, Rules, decay_terms, ends, matrix

UNIT = {"float64": 2.0**-53, "float32": 2.0**-24}
# Roundings of exp, erf and the like, and of the few operations around them.
FUNCTION = 16.0
# First order terms, and twice as much for those of second order and of the truth.
SAFETY = 2.0
# More would overflow, and no probability is off by more than 1 anyway.
_EXPONENT = 700.0


def bounds(
    case: Description,
    state: Tensors,
    batch: Batch,
    run: Replay,
    dtype: str,
    errors: Tensors | None = None,
) -> Tensors:
    """Return a bound of the error of each element that a step computes.

    Parameters
    ----------
    case : dict
    state : dict of str to array
        State before the step.
    batch : Batch
    run : Replay
        The truth of this step.
    dtype : {"float64", "float32"}
    errors : dict of str to array, optional
        Bounds of the state's errors before the step; by default it was loaded, and so
        rounded once.

    Returns
    -------
    dict of str to array
        By the names of results and of the state after the step.
    """
    u = UNIT[dtype]
    known = errors or {}
    result: Tensors = {}
    n_layers, n = n_layers_of(state), len(run.sums[0])
    inputs, slopes = _forward(case, state, run, u, known, result)
    delta = _loss(case, run, u, result)
    for index in range(n_layers - 1, -1, -1):
        rows, columns = ends(state, index)
        x, d = np.abs(run.inputs[index]), np.abs(run.deltas[index])
        wrong = inputs[index] + (n + 2) * u * x
        result[name(index, "gradient")] = np.einsum(
            "bk,bk->k", wrong[:, rows], d[:, columns]
        ) + np.einsum("bk,bk->k", (x + wrong)[:, rows], delta[:, columns])
        summed = (n + 2) * u * d.sum(axis=0)
        result[name(index, "bias_gradient")] = delta.sum(axis=0) + summed
        if index > 0:
            weights, off = _weights(state, index, known)
            sums = (weights @ d.T).T
            fan_out = np.diff(state[name(index, "indptr")])
            up = (weights @ delta.T).T + (off @ (d + delta).T).T
            up += (fan_out + 3) * u * sums
            slope = np.abs(run.slopes[index - 1])
            truth = np.abs(run.weights[index] @ run.deltas[index].T).T
            delta = up * (slope + slopes[index - 1]) + truth * slopes[index - 1]
            delta += 3.0 * u * truth * slope
    tiny = float(np.finfo(dtype).tiny)
    for index in range(n_layers):
        _step(case, state, batch.step, run, index, u, known, result)
    return {key: SAFETY * each + tiny for key, each in result.items()}


def output_bounds(
    case: Description, state: Tensors, run: Replay, dtype: str
) -> np.ndarray:
    """Return a bound of the error of each output of the last layer, (n, n_out).

    Parameters
    ----------
    case : dict
    state : dict of str to array
        State that is loaded, and so rounded once.
    run : Replay
        What `replay_outputs` returns.
    dtype : {"float64", "float32"}
    """
    result: Tensors = {}
    _forward({**case, "dropout": 0.0}, state, run, UNIT[dtype], {}, result)
    last = result[name(n_layers_of(state) - 1, "output")]
    return SAFETY * last + float(np.finfo(dtype).tiny)


def undecided(case: Description, outputs: np.ndarray, limits: np.ndarray) -> int:
    """Return how many decisions may differ while outputs are within their bounds.

    A decision is the class of a sample, the first one of the largest output, or with
    logistic loss whether an output is above 0.

    Parameters
    ----------
    case : dict
    outputs, limits : (n, n_out) arrays
        True outputs, and their bounds.

    Examples
    --------
    >>> import numpy as np
    >>> from truesparse.reference.bounds import undecided
    >>> outputs = np.array([[1.0, 0.0, 0.9], [0.0, 1.0, 0.5]])
    >>> undecided({"loss": "softmax"}, outputs, np.full((2, 3), 0.1))
    1
    """
    if case["loss"] == "logistic":
        return int((np.abs(outputs) <= limits).sum())
    best = outputs.argmax(axis=1)[:, None]
    at_least = np.take_along_axis(outputs - limits, best, axis=1)
    return int(((outputs + limits >= at_least).sum(axis=1) > 1).sum())


def _weights(state, index, known):
    """Return the magnitudes of weights, and the bounds of their errors."""
    key = name(index, "weights")
    values = np.abs(state[key])
    off = known.get(key, np.zeros(values.size))
    return matrix(state, index, values), matrix(state, index, off)


def _forward(case, state, run, u, known, result):
    """Return bounds of each layer's input and slope."""
    inputs = [np.zeros_like(run.inputs[0])]
    slopes = []
    last = n_layers_of(state) - 1
    for index in range(last + 1):
        weights, off = _weights(state, index, known)
        x, wrong = np.abs(run.inputs[index]), inputs[index]
        bias = np.abs(state[name(index, "bias")]).astype(float)
        fan_in = np.bincount(state[name(index, "indices")], minlength=bias.size)
        z = wrong @ weights + (x + wrong) @ off + known.get(name(index, "bias"), 0.0)
        z += (fan_in + 4) * u * (x @ weights + bias)
        if index == last:
            result[name(index, "output")] = z
            return inputs, slopes
        a, slope = _activation(case, run, index, z, u)
        result[name(index, "output")] = a
        inputs.append(a)
        slopes.append(slope)


def _activation(case, run, index, z, u):
    """Return bounds of an activation's value and slope, from those of its sums."""
    true, out, slope = run.sums[index], run.outputs[index], run.slopes[index]
    # 1 and 1/(1 - share) where nothing or something is dropped, 0 where dropped.
    dropped = (slope == 0.0) & (out == 0.0) if case["dropout"] > 0.0 else None
    factor = 1.0 / (1.0 - case["dropout"])
    at_kink = np.abs(true) <= z
    if case["activation"] == "gelu":
        # |f'| < 1.13 and |f''| < 0.8.
        a = 1.13 * z + FUNCTION * u * (np.abs(true) + z)
        s = 0.8 * z + FUNCTION * u
    else:
        parameter = 0.0
        if case["activation"] == "all_relu":
            parameter = abs(case["parameters"][index])
        is_above = true > 0.0
        steep = np.where(is_above | at_kink, 1.0, parameter)
        a = steep * z + 2.0 * u * np.abs(out)
        # The slope jumps by at most 1 + |parameter|.
        s = np.where(at_kink, 1.0 + parameter, 2.0 * u * np.abs(slope))
    a, s = factor * a, factor * s
    if dropped is not None and case["activation"] != "gelu":
        # A dropped output, or that of a sum well below 0, is 0 exactly.
        a = np.where(dropped & ~at_kink, 0.0, a)
    return a + 2.0 * u * np.abs(out), s + 2.0 * u * np.abs(slope)


def _loss(case, run, u, result):
    """Return the bound of the last delta, and note that of the loss."""
    z, off = run.outputs[-1], result[name(len(run.outputs) - 1, "output")]
    n, n_out = z.shape
    if case["loss"] == "softmax":
        worst = off.max(axis=1, keepdims=True)
        size = np.abs(z).max(axis=1, keepdims=True) + np.log(n_out) + 1.0
        loss = 2.0 * worst + (FUNCTION + n_out) * u * size
        p = np.abs(run.deltas[-1]) * n  # at least p, or 1 - p of the true class
        p = np.minimum(p, 1.0 - p) + (p > 0.5)
        delta = np.minimum(p, 1.0) * np.expm1(np.minimum(2.0 * worst, _EXPONENT))
        delta = np.minimum(delta, 1.0) + (FUNCTION + n_out) * u * (1.0 + size)
    else:
        loss = (off + FUNCTION * u * (np.abs(z) + 1.0)).sum(axis=1, keepdims=True)
        loss *= 1.0 + n_out * u
        delta = np.minimum(off / 4.0, 1.0) + FUNCTION * u
    total = float(abs(run.observed["loss"]))
    result["loss"] = np.array(loss.mean() + (n + n_out + 2) * u * (total + loss.mean()))
    return delta / n + 4.0 * u * np.abs(run.deltas[-1])


def _step(case, state, step, run, index, u, known, result) -> None:
    """Note bounds of the state of a layer after the step."""
    for key, prefix in (("weights", ""), ("bias", "bias_")):
        names = [
            name(index, each) for each in (key, f"{prefix}first", f"{prefix}second")
        ]
        w, first, second = (np.abs(state[each]).astype(float) for each in names)
        off = [known.get(each, 0.0) for each in names]
        g = np.abs(run.observed[name(index, f"{prefix}gradient")])
        off_g = result[name(index, f"{prefix}gradient")]
        l2, shrink = decay_terms(case, Rules(), key == "weights")
        lr, mu = case["lr"], case["momentum"]
        off_g = off_g + l2 * off[0] + 4.0 * u * (g + l2 * w)
        g = g + l2 * w
        new = np.abs(run.after[names[0]])
        if case["optimizer"].startswith("adam"):
            beta1, beta2 = case["beta1"], case["beta2"]
            m = beta1 * off[1] + (1.0 - beta1) * off_g
            # 1 - beta may be rounded: off by u, whatever its size.
            m += 6.0 * u * (beta1 * first + (1.0 - beta1) * g) + u * g
            s = beta2 * off[2] + (1.0 - beta2) * (2.0 * g + off_g) * off_g
            s += 8.0 * u * (beta2 * second + (1.0 - beta2) * g * g) + u * g * g
            change = _adam_change(case, step, run, names, m, s)
            moved = np.abs(run.after[names[0]] - state[names[0]])
            result[names[2]] = s
        else:
            m = mu * off[1] + lr * off_g + 6.0 * u * (mu * first + lr * g)
            change = m
            moved = mu * first + lr * g
            if case["optimizer"] == "nesterov":
                change = mu * m + lr * off_g
        result[names[1]] = m
        rounded = 6.0 * u * (w + new + moved + shrink * w)
        is_frozen = key == "bias" and case["frozen_biases"]
        bound = (
            np.zeros(w.size)
            if is_frozen
            else (1.0 + shrink) * off[0] + change + rounded
        )
        result[names[0]] = bound


def _adam_change(case, step, run, names, m, s):
    """Return the bound of lr m / (sqrt(s) + epsilon), whose root is steep near 0."""
    t = step + 1
    first = np.abs(run.after[names[1]]) / (1.0 - case["beta1"] ** t)
    second = run.after[names[2]] / (1.0 - case["beta2"] ** t)
    m, s = m / (1.0 - case["beta1"] ** t), s / (1.0 - case["beta2"] ** t)
    size = np.sqrt(second) + case["epsilon"]
    low = np.sqrt(np.maximum(second - s, 0.0)) + case["epsilon"]
    high = np.sqrt(second + s) + case["epsilon"]
    up = (first + m) / low - first / size
    down = first / size - np.maximum(first - m, 0.0) / high
    return case["lr"] * np.maximum(up, down)
