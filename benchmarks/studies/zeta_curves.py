"""The curves of zeta_study.py: their points, and what the document found."""

import math
from typing import NamedTuple

import numpy as np

from truesparse.analysis import fit_zeta_curve
from truesparse.analysis.sweeps import Result, Setting
from truesparse.analysis.zeta_curve import ZetaFit, contour_of
from truesparse.errors import TruesparseError

from . import frame

TOLERANCE = 0.01
# What the document found: a, b, the plateau, the mean squared error, and the contour as
# it reads it.
PUBLISHED, PUBLISHED_MSE, PUBLISHED_CONTOUR = (0.204, 183.0, 0.868), 1.3e-4, 0.96


class Curve(NamedTuple):
    """Best accuracies of one method on one data set.

    Attributes
    ----------
    data, method : str
    runs : list of (setting, result)
        Those of the sweep over zeta that ended.
    fit : ZetaFit or None
    fault : str
        Why the curve was not fitted; "" if it was.
    """

    data: str
    method: str
    runs: frame.Rows
    fit: ZetaFit | None
    fault: str

    @property
    def title(self) -> str:
        """Name of the curve in tables and figures."""
        return f"{self.method} on {self.data}"

    @property
    def points(self) -> tuple[np.ndarray, np.ndarray]:
        """The zetas of the runs, and their best accuracies."""
        zeta = [setting["options"]["zeta"] for setting, _ in self.runs]
        return np.array(zeta), np.array([result["best"] for _, result in self.runs])

    def at(self, zeta: float) -> list[Result]:
        """Return the results of all seeds at a zeta."""
        return [r for setting, r in self.runs if setting["options"]["zeta"] == zeta]

    def accuracy_up_to(self, zeta: float) -> float:
        """Return the mean best accuracy up to a zeta, NaN if no run is there."""
        x, y = self.points
        return float(y[x <= zeta].mean()) if (x <= zeta).any() else math.nan


def curves_of(rows: frame.Rows) -> list[Curve]:
    """Return the curves, the document's first, each fitted if it can be."""
    runs: dict[tuple[str, str], frame.Rows] = {}
    for setting, result in rows:
        if setting["sweep"] == "zeta":
            ended = runs.setdefault((setting["data"], setting["method"]), [])
            if "best" in result:
                ended.append((setting, result))
    curves = []
    for key, ended in runs.items():
        curve = Curve(*key, ended, None, "")
        try:
            fit = fit_zeta_curve(*curve.points, tolerance=TOLERANCE)
            curves.append(curve._replace(fit=fit))
        except TruesparseError as error:
            curves.append(curve._replace(fault=str(error)))
    return curves


def sweep_of(rows: frame.Rows) -> dict[float, list[tuple[Setting, Result]]]:
    """Return the runs of the sweep over epsilon that ended, by epsilon."""
    groups: dict[float, list[tuple[Setting, Result]]] = {}
    for setting, result in rows:
        if setting["sweep"] == "epsilon" and "best" in result:
            groups.setdefault(setting["epsilon"], []).append((setting, result))
    return groups


def published() -> ZetaFit:
    """Return the published curve, with its contour by our definition."""
    a, b, plateau = PUBLISHED
    unknown = (math.nan, math.nan)
    contour = contour_of(a, b, TOLERANCE)
    intervals = unknown, unknown, unknown
    return ZetaFit(a, b, plateau, *intervals, 0.95, PUBLISHED_MSE, contour, TOLERANCE)
