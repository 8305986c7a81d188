"""truesparse: huge, truly sparse neural networks on ordinary CPUs.

Names are loaded when first used, so importing the package costs nothing.

Commands, run with ``python -m truesparse.NAME``
    train        train a network and report; ``--resume`` resumes a run
    predict      predict with a trained model
    analyse      robustness, ranks and structure of a trained model
    info         describe a model file, a checkpoint or a run folder
    report       a report on a run, as one HTML file
    selftest     test the engine on this machine
    commands     what they are made of: options, defaults, estimates, texts
Networks and training
    network      SparseMLP: layers, buffers, forward and backward passes
    sparse       one layer: its connections, and what is computed with them
    drawing      how a network starts: budgets, initial topologies, weights
    training     Trainer: the loop, the state of a run, checkpoints
    checkpoint   public names of training.checkpoints
    topology     dynamic sparse training algorithms: SET, RigL and others
    callbacks    listeners to a run: progress, early stopping, checkpoints
    kernels      Numba functions on arrays: all code that is hot
Choices by name
    activations, losses, optimizers, schedules
Around them
    estimators   SparseMLPClassifier and SparseMLPRegressor for scikit-learn
    condensed    trained models in a layout for fast predictions
    datasets     data sets by name or file, ready for training
    storage      model files, and the names of a run folder's files
    export       models for SciPy, PyTorch and ONNX; also a command
    plots        pictures of models and runs
    analysis     what training made of a network: robustness, ranks, structure
    reference    what other implementations are measured by; also a command
    torch        sparse layers for networks of PyTorch
Ground
    errors       what a user can cause, each with its exit code
    common       checks, memory, random streams, tasks, names loaded when first used
"""

from typing import TYPE_CHECKING

from truesparse.common.lazy import attach

if TYPE_CHECKING:
    from truesparse.estimators import SparseMLPClassifier, SparseMLPRegressor
    from truesparse.network.sparse_mlp import SparseMLP
    from truesparse.storage.models import load, save
    from truesparse.storage.predictor import Predictor, load_predictor
    from truesparse.training.trainer import Trainer

__version__ = "0.1.0"

_HOMES = {
    "Predictor": "storage.predictor",
    "SparseMLP": "network.sparse_mlp",
    "SparseMLPClassifier": "estimators",
    "SparseMLPRegressor": "estimators",
    "Trainer": "training.trainer",
    "load": "storage.models",
    "load_predictor": "storage.predictor",
    "save": "storage.models",
}
_MODULES = ("callbacks", "checkpoint", "datasets", "errors", "export", "topology")

__all__ = [
    "Predictor",
    "SparseMLP",
    "SparseMLPClassifier",
    "SparseMLPRegressor",
    "Trainer",
    "load",
    "load_predictor",
    "save",
    *_MODULES,
]

__getattr__, __dir__ = attach(__name__, _HOMES, _MODULES)
