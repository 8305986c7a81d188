"""truesparse: huge, truly sparse neural networks on ordinary CPUs.

Names are loaded when first used, so importing the package costs nothing.
"""

from typing import TYPE_CHECKING

from truesparse.lazy import attach

if TYPE_CHECKING:
    from truesparse.estimators import SparseMLPClassifier, SparseMLPRegressor
    from truesparse.network.sparse_mlp import SparseMLP
    from truesparse.storage.models import load, save
    from truesparse.training.trainer import Trainer

__version__ = "0.1.0"

_HOMES = {
    "SparseMLP": "network.sparse_mlp",
    "SparseMLPClassifier": "estimators",
    "SparseMLPRegressor": "estimators",
    "Trainer": "training.trainer",
    "load": "storage.models",
    "save": "storage.models",
}
_MODULES = ("callbacks", "checkpoint", "datasets", "errors", "export", "topology")

__all__ = [
    "SparseMLP",
    "SparseMLPClassifier",
    "SparseMLPRegressor",
    "Trainer",
    "load",
    "save",
    *_MODULES,
]

__getattr__, __dir__ = attach(__name__, _HOMES, _MODULES)
