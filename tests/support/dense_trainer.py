"""A trainer with dense weights and masks in float64, by the document alone.

It imports nothing of truesparse. Methods are small, so that tests can make one wrong.
It updates the topology of the cases set and rigl.
"""

import math

import numpy as np
import scipy.sparse


def mix(x):
    """Return the hash of 32 bits, on whole numbers of Python."""
    x = ((x ^ (x >> 16)) * 0x7FEB352D) & 0xFFFFFFFF
    x = ((x ^ (x >> 15)) * 0x846CA68B) & 0xFFFFFFFF
    return x ^ (x >> 16)


class DenseTrainer:
    """The readable implementation of the protocol."""

    keeps_absent_still = True

    def __init__(self, case):
        self.case = case
        self.sizes = case["layer_sizes"]
        self.layers = range(len(self.sizes) - 1)

    # State ---------------------------------------------------------------------------

    def load(self, state):
        self.has_second = self.case["optimizer"].startswith("adam")
        self.mask, self.arrays = [], []
        for index in self.layers:
            shape = self.sizes[index], self.sizes[index + 1]
            indptr, indices = (
                state[f"layer.{index}.indptr"],
                state[f"layer.{index}.indices"],
            )

            def as_dense(values, indptr=indptr, indices=indices, shape=shape):
                return scipy.sparse.csr_array(
                    (values, indices, indptr), shape
                ).toarray()

            self.mask.append(as_dense(np.ones(indices.size)) > 0)
            layer = {}
            for key in ("weights", "first", "second"):
                values = state[f"layer.{index}.{key}"]
                if not values.size:
                    values = np.zeros(indices.size)
                layer[key] = as_dense(values)
            for key in ("bias", "bias_first", "bias_second"):
                values = state[f"layer.{index}.{key}"].copy()
                layer[key] = values if values.size else np.zeros(shape[1])
            self.arrays.append(layer)

    def state(self):
        state = {}
        for index, layer in enumerate(self.arrays):
            mask = (
                self.mask[index] if self.keeps_absent_still else layer["weights"] != 0.0
            )
            counts = mask.sum(axis=1)
            state[f"layer.{index}.indptr"] = np.concatenate([[0], np.cumsum(counts)])
            state[f"layer.{index}.indices"] = np.nonzero(mask)[1].astype(np.int32)
            for key, values in layer.items():
                if key.endswith("second") and not self.has_second:
                    continue
                full = values if key.startswith("bias") else values[mask]
                state[f"layer.{index}.{key}"] = full.copy()
        return state

    # A step --------------------------------------------------------------------------

    def step(self, batch):
        result = self.run(batch)
        for index, layer in enumerate(self.arrays):
            for key, prefix in (("weights", ""), ("bias", "bias_")):
                gradient = self.gradients[index][key]
                moments = layer[f"{prefix}first"], layer[f"{prefix}second"]
                decay = self.decay_of(key)
                new = self.stepped(layer[key], gradient, *moments, decay, batch.step)
                layer[key], layer[f"{prefix}first"], layer[f"{prefix}second"] = new
        return result

    def run(self, batch):
        """Return loss, outputs and gradients; the dense ones are left in gradients."""
        x = batch.inputs
        x = x.toarray() if scipy.sparse.issparse(x) else x
        xs, slopes, result = [x], [], {}
        for index, layer in enumerate(self.arrays):
            z = xs[-1] @ layer["weights"] + layer["bias"]
            a, slope = z, np.ones_like(z)
            if index < len(self.arrays) - 1:
                a, slope = self.activate(z, index)
                if self.case["dropout"]:
                    factor = self.dropout_factor(z, int(batch.keys[index]))
                    a, slope = a * factor, slope * self.backward_factor(factor)
            xs.append(a)
            slopes.append(slope)
            result[f"layer.{index}.output"] = a
        loss, delta = self.loss(xs[-1], batch.targets)
        result["loss"] = loss
        self.gradients, self.xs, self.deltas = {}, xs, {}
        for index in reversed(self.layers):
            self.deltas[index] = delta
            weights = xs[index].T @ delta
            if self.keeps_absent_still:
                weights = weights * self.mask[index]
            self.gradients[index] = {"weights": weights, "bias": delta.sum(axis=0)}
            result[f"layer.{index}.gradient"] = weights[self.mask[index]]
            result[f"layer.{index}.bias_gradient"] = delta.sum(axis=0)
            if index:
                delta = (delta @ self.arrays[index]["weights"].T) * slopes[index - 1]
        return result

    def activate(self, z, index):
        kind = self.case["activation"]
        if kind == "gelu":
            return self.gelu(z)
        low = 0.0 if kind == "relu" else self.low_slope(index)
        return np.where(z > 0, z, low * z), np.where(z > 0, 1.0, low)

    def low_slope(self, index):
        return self.case["parameters"][index]

    def gelu(self, z):
        below = 0.5 * (1.0 + np.vectorize(math.erf)(z / math.sqrt(2.0)))
        return z * below, below + z * np.exp(-z * z / 2.0) / math.sqrt(2.0 * math.pi)

    def dropout_factor(self, z, key):
        share = self.case["dropout"]
        limit = int(share * 2**32)
        stays = [
            [mix(mix(mix(j) ^ key) ^ b) >= limit for j in range(z.shape[1])]
            for b in range(z.shape[0])
        ]
        return np.array(stays) * self.dropout_scale()

    def dropout_scale(self):
        return 1.0 / (1.0 - self.case["dropout"])

    def backward_factor(self, factor):
        return factor

    def loss(self, z, targets):
        n = self.divisor(len(z))
        if self.case["loss"] == "softmax":
            p = np.exp(z - z.max(axis=1, keepdims=True))
            p /= p.sum(axis=1, keepdims=True)
            true = p[np.arange(len(z)), targets]
            return -np.log(true).sum() / n, (p - np.eye(z.shape[1])[targets]) / n
        p = 1.0 / (1.0 + np.exp(-z))
        losses = -targets * np.log(p) - (1.0 - targets) * np.log(1.0 - p)
        return losses.sum() / n, (p - targets) / n

    def divisor(self, n):
        return n

    def evaluate(self, inputs, targets):
        x = inputs.toarray() if scipy.sparse.issparse(inputs) else inputs
        for index, layer in enumerate(self.arrays):
            x = x @ layer["weights"] + layer["bias"]
            if index < len(self.arrays) - 1:
                x = self.activate(x, index)[0] * self.evaluation_factor(x)
        return {"output": x, "accuracy": self.accuracy(x, targets)}

    def evaluation_factor(self, x):
        return 1.0

    def accuracy(self, z, targets):
        if self.case["loss"] == "softmax":
            return np.mean(z.argmax(axis=1) == targets)
        return np.mean((z > 0) == (targets > 0.5))

    # The optimiser -------------------------------------------------------------------

    def decay_of(self, key):
        return self.case["weight_decay"] if key == "weights" else 0.0

    def stepped(self, w, g, m, s, decay, step):
        case, lr = self.case, self.case["lr"]
        kind = self.decay_kind()
        g = g + decay * w if kind == "l2" else g
        shrink = {"l2": 0.0, "decoupled": lr * decay, "set": decay}[kind]
        if self.has_second:
            m = case["beta1"] * m + (1 - case["beta1"]) * g
            s = case["beta2"] * s + (1 - case["beta2"]) * g**2
            change = -lr * self.adam_ratio(m, s, step + 1)
        else:
            m = self.momentum(m, lr * g)
            change = m
            if case["optimizer"] == "nesterov":
                change = self.nesterov(m, lr * g)
        return w + change - shrink * w, m, s

    def decay_kind(self):
        return self.case["decay"]

    def adam_ratio(self, m, s, t):
        m, s = m / (1 - self.case["beta1"] ** t), s / (1 - self.case["beta2"] ** t)
        return m / (np.sqrt(s) + self.case["epsilon"])

    def momentum(self, m, step):
        return self.case["momentum"] * m - step

    def nesterov(self, m, step):
        return self.case["momentum"] * m - step

    # The topology --------------------------------------------------------------------

    def update_topology(self, update):
        if update.batch is not None:
            self.run(update.batch)
        result = {}
        for index in update.layers:
            mask, layer = self.mask[index], self.arrays[index]
            weights = layer["weights"]
            dropped = self.drop(weights, mask, update.fraction)
            after = mask & ~dropped
            empty = ~(mask if self.counts_removed() else after)
            count = int(dropped.sum())
            grown = np.zeros_like(mask)
            ranks = update.draws[f"layer.{index}.ranks"]
            if update.batch is not None:
                sizes = self.growth_scores(self.xs[index].T @ self.deltas[index])
                sizes = np.where(after, -np.inf, sizes).ravel()
                # Of equal ones the last.
                order = np.argsort(-sizes[::-1], kind="stable")
                chosen = sizes.size - 1 - order[: count - ranks.size]
                grown.ravel()[chosen] = True
            grown |= self.drawn(empty & ~grown, ranks)
            again = dropped & grown
            self.mask[index] = after | grown
            new = grown & ~again if self.case["topology"] == "rigl" else grown
            for key in ("weights", "first", "second"):
                layer[key] = self.values_after(key, layer[key], new)
                layer[key] = self.cleared(layer[key], self.mask[index])
            result[f"layer.{index}.dropped"] = np.flatnonzero(dropped)
            result[f"layer.{index}.grown"] = np.flatnonzero(grown)
        return result

    def values_after(self, key, values, new):
        return np.where(new, 0.0, values)

    def cleared(self, values, mask):
        return values * mask

    def counts_removed(self):
        return False

    def growth_scores(self, gradient):
        return np.abs(gradient)

    def drawn(self, empty, ranks):
        cells = np.zeros_like(empty)
        cells.ravel()[np.flatnonzero(empty)[ranks]] = True
        return cells

    def drop(self, weights, mask, fraction):
        values = weights[mask]
        marks = np.zeros(values.size, bool)
        if self.case["topology"] == "rigl":
            marks[
                np.argsort(self.drop_scores(values), kind="stable")[
                    : int(fraction * values.size)
                ]
            ] = True
        else:
            marks = self.drop_per_sign(values, fraction)
        dropped = np.zeros_like(mask)
        dropped[mask] = marks
        return dropped

    def drop_scores(self, values):
        return np.abs(values)

    def drop_per_sign(self, values, fraction):
        """SET's rule: zeros first, then from f to index of the sorted weights."""
        zeros = int((values == 0.0).sum())
        missing = fraction * values.size - zeros
        if zeros and missing <= 0.0:
            return values == 0.0
        share = missing / max(values.size - zeros, 1)
        low = np.abs(values).min()
        first, last = (
            int((values < -low).sum()),
            values.size - int((values > low).sum()),
        )
        ordered = np.sort(values)
        lowest = ordered[int((1.0 - share) * first)]
        highest = ordered[
            int(min(values.size - 1, last + share * (values.size - last)))
        ]
        return (values >= lowest) & (values <= highest)
