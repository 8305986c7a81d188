"""Accuracy against zeta, the fraction of connections that updates rewire, and a fit.

Van Engers, "Towards understanding and modelling sparse training algorithms at extreme
sparsity regime", 2021, models the accuracy of SET after training as

    acc(zeta) = acc_p - a exp(b (zeta - 1)).

There zeta is called the training sparsity; it is the share of the connections that each
update replaces, while the density of the layers stays what epsilon makes it.

The extreme sparsity contour is where the accuracy leaves the plateau acc_p; we define
it as the smallest zeta at which the fitted curve is below by a tolerance,

    contour = 1 + ln(tolerance / a) / b.
"""

import math
import warnings
from typing import Any, NamedTuple

import numpy as np
import scipy.optimize
import scipy.stats

from truesparse.common.checks import check_positive
from truesparse.errors import DataError, UsageError

# ln b at most: the curve then falls within 1e-20 of zeta = 1.
_LARGEST_LOG = 46.0
# First guesses of b; the steepest one falls so often by e between the last zeta and 1.
_N_STARTS, _MOST_FALLS = 200, 5.0


class ZetaFit(NamedTuple):
    """The fitted curve; intervals are (low, high) at `level`.

    Attributes
    ----------
    a, b, plateau : float
        Depth of the fall at zeta = 1, its steepness, and acc_p.
    a_interval, b_interval, plateau_interval : tuple of float
        Confidence intervals of the linearised least squares problem in a, ln b and
        the plateau, with Student's t.
    level : float
        Confidence of the intervals, for instance 0.95.
    mse : float
        Mean squared residual.
    contour : float
        The extreme sparsity contour; NaN if the curve falls by less than `tolerance`.
    tolerance : float
    """

    a: float
    b: float
    plateau: float
    a_interval: tuple[float, float]
    b_interval: tuple[float, float]
    plateau_interval: tuple[float, float]
    level: float
    mse: float
    contour: float
    tolerance: float

    def accuracy(self, zeta: Any) -> np.ndarray:
        """Return the fitted accuracy at one or several zeta."""
        return curve(np.asarray(zeta, np.float64), self.a, self.b, self.plateau)


def curve(zeta: np.ndarray, a: float, b: float, plateau: float) -> np.ndarray:
    """Return ``plateau - a exp(b (zeta - 1))``.

    Examples
    --------
    >>> import numpy as np
    >>> from truesparse.analysis.zeta_curve import curve
    >>> curve(np.array([0.0, 0.96, 1.0]), 0.204, 183, 0.868).round(3).tolist()
    [0.868, 0.868, 0.664]
    """
    return plateau - a * np.exp(b * (zeta - 1.0))


def contour_of(a: float, b: float, tolerance: float) -> float:
    """Return the zeta at which the curve is `tolerance` below its plateau, or NaN.

    Examples
    --------
    >>> from truesparse.analysis.zeta_curve import contour_of
    >>> round(contour_of(0.204, 183, 0.01), 3)
    0.984
    """
    if not (a > tolerance and b > 0):
        return math.nan
    return max(1.0 + math.log(tolerance / a) / b, 0.0)


