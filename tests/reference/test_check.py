"""The checker: right implementations pass, each wrong one is named."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.dense_trainer import DenseTrainer

from truesparse.reference import this_engine
from truesparse.reference.bounds import bounds, undecided
from truesparse.reference.cases import CASES, Case
from truesparse.reference.check import check
from truesparse.reference.protocol import Batch
from truesparse.reference.replay import replay
from truesparse.reference.write import write_kit

N_STEPS = 8


@pytest.fixture(scope="session")
def kit_folder(tmp_path_factory):
    """A kit of three cases, and one of dropout and one without a topology update."""
    folder = tmp_path_factory.mktemp("reference") / "kit"
    cases = [case for case in CASES if case.name in ("set", "rigl", "static")]
    cases.append(Case("dropout", "static", activation="gelu", dropout=0.25))
    cases.append(Case("decoupled", "static", optimizer="adamw", decay="decoupled"))
    cases.append(Case("plain", "static", optimizer="sgd", decay="set"))
    cases.append(Case("slow", "set", {"zeta": 0.05, "evolve_output": True}, seed=3))
    write_kit(folder, [dataclasses.replace(each, n_steps=N_STEPS) for each in cases])
    return folder


def test_a_dense_trainer_that_follows_the_document_passes(kit_folder):
    result = check(kit_folder, DenseTrainer)
    assert result["verdict"] == "passes", result
    assert all(case["near_ties"] == 0 for case in result["cases"].values())


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_this_engine_passes(kit_folder, dtype):
    result = check(kit_folder, this_engine.factory, None, dtype)
    assert result["verdict"] == "passes", result
    for report in result["cases"].values():
        figures = report["quantities"]
        # The kit has no outputs for the test part: their truth is replayed.
        assert figures.pop("test output")["largest"] > 0.0
        largest = max(each["largest"] for each in figures.values())
        assert (largest == 0.0) == (dtype == "float64")


# Each is one mistake. The case that shows it, the reason, and the method to replace.


def no_decay(self, key):
    return 0.0


def bias_decays(self, key):
    return self.case["weight_decay"]


def dampened(self, m, step):
    mu = self.case["momentum"]
    return mu * m - (1.0 - mu) * step


def buffer_form(self, w, g, m, s, decay, step):
    m = self.case["momentum"] * m + g + decay * w
    return w - self.case["lr"] * m, m, s


def decay_after(self, w, g, m, s, decay, step):
    m = self.momentum(m, self.case["lr"] * g)
    return (w + m) * (1.0 - decay), m, s


def inside(self, m, s, t):
    m, s = m / (1 - self.case["beta1"] ** t), s / (1 - self.case["beta2"] ** t)
    return m / np.sqrt(s + self.case["epsilon"])


def tanh_gelu(self, z):
    c = math.sqrt(2.0 / math.pi)
    t = np.tanh(c * (z + 0.044715 * z**3))
    inner = c * (1.0 + 3 * 0.044715 * z**2)
    return 0.5 * z * (1.0 + t), 0.5 * (1.0 + t) + 0.5 * z * (1.0 - t * t) * inner


def drop_all_signs(self, values, fraction):
    marks = np.zeros(values.size, bool)
    count = int(DenseTrainer.drop_per_sign(self, values, fraction).sum())
    marks[np.argsort(np.abs(values), kind="stable")[:count]] = True
    return marks


def by_column(self, empty, ranks):
    cells = np.zeros_like(empty)
    cells.T[tuple(np.argwhere(empty.T)[ranks].T)] = True
    return cells


def keep_values(self, key, values, new):
    """Keep what a removed connection had, but its weight."""
    return np.where(new, 0.0, values) if key == "weights" else values


def all_outputs(self, z, targets):
    return np.mean(((z > 0) == (targets > 0.5)).all(axis=1))


def drops_still(self, x):
    return self.dropout_factor(x, 7)


def old_weights(self, key, values, new):
    return (
        np.where(new, 0.25, values) if key == "weights" else np.where(new, 0.0, values)
    )


MISTAKES = [
    ("set", "loss is the sum over the batch", {"divisor": lambda self, n: 1}),
    (
        *("set", "loss of a partial batch is divided"),
        {"divisor": lambda self, n: self.case["batch_size"]},
    ),
    ("static", "mean over the outputs", {"divisor": lambda self, n: 4 * n}),
    ("set", "momentum form", {"stepped": buffer_form}),
    ("set", "momentum is dampened", {"momentum": dampened}),
    ("rigl", "nesterov is plain momentum", {"nesterov": lambda self, m, step: m}),
    (
        *("rigl", "nesterov form: the step lacks the gradient"),
        {"nesterov": lambda self, m, step: self.case["momentum"] * m},
    ),
    ("set", "no weight decay", {"decay_of": no_decay}),
    ("set", "weight decay is decoupled, times", {"decay_kind": lambda _: "decoupled"}),
    ("rigl", "is decoupled, without the learning", {"decay_kind": lambda _: "set"}),
    ("decoupled", "added to the gradient (l2)", {"decay_kind": lambda _: "l2"}),
    ("plain", "weight decay comes after the step", {"stepped": decay_after}),
    (
        *("set", "weight decay has the wrong sign"),
        {"decay_of": lambda self, key: -0.02 if key == "weights" else 0.0},
    ),
    ("set", "biases decay", {"decay_of": bias_decays}),
    ("static", "epsilon of Adam is inside the root", {"adam_ratio": inside}),
    (
        *("static", "Adam has no bias correction"),
        {"adam_ratio": lambda self, m, s, t: m / (np.sqrt(s) + self.case["epsilon"])},
    ),
    (
        *("static", "bias correction of Adam is one step late"),
        {
            "adam_ratio": lambda self, m, s, t: DenseTrainer.adam_ratio(
                self, m, s, t + 1
            )
        },
    ),
    (
        *("rigl", "slopes of all_relu have the wrong sign"),
        {"low_slope": lambda self, index: -self.case["parameters"][index]},
    ),
    ("static", "gelu is the approximation by tanh", {"gelu": tanh_gelu}),
    ("dropout", "does not scale up what stays", {"dropout_scale": lambda _: 1.0}),
    (
        *("dropout", "not applied in the backward pass"),
        {"backward_factor": lambda self, factor: 1.0},
    ),
    (
        *("dropout", "mask exchanges neuron and sample"),
        {
            "dropout_factor": lambda self, z, key: (
                DenseTrainer.dropout_factor(self, z.T, key).T
            )
        },
    ),
    ("set", "absent cells are trained", {"keeps_absent_still": False}),
    ("rigl", "removal by signed value", {"drop_scores": lambda self, values: values}),
    (
        *("rigl", "removal of the largest"),
        {"drop_scores": lambda self, values: -np.abs(values)},
    ),
    ("set", "not of each sign", {"drop_per_sign": drop_all_signs}),
    ("set", "draws count cells by column", {"drawn": by_column}),
    (
        *("slow", "only cells that were empty before the removal"),
        {"counts_removed": lambda self: True},
    ),
    ("rigl", "growth by signed gradient", {"growth_scores": lambda self, g: g}),
    (
        *("rigl", "growth where gradients are smallest"),
        {"growth_scores": lambda self, g: -np.abs(g)},
    ),
    ("set", "optimiser state", {"values_after": keep_values}),
    (
        "set",
        "removed connections still act",
        {"cleared": lambda _, values, mask: values},
    ),
    ("set", "weights of new connections", {"values_after": old_weights}),
    (
        *("dropout", "scaled by 1 - dropout when evaluated"),
        {"evaluation_factor": lambda self, x: 1.0 - self.case["dropout"]},
    ),
    (
        *("dropout", "dropout acts when evaluated"),
        {"evaluation_factor": drops_still},
    ),
    ("static", "samples whose outputs are all right", {"accuracy": all_outputs}),
]


@pytest.mark.parametrize(("case", "reason", "methods"), MISTAKES, ids=lambda x: str(x))
def test_each_mistake_is_caught_and_named(kit_folder, case, reason, methods):
    wrong = type("Wrong", (DenseTrainer,), methods)
    result = check(kit_folder, wrong, [case])
    assert result["verdict"] == "departs"
    first = result["cases"][case]["first"]
    assert any(reason in text for text in first["reasons"]), first
    # By a wide margin, not just beyond the tolerance; cells without a score count.
    assert first["ratio"] >= 2.0


def test_float32_by_another_order_of_sums_passes(kit_folder):
    # BLAS adds up in another order than the engine does.
    result = check(kit_folder, DenseTrainer, None, "float32")
    assert result["verdict"] == "passes", result


@pytest.mark.parametrize("case", ["set", "static"])
def test_a_wrong_accuracy_of_right_outputs_departs(kit_folder, case):
    def errors(self, z, targets):
        return 1.0 - DenseTrainer.accuracy(self, z, targets)

    wrong = type("Wrong", (DenseTrainer,), {"accuracy": errors})
    report = check(kit_folder, wrong, [case])["cases"][case]
    first = report["first"]
    assert (first["quantity"], first["step"]) == ("accuracy", N_STEPS)
    assert first["reasons"] == []


@given(st.integers(0, 2**20), st.sampled_from(["softmax", "logistic"]))
def test_decisions_differ_where_bounds_let_them_alone(seed, loss):
    draw = np.random.default_rng(seed)
    outputs, limits = draw.standard_normal((8, 4)), 0.3 * draw.random((8, 4))
    changed = outputs + limits * draw.uniform(-1.0, 1.0, outputs.shape)
    if loss == "softmax":
        differ = outputs.argmax(axis=1) != changed.argmax(axis=1)
    else:
        differ = (outputs > 0) != (changed > 0)
    assert differ.sum() <= undecided({"loss": loss}, outputs, limits)
    assert undecided({"loss": loss}, outputs, np.zeros_like(limits)) == 0


def test_bounds_stay_finite_where_weights_may_be_anything():
    # An Adam step on rounding errors moves wide layers by more than any exponent.
    case = CASES[0].describe() | {"layer_sizes": [2, 3]}
    state = {
        "layer.0.indptr": np.array([0, 3, 6]),
        "layer.0.indices": np.array([0, 1, 2] * 2, np.int32),
        "layer.0.weights": np.arange(6.0),
        "layer.0.bias": np.zeros(3),
        "layer.0.first": np.zeros(6),
        "layer.0.second": np.zeros(0),
        "layer.0.bias_first": np.zeros(3),
        "layer.0.bias_second": np.zeros(0),
    }
    batch = Batch(np.ones((2, 2)), np.array([0, 1]), 0, np.zeros(1, np.uint32))
    known = case, state, batch
    errors = {"layer.0.weights": np.full(6, 1e3)}
    limits = bounds(*known, replay(*known), "float32", errors)
    assert all(np.isfinite(each).all() for each in limits.values())
    # Two samples, each of whose probabilities may be off by 1, twice for safety.
    assert limits["layer.0.bias_gradient"].max() == pytest.approx(2.0, rel=1e-3)
