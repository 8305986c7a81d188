"""Curves for TensorBoard."""

import io
import itertools
import os
import socket
import time
from typing import Any

from truesparse.common.checks import as_path, import_extra
from truesparse.common.writing import write_error
from truesparse.training.events import Callback, warn

# Files of one process differ in their number, those of others in the rest of the name.
_NUMBERS = itertools.count()


class TensorBoard(Callback):
    """Write the numbers of each epoch to event files for TensorBoard.

    This needs the package tensorboard, but neither PyTorch nor TensorFlow. The scalars,
    over the steps of the model, are loss, val_loss, val_score, lr, nnz, samples_per_s
    and seconds of each epoch, and for each topology update turnover/layer_N, the share
    of the layer's connections that were grown.

    If numbers cannot be written, the run continues, with a warning after each epoch,
    and they are written once that is possible.

    Parameters
    ----------
    folder : str or path
        Folder for ``tensorboard --logdir``, created if it does not exist.

    Raises
    ------
    UsageError
        If the package is not installed, or at the start of a run if the folder cannot
        be one.
    StorageError
        At the start of a run, if the system refuses to write to the folder.
    """

    def __init__(self, folder):
        self.folder = as_path(folder, "curves")
        require_tensorboard()
        self._events: Any = None

    def on_train_begin(self, run) -> None:
        """Open a new file; files of a run that is resumed stay."""
        try:
            os.makedirs(self.folder, exist_ok=True)
            self._events = _EventFile(self.folder)
            self._events.write()
        except OSError as error:
            raise self._error(error) from None

    def on_topology_update(self, run, changes) -> None:
        """Add the turnover of each layer, to be written after the epoch."""
        for change in changes:
            share = change.grown / max(change.nnz, 1)
            self._events.add(f"turnover/layer_{change.layer}", share, run.model.step)

    def on_epoch_end(self, run, record) -> None:
        """Write the numbers of the record."""
        self._events.add("loss", record.train_loss, record.step)
        names = "val_loss", "val_score", "lr", "nnz", "samples_per_s", "seconds"
        for name in names:
            value = getattr(record, name)
            if value is not None:
                self._events.add(name, value, record.step)
        self._write(run)

    def on_train_end(self, run) -> None:
        """Write what is left."""
        if self._events is not None:
            self._write(run)
            self._events = None

    def _write(self, run) -> None:
        try:
            self._events.write()
        except OSError as error:
            warn(run.trainer.callbacks, run, str(self._error(error)))

    def _error(self, error: OSError) -> Exception:
        return write_error(
            "to TensorBoard folder", self.folder, error, "give another folder"
        )


class _EventFile:
    """A file of scalars, which is written when that is asked for.

    The package's own writer has a thread that writes, and that ends with a traceback if
    it cannot (2.20, 2026-11).
    """

    def __init__(self, folder: Any):
        from tensorboard.compat.proto import event_pb2, summary_pb2
        from tensorboard.summary.writer.record_writer import RecordWriter

        self._event, self._summary = event_pb2.Event, summary_pb2.Summary
        self._pending = io.BytesIO()
        # Adds lengths and checksums.
        self._records = RecordWriter(self._pending)
        place = f"{time.time():010.0f}.{socket.gethostname()}.{os.getpid()}"
        name = f"events.out.tfevents.{place}.{next(_NUMBERS)}"
        self.path = os.path.join(folder, name)
        self._size = 0  # bytes that are written
        self._add(file_version="brain.Event:2")

    def add(self, name: str, value: float, step: int) -> None:
        """Add a scalar, to be written."""
        scalar = self._summary.Value(tag=name, simple_value=value)
        self._add(step=step, summary=self._summary(value=[scalar]))

    def _add(self, **fields: Any) -> None:
        event = self._event(wall_time=time.time(), **fields)
        self._records.write(event.SerializeToString())

    def write(self) -> None:
        """Append what was added; after a failure, all of it comes with the next."""
        data = self._pending.getvalue()
        # Unbuffered, so that closing the file has nothing left to write.
        with open(self.path, "ab", buffering=0) as file:
            # Half of it may stand there; and the file may have been removed.
            self._size = min(self._size, file.seek(0, os.SEEK_END))
            file.truncate(self._size)
            written = 0
            while written < len(data):
                written += file.write(data[written:])
        self._size += len(data)
        self._pending.seek(0)
        self._pending.truncate()


def require_tensorboard() -> None:
    """Raise UsageError if the package tensorboard is not installed."""
    need = "TensorBoard needs the package tensorboard"
    import_extra("tensorboard.summary", need, "tensorboard")
