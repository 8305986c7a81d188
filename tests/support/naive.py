"""Dense float64 twins of every kernel and algorithm, each in the fewest lines.

They are the reference the fast code is tested against, so they are written from the
formulas and share nothing with it. Activations are feature-major as in the kernels:
x is (n_in, batch), delta (n_out, batch). A layer is a dense w (n_in, n_out) that is
zero where it has no connection, and a boolean mask of the same shape.

Functions named ``*_scale`` return the sum of the absolute terms of each sum: rounding
errors are measured against it, as no summation order can do better.
"""

import numpy as np
from scipy import special


def wide(array):
    return np.asarray(array, np.float64)


# Layers ------------------------------------------------------------------------------


def forward(w, bias, x):
    return wide(w).T @ wide(x) + wide(bias)[:, None]


def forward_scale(w, bias, x):
    return forward(np.abs(w), np.abs(bias), np.abs(x))


def weight_gradient(x, delta):
    return wide(x) @ wide(delta).T


def weight_gradient_scale(x, delta):
    return weight_gradient(np.abs(x), np.abs(delta))


def input_gradient(w, delta, slope=1.0):
    return (wide(w) @ wide(delta)) * slope


def input_gradient_scale(w, delta, slope=1.0):
    return input_gradient(np.abs(w), np.abs(delta), np.abs(slope))


def candidate_gradients(rows, cols, x, delta):
    return weight_gradient(x, delta)[rows, cols]


def gather_dense(data, samples, columns):
    out = np.zeros((data.shape[1], columns), data.dtype)
    out[:, : len(samples)] = data[samples].T
    return out


def dense_batch(batch, columns):
    """Return a SparseBatch as an (n_features, columns) array."""
    out = np.zeros((batch.indptr.size - 1, columns))
    for feature in range(out.shape[0]):
        for q in range(batch.indptr[feature], batch.indptr[feature + 1]):
            out[feature, batch.positions[q]] += batch.values[q]
    return out


# Optimisers --------------------------------------------------------------------------


def optimizer_step(method, w, m, s, g, lr, step, decays=True):
    """Return (w, m, s) after one step.

    `method` is read as a record of numbers: name, momentum, beta1, beta2, epsilon,
    weight_decay, decay. `step` counts from 0.
    """
    w, m, s, g = wide(w), wide(m), wide(s), wide(g)
    amount = method.weight_decay if decays else 0.0
    kind = method.decay or ("decoupled" if method.name == "adamw" else "l2")
    shrink = {"l2": 0.0, "decoupled": lr * amount, "set": amount}[kind] * w
    if kind == "l2":
        g = g + amount * w
    if method.name == "sgd":
        m = method.momentum * m - lr * g
        change = m
    elif method.name == "nesterov":
        m = method.momentum * m - lr * g
        change = method.momentum * m - lr * g
    elif method.name in ("adam", "adamw"):
        m = method.beta1 * m + (1 - method.beta1) * g
        s = method.beta2 * s + (1 - method.beta2) * g**2
        m_hat = m / (1 - method.beta1 ** (step + 1))
        s_hat = s / (1 - method.beta2 ** (step + 1))
        change = -lr * m_hat / (np.sqrt(s_hat) + method.epsilon)
    else:
        assert method.name == "rmsprop"
        s = method.beta2 * s + (1 - method.beta2) * g**2
        change = -lr * g / (np.sqrt(s) + method.epsilon)
    return w + change - shrink, m, s


def powerprop_step(method, theta, m, s, g, lr, step):
    """Return (theta, m, s) after one step, where g is the gradient of the weight.

    The weight is theta |theta|^(alpha - 1), Schwarz et al. 2021.
    """
    alpha = method.powerprop
    slope = alpha * np.abs(theta) ** (alpha - 1)
    return optimizer_step(method, theta, m, s, g * slope, lr, step)


# Activations -------------------------------------------------------------------------


def activation(name, z, parameter=0.0):
    """`parameter` is the signed slope of leaky_relu and all_relu, alpha of elu.

    For srelu, it is the (4, n) array of t_left, a_left, t_right and a_right.
    """
    z = wide(z)
    functions = {
        "identity": lambda: z,
        "relu": lambda: np.maximum(z, 0),
        "leaky_relu": lambda: np.where(z > 0, z, parameter * z),
        "all_relu": lambda: np.where(z > 0, z, parameter * z),
        "elu": lambda: np.where(z > 0, z, parameter * np.expm1(np.minimum(z, 0))),
        "gelu": lambda: z * special.ndtr(z),
        "silu": lambda: z * special.expit(z),
        "tanh": lambda: np.tanh(z),
        "logistic": lambda: special.expit(z),
        "srelu": lambda: srelu_pieces(z, parameter)[0],
    }
    return functions[name]()


