"""The attributes that scikit-learn's networks have after fitting."""

from typing import Any

_OUT_ACTIVATIONS = {"softmax": "softmax", "logistic": "logistic"}


def publish(estimator: Any, n_seen: int) -> None:
    """Set them, from `model_` and `history_`.

    Parameters
    ----------
    estimator : BaseSparseMLP
    n_seen : int
        Samples that the network has been trained on, all epochs together.
    """
    model, history = estimator.model_, estimator.history_
    estimator.coefs_ = [layer.connections.to_scipy() for layer in model.layers]
    estimator.intercepts_ = [layer.bias for layer in model.layers]
    estimator.n_layers_ = len(model.layer_sizes)
    estimator.n_outputs_ = model.layer_sizes[-1]
    estimator.out_activation_ = _OUT_ACTIVATIONS.get(model.loss.name, "identity")
    estimator.n_iter_ = len(history)
    estimator.t_ = n_seen
    estimator.loss_curve_ = [record.train_loss for record in history]
    estimator.loss_ = estimator.loss_curve_[-1]
    estimator.best_loss_ = min(estimator.loss_curve_)
    losses = [record.val_loss for record in history if record.val_loss is not None]
    scores = [record.val_score for record in history if record.val_score is not None]
    estimator.validation_loss_curve_ = losses or None
    estimator.validation_scores_ = scores or None
    estimator.best_validation_score_ = max(scores) if scores else None
