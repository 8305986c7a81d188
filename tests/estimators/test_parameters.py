"""Both estimators: what parameters do, and which are refused."""

import numpy as np
import pytest
from support.estimators import classifier, small

from truesparse import topology
from truesparse.errors import UsageError
from truesparse.losses import Loss

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


# What they do -------------------------------------------------------------------------


@pytest.mark.compiled
def test_a_topology_may_be_a_name_with_options_or_an_object():
    X, y = small()
    given = topology.make("set", zeta=0.6)
    by_object = classifier(topology=given).fit(X, y)
    by_name = classifier(topology_options={"zeta": 0.6}).fit(X, y)
    np.testing.assert_array_equal(
        by_object.decision_function(X), by_name.decision_function(X)
    )
    static = classifier(topology="static").fit(X, y)
    assert (static.decision_function(X) != by_name.decision_function(X)).any()
    assert given.budgets == {}, "an argument must stay as it was"


@pytest.mark.compiled
@pytest.mark.parametrize("solver", ["adam", "adamw", "rmsprop", "sgd"])
@pytest.mark.parametrize("schedule", ["constant", "invscaling", "adaptive", "cosine"])
def test_solvers_and_schedules_learn(solver, schedule):
    X, y = small()
    rate = 0.1 if solver == "sgd" else 0.005
    options = {"learning_rate": schedule, "learning_rate_init": rate}
    net = classifier(solver=solver, max_iter=20, **options)
    assert net.fit(X, y).score(X, y) > 0.9


@pytest.mark.compiled
@pytest.mark.parametrize("n_estimators", [1, 2])
def test_activations_may_be_stored_in_bfloat16(n_estimators):
    X, y = small()
    how = {"activation_dtype": "bfloat16", "n_estimators": n_estimators, "max_iter": 20}
    net = classifier(**how, dtype="float32").fit(X, y)
    assert net.model_.activation_dtype == "bfloat16"
    assert net.score(X, y) > 0.95
    assert net.predict_proba(X).dtype == np.float32
    with pytest.raises(UsageError, match="bfloat16 needs the dtype float32"):
        classifier(**how, dtype="float64").fit(X, y)


@pytest.mark.compiled
def test_alpha_shrinks_the_weights():
    X, y = small()
    sizes = [
        sum(abs(c).sum() for c in classifier(alpha=alpha).fit(X, y).coefs_)
        for alpha in (0.0, 1.0, 10.0)
    ]
    assert sizes[0] > sizes[1] > sizes[2]


@pytest.mark.compiled
def test_dropout_is_for_training_alone():
    X, y = small()
    net = classifier(dropout=0.5, max_iter=20).fit(X, y)
    assert (net.decision_function(X) == net.decision_function(X)).all()
    assert net.loss_ > classifier(max_iter=20).fit(X, y).loss_
    assert net.score(X, y) > 0.95


def test_a_share_that_is_not_used_may_be_0():
    X, y = small()
    assert classifier(validation_fraction=0, max_iter=1).fit(X, y).n_iter_ == 1


# What is refused ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"solver": "lbfgs"}, "unknown solver 'lbfgs'; use one of adam"),
        ({"learning_rate": "cosin"}, "Did you mean 'cosine'"),
        ({"activation": "rely"}, "Did you mean 'relu'"),
        ({"topology": "sett"}, "Did you mean 'set'"),
        ({"topology": 3}, "topology must be a name or an object"),
        ({"topology_options": {"zetta": 0.3}}, "zetta"),
        ({"topology_options": ["zeta"]}, "topology_options must be a dict"),
        ({"init_options": ["zeta"]}, "init_options must be a dict"),
        (
            {"topology": topology.make("set"), "topology_options": {"zeta": 0.1}},
            "both|belong",
        ),
        ({"loss": "squared_error"}, "unknown loss for class targets"),
        ({"loss": Loss("squared")}, "does not suit class targets"),
        ({"loss": "logistic"}, "takes two classes, got 3"),
        ({"hidden_layer_sizes": (10, 0)}, "hidden_layer_sizes must be a whole number"),
        ({"hidden_layer_sizes": 2.5}, "hidden_layer_sizes must be whole numbers"),
        ({"hidden_layer_sizes": "50"}, "must be whole numbers, one .* got '50'"),
        ({"epsilon": 1, "density": 0.5}, "density"),
        ({"batch_size": 0}, "batch_size must be a whole number"),
        ({"batch_size": "all"}, "unknown batch_size 'all'"),
        ({"max_iter": 0}, "max_iter must be a whole number"),
        (
            {"validation_fraction": 0.0, "early_stopping": True},
            "validation_fraction must be above 0",
        ),
        (
            {"validation_fraction": 1.0},
            "validation_fraction must be from 0 up to but not 1, got 1",
        ),
        ({"tol": -1.0}, "tol must be at least 0 and finite, got -1"),
        ({"alpha": "much"}, "alpha must be a number, got 'much'"),
        ({"n_iter_no_change": 0}, "n_iter_no_change must be a whole number"),
        ({"early_stopping": "yes"}, "early_stopping must be true or false"),
        ({"n_jobs": 0}, "n_jobs must not be 0"),
        ({"dtype": "float16"}, "unknown dtype"),
        ({"callbacks": [print]}, "callbacks must be a list of Callback"),
        ({"dropout": 1.0}, "dropout"),
        ({"momentum": 1.0}, "momentum must be from 0"),
        ({"learning_rate_init": 0}, "learning_rate_init must be above 0"),
        ({"beta_1": 1.0}, "beta_1 must be from 0"),
        ({"power_t": np.inf}, "power_t must be finite, got inf"),
        ({"clip_norm": 0.0}, "clip_norm must be above 0"),
        ({"powerprop": 0.5}, "powerprop must be at least 1, got 0.5"),
        ({"powerprop": 2.0, "topology": "set"}, "give it another regrow_init"),
        ({"activation": "Relu"}, "Did you mean 'relu'"),
    ],
)
def test_parameters_that_are_not_accepted(settings, message):
    X, y = small()
    with pytest.raises(UsageError, match=message):
        classifier(**settings).fit(X, y)


@pytest.mark.parametrize("value", [None, "0.1", [0.1], np.nan, 1j, True])
@pytest.mark.parametrize(
    "name",
    [
        *("alpha", "tol", "learning_rate_init", "power_t", "momentum", "beta_1"),
        *("beta_2", "dropout", "validation_fraction", "max_iter", "n_iter_no_change"),
        *("batch_size", "clip_norm", "epsilon", "density", "powerprop"),
    ],
)
@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_what_is_no_number_is_named(name, value, solver):
    if value is None and name in ("clip_norm", "epsilon", "density"):
        pytest.skip("means a default")
    X, y = small()
    net = classifier(solver=solver, **{name: value})
    if name == "density":
        net.set_params(epsilon=None)
    with pytest.raises(UsageError, match=name):
        net.fit(X, y)


def test_a_label_smoothing_that_is_no_number_is_named():
    with pytest.raises(UsageError, match=r"label_smoothing must be .* got None"):
        Loss("softmax", label_smoothing=None)
