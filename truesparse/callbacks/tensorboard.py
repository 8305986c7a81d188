"""Curves for TensorBoard."""

from typing import Any

from truesparse.common.checks import as_path, import_extra
from truesparse.errors import UsageError
from truesparse.training.events import Callback


class TensorBoard(Callback):
    """Write the numbers of each epoch to event files for TensorBoard.

    This needs the package tensorboard, but neither PyTorch nor TensorFlow. The scalars,
    over the steps of the model, are loss, val_loss, val_score, lr, nnz, samples_per_s
    and seconds of each epoch, and for each topology update turnover/layer_N, the share
    of the layer's connections that were grown.

    Parameters
    ----------
    folder : str or path
        Folder for ``tensorboard --logdir``, created if it does not exist.

    Raises
    ------
    UsageError
        If the package is not installed or the folder cannot be written to.
    """

    def __init__(self, folder):
        self.folder = as_path(folder, "curves")
        self._make_writer = import_writer()
        self._writer: Any = None

    def on_train_begin(self, run) -> None:
        """Open a new file; files of a run that is resumed stay."""
        try:
            self._writer = self._make_writer(str(self.folder))
        except OSError as error:
            raise UsageError(
                f"cannot write to TensorBoard folder {str(self.folder)!r}: {error}"
            ) from None

    def on_topology_update(self, run, changes) -> None:
        """Write the turnover of each layer."""
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
    """Return the class that writes event files; UsageError if it is not installed."""
    need = "TensorBoard needs the package tensorboard"
    writer: type = import_extra("tensorboard.summary", need, "tensorboard").Writer
    return writer
