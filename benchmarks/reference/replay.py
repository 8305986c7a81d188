"""Dropout's generator: a hash of (key, neuron, sample), the same on every device.

A key of 32 bits belongs to a step and a layer. Neuron i of sample b is dropped where

    mix(mix(key ^ mix(i)) ^ b) < floor(dropout * 2^32)

and all others are multiplied by 1 / (1 - dropout). The functions take NumPy arrays and
torch tensors of 64-bit integers alike: products wrap around, and the low 32 bits are
right whatever their sign.
"""

from typing import Any

_LOW = 0xFFFFFFFF


def mix(x: Any) -> Any:
    """Hash 32 bits to 32 bits: xor-shift and multiply, twice.

    Parameters
    ----------
    x : int, int64 array or int64 tensor
        From 0 to 2^32 - 1.

    Examples
    --------
    >>> from benchmarks.reference.replay import mix
    >>> hex(mix(1))
    '0x6889ea2a'
    """
    x = x ^ (x >> 16)
    x = (x * 0x7FEB352D) & _LOW
    x = x ^ (x >> 15)
    x = (x * 0x846CA68B) & _LOW
    return x ^ (x >> 16)


def stays(key: int, neurons: Any, samples: Any, dropout: float) -> Any:
    """Return which outputs are not dropped, in the shape that the two broadcast to.

    Parameters
    ----------
    key : int
    neurons, samples : int64 arrays or tensors
        Numbers from 0.
    dropout : float
    """
    return mix(mix(mix(neurons) ^ key) ^ samples) >= int(dropout * 2.0**32)
