"""The folder of a run: the names of its files, and whether it has ended.

config.toml               all options, with the defaults that were chosen
metrics.jsonl             one event a line
model.safetensors         the model at the end of the run
checkpoint.safetensors    the state from which the run can be resumed
checkpoint.previous.safetensors    the one before, in case the last is damaged
best.safetensors          the best model so far, with --restore-best
tensorboard/              curves, with --tensorboard
.lock                     held by the process that trains
report.html               written by truesparse.report
"""

import contextlib
import json
import math
import os
import pathlib
import re
from collections.abc import Iterator
from typing import Any, TextIO

from truesparse.common import writing
from truesparse.errors import ModelFileError, StorageError, UsageError

try:
    import fcntl
except ImportError:  # Windows, where a folder is not locked
    fcntl = None  # type: ignore[assignment]

CONFIG = "config.toml"
METRICS = "metrics.jsonl"
MODEL = "model.safetensors"
CHECKPOINT = "checkpoint.safetensors"
BEST = "best.safetensors"
TENSORBOARD = "tensorboard"
REPORT = "report.html"


def previous_path(path) -> pathlib.Path:
    """Return where the checkpoint before the one at `path` is kept."""
    path = pathlib.Path(path)
    return path.with_name(f"{path.stem}.previous{path.suffix}")


PREVIOUS = previous_path(CHECKPOINT).name
# Files of every run; a folder that has one of them holds a run.
FILES = (CONFIG, METRICS, MODEL, CHECKPOINT)
# Files with a model to predict with.
MODELS = (MODEL, CHECKPOINT)
_LOCK = ".lock"
_LONGEST_NAME = 60  # characters; most systems take 255 bytes
_LONGEST_LINE = 1 << 16  # bytes, of METRICS


def file_name(text: str) -> str:
    r"""Return a text as a part of a file name that every system takes.

    Examples
    --------
    >>> from truesparse.storage.run_folder import file_name
    >>> file_name("synthetic:2000x500"), file_name("..\n<b>"), file_name("--")
    ('synthetic-2000x500', 'b', 'data')
    """
    return re.sub(r"[^\w .-]+", "-", text)[:_LONGEST_NAME].strip(" .-") or "data"


def as_json(fields: dict[str, Any]) -> dict[str, Any]:
    """Return fields with None for NaN and infinity, which JSON lacks."""
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in fields.items()
    }


@contextlib.contextmanager
def claim(folder) -> Iterator[None]:
    """Keep other processes from training in a folder, and remove their remains.

    The system lets go of it when the process ends, however it ends. Where files cannot
    be locked, as on some network file systems, nothing is kept.

    Raises
    ------
    UsageError
        If another process trains in the folder.
    """
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            file = _lock(pathlib.Path(folder) / _LOCK)
            if file is not None:
                stack.callback(_unlock, file)
                # Without the lock, what is half written may be another process's.
                writing.sweep(pathlib.Path(folder))
        yield


@contextlib.contextmanager
def discarding(folder) -> Iterator[None]:
    """Remove a new run folder if there is no model when the body is stopped or fails.

    It fails where the disk does.
    """
    try:
        yield
    except (KeyboardInterrupt, StorageError):
        folder = pathlib.Path(folder)
        with contextlib.suppress(OSError, ModelFileError):
            if not any(_is_there(folder / name) for name in (*MODELS, PREVIOUS)):
                for name in (CONFIG, METRICS):
                    (folder / name).unlink(missing_ok=True)
                folder.rmdir()
        raise


def _lock(path: pathlib.Path) -> TextIO | None:
    """Return the locked file, which holds the number of this process."""
    if fcntl is None:
        return None
    file = open(path, "a+", encoding="ascii")  # noqa: SIM115, closed by _unlock
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # The process before may have removed the file since it was opened here.
        is_gone = not os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except FileNotFoundError:
        is_gone = True
    except BlockingIOError:
        with file:
            file.seek(0)
            holder = file.read().strip() or "unknown"
        raise UsageError(
            f"another process (number {holder}) trains in {path.parent}; wait until it "
            "has ended, or choose another folder"
        ) from None
    except OSError:
        file.close()
        raise
    if is_gone:
        file.close()
        return _lock(path)
    file.truncate(0)
    file.write(f"{os.getpid()}\n")
    file.flush()
    return file


def _unlock(file: TextIO) -> None:
    with contextlib.suppress(OSError), file:
        os.unlink(file.name)


def model_files(folder, *names: str) -> list[pathlib.Path]:
    """Return the files of these names in a folder; by default all with a network.

    Raises
    ------
    ModelFileError
        If the system does not say which there are.
    """
    names = names or (*MODELS, PREVIOUS, BEST)
    return list(filter(_is_there, (pathlib.Path(folder, name) for name in names)))


def is_unfinished(folder) -> bool:
    """Whether a folder is known to hold a run that is still going or was killed."""
    event = None
    with contextlib.suppress(OSError):
        event = _last_event(folder)
    return event is not None and event.get("event") != "run_end"


def last_epoch(folder) -> int | None:
    """Return after which epoch a run ended and saved its model; None if it did not.

    Raises
    ------
    ModelFileError
        If the system does not say.
    """
    event = _require_last_event(folder)
    epoch = event.get("epoch") if event.get("event") == "run_end" else None
    is_saved = _is_there(pathlib.Path(folder) / MODEL)
    return epoch if is_saved and type(epoch) is int else None


def stopped_early(folder) -> bool:
    """Whether a run ended because it was no longer getting better."""
    return bool(_require_last_event(folder).get("stopped"))


def has_checkpoint(folder) -> bool:
    """Whether a folder holds a checkpoint, if only the previous one.

    Raises
    ------
    ModelFileError
        If the system does not say: a run that has one must not begin afresh.
    """
    files = (pathlib.Path(folder) / name for name in (CHECKPOINT, PREVIOUS))
    return any(map(_is_there, files))


def _is_there(path: pathlib.Path) -> bool:
    """Whether there is a file; os.path.exists says no of a disk that fails, too."""
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise _reading_error(path, error) from None
    return True


def _reading_error(path: pathlib.Path, error: OSError) -> ModelFileError:
    return ModelFileError(f"cannot read {str(path)!r}: {error.strerror or error}")


def _require_last_event(folder) -> dict[str, Any]:
    """Return the last event of METRICS, empty without one; raise ModelFileError."""
    try:
        return _last_event(folder) or {}
    except OSError as error:
        raise _reading_error(pathlib.Path(folder) / METRICS, error) from None


def _last_event(folder) -> dict[str, Any] | None:
    """Return the last event of METRICS, empty if it is torn; None without a file."""
    try:
        with open(pathlib.Path(folder) / METRICS, "rb") as file:
            file.seek(max(file.seek(0, os.SEEK_END) - _LONGEST_LINE, 0))
            lines = file.readlines()
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        event = json.loads(lines[-1])
    except (ValueError, LookupError, RecursionError):
        return {}  # killed while it wrote the line
    return event if isinstance(event, dict) else {}
