"""What training made of a network: robustness, ranks, structure, and smaller twins.

Every function takes a trained model of any size; nothing of size n_in x n_out is
allocated. `truesparse.analyse` is the command.

Perturbed networks
    robustness_curve  accuracy against the fraction of connections perturbed
    perturbations     which connections, in which order
    twin              a model with other weights on the same structure
Ranks
    spectra           effective and stable rank, exact or estimated
    lanczos           eigenvalues of a matrix known by its products
Shared
    chosen            the layers that an analysis looks at
"""

from typing import TYPE_CHECKING

from truesparse.common.lazy import attach

if TYPE_CHECKING:
    from truesparse.analysis.perturbations import PERTURBATIONS
    from truesparse.analysis.robustness_curve import RobustnessCurve, robustness
    from truesparse.analysis.spectra import LayerRank, layer_ranks

_HOMES = {
    "LayerRank": "spectra",
    "PERTURBATIONS": "perturbations",
    "RobustnessCurve": "robustness_curve",
    "layer_ranks": "spectra",
    "robustness": "robustness_curve",
}

__all__ = [
    "PERTURBATIONS",
    "LayerRank",
    "RobustnessCurve",
    "layer_ranks",
    "robustness",
]

__getattr__, __dir__ = attach(__name__, _HOMES)
