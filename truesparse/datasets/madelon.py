"""A classification in the manner of Madelon, of any size.

Madelon (Guyon 2003, Design of experiments for the NIPS 2003 variable selection
benchmark) hides a few useful features among many useless ones. Here, for k informative
features and bits b drawn uniformly from the vertices {0, 1}^k of a hypercube:

    informative_i = ((2 b_i - 1) s + N(0, 1)) / sqrt(s^2 + 1)        y = XOR of all b_i
    redundant     = unit-length random combinations of the informative ones
    the rest      = N(0, 1)

Every feature has mean 0 and variance 1, and none alone says anything about y. The best
possible accuracy is known: (1 + (1 - 2 Q(s))^k) / 2 with Q the normal tail, 0.896 for
the defaults k = 5, s = 2. Departure from Madelon: there the vertices carry random
labels and clusters are sheared; XOR needs no table of 2^k vertices.
"""

import re

import numpy as np
from numpy.typing import DTypeLike

from truesparse.common.checks import check_positive, check_whole, float_type
from truesparse.datasets.features import row_blocks
from truesparse.errors import MemoryLimitError, UsageError

SYNTHETIC = "synthetic:"


def make_madelon(
    n_samples: int,
    n_features: int,
    n_informative: int = 5,
    n_redundant: int = 15,
    seed: int = 0,
    *,
    separation: float = 2.0,
    label_noise: float = 0.0,
    shuffle: bool = True,
    dtype: DTypeLike = np.float32,
) -> tuple[np.ndarray, np.ndarray]:
    """Generate two classes that no single feature, only several together, separate.

    Parameters
    ----------
    n_samples, n_features : int
        Rows and columns; time and memory are in proportion to their product.
    n_informative, n_redundant : int
        How many features carry the class, and how many combine those.
    seed : int
        The same seed gives the same data.
    separation : float
        Distance of a vertex from 0 along each axis, in standard deviations of the
        noise around it.
    label_noise : float
        Fraction of labels that are flipped.
    shuffle : bool
        Put the columns in random order; otherwise informative ones come first, then
        redundant ones, then noise.
    dtype : {float32, float64}
        Type of the features.

    Returns
    -------
    X : ndarray, shape (n_samples, n_features)
        Features of mean 0 and variance 1.
    y : ndarray, shape (n_samples,), int32
        Classes 0 and 1.

    Raises
    ------
    UsageError
        If a size or a fraction is out of range.
    MemoryLimitError
        If the features do not fit in memory.

    Examples
    --------
    >>> from truesparse.datasets import make_madelon
    >>> X, y = make_madelon(100, 30, seed=1)
    >>> X.shape, X.dtype.name, sorted(set(y.tolist()))
    ((100, 30), 'float32', [0, 1])
    """
    n_samples = check_whole("n_samples", n_samples, 1)
    n_features = check_whole("n_features", n_features, 1)
    n_informative = check_whole("n_informative", n_informative, 1)
    n_redundant = check_whole("n_redundant", n_redundant, 0)
    seed = check_whole("seed", seed, 0)
    n_useful = n_informative + n_redundant
    if n_useful > n_features:
        raise UsageError(
            f"n_features must be at least n_informative + n_redundant = {n_useful}, "
            f"got {n_features}"
        )
    if not 0 <= label_noise <= 1:
        raise UsageError(
            f"label_noise must be a fraction from 0 to 1, got {label_noise}"
        )
    check_positive(separation=separation)
    X = _allocate(n_samples, n_features, np.dtype(float_type(dtype)))
    y = np.empty(n_samples, dtype=np.int32)
    rng = np.random.default_rng(seed)
    combine = rng.standard_normal((n_informative, n_redundant))
    combine /= np.linalg.norm(combine, axis=0)
    order = rng.permutation(n_features) if shuffle else np.arange(n_features)
    for rows in row_blocks(X.shape):
        rng.standard_normal(out=X[rows], dtype=X.dtype.type)
        n_rows = len(X[rows])
        bits = rng.integers(0, 2, (n_rows, n_informative))
        informative = rng.standard_normal((n_rows, n_informative))
        informative += (2 * bits - 1) * separation
        informative /= np.sqrt(separation**2 + 1)
        X[rows, order[:n_informative]] = informative
        X[rows, order[n_informative:n_useful]] = informative @ combine
        flips = rng.random(n_rows) < label_noise
        y[rows] = (bits.sum(axis=1) + flips) % 2
    return X, y


def parse_synthetic(name: str) -> tuple[int, int]:
    """Return rows and columns of a name such as ``"synthetic:2000x500"``.

    Raises
    ------
    UsageError
        If the name does not have that form.

    Examples
    --------
    >>> from truesparse.datasets import parse_synthetic
    >>> parse_synthetic("synthetic:2000x500")
    (2000, 500)
    """
    match = re.fullmatch(re.escape(SYNTHETIC) + r"([0-9]{1,18})x([0-9]{1,18})", name)
    sizes = (int(match[1]), int(match[2])) if match else (0, 0)
    if sizes[0] < 2 or sizes[1] < 1:
        raise UsageError(
            f"unknown data set {name!r}; name a synthetic one by samples (at least 2) "
            "x features (at least 1), e.g. synthetic:2000x500"
        )
    return sizes


def _allocate(n_samples: int, n_features: int, dtype: np.dtype) -> np.ndarray:
    try:
        return np.empty((n_samples, n_features), dtype)
    except (MemoryError, ValueError) as error:
        gigabytes = n_samples * n_features * dtype.itemsize / 1e9
        raise MemoryLimitError(
            f"{n_samples} samples x {n_features} features take {gigabytes:.3g} GB, "
            "more than can be allocated; ask for less"
        ) from error
