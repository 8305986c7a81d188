"""The attributes that scikit-learn's networks have after fitting."""

import math
from collections.abc import Sequence
from typing import Any

from truesparse.network.sparse_mlp import SparseMLP
from truesparse.training.run import EpochRecord


def publish_model(estimator: Any, model: SparseMLP) -> None:
    """Set the network and the attributes that describe it.

    Parameters
    ----------
    estimator : BaseSparseMLP
    model : SparseMLP
    """
    estimator.model_ = model
    estimator.intercepts_ = [layer.bias for layer in model.layers]
    estimator.n_layers_ = len(model.layer_sizes)
    estimator.n_outputs_ = model.layer_sizes[-1]
    name = model.loss.name
    others = {"squared": "identity", "huber": "identity", "poisson": "exp"}
    estimator.out_activation_ = others.get(name, name)


def publish_history(
    estimator: Any, records: Sequence[EpochRecord], n_samples: int, reset: bool
) -> None:
    """Append the records of new epochs to the learning curves, and update the bests.

    Parameters
    ----------
    estimator : BaseSparseMLP
    records : sequence of EpochRecord
        New epochs.
    n_samples : int
        Samples of each of these epochs.
    reset : bool
        Whether the curves start anew.
    """
    if reset:
        estimator.history_, estimator.loss_curve_, estimator.t_ = [], [], 0
        estimator.validation_loss_curve_ = estimator.validation_scores_ = None
    # New lists, for the caller may hold the old ones.
    estimator.history_ = [*estimator.history_, *records]
    estimator.loss_curve_ = [*estimator.loss_curve_, *(r.train_loss for r in records)]
    losses = estimator.validation_loss_curve_ or []
    losses = [*losses, *(r.val_loss for r in records if r.val_loss is not None)]
    scores = estimator.validation_scores_ or []
    scores = [*scores, *(r.val_score for r in records if r.val_score is not None)]
    estimator.n_iter_ = len(estimator.history_)
    estimator.t_ += n_samples * len(records)
    # A callback may stop a run before its first epoch.
    curve = estimator.loss_curve_ or [math.nan]
    estimator.loss_, estimator.best_loss_ = curve[-1], min(curve)
    estimator.validation_loss_curve_ = losses or None
    estimator.validation_scores_ = scores or None
    estimator.best_validation_score_ = max(scores) if scores else None
