"""The folder of a run: the names of its files, and which one holds the model.

config.toml               all options, as they were resolved
metrics.jsonl             one event a line
model.safetensors         the model the run ended with
checkpoint.safetensors    the state from which it is resumed
best.safetensors          the best model so far, with --restore-best
tensorboard/              with --tensorboard
report.html               written by truesparse.report
"""

import json
import os
import pathlib

from truesparse.errors import ModelFileError

CONFIG = "config.toml"
METRICS = "metrics.jsonl"
MODEL = "model.safetensors"
CHECKPOINT = "checkpoint.safetensors"
BEST = "best.safetensors"
TENSORBOARD = "tensorboard"
REPORT = "report.html"

# What every run writes, and whose presence says that a folder holds a run.
FILES = (CONFIG, METRICS, MODEL, CHECKPOINT)
# What predictions are made with.
_MODELS = (MODEL, CHECKPOINT)
_LONGEST_LINE = 1 << 16  # bytes, of METRICS


def is_unfinished(folder) -> bool:
    """Whether a folder holds a run that goes on, or that was killed."""
    try:
        with open(pathlib.Path(folder) / METRICS, "rb") as file:
            file.seek(max(file.seek(0, os.SEEK_END) - _LONGEST_LINE, 0))
            lines = file.readlines()
    except OSError:
        return False
    try:
        return bool(json.loads(lines[-1])["event"] != "run_end")
    except (ValueError, LookupError, TypeError, RecursionError):
        return True  # cut off


def find_model(path) -> pathlib.Path:
    """Return the model file of a run folder; a file is returned as it is.

    Of an unfinished run it is the model or the checkpoint, whichever has more steps.

    Raises
    ------
    ModelFileError
        If the folder holds no model.
    """
    from truesparse.storage.models import load_step

    place = pathlib.Path(path)
    if not place.is_dir():
        return place
    found = [place / name for name in _MODELS if (place / name).is_file()]
    if not found:
        raise ModelFileError(
            f"folder {path} holds no {' or '.join(_MODELS)}; give a run folder or a "
            "model file"
        )
    # The model that a run ends with may be an earlier one, that of its best epoch.
    is_clear = len(found) == 1 or not is_unfinished(place)
    return found[0] if is_clear else max(found, key=load_step)
