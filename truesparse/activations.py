"""Activations by name: the kernel code of each, and its default slope or alpha."""

import functools
from dataclasses import dataclass

from truesparse.common.checks import (
    check_not_negative,
    check_numbers,
    check_share_below_one,
    choose,
)
from truesparse.errors import UsageError
from truesparse.kernels import activation as codes
from truesparse.kernels.arrays import Activation

# Code and default parameter: slope of leaky_relu, alpha of elu, magnitude of the slope
# of all_relu (the value its authors use for MNIST and Fashion-MNIST).
_CODES: dict[str, tuple[int, float]] = {
    "identity": (codes.IDENTITY, 0.0),
    "relu": (codes.RELU, 0.0),
    "leaky_relu": (codes.LEAKY_RELU, 0.01),
    "all_relu": (codes.ALL_RELU, 0.6),
    "elu": (codes.ELU, 1.0),
    "gelu": (codes.GELU, 0.0),
    "silu": (codes.SILU, 0.0),
    "tanh": (codes.TANH, 0.0),
    "logistic": (codes.LOGISTIC, 0.0),
    # Linear to the kernels of a layer; kernels/srelu.py does the rest.
    "srelu": (codes.IDENTITY, 0.0),
}
ACTIVATIONS = tuple(_CODES)
_PARAMETRIC = ("leaky_relu", "all_relu", "elu")


@dataclass(frozen=True)
class LayerActivation:
    """The activation and dropout of one layer.

    What it tells the kernels is computed once: every step asks for it.

    Parameters
    ----------
    name : str
        One of ACTIVATIONS.
    parameter : float
        Slope for z <= 0 of leaky_relu and all_relu, with its sign; alpha of elu.
    dropout : float
        Share of the outputs dropped while training, in [0, 1).
    """

    name: str
    parameter: float = 0.0
    dropout: float = 0.0

    @property
    def is_trained(self) -> bool:
        """Whether every neuron has trained parameters, see sparse/srelu.py."""
        return self.name == "srelu"

    @functools.cached_property
    def keeps_slope(self) -> bool:
        """Whether training stores the derivative, for lack of it in the output.

        With trained parameters, the pre-activation is stored in its place.
        """
        if self.is_trained:
            return True
        code = _CODES[self.name][0]
        if self.dropout > 0.0:
            return code != codes.RELU
        return code not in codes.FROM_OUTPUT

    @functools.cached_property
    def derivative_code(self) -> int:
        """Code by which the backward kernel computes the derivative."""
        if self.is_trained:
            return codes.IDENTITY
        return codes.STORED_SLOPE if self.keeps_slope else _CODES[self.name][0]

    @functools.cached_property
    def scale(self) -> float:
        """Factor of the outputs that are not dropped while training."""
        return 1.0 / (1.0 - self.dropout)

    def for_inference(self) -> Activation:
        """Return the kernel's description without dropout."""
        return Activation(_CODES[self.name][0], self.parameter, False, 0, 1.0, 0)

    def for_training(self, key: int) -> Activation:
        """Return the kernel's description; `key` seeds this step's dropout, if any."""
        return self._training._replace(key=key) if self.dropout else self._training

    @functools.cached_property
    def _training(self) -> Activation:
        """What stays the same from step to step."""
        drop_below = int(self.dropout * 2.0**32)
        code, slope = _CODES[self.name][0], self.keeps_slope
        return Activation(code, self.parameter, slope, drop_below, self.scale, 0)


def layer_activation(
    name: str, layer: int, parameter: float | None = None, dropout: float = 0.0
) -> LayerActivation:
    """Return the activation of hidden layer `layer`, counted from 0.

    The sign of all_relu's slope alternates, negative in the first hidden layer (Curci
    et al., Truly Sparse Neural Networks at Scale, 2021, section 3.2, and their code).
    At z = 0 the slope is that of the negative side here, and 1 in their code.

    Raises
    ------
    UsageError
        For an unknown name or a parameter that is out of range.

    Examples
    --------
    >>> from truesparse.activations import layer_activation
    >>> layer_activation("all_relu", 0).parameter
    -0.6
    """
    choose(name, ACTIVATIONS, "activation")
    check_share_below_one(dropout=dropout)
    if parameter is None:
        value = _CODES[name][1]
    elif name not in _PARAMETRIC:
        check_numbers(activation_parameter=parameter)
        raise UsageError(
            f"activation {name!r} takes no parameter, got {parameter}; leave it out, "
            f"or take one of {', '.join(_PARAMETRIC)}"
        )
    else:
        check_not_negative(activation_parameter=parameter)
        value = float(parameter)
    if name == "all_relu" and layer % 2 == 0:
        value = -value
    return LayerActivation(name, value, dropout)
