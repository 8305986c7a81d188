"""Records of a run to draw: epochs and topology updates, also from metrics.jsonl.

Runs can be stopped while they write, and resumed. A line that is no event is therefore
skipped and counted in `n_unreadable`, and records of a resumed run replace those that
an earlier one wrote for the same steps.
"""

import dataclasses
import json
import math
import os
import pathlib
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from truesparse import callbacks
from truesparse.errors import DataError, UsageError
from truesparse.storage.run_folder import METRICS

# Beginning of every line.
_EVENT = '{"event"'

# Fields that a record needs to be drawn. Others may be missing or None.
_NEEDED = {"epoch": ("epoch",), "topology": ("layer", "removed", "grown", "nnz")}


@dataclasses.dataclass
class History:
    """Events of a run in order, as dicts with the fields of metrics.jsonl.

    This class reads the records of a run, past or present, for the displays;
    `truesparse.callbacks.History` collects them while a run trains.

    Attributes
    ----------
    epochs : list of dict
        Fields of EpochRecord; ``epoch`` is always present and rises strictly.
    changes : list of dict
        Fields of LayerChange, and ``epoch`` and ``step`` of the update.
    starts, ends : list of dict
        Events ``run_start`` and ``run_end``; a resumed run has several.
    n_unreadable : int
        Number of lines or records that are no valid events.

    Examples
    --------
    >>> from truesparse.plots import History
    >>> run = History.of([{"epoch": 1, "train_loss": 0.5}])
    >>> run.column("train_loss")
    [0.5]
    """

    epochs: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    changes: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    starts: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    ends: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    n_unreadable: int = 0
    # Number of the run: counts run_start, and steps that go back without one.
    _run: int = dataclasses.field(default=0, repr=False)

    @classmethod
    def of(cls, source: Any) -> "History":
        """Return the history that a source holds.

        Parameters
        ----------
        source : History, path, estimator, or iterable of EpochRecord or dict
            A path leads to a run folder or its metrics.jsonl; an estimator has
            ``history_``; dicts are like the lines of metrics.jsonl, and epochs if they
            have no ``event``. A `truesparse.callbacks.History` is accepted, too.

        If ``epoch`` begins again, the numbers continue: with ``warm_start``, each call
        of an estimator's ``fit`` continues the training of the one before.

        Raises
        ------
        DataError
            If the file cannot be read.
        UsageError
            If the source is none of these.
        """
        if isinstance(source, History):
            return source
        if isinstance(source, str | os.PathLike):
            return cls.read(source)
        records = getattr(source, "history_", source)
        if isinstance(records, callbacks.History):
            records = [
                *_rows(records.epochs, "epoch"),
                *_rows(records.updates, "topology"),
            ]
        if not isinstance(records, Iterable):
            raise UsageError(
                "a history must be a list of EpochRecord or dict, a run folder or a "
                f"fitted estimator, got {type(source).__name__}"
            )
        self = cls()
        earlier, last = 0, 0  # epochs of the calls of fit before, and of this one
        for record in records:
            event = _as_event(record)
            if event is not record and _is_count(event.get("epoch")):
                if event["epoch"] <= last:
                    earlier += last
                last = event["epoch"]
                event["epoch"] += earlier
            self._add(event)
        return self

    @classmethod
    def read(cls, path) -> "History":
        """Read the metrics.jsonl of a run folder.

        Parameters
        ----------
        path : path
            The run folder, or the file itself.

        Raises
        ------
        DataError
            If the file is missing or cannot be read.
        UsageError
            If `path` is not a path.
        """
        self = cls()
        try:
            file = pathlib.Path(path)
        except TypeError:
            raise UsageError(
                "a run must be the path of a run folder or its metrics.jsonl, got "
                f"{type(path).__name__}"
            ) from None
        if os.path.isdir(file):
            file = file / METRICS
        try:
            with open(file, encoding="utf-8", errors="replace") as lines:
                for line in lines:
                    if line.strip():
                        self._add_line(line)
        except (OSError, ValueError) as error:
            raise DataError(f"cannot read metrics {str(file)!r}: {error}") from None
        return self

    def column(self, name: str) -> list[float]:
        """Return one field of all epochs, NaN where it is missing or not a number."""
        return [as_number(record.get(name)) for record in self.epochs]

    def has(self, name: str) -> bool:
        """Whether any epoch has a finite number in this field."""
        return any(math.isfinite(value) for value in self.column(name))

    def times(self, changes: list[dict[str, Any]]) -> np.ndarray:
        """Return the times of updates in epochs, (n,) float64, from steps if known."""
        steps = np.array([as_number(change.get("step")) for change in changes])
        ends = np.array(self.column("step"))
        epochs = np.array(self.column("epoch"))
        if not ends.size or np.isnan(ends).any() or (np.diff(ends) <= 0).any():
            return np.array([as_number(change.get("epoch")) for change in changes])
        if ends.size == 1:
            first, last = ends[0], ends[0]
        else:
            first = (ends[1] - ends[0]) / (epochs[1] - epochs[0])
            last = (ends[-1] - ends[-2]) / (epochs[-1] - epochs[-2])
        # An epoch before the first and one after the last, at the same pace.
        ends = np.concatenate([[ends[0] - first], ends, [ends[-1] + last]])
        epochs = np.concatenate([[epochs[0] - 1], epochs, [epochs[-1] + 1]])
        # Earlier updates belong to training that the history does not cover.
        return np.interp(steps, ends, epochs, left=np.nan)

    @property
    def has_ended(self) -> bool:
        """Whether the last run ended by itself rather than being killed."""
        return bool(self.ends) and self.ends[-1]["_run"] == self._run

    def _add_line(self, line: str) -> None:
        event = _parse(line)
        self._add(event)
        start = line.rfind(_EVENT)
        if event is None and start > 0:
            # A run was killed while it wrote; the next one wrote on the same line.
            whole = _parse(line[start:])
            if whole is not None:
                self._add(whole)

    def _add(self, event: dict[str, Any] | None) -> None:
        kind = event.get("event", "epoch") if event else None
        if kind not in ("epoch", "topology", "run_start", "run_end"):
            # Events of other kinds are not drawn.
            self.n_unreadable += event is None
            return
        assert event is not None
        if not all(_is_count(event.get(name)) for name in _NEEDED.get(kind, ())):
            self.n_unreadable += 1
        elif kind == "run_start":
            self._run += 1
            self.starts.append(event)
        elif kind == "run_end":
            self.ends.append({**event, "_run": self._run})
        else:
            self._add_progress(event, kind == "epoch")

    def _add_progress(self, event: dict[str, Any], is_epoch: bool) -> None:
        events = self.epochs if is_epoch else self.changes
        last = as_number(events[-1].get("step")) if events else math.nan
        if as_number(event.get("step")) < last and events[-1]["_run"] == self._run:
            self._run += 1
        event = {**event, "_run": self._run}
        self._forget_from(event, is_epoch)
        events.append(event)

    def _forget_from(self, event: dict[str, Any], is_epoch: bool) -> None:
        """Remove the records of an earlier run from this point on."""
        epoch, step = as_number(event.get("epoch")), as_number(event.get("step"))
        while self.epochs and (
            self.epochs[-1]["epoch"] >= epoch
            if is_epoch
            else self.epochs[-1]["_run"] < event["_run"]
            and as_number(self.epochs[-1].get("step")) > step
        ):
            self.epochs.pop()
        while self.changes and self.changes[-1]["_run"] < event["_run"]:
            last = as_number(self.changes[-1].get("step"))
            if not (last > step or (last == step and not is_epoch)):
                break
            self.changes.pop()


def as_number(value: Any) -> float:
    """Return a number as a float, NaN for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.nan


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**63


def _as_event(record: Any) -> dict[str, Any]:
    if isinstance(record, dict):
        return record
    if dataclasses.is_dataclass(record) and not isinstance(record, type):
        return dataclasses.asdict(record)
    raise UsageError(f"a history must hold EpochRecord or dict, got {record!r}")


def _rows(columns: dict[str, list[Any]], event: str) -> list[dict[str, Any]]:
    names = ("event", *columns)
    values = zip(*columns.values(), strict=True)
    return [dict(zip(names, (event, *row), strict=True)) for row in values]


def _parse(line: str) -> dict[str, Any] | None:
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return None
    is_event = isinstance(event, dict) and isinstance(event.get("event"), str)
    return event if is_event else None


def layers_of(changes: Iterable[dict[str, Any]]) -> Iterator[int]:
    """Yield the numbers of the layers that changed, in rising order."""
    yield from sorted({change["layer"] for change in changes})
