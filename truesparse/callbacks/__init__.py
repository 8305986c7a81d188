"""Listeners to a run: progress, metrics, early stopping, checkpoints and others.

A callback has methods for the events of a run, see training.events.Callback. Names are
loaded when first used: a run without a progress bar does not import one.

checkpointing   when a checkpoint is written; training.checkpoints writes it
best_model      the best model of a run, kept in a file
early_stopping  stopping a run that no longer improves
monitor         the number by which those two compare epochs
signals         stopping a run by a signal, ready to be resumed
progress        progress for people: a bar or lines
work_progress   the same for drawing a large net and updating its topology
metrics         metrics for programs: one JSON object a line
tensorboard     curves for TensorBoard
history         the records of a run as columns of tables
learning_rate   the learning rate, step by step
exploration     the share of all cells that have been connected at some time
"""

from typing import TYPE_CHECKING

from truesparse.common.lazy import attach
from truesparse.training.events import Callback

if TYPE_CHECKING:
    from truesparse.callbacks.best_model import BestModel
    from truesparse.callbacks.checkpointing import Checkpoint
    from truesparse.callbacks.early_stopping import EarlyStopping
    from truesparse.callbacks.exploration import Exploration
    from truesparse.callbacks.history import History
    from truesparse.callbacks.learning_rate import LearningRateMonitor
    from truesparse.callbacks.metrics import MetricsFile
    from truesparse.callbacks.progress import Progress, WarningLines
    from truesparse.callbacks.signals import Interrupted, StopOnSignal
    from truesparse.callbacks.tensorboard import TensorBoard
    from truesparse.callbacks.work_progress import WorkProgress

_HOMES = {
    "BestModel": "best_model",
    "Checkpoint": "checkpointing",
    "EarlyStopping": "early_stopping",
    "Exploration": "exploration",
    "History": "history",
    "Interrupted": "signals",
    "LearningRateMonitor": "learning_rate",
    "MetricsFile": "metrics",
    "Progress": "progress",
    "StopOnSignal": "signals",
    "TensorBoard": "tensorboard",
    "WarningLines": "progress",
    "WorkProgress": "work_progress",
}

__all__ = [
    "BestModel",
    "Callback",
    "Checkpoint",
    "EarlyStopping",
    "Exploration",
    "History",
    "Interrupted",
    "LearningRateMonitor",
    "MetricsFile",
    "Progress",
    "StopOnSignal",
    "TensorBoard",
    "WarningLines",
    "WorkProgress",
]

__getattr__, __dir__ = attach(__name__, _HOMES)
