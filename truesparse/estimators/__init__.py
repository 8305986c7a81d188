"""scikit-learn estimators: thin skins over SparseMLP and Trainer.

settings.py     parameters -> network, optimiser, learning rate, topology, trainer
samples.py      data, targets and weights; validation data held out of them
fitting.py      the run of one fit
interrupt.py    Ctrl-C during a fit
attributes.py   loss_curve_, n_iter_ and the like
base.py         fit and all that the estimators share
classifier.py   SparseMLPClassifier
regressor.py    SparseMLPRegressor
"""

from truesparse.estimators.classifier import SparseMLPClassifier
from truesparse.estimators.regressor import SparseMLPRegressor

__all__ = ["SparseMLPClassifier", "SparseMLPRegressor"]
