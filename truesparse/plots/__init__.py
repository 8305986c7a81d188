"""Pictures of models and of runs, with matplotlib: ``pip install 'truesparse[plot]'``.

A display's ``from_...`` method computes it, in O(connections), and ``plot(ax=None)``
draws it; figure and axes are then in ``figure_`` and ``ax_``, as in the displays of
scikit-learn. Names are loaded when first used, matplotlib when something is drawn.

Models
    pattern       SparsityPatternDisplay: which cells are connected
    degrees       DegreeDisplay: connections of each neuron
    strengths     StrengthDisplay: sum of |weight| of each neuron
    weights       WeightHistogramDisplay
    input_map     InputConnectivityDisplay: connections of each feature
    layer_sizes   LayersDisplay: connections of each layer
Runs
    curves        TrainingDisplay: loss and score by epoch
    turnover      TurnoverDisplay: connections replaced, cells explored
Shared
    display       base class and helpers of all displays
    counts        counts over the connections of a model
    run_records   History: records of a run, also from metrics.jsonl
"""

from typing import TYPE_CHECKING

from truesparse.common.lazy import attach

if TYPE_CHECKING:
    from truesparse.plots.curves import TrainingDisplay
    from truesparse.plots.degrees import DegreeDisplay
    from truesparse.plots.input_map import InputConnectivityDisplay
    from truesparse.plots.layer_sizes import LayersDisplay
    from truesparse.plots.pattern import SparsityPatternDisplay
    from truesparse.plots.run_records import History
    from truesparse.plots.strengths import StrengthDisplay
    from truesparse.plots.turnover import TurnoverDisplay
    from truesparse.plots.weights import WeightHistogramDisplay

_HOMES = {
    "DegreeDisplay": "degrees",
    "History": "run_records",
    "InputConnectivityDisplay": "input_map",
    "LayersDisplay": "layer_sizes",
    "SparsityPatternDisplay": "pattern",
    "StrengthDisplay": "strengths",
    "TrainingDisplay": "curves",
    "TurnoverDisplay": "turnover",
    "WeightHistogramDisplay": "weights",
}

__all__ = [
    "DegreeDisplay",
    "History",
    "InputConnectivityDisplay",
    "LayersDisplay",
    "SparsityPatternDisplay",
    "StrengthDisplay",
    "TrainingDisplay",
    "TurnoverDisplay",
    "WeightHistogramDisplay",
]

__getattr__, __dir__ = attach(__name__, _HOMES)