def derivative(name, z, parameter=0.0):
    z = wide(z)
    s = special.expit(z)
    normal = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
    functions = {
        "identity": lambda: np.ones_like(z),
        "relu": lambda: np.where(z > 0, 1.0, 0.0),
        "leaky_relu": lambda: np.where(z > 0, 1.0, parameter),
        "all_relu": lambda: np.where(z > 0, 1.0, parameter),
        "elu": lambda: np.where(z > 0, 1.0, parameter * np.exp(np.minimum(z, 0))),
        "gelu": lambda: special.ndtr(z) + z * normal,
        "silu": lambda: s + z * s * special.expit(-z),
        "tanh": lambda: 1 / np.cosh(np.clip(z, -350, 350)) ** 2,
        "logistic": lambda: s * special.expit(-z),
        "srelu": lambda: srelu_pieces(z, parameter)[1],
    }
    return functions[name]()


def srelu_pieces(z, parameters):
    """Return f(z), f'(z), and df/dp for the four parameters p, each (n, batch)."""
    t_left, a_left, t_right, a_right = wide(parameters)[..., None]
    right = z >= t_right
    left = ~right & (z <= t_left)
    on_left, on_right = (
        t_left + a_left * (z - t_left),
        t_right + a_right * (z - t_right),
    )
    value = np.where(right, on_right, np.where(left, on_left, z))
    slope = 1 + left * (a_left - 1) + right * (a_right - 1)
    by_left = [left * (1 - a_left), left * (z - t_left)]
    return value, slope, [*by_left, right * (1 - a_right), right * (z - t_right)]


def srelu_gradient(z, parameters, g):
    """Return the gradient (4, n) of the parameters, for that of the outputs, g."""
    return np.array([(g * by_p).sum(1) for by_p in srelu_pieces(z, parameters)[2]])


def mix(x):
    """Hash 32 bits to 32 bits, in 64-bit arithmetic that cannot overflow."""
    low = np.uint64(0xFFFFFFFF)
    x = np.asarray(x, np.uint64)
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
        x = ((x ^ (x >> np.uint64(shift))) * np.uint64(factor)) & low
    return x ^ (x >> np.uint64(16))


def key32(seed, words):
    """Return the upper half of splitmix64's output after mixing in all words."""
    state, limit = seed, 2**64
    for word in words:
        state = (state + 0x9E3779B97F4A7C15 * (word + 1)) % limit
        state = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 % limit
        state = (state ^ state >> 27) * 0x94D049BB133111EB % limit
        state = state ^ state >> 31
    return state >> 32


def dropout_mask(key, rate, shape):
    """Return which numbers of an (n, columns) buffer are kept."""
    rows = mix(np.arange(shape[0])) ^ np.uint64(key)
    hashes = mix(mix(rows)[:, None] ^ np.arange(shape[1], dtype=np.uint64))
    return hashes >= np.uint64(int(rate * 2.0**32))


# Losses ------------------------------------------------------------------------------


def loss_terms(name, z, targets, smoothing=0.0, threshold=1.0):
    """Return loss (batch,) and derivative (n_out, batch) of each sample."""
    z = wide(z)
    if name == "softmax":
        t = np.full(z.shape, smoothing / len(z))
        t[targets, np.arange(z.shape[1])] += 1 - smoothing
        return -(t * special.log_softmax(z, 0)).sum(0), special.softmax(z, 0) - t
    t = wide(targets)
    r = z - t
    if name == "logistic":
        loss = -t * special.log_expit(z) - (1 - t) * special.log_expit(-z)
        return loss.sum(0), special.expit(z) - t
    if name == "squared":
        return (r**2 / 2).sum(0), r
    if name == "poisson":
        mean = np.exp(z)
        return (special.xlogy(t, t) - t * z - t + mean).sum(0), mean - t
    assert name == "huber"
    return special.huber(threshold, r).sum(0), np.clip(r, -threshold, threshold)


def loss_and_delta(name, z, targets, weights, **settings):
    """`weights` (batch,) are the samples' weights over their sum."""
    loss, slope = loss_terms(name, z, targets, **settings)
    return weights @ loss, weights * slope


# Patterns ----------------------------------------------------------------------------


def column_view(mask):
    """Return indptr, rows and the positions in row-major order, column by column."""
    rows, cols = np.nonzero(mask)
    order = np.argsort(cols, kind="stable")
    indptr = np.concatenate([[0], np.cumsum(mask.sum(0))])
    return indptr, rows[order], order


def absent_keys(mask, ranks):
    """Return the keys row * n_out + column of the absent cells of given ranks."""
    return np.flatnonzero(~mask)[ranks]


