"""Random streams: every draw is a function of (seed, purpose, step, layer).

No generator has a state that lasts, so a resumed run draws the same numbers, and the
order of layers does not matter.
"""

import enum

import numpy as np

from truesparse.common.checks import check_whole


class Purpose(enum.IntEnum):
    """Purpose of a stream; the values must never change, as results depend on them."""

    TOPOLOGY_INIT = 1
    WEIGHT_INIT = 2
    SHUFFLE = 3
    DROPOUT = 4
    EVOLUTION = 5
    REGROWN_WEIGHTS = 6
    SPLIT = 7
    GRADIENT_BATCH = 8
    CANDIDATES = 9
    FILLING = 10
    SIGNS = 11
    NOISE = 12
    REMOVAL = 13
    ACTIVATION_INIT = 14
    PERTURBATION = 15
    PROBES = 16
    GRAPH_SAMPLES = 17
    REACTIVATION = 20


def check_seed(seed: int) -> int:
    """Return `seed` if it is a whole number from 0 to 2^63 - 1, else UsageError."""
    return check_whole("seed", seed, 0, 2**63 - 1)


def stream(
    seed: int, purpose: Purpose, step: int = 0, layer: int = 0
) -> np.random.Generator:
    """Return the generator for one purpose at one step in one layer.

    Examples
    --------
    >>> from truesparse.common.rng import Purpose, stream
    >>> draw = stream(0, Purpose.SHUFFLE, step=3).integers(100)
    >>> bool(draw == stream(0, Purpose.SHUFFLE, step=3).integers(100))
    True
    """
    sequence = np.random.SeedSequence([check_seed(seed), int(purpose), step, layer])
    return np.random.Generator(np.random.SFC64(sequence))


def key32(seed: int, purpose: Purpose, step: int = 0, layer: int = 0) -> int:
    """Return 32 random bits for kernels that hash a counter."""
    # Called for each layer and step, so cheap: the finaliser of splitmix64.
    mask = (1 << 64) - 1
    state = check_seed(seed)
    for word in (int(purpose), step, layer):
        state = (state + 0x9E3779B97F4A7C15 * (word + 1)) & mask
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & mask
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & mask
        state ^= state >> 31
    return state >> 32
