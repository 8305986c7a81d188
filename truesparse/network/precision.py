"""How a net stores its activations: in the dtype of its weights, or in bfloat16."""

import numpy as np

from truesparse.common.checks import choose, float_type
from truesparse.errors import UsageError
from truesparse.kernels.bfloat16 import BFLOAT16

NAMES = ("bfloat16", "float32", "float64")


def choose_activation_dtype(name: str | None, dtype: np.dtype | type | str) -> str:
    """Return the name of the dtype in which activations are stored.

    Parameters
    ----------
    name : str or None
        None stands for the dtype of the weights.
    dtype : dtype or str
        Dtype of the weights.

    Raises
    ------
    UsageError
        If it is neither the dtype of the weights nor bfloat16 beside float32.

    Examples
    --------
    >>> import numpy as np
    >>> from truesparse.network.precision import choose_activation_dtype
    >>> choose_activation_dtype(None, np.float64)
    'float64'
    """
    weights = np.dtype(dtype).name
    if name is None:
        return weights
    choose(name, NAMES, "activation_dtype")
    accepted = ("float32", "bfloat16") if weights == "float32" else (weights,)
    if name not in accepted:
        raise UsageError(
            f"activation_dtype must be {' or '.join(accepted)} where dtype is "
            f"{weights}, got {name}; bfloat16 needs the dtype float32"
        )
    return name


def weight_dtype(dtype: str, activation_dtype: str | None) -> type:
    """Return the dtype of the weights; UsageError unless activations suit it."""
    weights = float_type(dtype)
    choose_activation_dtype(activation_dtype, weights)
    return weights


def stored_dtype(name: str) -> np.dtype:
    """Return the dtype of the arrays that hold activations."""
    return BFLOAT16 if name == "bfloat16" else np.dtype(name)
