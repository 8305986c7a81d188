"""bfloat16 from its definition, and a dense net that rounds where kernels store."""

import numpy as np
from support import naive
from support.naive import wide

# Activations whose derivative follows from the output, by the output.
FROM_OUTPUT = {
    "identity": lambda a, parameter: np.ones_like(a),
    "relu": lambda a, parameter: np.where(a > 0, 1.0, 0.0),
    "leaky_relu": lambda a, parameter: np.where(a > 0, 1.0, parameter),
    "elu": lambda a, parameter: np.where(a > 0, 1.0, a + parameter),
    "tanh": lambda a, parameter: 1.0 - a * a,
    "logistic": lambda a, parameter: a * (1.0 - a),
}


def bfloat16(x):
    """Return numbers of 8 significant bits; of two that are as near, the even one."""
    x = wide(x)
    _, exponent = np.frexp(x)
    # The smallest numbers are 2^-133 apart.
    exponent = np.maximum(exponent, -125)
    nearest = np.ldexp(np.rint(np.ldexp(x, 8 - exponent)), exponent - 8)
    return np.where(np.abs(nearest) < 2.0**128, nearest, np.copysign(np.inf, nearest))


def bits(x):
    """Return numbers that bfloat16 has as the uint16 that arrays hold."""
    return (np.asarray(x, np.float32).view(np.uint32) >> 16).astype(np.uint16)


def scaled(x, factor):
    """Return a product as it is stored, rounded to float32 before.

    Otherwise numbers that 1 / (1 - dropout) puts in the middle of two of bfloat16 would
    fall to either side.
    """
    return bfloat16((x * factor).astype(np.float32))


class RoundingMLP(naive.DenseMLP):
    """The dense twin, whose activations are rounded each time they are stored.

    Stored are z, f(z), slopes, what dropout makes of both, and deltas of hidden layers;
    of the last layer the delta alone. Data are not rounded. Gradients of biases are
    sums before delta is rounded.
    """

    def forward(self, x, factors):
        """Return z of the last layer, and of each layer inputs, stored z and slope."""
        inputs, zs, slopes = [wide(x)], [], []
        for k, (w, b) in enumerate(zip(self.weights, self.biases, strict=True)):
            z = naive.forward(w, b, inputs[-1])
            if k == len(self.weights) - 1:
                return z, inputs, zs, slopes
            name, parameter = self.activations[k]
            z = bfloat16(z)
            a = bfloat16(naive.activation(name, z, parameter))
            slope = bfloat16(naive.derivative(name, z, parameter))
            if factors:
                a, slope = scaled(a, factors[k]), scaled(slope, factors[k])
            if name == "relu":
                slope = np.where(a > 0, factors[k] if factors else 1.0, 0.0)
            elif name in FROM_OUTPUT and not factors:
                slope = FROM_OUTPUT[name](a, parameter)
            inputs.append(a)
            zs.append(z)
            slopes.append(slope)

    def gradients(self, x, targets, weights, factors=None):
        z, inputs, zs, slopes = self.forward(x, factors)
        loss, delta = naive.loss_and_delta(
            self.loss, z, targets, weights, **self.settings
        )
        grads, bias_grads, shape_grads = [], [delta.sum(1)], []
        for k in reversed(range(len(self.weights))):
            delta = bfloat16(delta)
            grads.insert(0, naive.weight_gradient(inputs[k], delta) * self.masks[k])
            if k == 0:
                break
            g = naive.input_gradient(self.weights[k], delta)
            name, parameter = self.activations[k - 1]
            if name == "srelu":
                # Its kernel runs after that of the layer, on what that stored.
                g = bfloat16(g)
                g = scaled(g, factors[k - 1]) if factors else g
                shape_grads.insert(0, naive.srelu_gradient(zs[k - 1], parameter, g))
                delta = g * naive.derivative(name, zs[k - 1], parameter)
            else:
                delta = g * slopes[k - 1]
            bias_grads.insert(0, delta.sum(1))
        return loss, grads + bias_grads + shape_grads
