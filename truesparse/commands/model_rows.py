"""The rows that a command gives to a trained model, read as in training."""

import pathlib
import tomllib
from collections.abc import Callable
from typing import Any

from truesparse import datasets
from truesparse.commands import describe
from truesparse.commands.config import RunConfig
from truesparse.commands.flags import READING
from truesparse.common import memory
from truesparse.datasets import Rows
from truesparse.storage import models
from truesparse.storage.predictor import Predictor

# Rows that are predicted at once where the model does not say how it was trained.
_BATCH_SIZE = 128


def read_predictor(
    options: Any,
    file: pathlib.Path,
    batch_size: int,
    say: Callable[[str], None],
) -> Predictor:
    """Read a model that fits in memory, with how its features were scaled.

    Parameters
    ----------
    options : argparse.Namespace
        The flags of a command: `model` and `verify`.
    file : path
        What `find_model` chose for `model`.
    batch_size : int
    say : callable
        Hears of a run that has not ended, and of features that are not scaled.
    """
    memory.require(describe.prediction_bytes(file, batch_size), "lower --batch-size")
    model = models.load(file, verify=options.verify)
    for note in models.notes_on(options.model, file, model):
        say(note)
    if model.preprocessing is None:
        say(f"{file} does not say how features were scaled: they are used unscaled")
    return Predictor(model)


def read_rows(options: Any, predictor: Predictor, trained: dict[str, Any]) -> Rows:
    """Read rows as `training_options` and the flags of a command say, unscaled."""
    how = predictor.preprocessing
    return datasets.load_rows(
        options.data,
        options.data_home,
        n_features=predictor.model.layer_sizes[0],
        feature_names=how.feature_names,
        target_name=how.target_name,
        first_index=how.first_index,
        table_encoding=how.encoding,
        layout=how.layout,
        part=options.part,
        task=predictor.task,
        test_fraction=trained["test_fraction"],
        seed=trained["seed"],
        fetch=options.fetch,
        dtype=predictor.model.dtype,
        memory=memory.available()[0],
        **{name: vars(options)[name] for name in READING if name in options},
    )


def training_options(config: str | None) -> dict[str, Any]:
    """Return the options of training that decide splits and batches, or defaults."""
    options = {
        "batch_size": _BATCH_SIZE,
        "test_fraction": RunConfig.test_fraction,
        "seed": RunConfig.seed,
    }
    try:
        saved = tomllib.loads(config or "")
    except (ValueError, RecursionError):
        return options
    accepted = {
        "batch_size": lambda value: type(value) is int and value >= 1,
        "test_fraction": lambda value: type(value) is float and 0 < value < 1,
        "seed": lambda value: type(value) is int and 0 <= value < 2**32,
    }
    for name, is_valid in accepted.items():
        if name in saved and is_valid(saved[name]):
            options[name] = saved[name]
    return options
