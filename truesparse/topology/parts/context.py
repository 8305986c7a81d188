"""Where in a run a topology update happens, and what it changes in a layer."""

from dataclasses import dataclass


@dataclass(frozen=True)
class UpdateContext:
    """Where in the run an update happens.

    Parameters
    ----------
    seed : int
    step, epoch : int
        Number of optimiser steps and epochs that are done.
    n_steps, n_epochs : int
        Number of steps and epochs of the whole run.
    lr : float
        Learning rate of the last step.
    score : float, optional
        Last score on validation data.
    start : int
        Step with which the run began.
    """

    seed: int
    step: int
    epoch: int
    n_steps: int
    n_epochs: int
    lr: float = 0.0
    score: float | None = None
    start: int = 0

    @property
    def is_final(self) -> bool:
        """Whether training ends with this update."""
        return self.step >= self.n_steps

    @property
    def progress(self) -> float:
        """Share of the run that is done, from 0 to 1."""
        done, all_steps = self.step - self.start, max(self.n_steps - self.start, 1)
        return min(done / all_steps, 1.0)


@dataclass(frozen=True)
class LayerChange:
    """Changes that one update made to one layer.

    `regrown` connections were removed and grown again; they count in both `removed`
    and `grown`. `growth` says how the cells were chosen.
    """

    layer: int
    removed: int
    grown: int
    nnz: int
    regrown: int = 0
    growth: str = ""
