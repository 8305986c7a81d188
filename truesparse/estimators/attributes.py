"""The attributes that scikit-learn's networks have after fitting."""

from collections.abc import Sequence
from typing import Any

from truesparse.training.run import EpochRecord

_OUT_ACTIVATIONS = {"softmax": "softmax", "logistic": "logistic"}


def publish(
    estimator: Any, records: Sequence[EpochRecord], n_samples: int, reset: bool
) -> None:
    """Set them, for the `model_` that is there; go on with them, unless `reset`.

    Parameters
    ----------
    estimator : BaseSparseMLP
    records : sequence of EpochRecord
        Those that are new.
    n_samples : int
        Of each of their epochs.
    reset : bool
        Whether they are the first.
    """
    model = estimator.model_
    estimator.intercepts_ = [layer.bias for layer in model.layers]
    estimator.n_layers_ = len(model.layer_sizes)
    estimator.n_outputs_ = model.layer_sizes[-1]
    estimator.out_activation_ = _OUT_ACTIVATIONS.get(model.loss.name, "identity")
    if reset:
        estimator.history_, estimator.loss_curve_, estimator.t_ = [], [], 0
        estimator.validation_loss_curve_ = estimator.validation_scores_ = None
    # New lists: those that were there may be someone else's by now.
    estimator.history_ = [*estimator.history_, *records]
    estimator.loss_curve_ = [*estimator.loss_curve_, *(r.train_loss for r in records)]
    losses = estimator.validation_loss_curve_ or []
    losses = [*losses, *(r.val_loss for r in records if r.val_loss is not None)]
    scores = estimator.validation_scores_ or []
    scores = [*scores, *(r.val_score for r in records if r.val_score is not None)]
    estimator.n_iter_ = len(estimator.history_)
    estimator.t_ += n_samples * len(records)
    estimator.loss_ = estimator.loss_curve_[-1]
    estimator.best_loss_ = min(estimator.loss_curve_)
    estimator.validation_loss_curve_ = losses or None
    estimator.validation_scores_ = scores or None
    estimator.best_validation_score_ = max(scores) if scores else None
