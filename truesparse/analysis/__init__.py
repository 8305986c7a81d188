"""What training made of a network: robustness, ranks, structure, and smaller twins.

Every function takes a trained model of any size; nothing of size n_in x n_out is
allocated. `truesparse.analyse` is the command.

Perturbed networks
    robustness_curve  accuracy against the fraction of connections perturbed
    perturbations     which connections, in which order
    adversarial_input  accuracy on inputs that move against the network
    twin              a model with other weights on the same structure
Ranks
    spectra           effective and stable rank, exact or estimated
    effective_rank    an estimate from products with the weights
    lanczos           eigenvalues of a matrix known by its products
Structure
    layer_structure   degrees, strengths, empty neurons, components, overlap
    reach             neurons on a path from a feature to an output
    bipartite         clustering, path length and modularity of a layer
Smaller networks
    shrinking         without neurons that do nothing
Many runs
    sweeps            a resumable runner with a journal
    zeta_curve        accuracy against the rewired fraction, and a fit
Pictures
    displays          robustness curves, ranks, structure, graphs, overlaps, densities
Shared
    chosen            a model of finite weights, and the layers to look at
"""

from typing import TYPE_CHECKING

from truesparse.common.lazy import attach

if TYPE_CHECKING:
    from truesparse.analysis.adversarial_input import adversarial
    from truesparse.analysis.bipartite import GraphMeasures, graph_measures
    from truesparse.analysis.layer_structure import (
        LayerStructure,
        Structure,
        exploration,
        overlap,
        structure,
    )
    from truesparse.analysis.perturbations import PERTURBATIONS
    from truesparse.analysis.robustness_curve import RobustnessCurve, robustness
    from truesparse.analysis.shrinking import Shrunk, shrink
    from truesparse.analysis.spectra import LayerRank, layer_ranks
    from truesparse.analysis.sweeps import run_sweep
    from truesparse.analysis.zeta_curve import ZetaFit, fit_zeta_curve

_HOMES = {
    "GraphMeasures": "bipartite",
    "LayerRank": "spectra",
    "LayerStructure": "layer_structure",
    "PERTURBATIONS": "perturbations",
    "RobustnessCurve": "robustness_curve",
    "Shrunk": "shrinking",
    "Structure": "layer_structure",
    "ZetaFit": "zeta_curve",
    "adversarial": "adversarial_input",
    "exploration": "layer_structure",
    "fit_zeta_curve": "zeta_curve",
    "graph_measures": "bipartite",
    "layer_ranks": "spectra",
    "overlap": "layer_structure",
    "robustness": "robustness_curve",
    "run_sweep": "sweeps",
    "shrink": "shrinking",
    "structure": "layer_structure",
}

__all__ = [
    "PERTURBATIONS",
    "GraphMeasures",
    "LayerRank",
    "LayerStructure",
    "RobustnessCurve",
    "Shrunk",
    "Structure",
    "ZetaFit",
    "adversarial",
    "exploration",
    "fit_zeta_curve",
    "graph_measures",
    "layer_ranks",
    "overlap",
    "robustness",
    "run_sweep",
    "shrink",
    "structure",
]

__getattr__, __dir__ = attach(__name__, _HOMES)
