"""Metrics for programs: a file with one JSON object on each line."""

import contextlib
import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from truesparse.common.checks import as_path
from truesparse.common.writing import write_error
from truesparse.storage.run_folder import as_json
from truesparse.training.events import Callback, warn


class MetricsFile(Callback):
    """Write a line with a JSON object for every event of a run.

    If lines cannot be written, the run continues, with a warning after each epoch.

    Parameters
    ----------
    path : str or path
        File to append to; every line is written at once.
    epoch_fields : callable, optional
        Called after each epoch; returns more fields for its line.
    ends : bool
        Whether the run ends with training. If not, it ends when `end` is called, as
        after its model was saved.
    """

    def __init__(
        self,
        path,
        epoch_fields: Callable[[], dict[str, Any]] | None = None,
        *,
        ends: bool = True,
    ):
        self.path, self.epoch_fields = as_path(path, "metrics"), epoch_fields
        self.ends, self._has_ended = ends, False
        self._missing, self._problem = 0, ""
        self._bytes = 0  # up to the end of the last whole line
        self._is_torn = False  # whether half a line stands after it
        try:
            self._append("")
        except OSError as error:
            raise write_error("metrics", path, error) from None

    def write(self, event: str, **fields: Any) -> None:
        """Append one line; NaN and infinity, which JSON lacks, become null."""
        line = {"event": event, "time": round(time.time(), 3)} | as_json(fields)
        try:
            self._append(json.dumps(line, allow_nan=False) + "\n")
        except OSError as error:
            self._missing += 1
            self._problem = str(write_error("metrics", self.path, error))

    def on_train_begin(self, run) -> None:
        """Write the event run_start."""
        self._has_ended = False
        model = run.model
        self.write(
            "run_start",
            layer_sizes=list(model.layer_sizes),
            nnz=model.nnz,
            density=model.density,
            epochs=run.n_epochs,
            samples=run.n_samples,
            seed=model.seed,
            epoch=run.epoch,
            step=model.step,
        )

    def on_topology_update(self, run, changes) -> None:
        """Write the event topology, one line for each updated layer."""
        for change in changes:
            step = run.model.step
            self.write("topology", epoch=run.epoch, step=step, **asdict(change))

    def on_epoch_end(self, run, record) -> None:
        """Write the event epoch with the record."""
        more = {} if self.epoch_fields is None else self.epoch_fields()
        self.write("epoch", **asdict(record), **more)
        self._warn(run)

    def on_checkpoint(self, run, seconds: float) -> None:
        """Write the event checkpoint, except after run_end, which is the last line."""
        if not self._has_ended:
            place = {"epoch": run.epoch, "step": run.model.step}
            self.write("checkpoint", **place, seconds=seconds)

    def on_warning(self, run, message: str) -> None:
        """Write the event warning."""
        self.write("warning", epoch=run.epoch, step=run.model.step, message=message)

    def on_train_end(self, run) -> None:
        """Write the event run_end, after a warning if the run diverged."""
        if run.error:
            self.on_warning(run, run.error)
        if self.ends:
            self.end(run)
        self._has_ended = True
        self._warn(run)

    def end(self, run) -> None:
        """Write the event run_end."""
        early = {"stopped": True} if run.stop else {}
        self.write("run_end", epoch=run.epoch, step=run.model.step, **early)

    def state(self) -> dict[str, Any]:
        """Return the length of the file."""
        try:
            size = os.path.getsize(self.path)
        except FileNotFoundError:
            size = 0
        except OSError:
            size = self._bytes
        return {"bytes": self._bytes if self._is_torn else size}

    def restore(self, state: dict[str, Any]) -> None:
        """Remove the later epochs and updates, which the resumed run repeats."""
        size = int(state["bytes"])
        try:
            with open(self.path, "rb+") as file:
                file.seek(max(size, 0))
                later = [line for line in file.readlines() if _stays(line)]
                file.seek(max(size, 0))
                # A file that has become shorter is not extended.
                file.truncate(min(size, os.path.getsize(self.path)))
                file.seek(0, os.SEEK_END)
                file.writelines(later)
                self._bytes = file.tell()
        except OSError as error:
            raise write_error("metrics", self.path, error) from None

    def _append(self, text: str) -> None:
        """Append a text as a whole or not at all."""
        # Unbuffered, so that closing the file has nothing left to write.
        with open(self.path, "ab", buffering=0) as file:
            if self._is_torn:
                file.truncate(self._bytes)
                self._is_torn = False
            self._bytes = file.seek(0, os.SEEK_END)
            data = text.encode()
            written = 0
            try:
                while written < len(data):
                    written += file.write(data[written:])
            except OSError:
                self._is_torn = True
                with contextlib.suppress(OSError):
                    file.truncate(self._bytes)
                    self._is_torn = False
                raise
            self._bytes += written

    def _warn(self, run) -> None:
        """Warn all other callbacks of lines that could not be written."""
        if self._missing:
            message = f"{self._problem}; {self._missing} of its lines are missing"
            self._missing = 0
            others = [each for each in run.trainer.callbacks if each is not self]
            warn(others, run, message)


def _stays(line: bytes) -> bool:
    """Whether a line is whole and of an event that a resumed run does not repeat."""
    try:
        event = json.loads(line)["event"]
    except (ValueError, KeyError, TypeError):
        return False
    return line.endswith(b"\n") and event not in ("epoch", "topology")
