"""Pictures of analyses, as the displays of truesparse.plots.

accuracy_curves   RobustnessDisplay: accuracy against the fraction perturbed
graph_bars        GraphDisplay: clustering and path length beside random layers
overlap_bars      OverlapDisplay: how far two topologies agree
rank_bars         RanksDisplay: effective and stable rank of each layer
activity          StructureDisplay: active neurons, and sizes that remain
densities         DensityDisplay: density of each layer by epoch
paired_bars       two bars for each layer, side by side
fitted_curve      ZetaCurveDisplay: accuracy against zeta, and the fitted curve
"""

from typing import TYPE_CHECKING

from truesparse.common.lazy import attach

if TYPE_CHECKING:
    from truesparse.analysis.displays.accuracy_curves import RobustnessDisplay
    from truesparse.analysis.displays.activity import StructureDisplay
    from truesparse.analysis.displays.densities import DensityDisplay
    from truesparse.analysis.displays.fitted_curve import ZetaCurveDisplay
    from truesparse.analysis.displays.graph_bars import GraphDisplay
    from truesparse.analysis.displays.overlap_bars import OverlapDisplay
    from truesparse.analysis.displays.rank_bars import RanksDisplay

_HOMES = {
    "DensityDisplay": "densities",
    "GraphDisplay": "graph_bars",
    "OverlapDisplay": "overlap_bars",
    "RanksDisplay": "rank_bars",
    "RobustnessDisplay": "accuracy_curves",
    "StructureDisplay": "activity",
    "ZetaCurveDisplay": "fitted_curve",
}

__all__ = [
    "DensityDisplay",
    "GraphDisplay",
    "OverlapDisplay",
    "RanksDisplay",
    "RobustnessDisplay",
    "StructureDisplay",
    "ZetaCurveDisplay",
]

__getattr__, __dir__ = attach(__name__, _HOMES)
