"""Both estimators: weights of samples and of classes."""

import numpy as np
import pytest
from sklearn.datasets import make_multilabel_classification
from sklearn.utils.class_weight import compute_sample_weight
from support.estimators import classifier, small

from truesparse.errors import DataError, UsageError
from truesparse.estimators.samples import weigh_classes

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.mark.compiled
def test_a_class_that_weighs_more_is_predicted_more():
    X, y = small()
    weak = classifier(class_weight={0: 1e-3, 1: 1, 2: 1}, max_iter=3).fit(X, y)
    strong = classifier(class_weight={0: 1e3, 1: 1, 2: 1}, max_iter=3).fit(X, y)
    assert (
        (weak.predict(X) == 0).sum() < (y == 0).sum() < (strong.predict(X) == 0).sum()
    )


@pytest.mark.compiled
def test_balanced_classes_are_those_of_weighted_samples():
    X, y = small()
    keep = np.concatenate([np.flatnonzero(y > 0), np.flatnonzero(y == 0)[:5]])
    X, y = X[keep], y[keep]
    share = len(y) / (3 * np.bincount(y))
    balanced = classifier(class_weight="balanced").fit(X, y)
    weighted = classifier().fit(X, y, sample_weight=share[y])
    np.testing.assert_allclose(
        balanced.decision_function(X), weighted.decision_function(X), rtol=1e-4
    )


@pytest.mark.parametrize("labels", ["classes", "multilabel"])
def test_balanced_classes_of_weighted_samples_are_those_of_repeated_ones(labels):
    draw = np.random.default_rng(0)
    y = draw.integers(0, 3, 40) if labels == "classes" else draw.integers(0, 2, (40, 2))
    counts = draw.integers(0, 4, 40)
    repeated = np.repeat(y, counts, axis=0)
    want = compute_sample_weight("balanced", repeated)
    got = weigh_classes("balanced", y, None, counts.astype(float))
    np.testing.assert_allclose(np.repeat(got, counts), want, rtol=1e-14)
    unweighted = weigh_classes("balanced", y, None, None)
    np.testing.assert_allclose(unweighted, compute_sample_weight("balanced", y), 1e-14)


def test_a_class_without_weight_counts_for_nothing():
    got = weigh_classes("balanced", np.array([0, 1, 2]), None, np.array([1.0, 3.0, 0]))
    np.testing.assert_allclose(got, [2, 2 / 3, 0], rtol=1e-14)


@pytest.mark.compiled
def test_labels_have_weights_too():
    X, y = make_multilabel_classification(100, 20, n_classes=2, random_state=0)
    weights = [{0: 1, 1: 5}, {0: 1, 1: 1}]
    net = classifier(class_weight=weights, max_iter=2).fit(X / X.max(), y)
    assert net.predict(X).shape == y.shape


def test_calls_that_lack_classes_have_their_weights_all_the_same():
    X, y = small()
    few = y != 1
    weights = {0: 2.0, 1: 3.0}
    net = classifier(class_weight=weights)
    net.partial_fit(X[few], y[few], classes=[0, 1, 2])
    plain = classifier().partial_fit(
        X[few], y[few], [0, 1, 2], sample_weight=np.where(y[few] == 0, 2.0, 1.0)
    )
    np.testing.assert_allclose(
        net.decision_function(X), plain.decision_function(X), rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize("sample_weight", [None, np.ones(150)])
@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({0: -1.0}, "class_weight of class 0 must be at least 0 and finite, got -1"),
        ({1: np.nan}, "class_weight of class 1 must be .* got nan"),
        ({1: np.inf}, "class_weight of class 1 must be .* got inf"),
        ({1: None}, "class_weight of class 1 must be .* got None"),
        ({1: "much"}, "class_weight of class 1 must be a number"),
        ({0: 0, 1: 0, 2: 0}, "class_weight.* must be finite, .* not all 0"),
        ([1, 1, 1], "class_weight must be a dict or 'balanced'"),
        ("even", "class_weight must be a dict or 'balanced', got 'even'"),
    ],
)
def test_class_weights_that_are_refused_are_named(given, message, sample_weight):
    X, y = small()
    with pytest.raises(ValueError, match=f"^{message}"):
        classifier(class_weight=given).fit(X, y, sample_weight)


def test_class_weights_of_labels_are_a_list():
    X, y = small()
    labels = np.stack([y > 0, y > 1], axis=1).astype(int)
    for given in ({0: 1.0}, [{0: 1.0}], [1.0, 2.0]):
        with pytest.raises(UsageError, match="must be a list of 2 dicts or 'balanced'"):
            classifier(class_weight=given).fit(X, labels)
    with pytest.raises(UsageError, match=r"class_weight of class 1 must be .* got -2"):
        classifier(class_weight=[{0: 1}, {1: -2}]).fit(X, labels)


def test_weights_that_leave_no_sample_are_refused():
    X, y = small()
    net = classifier(class_weight={0: 0.0})
    with pytest.raises(DataError, match="class_weight times sample_weight"):
        net.fit(X, y, sample_weight=(y == 0).astype(float))


def test_validation_leaves_class_weights_out():
    X, y = small()
    net = classifier(class_weight={0: 1, 1: 7, 2: 3}, early_stopping=True, max_iter=1)
    net.fit(X, y)
    right = 15 * net.validation_scores_[0]
    assert right == pytest.approx(round(right), abs=1e-12)
    assert 0 < right < 15


@pytest.mark.parametrize("class_weight", [None, "balanced", {0: 2.0}])
def test_sample_weights_that_are_refused_are_not_blamed_on_classes(class_weight):
    X, y = small()
    net = classifier(class_weight=class_weight)
    for bad in (np.where(y > 0, 1.0, -1.0), np.zeros(len(y))):
        with pytest.raises(ValueError, match=r"(?i)^sample.weights? must"):
            net.fit(X, y, sample_weight=bad)
