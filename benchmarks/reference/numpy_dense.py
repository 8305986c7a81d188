"""Masked dense NumPy in float64; dense_step.py has the arithmetic, for reading."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import scipy.sparse

from benchmarks.reference import dense_step
from benchmarks.reference.driven import Arrays, Driven
from truesparse.reference.protocol import Description


class NumpyDense:
    """A net of masked dense layers, as driven.Net has it.

    Parameters
    ----------
    case : dict
        Description of a case.
    """

    def __init__(self, case: Description):
        self.case = case
        self.layers: list[dense_step.Layer] = []

    def make_layer(
        self, shape: tuple[int, int], keys: np.ndarray, arrays: Arrays
    ) -> dense_step.Layer:
        """Return a layer."""
        mask = np.zeros(shape, bool)
        mask.flat[keys] = True

        def dense(part: str) -> Any:
            if arrays[part] is None:
                return None
            matrix = np.zeros(shape)
            matrix.flat[keys] = arrays[part]
            return matrix

        def vector(part: str) -> Any:
            return None if arrays[part] is None else np.array(arrays[part], float)

        return dense_step.Layer(
            mask,
            dense("weights"),
            (dense("first"), dense("second")),
            vector("bias"),
            (vector("bias_first"), vector("bias_second")),
        )

    def put(self, inputs: Any, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return dense inputs in float64, and the targets."""
        x = inputs.toarray() if scipy.sparse.issparse(inputs) else inputs
        return x.astype(float), targets

    def take(self, array: np.ndarray) -> np.ndarray:
        """Return the array."""
        return array

    def train(
        self, x: np.ndarray, targets: np.ndarray, step: int, keys: Sequence[int]
    ) -> tuple:
        """Take a step; return loss, outputs and gradients from before it."""
        return dense_step.train(self.case, self.layers, x, targets, step, keys)

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Return the outputs of the last layer, without dropout."""
        return dense_step.forward(self.case, self.layers, x)[0][-1]

    def cell_gradients(
        self, x: np.ndarray, targets: np.ndarray, keys: Sequence[int]
    ) -> list[Callable[[np.ndarray], np.ndarray]]:
        """Return a function of each layer: the gradients of cells, by their keys."""
        _, _, all_of = dense_step.backward(self.case, self.layers, x, targets, keys)
        return [of_weights.reshape(-1).take for of_weights, _ in all_of]


def factory(case: Description) -> Driven:
    """Return the implementation for a case."""
    return Driven(NumpyDense(case))