def rewire(mask, dense, dropped, keys, new_values):
    """Return mask and dense array after dropping and inserting.

    `dropped` (nnz,) follows the row-major order of the mask; `new_values` are what the
    inserted cells hold: weights, or 0 for optimiser state.
    """
    mask, dense = mask.copy(), dense.copy()
    cells = np.flatnonzero(mask)[dropped]
    mask.flat[cells], dense.flat[cells] = False, 0.0
    mask.flat[keys], dense.flat[keys] = True, new_values
    return mask, dense


def smallest(scores, count):
    """Mark the `count` smallest scores; of equal ones those that come first."""
    marks = np.zeros(len(scores), bool)
    marks[np.argsort(scores, kind="stable")[:count]] = True
    return marks


def set_removed(weights, zeta):
    """Return which weights SET removes: the formula of its reference code, literally.

    Per sign, the share `zeta` closest to zero, with both pivots.
    """
    v = np.sort(weights)
    n = len(v)
    first_zero = np.argmin(np.abs(v))
    last_zero = n - np.argmin(np.abs(v[::-1]))
    largest_negative = v[int((1 - zeta) * first_zero)]
    smallest_positive = v[int(min(n - 1, last_zero + zeta * (n - last_zero)))]
    return ~((weights > smallest_positive) | (weights < largest_negative))


# The network -------------------------------------------------------------------------


class DenseMLP:
    """A dense MLP; masks, where given, hold absent weights at zero."""

    def __init__(self, weights, activations, loss="softmax", masks=None, **settings):
        self.weights = [wide(w).copy() for w in weights]
        self.biases = [np.zeros(w.shape[1]) for w in weights]
        self.activations = activations  # (name, parameter) of each layer
        self.shapes = [wide(p) for name, p in activations if name == "srelu"]
        self.masks = masks or [np.ones(w.shape, bool) for w in weights]
        self.loss, self.settings, self.step = loss, settings, 0
        self.moments = [
            [np.zeros_like(p), np.zeros_like(p)] for p in self._parameters()
        ]

    def _parameters(self):
        return self.weights + self.biases + self.shapes

    def outputs(self, x, factors=None):
        """Return z and a of each layer; `factors` multiply hidden outputs."""
        zs, layer_outputs = [], [wide(x)]
        for k, (w, b) in enumerate(zip(self.weights, self.biases, strict=True)):
            zs.append(forward(w, b, layer_outputs[-1]))
            a = activation(self.activations[k][0], zs[-1], self.activations[k][1])
            hidden = k < len(self.weights) - 1
            layer_outputs.append(a * factors[k] if factors and hidden else a)
        return zs, layer_outputs

    def gradients(self, x, targets, weights, factors=None):
        """Return the loss and the gradients of weights, biases and srelu's shapes."""
        zs, layer_outputs = self.outputs(x, factors)
        loss, delta = loss_and_delta(
            self.loss, zs[-1], targets, weights, **self.settings
        )
        grads, bias_grads, shape_grads = [], [], []
        for k in reversed(range(len(self.weights))):
            grads.insert(0, weight_gradient(layer_outputs[k], delta) * self.masks[k])
            bias_grads.insert(0, delta.sum(1))
            if k:
                slope = derivative(*self._at(k - 1, zs))
                factor = factors[k - 1] if factors else 1.0
                g = input_gradient(self.weights[k], delta, factor)
                if self.activations[k - 1][0] == "srelu":
                    parameters = self.activations[k - 1][1]
                    shape_grads.insert(0, srelu_gradient(zs[k - 1], parameters, g))
                delta = g * slope
        return loss, grads + bias_grads + shape_grads

    def _at(self, k, zs):
        name, parameter = self.activations[k]
        return name, zs[k], parameter

    def train_step(self, x, targets, weights, method, lr, factors=None, clip_norm=None):
        """Take one optimiser step and return the loss before it."""
        loss, grads = self.gradients(x, targets, weights, factors)
        norm = np.sqrt(sum((g**2).sum() for g in grads))
        if clip_norm is not None and norm > clip_norm:
            grads = [g * clip_norm / norm for g in grads]
        n_layers = len(self.weights)
        for k, (parameter, g) in enumerate(zip(self._parameters(), grads, strict=True)):
            m, s = self.moments[k]
            is_weight, rate = k < n_layers, lr
            if is_weight and method.fan_in_limit is not None:
                fan_in = self.masks[k].sum() / parameter.shape[1]
                rate *= min(1.0, method.fan_in_limit / fan_in)
            rest = m, s, g, rate, self.step
            if is_weight and getattr(method, "powerprop", 1.0) != 1.0:
                alpha = method.powerprop
                theta = np.sign(parameter) * np.abs(parameter) ** (1 / alpha)
                theta, *new = powerprop_step(method, theta, *rest)
                parameter[...] = theta * np.abs(theta) ** (alpha - 1)
            else:
                parameter[...], *new = optimizer_step(
                    method, parameter, *rest, is_weight
                )
            self.moments[k] = new
        self.step += 1
        return loss
