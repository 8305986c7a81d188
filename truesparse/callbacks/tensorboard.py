"""Curves for TensorBoard."""

from typing import Any

from truesparse.errors import UsageError
from truesparse.training.events import Callback


class TensorBoard(Callback):
    """Write what each epoch did to event files that TensorBoard shows.

    Needs the package tensorboard, neither PyTorch nor TensorFlow. Scalars by the steps
    of the model: loss, val_loss, val_score, lr, nnz, samples_per_s and seconds of each
    epoch; turnover/layer_N at topology updates, grown connections as a share of all.

    Parameters
    ----------
    folder : str or path
        Created if need be; ``tensorboard --logdir`` takes it.

    Raises
    ------
    UsageError
        Without the package, or if nothing can be written.
    """

    def __init__(self, folder):
        self.folder = folder
        self._make_writer = import_writer()
        self._writer: Any = None

    def on_train_begin(self, run) -> None:
        """Open a new file; those of an earlier part of the run stay."""
        try:
            self._writer = self._make_writer(str(self.folder))
        except OSError as error:
            raise UsageError(
                f"cannot write to TensorBoard folder {str(self.folder)!r}: {error}"
            ) from None

    def on_topology_update(self, run, changes) -> None:
        """Write one turnover a layer."""
        for change in changes:
            share = change.grown / max(change.nnz, 1)
            self._add(f"turnover/layer_{change.layer}", share, run.model.step)

    def on_epoch_end(self, run, record) -> None:
        """Write the numbers of the record."""
        self._add("loss", record.train_loss, record.step)
        names = "val_loss", "val_score", "lr", "nnz", "samples_per_s", "seconds"
        for name in names:
            value = getattr(record, name)
            if value is not None:
                self._add(name, value, record.step)
        self._writer.flush()

    def on_train_end(self, run) -> None:
        """Close the file."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _add(self, name: str, value: float, step: int) -> None:
        self._writer.add_scalar(name, value, step)


def import_writer() -> type:
    """Return the class that writes event files, or say what is missing."""
    try:
        from tensorboard.summary import Writer
    except ImportError:
        raise UsageError(
            "TensorBoard needs the package tensorboard: "
            "pip install 'truesparse[tensorboard]'"
        ) from None
    return Writer
