"""Progress for people: a bar on a terminal, lines elsewhere."""

import math
import sys
import time
from typing import IO, Any

import tqdm

from truesparse.common.tasks import TASKS, format_score
from truesparse.training.events import Callback


class WarningLines(Callback):
    """Print warnings of a run on stderr, and nothing else."""

    def on_warning(self, run, message: str) -> None:
        """Write the message on a line."""
        if sys.stderr is not None:
            print(f"warning: {message}", file=sys.stderr, flush=True)


class Progress(Callback):
    """Show a progress bar on a terminal, and lines of text elsewhere.

    Parameters
    ----------
    stream : text file, optional
        By default stderr as it is when training begins.
    score_name : str
        Name of the validation score.
    """

    # A line for each epoch would flood a log file when epochs take milliseconds.
    _LINE_SECONDS = 2.0
    _BAR_SECONDS = 0.2

    def __init__(
        self,
        stream: IO[str] | None = None,
        score_name: str = TASKS["classification"].score,
    ):
        self.stream = stream
        self.score_name = score_name
        self._bar: tqdm.tqdm | None = None
        self._last_line = -math.inf
        self._last_bar = -math.inf
        self._score = ""

    def __getstate__(self) -> dict[str, Any]:
        # A copy opens a bar itself.
        return self.__dict__ | {"_bar": None}

    def on_train_begin(self, run) -> None:
        """Open the bar, on a terminal."""
        self._bar = None
        if (stream := self._find_stream()) is not None and stream.isatty():
            self._bar = tqdm.tqdm(
                total=run.n_epochs * run.n_samples,
                initial=(run.epoch + run.batch / run.n_batches) * run.n_samples,
                file=stream,
                unit=" samples",
                unit_scale=True,
                dynamic_ncols=True,
                bar_format="{desc} {percentage:3.0f}%|{bar}| {remaining} left, "
                "{rate_fmt}{postfix}",
            )

    def on_batch_end(self, run) -> None:
        """Advance the bar."""
        if self._bar is None:
            return
        self._bar.update(run.n_samples / run.n_batches)
        now = time.perf_counter()
        if now - self._last_bar >= self._BAR_SECONDS:
            self._last_bar = now
            self._bar.set_description_str(f"epoch {run.epoch + 1}/{run.n_epochs}")
            self._bar.set_postfix_str(f"loss {run.loss:.4f}{self._score}")

    def on_epoch_end(self, run, record) -> None:
        """Show loss and score in the bar or on a line."""
        self._score = ""
        if record.val_score is not None:
            self._score = f", {self.score_name} {format_score(record.val_score)}"
        if self._bar is not None:
            self._bar.set_postfix_str(f"loss {record.train_loss:.4f}{self._score}")
            return
        now = time.perf_counter()
        last = record.epoch == run.n_epochs
        if last or now - self._last_line >= self._LINE_SECONDS:
            self._last_line = now
            seconds = sum(r.seconds for r in run.history) / len(run.history)
            seconds *= run.n_epochs - record.epoch
            self._print(
                f"epoch {record.epoch}/{run.n_epochs}  loss {record.train_loss:.4f}"
                f"{self._score}  {record.samples_per_s:,.0f} samples/s  "
                f"{seconds:.0f} s left"
            )

    def on_warning(self, run, message: str) -> None:
        """Write the message on a line."""
        if self._bar is not None:
            self._bar.clear()
        self._print(f"warning: {message}")

    def on_train_end(self, run) -> None:
        """Close the bar."""
        if self._bar is not None:
            self._bar.close()

    def _find_stream(self) -> IO[str] | None:
        """Return the stream, or None if stderr is closed."""
        return sys.stderr if self.stream is None else self.stream

    def _print(self, text: str) -> None:
        # `print` takes None for stdout.
        if (stream := self._find_stream()) is not None:
            print(text, file=stream, flush=True)
