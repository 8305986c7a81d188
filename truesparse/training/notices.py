"""What a run warns of: topologies that never change, and losses that are no numbers."""

import math
from collections.abc import Sequence

from truesparse.topology import TopologyAlgorithm
from truesparse.training.run import EpochRecord, Run


def of_idle_topology(topology: TopologyAlgorithm, run: Run) -> str:
    """Return a sentence if the first update would come after the end of the run."""
    first = topology.schedule
    # A single epoch has no place between epochs, as who asks for one knows.
    is_plain = run.n_epochs == 1 and first.unit == "epoch"
    if is_plain or not topology.is_idle(run.n_steps, run.n_epochs):
        return ""
    return (
        f"the first update of topology {topology.name!r}, after {first.unit} "
        f"{first.start}, comes too late (epochs: {run.n_epochs}, steps: "
        f"{run.n_steps}), so the connections stay as they are; update earlier or train "
        "longer"
    )


def of_validation(history: Sequence[EpochRecord]) -> str:
    """Return a sentence if the validation loss has just become NaN or infinite."""
    record = history[-1]
    if not _is_lost(record) or (len(history) > 1 and _is_lost(history[-2])):
        return ""
    return (
        f"the validation loss after epoch {record.epoch} is {record.val_loss}, while "
        "that of training is finite: some held-out samples are so large, or so badly "
        "predicted, that numbers overflow; look for outliers in them"
    )


def _is_lost(record: EpochRecord) -> bool:
    return record.val_loss is not None and not math.isfinite(record.val_loss)
