"""Condensed models: layers without row pointers, for predictions.

condensed_mlp  CondensedMLP, a trained model in condensed layers
layer_files    the layers in its files
"""

from typing import TYPE_CHECKING

from truesparse.common.lazy import attach

if TYPE_CHECKING:
    from truesparse.condensed.condensed_mlp import CondensedMLP

__all__ = ["CondensedMLP"]

__getattr__, __dir__ = attach(__name__, {"CondensedMLP": "condensed_mlp"})
