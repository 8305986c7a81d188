"""The trained parameters of a layer's S-shaped rectified linear units."""

import numpy as np

from truesparse.activations import LayerActivation
from truesparse.errors import UsageError
from truesparse.kernels.arrays import Activation, Moments
from truesparse.kernels.srelu import srelu_backward, srelu_forward
from truesparse.kernels.update import Rule, step_all
from truesparse.sparse.connections import TASK_SIZE

_PLAIN = LayerActivation("srelu").for_inference()


class Srelu:
    """Four numbers a neuron, see kernels/srelu.py: t_left, a_left, t_right, a_right.

    Parameters
    ----------
    n_out : int
        Neurons; their units are the identity, until `draw` or `adopt`.
    dtype : type

    Attributes
    ----------
    values : (4, n_out) array
        The parameters, a row each.
    gradient : (4, n_out) array
        Of the last backward pass.
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
        # Whose dropout mask a backward pass repeats.
        self._trained_with: Activation | None = None

    def draw(self, draw: np.random.Generator) -> None:
        """Set initial values: t_left 0, a_left U(0, 1), t_right U(0, 5), a_right 1.

        These are the values of SReLU in keras_contrib, with which the authors of SET
        trained on CIFAR-10. There the distance of the thresholds is trained in place of
        t_right, and its absolute value taken. The paper itself trains leaky ReLU for
        some epochs and then sets t_right by the inputs that came.
        """
        n = self.values.shape[1]
        self.values[[0, 3]] = [[0.0], [1.0]]
        self.values[1] = draw.random(n)
        self.values[2] = 5.0 * draw.random(n)

    def adopt(self, values: np.ndarray) -> None:
        """Take given parameters, copied.

        Raises
        ------
        UsageError
            If shape or dtype are not those of `values`.
        """
        if (values.shape, values.dtype) != (self.values.shape, self.values.dtype):
            raise UsageError(
                f"parameters of srelu must be {self.values.dtype} of shape "
                f"{self.values.shape}, got {values.dtype} of shape {values.shape}"
            )
        self.values[:] = values

    def allocate_moments(self, first: bool, second: bool) -> None:
        """Make zero optimiser state, as far as it is needed."""
        flat = self.values.reshape(-1)
        self.moments = Moments(
            np.zeros_like(flat) if first else flat[:0],
            np.zeros_like(flat) if second else flat[:0],
        )

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
            Of which `keeps_slope`, set in training, and dropout count.
        """
        dropout = activation._replace(keeps_slope=False)
        kept = out[:0, :0]
        if activation.keeps_slope:
            kept, self._trained_with = slope, dropout
        srelu_forward(self.values, out, kept, dropout, _task_size(out))

    def backward(
        self, z: np.ndarray, delta: np.ndarray, out_bias_gradient: np.ndarray
    ) -> None:
        """Turn the gradient of the outputs into delta, and write `gradient`.

        Parameters
        ----------
        z : (n_out, columns) array
            What the last forward pass in training kept.
        delta : (n_out, columns) array
            Overwritten.
        out_bias_gradient : (n_out,) array
        """
        how, gradients = self._trained_with, (out_bias_gradient, self.gradient)
        srelu_backward(self.values, z, delta, how, *gradients, _task_size(delta))

    def update(self, rule: Rule) -> None:
        """Apply one optimiser step."""
        flat = self.values.reshape(-1), self.moments, self.gradient.reshape(-1)
        step_all(rule, *flat, TASK_SIZE)


def given_units(
    activation: LayerActivation, values: np.ndarray | None, bias: np.ndarray
) -> Srelu | None:
    """Return the units of a layer that is put together from arrays.

    Raises
    ------
    UsageError
        Unless `values`, (4, n) for n biases, are given for srelu and for srelu alone.
    """
    if activation.is_trained != (values is not None):
        raise UsageError(
            "parameters of neurons are for activation 'srelu', which needs them; got "
            f"{'none' if values is None else 'some'} for {activation.name!r}"
        )
    if values is None:
        return None
    units = Srelu(bias.size, bias.dtype)
    units.adopt(values)
    return units


def _task_size(rows: np.ndarray) -> int:
    return max(1, TASK_SIZE // 4 // max(1, rows.shape[1]))
