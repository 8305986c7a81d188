"""truesparse: huge, truly sparse neural networks on ordinary CPUs.

Names are loaded when first used, so that importing the package costs nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from truesparse.estimators import SparseMLPClassifier, SparseMLPRegressor
    from truesparse.io import load, save
    from truesparse.model import SparseMLP
    from truesparse.trainer import Trainer

__version__ = "0.1.0"

_HOMES = {
    "SparseMLP": "model",
    "SparseMLPClassifier": "estimators",
    "SparseMLPRegressor": "estimators",
    "Trainer": "trainer",
    "load": "io",
    "save": "io",
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


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
