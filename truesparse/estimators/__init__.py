"""scikit-learn estimators: thin skins over SparseMLP and Trainer.

parts.py        parameters -> optimiser, learning rate, topology, loss
interrupt.py    Ctrl-C in a fit
attributes.py   coefs_, loss_curve_ and the like
base.py         fit, partial_fit and what all estimators share
classifier.py   SparseMLPClassifier
regressor.py    SparseMLPRegressor
"""

from truesparse.estimators.classifier import SparseMLPClassifier
from truesparse.estimators.regressor import SparseMLPRegressor

__all__ = ["SparseMLPClassifier", "SparseMLPRegressor"]
