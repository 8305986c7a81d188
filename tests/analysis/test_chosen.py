"""Models whose weights are not finite are refused by every analysis, by layer."""

import numpy as np
import pytest

from truesparse import SparseMLP, analysis
from truesparse.analysis.chosen import finite_model
from truesparse.analysis.displays import (
    RanksDisplay,
    RobustnessDisplay,
    StructureDisplay,
)
from truesparse.errors import DataError, UsageError

X, Y = np.eye(6), np.arange(6) % 3
ANALYSES = {
    "structure": analysis.structure,
    "overlap": lambda model: analysis.overlap(SparseMLP(model.layer_sizes), model),
    "exploration": lambda model: analysis.exploration([model]),
    "shrink": analysis.shrink,
    # Of another layer than that with the fault.
    "ranks": lambda model: analysis.layer_ranks(model, [0]),
    "graph": lambda model: analysis.graph_measures(model, [0]),
    "robustness": lambda model: analysis.robustness(model, X, Y, fractions=2),
    "adversarial": lambda model: analysis.adversarial(model, X, Y, fractions=2),
    "structure display": StructureDisplay.from_model,
    "ranks display": RanksDisplay.from_model,
    "robustness display": lambda model: RobustnessDisplay.from_model(model, X, Y),
}


def faulty(where):
    model = SparseMLP([6, 8, 3], density=0.5, activation="srelu")
    if where == "weights":
        model.layers[1].connections.values[[0, 3]] = np.nan
    elif where == "biases":
        model.layers[1].bias[1] = np.inf
    else:
        model.layers[0].srelu.values[2, 4] = -np.inf
    return model


@pytest.mark.parametrize("name", ANALYSES)
def test_weights_of_nan_are_named_and_not_blamed_on_the_features(name):
    with pytest.raises(
        DataError, match=r"2 of the \d+ weights of layer 1, counted from 0, are NaN"
    ) as caught:
        ANALYSES[name](faulty("weights"))
    assert "features" not in str(caught.value)


def test_biases_and_parameters_are_checked_too():
    with pytest.raises(DataError, match="1 of the 3 biases of layer 1"):
        finite_model(faulty("biases"))
    with pytest.raises(DataError, match="1 of the 32 parameters of SReLU of layer 0"):
        finite_model(faulty("srelu"))
    with pytest.raises(UsageError, match="SparseMLP"):
        finite_model(3)
    model = SparseMLP([6, 8, 3])
    assert finite_model(model) is model
