"""The folder of a run: the names of its files, and which one holds the model.

config.toml               all options, with the defaults that were chosen
metrics.jsonl             one event a line
model.safetensors         the model at the end of the run
checkpoint.safetensors    the state from which the run can be resumed
best.safetensors          the best model so far, with --restore-best
tensorboard/              curves, with --tensorboard
report.html               written by truesparse.report
"""

import json
import math
import os
import pathlib
from typing import Any

from truesparse.errors import ModelFileError

CONFIG = "config.toml"
METRICS = "metrics.jsonl"
MODEL = "model.safetensors"
CHECKPOINT = "checkpoint.safetensors"
BEST = "best.safetensors"
TENSORBOARD = "tensorboard"
REPORT = "report.html"

# Files of every run; a folder that has one of them holds a run.
FILES = (CONFIG, METRICS, MODEL, CHECKPOINT)
# Files with a model to predict with.
_MODELS = (MODEL, CHECKPOINT)
_LONGEST_LINE = 1 << 16  # bytes, of METRICS


def as_json(fields: dict[str, Any]) -> dict[str, Any]:
    """Return fields with None for NaN and infinity, which JSON lacks."""
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in fields.items()
    }


def is_unfinished(folder) -> bool:
    """Whether a folder holds a run that is still going or was killed."""
    try:
        with open(pathlib.Path(folder) / METRICS, "rb") as file:
            file.seek(max(file.seek(0, os.SEEK_END) - _LONGEST_LINE, 0))
            lines = file.readlines()
    except OSError:
        return False
    try:
        return bool(json.loads(lines[-1])["event"] != "run_end")
    except (ValueError, LookupError, TypeError, RecursionError):
        return True  # killed while it wrote the line


def find_model(path) -> pathlib.Path:
    """Return the model file of a run folder; return any other path unchanged.

    In the folder of an unfinished run it is the model or the checkpoint, whichever has
    more steps.

    Raises
    ------
    ModelFileError
        If the folder holds no model.
    """
    from truesparse.storage.models import load_step

    folder = pathlib.Path(path)
    if not folder.is_dir():
        return folder
    files = [folder / name for name in _MODELS if (folder / name).is_file()]
    if not files:
        raise ModelFileError(
            f"folder {path} holds no {' or '.join(_MODELS)}; give a run folder or a "
            "model file"
        )
    # A finished run may have saved the model of its best epoch, with fewer steps.
    is_clear = len(files) == 1 or not is_unfinished(folder)
    return files[0] if is_clear else max(files, key=load_step)
