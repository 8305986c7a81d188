"""Analyses take models in every form, and whole numbers of Python and of NumPy."""

import inspect

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from truesparse import SparseMLP, analysis, save
from truesparse.analysis import displays
from truesparse.errors import UsageError
from truesparse.estimators import SparseMLPClassifier

DRAW = np.random.default_rng(3)
X = DRAW.standard_normal((40, 6)).astype(np.float32)
Y = DRAW.integers(0, 3, 40)
FEW = {"fractions": 3}
# Every public function that takes a model.
CALLS = {
    "adversarial": lambda model: analysis.adversarial(model, X, Y, **FEW),
    "exploration": lambda model: analysis.exploration([model, model]),
    "graph_measures": analysis.graph_measures,
    "layer_ranks": analysis.layer_ranks,
    "overlap": lambda model: analysis.overlap(model, model),
    "robustness": lambda model: analysis.robustness(model, X, Y, "noise", **FEW),
    "shrink": analysis.shrink,
    "structure": analysis.structure,
}
OTHERS = {"fit_zeta_curve", "run_sweep"}
SAMPLES = {"RobustnessDisplay": (X, Y, ["random"])}
DISPLAYS = [
    name for name in displays.__all__ if hasattr(getattr(displays, name), "from_model")
]


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """Return an estimator, its network, and a file and a folder that hold it."""
    net = SparseMLPClassifier(hidden_layer_sizes=(12, 9), max_iter=1, random_state=0)
    with pytest.warns(ConvergenceWarning):
        net.fit(X, Y)
    folder = tmp_path_factory.mktemp("run")
    file = save(net.model_, folder / "model.safetensors")
    return [net.model_, net, file, str(file), folder]


def facts_of(result):
    """Return a result in a form that can be compared."""
    if isinstance(result, analysis.RobustnessCurve):
        return result.to_json()
    if isinstance(result, analysis.Shrunk):
        rows = X[:, result.neurons[0]]
        return result.model.decision_function(rows).tolist()
    return repr(result)


def test_no_public_function_is_forgotten():
    functions = {
        name for name in analysis.__all__ if inspect.isfunction(getattr(analysis, name))
    }
    assert functions == CALLS.keys() | OTHERS


@pytest.mark.parametrize("name", CALLS)
def test_models_come_as_objects_estimators_files_and_folders(name, sources):
    wanted, *others = [facts_of(CALLS[name](source)) for source in sources]
    assert others == [wanted] * 4
    for other in (sources[1].get_params(), 7, None):
        with pytest.raises(UsageError, match="a fitted estimator"):
            CALLS[name](other)


@pytest.mark.parametrize("name", DISPLAYS)
def test_displays_take_them_as_well(name, sources):
    make = getattr(displays, name).from_model
    for source in sources:
        assert make(source, *SAMPLES.get(name, ())).shape


@pytest.mark.parametrize("kind", [np.int64, np.uint8])
def test_numbers_of_numpy_are_whole_numbers(kind):
    model = SparseMLP([6, 12, 9, 3], seed=1, dtype="float64")
    for function in (analysis.layer_ranks, analysis.graph_measures):
        assert function(model, kind(1)) == function(model, 1)
        assert function(model, seed=kind(2)) == function(model, seed=2)
    how = {"fractions": 5, "seeds": 2, "layers": 1, "batch_size": 16}
    of_numpy = {name: kind(value) for name, value in how.items()}
    lists = {"fractions": np.linspace(0, 1, 5), "seeds": np.arange(2, dtype=kind)}
    lists["layers"] = np.array([1], kind)
    wanted = analysis.robustness(model, X, Y, **how).to_json()
    assert analysis.robustness(model, X, Y, **of_numpy).to_json() == wanted
    assert analysis.robustness(model, X, Y, **how | lists).to_json() == wanted
    got = analysis.adversarial(model, X, Y, fractions=kind(5))
    assert got.to_json() == analysis.adversarial(model, X, Y, fractions=5).to_json()


@pytest.mark.parametrize("value", [True, np.True_, 1.0, np.float64(1), np.array(1)])
def test_other_numbers_are_refused(value):
    model = SparseMLP([6, 12, 9, 3], seed=1)
    for name in ("layers", "fractions", "seeds"):
        with pytest.raises(UsageError, match=name):
            analysis.robustness(model, X, Y, **{"seeds": 1, name: value})
