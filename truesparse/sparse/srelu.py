"""The trained parameters of a layer's S-shaped rectified linear units."""

import numpy as np

from truesparse.activations import LayerActivation
from truesparse.errors import UsageError
from truesparse.kernels.arrays import Activation
from truesparse.kernels.srelu import srelu_backward, srelu_forward
from truesparse.kernels.update import Rule, step_all
from truesparse.sparse.balance import TASK_SIZE, rows_per_task
from truesparse.sparse.connections import new_moments

_PLAIN = LayerActivation("srelu").for_inference()


class Srelu:
    """Four numbers for each neuron: t_left, a_left, t_right, a_right.

    They are explained in kernels/srelu.py.

    Parameters
    ----------
    n_out : int
        Neurons. Their units are the identity until `draw` or `adopt` is called.
    dtype : type

    Attributes
    ----------
    values : (4, n_out) array
        The parameters, a row each.
    gradient : (4, n_out) array
        Gradient of `values`, from the last backward pass.
    moments : Moments
        Optimiser state, (4 * n_out,) or empty.

    Examples
    --------
    >>> import numpy as np
    >>> from truesparse.sparse.srelu import Srelu
    >>> units = Srelu(3, np.float32)
    >>> units.draw(np.random.default_rng(0))
    >>> units.values[[0, 3]].tolist()
    [[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]]
    """

    def __init__(self, n_out: int, dtype: type | np.dtype):
        self.values = np.zeros((4, n_out), dtype)
        self.values[[1, 3]] = 1.0
        self.gradient = np.zeros_like(self.values)
        self.allocate_moments(False, False)
        # Of the last forward pass in training: backward repeats its dropout mask.
        self._dropout: Activation | None = None

    def draw(self, draw: np.random.Generator) -> None:
        """Set initial values: t_left 0, a_left U(0, 1), t_right U(0, 5), a_right 1.

        These are the values of SReLU in keras_contrib, which the authors of SET used
        for CIFAR-10. There, the distance of the thresholds is trained in place of
        t_right, and its absolute value is taken: thresholds cannot cross, and a step
        of t_left moves both. The paper itself trains leaky ReLU for
        some epochs and then sets t_right from the inputs seen so far.
        """
        n = self.values.shape[1]
        self.values[[0, 3]] = [[0.0], [1.0]]
        self.values[1] = draw.random(n)
        self.values[2] = 5.0 * draw.random(n)

    def adopt(self, values: np.ndarray) -> None:
        """Copy parameters from an array.

        Raises
        ------
        UsageError
            If its shape or dtype differs from that of the attribute `values`.
        """
        if (values.shape, values.dtype) != (self.values.shape, self.values.dtype):
            raise UsageError(
                f"parameters of srelu must be {self.values.dtype} of shape "
                f"{self.values.shape}, got {values.dtype} of shape {values.shape}"
            )
        self.values[:] = values

    def allocate_moments(self, first: bool, second: bool) -> None:
        """Make zero optimiser state, as far as it is needed."""
        self.moments = new_moments(self.values.reshape(-1), first, second)

    def predict(self, out: np.ndarray) -> None:
        """Replace z by f(z) in the first n_out rows of an (m, columns) array."""
        self.forward(out, out[:0, :0], _PLAIN)

    def forward(
        self, out: np.ndarray, slope: np.ndarray, activation: Activation
    ) -> None:
        """Turn pre-activations into outputs, in place.

        Parameters
        ----------
        out : (n_out, columns) array
        slope : (n_out, columns) array or (0, 0)
            In training, receives the pre-activations.
        activation : Activation
            Its dropout is used, and `keeps_slope`, which is set in training.
        """
        dropout = activation._replace(keeps_slope=False)
        z = out[:0, :0]
        if activation.keeps_slope:
            z, self._dropout = slope, dropout
        srelu_forward(self.values, out, z, dropout, rows_per_task(out.shape[1]))

    def backward(
        self, z: np.ndarray, delta: np.ndarray, out_bias_gradient: np.ndarray
    ) -> None:
        """Turn the gradient of the outputs into delta, and write `gradient`.

        Parameters
        ----------
        z : (n_out, columns) array
            The `slope` of the last forward pass in training.
        delta : (n_out, columns) array
            Overwritten.
        out_bias_gradient : (n_out,) array
        """
        task_size = rows_per_task(delta.shape[1])
        gradients = out_bias_gradient, self.gradient
        srelu_backward(self.values, z, delta, self._dropout, *gradients, task_size)

    def update(self, rule: Rule) -> None:
        """Apply one optimiser step."""
        flat = self.values.reshape(-1), self.moments, self.gradient.reshape(-1)
        step_all(rule, *flat, TASK_SIZE)


def given_units(
    activation: LayerActivation, values: np.ndarray | None, bias: np.ndarray
) -> Srelu | None:
    """Return the units of a layer that is made of given arrays.

    Raises
    ------
    UsageError
        If srelu comes without `values`, (4, n) for n biases, or others come with them.
    """
    if activation.is_trained != (values is not None):
        raise UsageError(
            "activation 'srelu' needs parameters of its neurons and no other takes "
            f"them, got {'none' if values is None else 'some'} for {activation.name!r}"
        )
    if values is None:
        return None
    units = Srelu(bias.size, bias.dtype)
    units.adopt(values)
    return units
