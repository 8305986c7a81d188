"""Both estimators: weights of samples and of classes."""

import numpy as np
import pytest
from sklearn.datasets import make_multilabel_classification
from support.estimators import classifier, small

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
