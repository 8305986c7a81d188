"""What can be told of a run while it goes on: progress, metrics file, early stopping.

A callback has methods for the events of a run; the trainer calls them in order.
"""

import json
import math
import os
import signal
import sys
import time
from dataclasses import asdict
from typing import IO, Any

import tqdm

from truesparse.errors import UsageError


class Callback:
    """Base of all callbacks: does nothing on every event."""

    def on_train_begin(self, run) -> None:
        """Training starts; `run` is the trainer's Run."""

    def on_batch_end(self, run) -> None:
        """One optimiser step was taken."""

    def on_topology_update(self, run, changes) -> None:
        """The topology changed; `changes` is a list of LayerChange."""

    def on_epoch_end(self, run, record) -> None:
        """An epoch ended; `record` is its EpochRecord."""

    def on_train_end(self, run) -> None:
        """Training ended, by itself or by an error."""


class Progress(Callback):
    """A progress bar on a terminal, a line an epoch elsewhere.

    Parameters
    ----------
    stream : text file
    score_name : str
        What the validation score is called.
    """

    # A line each epoch would flood a log file when epochs take milliseconds.
    _LINE_SECONDS = 2.0
    _BAR_SECONDS = 0.2

    def __init__(self, stream: IO[str] | None = None, score_name: str = "accuracy"):
        self.stream = sys.stderr if stream is None else stream
        self.score_name = score_name
        self._bar: tqdm.tqdm | None = None
        self._last_line = -math.inf
        self._last_bar = -math.inf
        self._score = ""

    def on_train_begin(self, run) -> None:
        """Open the bar."""
        if self.stream.isatty():
            self._bar = tqdm.tqdm(
                total=run.n_epochs * run.n_samples,
                file=self.stream,
                unit=" samples",
                unit_scale=True,
                dynamic_ncols=True,
                bar_format="{desc} {percentage:3.0f}%|{bar}| {remaining} left, "
                "{rate_fmt}{postfix}",
            )

    def on_batch_end(self, run) -> None:
        """Move the bar."""
        if self._bar is None:
            return
        self._bar.update(run.n_samples / run.n_batches)
        now = time.perf_counter()
        if now - self._last_bar >= self._BAR_SECONDS:
            self._last_bar = now
            self._bar.set_description_str(f"epoch {run.epoch + 1}/{run.n_epochs}")
            self._bar.set_postfix_str(f"loss {run.loss:.4f}{self._score}")

    def on_epoch_end(self, run, record) -> None:
        """Note the score, or write a line."""
        self._score = ""
        if record.val_score is not None:
            self._score = f", {self.score_name} {record.val_score:.4f}"
        if self._bar is not None:
            self._bar.set_postfix_str(f"loss {record.train_loss:.4f}{self._score}")
            return
        now = time.perf_counter()
        last = record.epoch == run.n_epochs
        if last or now - self._last_line >= self._LINE_SECONDS:
            self._last_line = now
            left = sum(r.seconds for r in run.history) / len(run.history)
            left *= run.n_epochs - record.epoch
            print(
                f"epoch {record.epoch}/{run.n_epochs}  loss {record.train_loss:.4f}"
                f"{self._score}  {record.samples_per_s:,.0f} samples/s  "
                f"{left:.0f} s left",
                file=self.stream,
                flush=True,
            )

    def on_train_end(self, run) -> None:
        """Close the bar."""
        if self._bar is not None:
            self._bar.close()


class MetricsFile(Callback):
    """One JSON object a line for every event of a run.

    Parameters
    ----------
    path : str or path
        Appended to; every line is on disk at once.
    """

    def __init__(self, path):
        self.path = path
        self._append("")

    def write(self, event: str, **fields: Any) -> None:
        """Append one line; NaN and infinity, unknown to JSON, become null."""
        clean = {
            key: None
            if isinstance(value, float) and not math.isfinite(value)
            else value
            for key, value in fields.items()
        }
        line = {"event": event, "time": round(time.time(), 3), **clean}
        self._append(json.dumps(line, allow_nan=False) + "\n")

    def on_train_begin(self, run) -> None:
        """Write run_start."""
        model = run.model
        self.write(
            "run_start",
            layer_sizes=list(model.layer_sizes),
            nnz=model.nnz,
            density=model.density,
            epochs=run.n_epochs,
            samples=run.n_samples,
            seed=model.seed,
        )

    def on_topology_update(self, run, changes) -> None:
        """Write one line an updated layer."""
        for change in changes:
            step = run.model.step
            self.write("topology", epoch=run.epoch, step=step, **asdict(change))

    def on_epoch_end(self, run, record) -> None:
        """Write the record."""
        self.write("epoch", **asdict(record))

    def on_train_end(self, run) -> None:
        """Write run_end."""
        self.write("run_end", epoch=run.epoch, step=run.model.step)

    def _append(self, text: str) -> None:
        try:
            with open(self.path, "a", encoding="utf-8") as file:
                file.write(text)
        except OSError as error:
            raise UsageError(f"cannot write metrics: {error}") from None


class EarlyStopping(Callback):
    """Stop when the validation loss has not improved for some epochs.

    Parameters
    ----------
    patience : int
        Epochs to wait.
    tolerance : float
        How much lower a loss must be to count as better.
    """

    def __init__(self, patience: int = 10, tolerance: float = 1e-4):
        if patience < 1:
            raise UsageError(f"patience must be at least 1, got {patience}")
        self.patience, self.tolerance = patience, tolerance
        self._best, self._waited = math.inf, 0

    def on_train_begin(self, run) -> None:
        """Forget an earlier run."""
        self._best, self._waited = math.inf, 0

    def on_epoch_end(self, run, record) -> None:
        """Count epochs without a better loss."""
        loss = record.train_loss if record.val_loss is None else record.val_loss
        if loss < self._best - self.tolerance:
            self._best, self._waited = loss, 0
        else:
            self._waited += 1
        run.stop = run.stop or self._waited >= self.patience


class Interrupted(Exception):
    """A signal asked to stop; `exit_code` is what the process returns."""

    def __init__(self, number: int):
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.exit_code = 128 + number


class StopOnSignal(Callback):
    """Turn SIGINT and SIGTERM into an Interrupted after the present step.

    Between steps the arrays of the model are consistent and can be saved. A second
    signal ends the process at once.
    """

    _SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self):
        self._received: int | None = None
        self._previous: dict[int, Any] = {}

    def on_train_begin(self, run) -> None:
        """Install the handlers."""
        for number in self._SIGNALS:
            self._previous[number] = signal.signal(number, self._receive)

    def on_batch_end(self, run) -> None:
        """Raise if a signal came."""
        if self._received is not None:
            raise Interrupted(self._received)

    def on_train_end(self, run) -> None:
        """Put the former handlers back."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _receive(self, number, frame) -> None:
        if self._received is not None:
            os._exit(128 + number)
        self._received = number
