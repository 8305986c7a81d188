"""The folder of a run: the names of its files, and whether it has ended.

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
MODELS = (MODEL, CHECKPOINT)
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