def fit_zeta_curve(
    zeta: Any, accuracy: Any, *, level: float = 0.95, tolerance: float = 0.01
) -> ZetaFit:
    """Fit the curve to measured accuracies by least squares (Levenberg-Marquardt).

    Parameters
    ----------
    zeta : (n,) array
        In [0, 1], at least 4 different ones; several seeds repeat them. Steep curves
        need a fine grid near 1.
    accuracy : (n,) array
        As fractions, in [0, 1].
    level : float
        Confidence of the intervals, between 0 and 1.
    tolerance : float
        Loss of accuracy that defines the contour.

    Raises
    ------
    DataError
        If the accuracies are not in [0, 1], have no plateau, or do not fall towards
        zeta = 1, so that the curve does not fit them.
    UsageError
        If zeta or another argument is not accepted.

    Examples
    --------
    >>> import numpy as np
    >>> from truesparse.analysis import fit_zeta_curve
    >>> zeta = np.concatenate([np.arange(0, 0.98, 0.05), np.arange(0.98, 1, 0.002)])
    >>> noise = np.random.default_rng(0).normal(0, 0.001, zeta.size)
    >>> fit = fit_zeta_curve(zeta, 0.868 - 0.204 * np.exp(183 * (zeta - 1)) + noise)
    >>> fit.b_interval[0] < 183 < fit.b_interval[1], round(fit.contour, 2)
    (True, 0.98)
    """
    check_positive(tolerance=tolerance)
    if not 0.0 < level < 1.0:
        raise UsageError(f"level must be between 0 and 1, got {level}")
    x, y = np.asarray(zeta, np.float64), np.asarray(accuracy, np.float64)
    if x.ndim != 1 or x.shape != y.shape:
        raise UsageError(
            f"zeta and accuracy must be vectors of one length, got {x.shape} and "
            f"{y.shape}"
        )
    if not ((x >= 0) & (x <= 1)).all():
        raise UsageError(f"zeta must be from 0 to 1, got {x.min():g} to {x.max():g}")
    if np.unique(x).size < 4:
        raise UsageError(
            f"a curve of three parameters needs 4 different zeta or more, got "
            f"{np.unique(x).size}"
        )
    if not np.isfinite(y).all():
        raise DataError("accuracy holds NaN or infinity; leave out runs that diverged")
    if y.min() < 0 or y.max() > 1:
        raise DataError(
            f"accuracy must be from 0 to 1, got {y.min():g} to {y.max():g}; divide "
            "percent by 100"
        )
    unfit = DataError(
        "the accuracies do not fall towards zeta = 1 as the curve does; add points "
        "near 1"
    )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", scipy.optimize.OptimizeWarning)
            values, covariance = scipy.optimize.curve_fit(
                _curve_of_log, x, y, _start(x, y), maxfev=20_000
            )
    except (RuntimeError, scipy.optimize.OptimizeWarning):
        raise unfit from None
    if not (values[0] > 0 and np.isfinite(covariance).all()):
        raise unfit
    quantile = scipy.stats.t.ppf((1 + level) / 2, x.size - 3)
    half = quantile * np.sqrt(np.diag(covariance))
    bounds = [_of_log(each) for each in (values, values - half, values + half)]
    (a, b, plateau), *ends = bounds
    if plateau - y.max() > np.ptp(y):
        raise DataError(
            "the accuracies have no plateau: they fall from the smallest zeta on, "
            f"where the curve would begin {plateau - y.max():.3g} above them"
        )
    of_a, of_b, of_plateau = zip(*ends, strict=True)
    mse = float(np.mean((y - curve(x, a, b, plateau)) ** 2))
    contour = contour_of(a, b, tolerance)
    intervals = of_a, of_b, of_plateau
    return ZetaFit(a, b, plateau, *intervals, level, mse, contour, tolerance)


def _curve_of_log(
    zeta: np.ndarray, a: float, log_b: float, plateau: float
) -> np.ndarray:
    """Return the curve for the logarithm of b, for which any number will do."""
    return curve(zeta, *_of_log((a, log_b, plateau)))


def _of_log(parameters: Any) -> tuple[float, float, float]:
    """Return a, b and plateau for a, ln b and plateau."""
    a, log_b, plateau = parameters
    return float(a), math.exp(min(float(log_b), _LARGEST_LOG)), float(plateau)


def _start(x: np.ndarray, y: np.ndarray) -> tuple[float, float, float]:
    """Return the best of many curves whose b is given.

    For a given b the best a and plateau are a line through the points of
    exp(b (zeta - 1)). Least squares that starts anywhere else may end at a wrong b.
    """
    # A steeper one is flat at all points, but for those at zeta = 1.
    steepest = _MOST_FALLS / max(1.0 - float(x[x < 1.0].max()), 1e-6)
    best = (math.inf, 1.0, 0.0, 0.0)
    for b in np.geomspace(0.1, max(steepest, 1.0), _N_STARTS):
        basis = np.exp(b * (x - 1.0))
        basis -= (mean := basis.mean())
        square = float(basis @ basis)
        if square > 0.0:
            a = -float(basis @ y) / square
            plateau = float(y.mean()) + a * float(mean)
            error = float(np.sum((y - curve(x, a, b, plateau)) ** 2))
            best = min(best, (error, float(b), a, plateau))
    _, b, a, plateau = best
    return a, math.log(b), plateau
