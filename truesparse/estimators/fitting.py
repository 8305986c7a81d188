"""The run of one fit: a whole one, or an epoch of one that partial_fit resumes."""

from collections.abc import Iterator
from typing import NamedTuple

from sklearn.exceptions import ConvergenceWarning

from truesparse.callbacks import EarlyStopping, Interrupted
from truesparse.estimators.samples import Samples
from truesparse.estimators.settings import Settings
from truesparse.kernels import jit
from truesparse.topology import TopologyAlgorithm
from truesparse.training.run import Run
from truesparse.training.trainer import Trainer


class Unfinished(NamedTuple):
    """A run that the next call of partial_fit resumes.

    Parameters
    ----------
    run : Run
    topology : TopologyAlgorithm
    stopping : EarlyStopping or None
    """

    run: Run
    topology: TopologyAlgorithm
    stopping: EarlyStopping | None

    @property
    def can_resume(self) -> bool:
        """Whether the run stands between two epochs, so that any samples may follow."""
        return self.run.batch == 0 and self.run.intact


def run_trainer(
    trainer: Trainer,
    samples: Samples,
    settings: Settings,
    until: int | None,
    earlier: Run | None,
) -> tuple[Run, bool]:
    """Train, and return the run and whether it got as far as it should.

    Ctrl-C may end it before.

    Parameters
    ----------
    trainer : Trainer
    samples : Samples
    settings : Settings
    until : int or None
        The epoch to stop after; None trains to the end.
    earlier : Run or None
        The run to resume.
    """
    is_whole = True
    try:
        with jit.threads(settings.n_jobs):
            trainer.fit(
                samples.X,
                samples.y,
                X_val=samples.X_val,
                y_val=samples.y_val,
                sample_weight=samples.weights,
                sample_weight_val=samples.weights_val,
                keep_moments=True,
                run=earlier,
                until=until,
            )
    except Interrupted:
        is_whole = False
    assert trainer.run is not None
    return trainer.run, is_whole


def warnings_of(
    run: Run, settings: Settings, is_partial: bool
) -> Iterator[tuple[str, type[Warning]]]:
    """Yield what the user should know about a whole run, with the warning's category.

    Parameters
    ----------
    run : Run
    settings : Settings
    is_partial : bool
        Whether it did one epoch, not all.
    """
    if not is_partial and not run.stop and settings.expects_convergence:
        yield (
            f"{settings.max_iter} epochs (max_iter) were not enough for the loss to "
            f"settle: it still falls by more than tol={settings.tol:g} within "
            f"n_iter_no_change={settings.n_iter_no_change} epochs",
            ConvergenceWarning,
        )
    if is_partial and run.lr == 0.0:
        yield (
            f"the learning rate has reached 0: learning_rate={settings.learning_rate!r}"
            f" falls over max_iter={settings.max_iter} calls of partial_fit, and this "
            f"was call {run.epoch}; raise max_iter or choose another schedule",
            UserWarning,
        )
