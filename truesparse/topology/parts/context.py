"""Where in a run a topology update happens, and what it did to a layer."""

from dataclasses import dataclass


@dataclass(frozen=True)
class UpdateContext:
    """Where in the run an update happens.

    Parameters
    ----------
    seed : int
    step, epoch : int
        Optimiser steps and epochs done.
    n_steps, n_epochs : int
        Of the whole run.
    lr : float
        Learning rate of the last step.
    score : float, optional
        The last one on validation data.
    start : int
        The step with which the run began.
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
    """What one update did to one layer.

    `regrown` connections were removed and grown again; they count in both `removed`
    and `grown`. `growth` says how the cells were chosen, where an algorithm has ways.
    """

    layer: int
    removed: int
    grown: int
    nnz: int
    regrown: int = 0
    growth: str = ""
