"""Several networks of one estimator, trained one after the other and averaged."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any

from truesparse.estimators.fitting import run_trainer
from truesparse.estimators.samples import Samples
from truesparse.estimators.settings import Settings
from truesparse.network.averaging import average
from truesparse.network.sparse_mlp import SparseMLP
from truesparse.training.run import EpochRecord, Run


def train_several(
    settings: Settings,
    samples: Samples,
    make_model: Callable[[int], SparseMLP],
    strata: Any,
) -> tuple[SparseMLP, list[Run], bool]:
    """Train a network for each seed, and return their average.

    Each holds out samples of its own for early stopping. After Ctrl-C the networks that
    are complete remain; the first one remains as it is.

    Parameters
    ----------
    settings : Settings
    samples : Samples
    make_model : callable
        Takes a seed and returns a network.
    strata : array or None
        Classes of the samples, see `Samples.hold_out`.

    Returns
    -------
    model : SparseMLP
        The average, see network/averaging.py.
    runs : list of Run
        The run of each network.
    is_whole : bool
        Whether Ctrl-C did not end the training.
    """
    runs: list[Run] = []
    is_whole = True
    for seed in settings.draw_seeds():
        model, part = make_model(seed), samples
        if settings.early_stopping and samples.X_val is None:
            part = samples.hold_out(settings.validation_fraction, seed, strata)
        stopping = settings.make_stopping()
        trainer = settings.make_trainer(model, part, None, stopping, False)
        run, is_whole = run_trainer(trainer, part, settings, None, None)
        model.release()
        if is_whole or not runs:
            runs.append(run)
        if not is_whole:
            break
    if not runs[0].history:
        raise KeyboardInterrupt  # before anything was learned
    return average([run.model for run in runs]), runs, is_whole


def mean_history(histories: Sequence[Sequence[EpochRecord]]) -> list[EpochRecord]:
    """Return the records of the longest run with losses and scores of all.

    These are means over the networks; one that has stopped keeps its last values.
    """
    longest = max(histories, key=len)
    records = []
    for epoch, record in enumerate(longest):
        each = [history[min(epoch, len(history) - 1)] for history in histories]
        means: dict[str, Any] = {}
        for name in ("train_loss", "val_loss", "val_score"):
            if getattr(record, name) is not None:
                means[name] = fmean(getattr(other, name) for other in each)
        nnz = sum(other.nnz for other in each)
        records.append(replace(record, nnz=nnz, **means))
    return records
