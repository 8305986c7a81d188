"""What training made of a network: robustness, ranks, structure, and smaller twins.

Every function takes a trained model of any size; nothing of size n_in x n_out is
allocated. `truesparse.analyse` is the command.

Perturbed networks
    robustness_curve  accuracy against the fraction of connections perturbed
    perturbations     which connections, in which order
    twin              a model with other weights on the same structure
"""

from typing import TYPE_CHECKING

from truesparse.common.lazy import attach

if TYPE_CHECKING:
    from truesparse.analysis.perturbations import PERTURBATIONS
    from truesparse.analysis.robustness_curve import RobustnessCurve, robustness

_HOMES = {
    "PERTURBATIONS": "perturbations",
    "RobustnessCurve": "robustness_curve",
    "robustness": "robustness_curve",
}

__all__ = ["PERTURBATIONS", "RobustnessCurve", "robustness"]

__getattr__, __dir__ = attach(__name__, _HOMES)
