"""scikit-learn estimators: thin skins over SparseMLP and Trainer.

classifier    SparseMLPClassifier
regressor     SparseMLPRegressor
base          fit and all that the estimators share
settings      parameters -> network, optimiser, learning rate, topology, trainer
architecture  networks that suit data of a shape, where the caller names none
several       several networks of one estimator, averaged
reading       what a fit is given, checked and encoded
samples       data, targets and weights; validation data held out of them
fitting       the run of one fit
interrupt     Ctrl-C during a fit
undo          a network as it was before a fit that diverges
attributes    loss_curve_, n_iter_ and the like
"""

from truesparse.estimators.classifier import SparseMLPClassifier
from truesparse.estimators.regressor import SparseMLPRegressor

__all__ = ["SparseMLPClassifier", "SparseMLPRegressor"]
