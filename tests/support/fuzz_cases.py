"""Other files that are fuzzed: models, texts of runs, exports; and all by name."""

import contextlib
import functools
import json
import pathlib
import random
import tomllib
from typing import Any

import numpy as np
from support import mutations
from support.fuzz_data import DATA, data_case, says, written
from support.fuzzing import Case

from truesparse import Predictor, SparseMLP, checkpoint, datasets, load, save
from truesparse.callbacks import Checkpoint
from truesparse.commands import build
from truesparse.commands.config import RunConfig, merge
from truesparse.commands.config_files import read_toml, to_toml
from truesparse.commands.describe import describe_file
from truesparse.condensed import CondensedMLP
from truesparse.datasets import Preprocessing
from truesparse.errors import DataError, TruesparseError, UsageError
from truesparse.plots.run_records import History
from truesparse.storage import digest, models
from truesparse.training.trainer import Trainer

# Models ------------------------------------------------------------------------------


def use_model(read, path: pathlib.Path) -> bool:
    """Describe a file whose digest is right, whatever it holds; load it and predict."""
    describe_file(path)
    Predictor(read(path)).predict(np.ones((3, 4)))
    return True


def behind_the_digest(mutation: mutations.Mutation) -> mutations.Mutation:
    """Return a mutation of header or tensors that gives a file the right digest."""

    def mutate(content: bytes, draw: random.Random) -> bytes:
        start = 8 + int.from_bytes(content[:8], "little")
        head, body = content[8:start], content[start:]
        present = json.loads(head)["__metadata__"][digest.KEY]
        head = head.replace(present.encode(), digest.BLANK.encode(), 1)
        if draw.random() < 0.7:
            head = mutation(head, draw)
        else:
            body = mutation(body, draw)
        head = len(head).to_bytes(8, "little") + head
        return digest.stamp(head, [memoryview(body)]) + body

    return mutate


def _never(content: bytes, value: Any) -> bool:
    return False


def _save_model(path: pathlib.Path) -> None:
    save(_model(), path, config="seed = 3\n", preprocessing=datasets.load("iris"))


def _save_condensed(path: pathlib.Path) -> None:
    condensed = CondensedMLP.from_model(_model())
    condensed.preprocessing = Preprocessing.of(datasets.load("iris"))
    condensed.save(path)


def _save_checkpoint(path: pathlib.Path) -> None:
    data = datasets.load("iris")
    Trainer(_model(), epochs=2, callbacks=Checkpoint(path)).fit(
        data.X_train, data.y_train
    )


def _model() -> SparseMLP:
    return SparseMLP([4, 6, 5, 3], density=0.5, seed=3, activation="srelu")


MODELS = {
    "model": (_save_model, load),
    "condensed": (_save_condensed, CondensedMLP.load),
    "checkpoint": (_save_checkpoint, lambda path: checkpoint.read(path).model),
}


def model_case(name: str) -> Case:
    """Return a file of a model, whose digest is right whatever the file holds.

    The lane "mutations" damages such files behind the back of their digest.
    """
    write, read = MODELS[name]
    # Numbers of the header count most.
    kinds = (*mutations.BINARY, *mutations.TEXT, *[mutations.change_number] * 9)
    kinds = tuple(map(behind_the_digest, kinds))
    load_it = functools.partial(use_model, read)
    return Case(name, written(write), kinds, load_it, _never, (TruesparseError,))


# Runs --------------------------------------------------------------------------------


def load_config(path: pathlib.Path) -> dict[str, Any]:
    """Read and check a configuration."""
    options = read_toml(str(path))
    build.check_options(RunConfig(**merge(options, {})))
    return options


def naive_toml(content: bytes) -> dict[str, Any]:
    options = tomllib.loads(content.decode()).items()
    return {
        name.replace("-", "_"): tuple(v) if isinstance(v, list) else v
        for name, v in options
    }


def load_metrics(path: pathlib.Path) -> list[str]:
    """Return the epochs of a run."""
    return [_without_run(event) for event in History.read(path).epochs]


def _without_run(event: dict[str, Any]) -> str:
    return json.dumps({k: v for k, v in event.items() if k != "_run"}, sort_keys=True)


def is_in_lines(content: bytes, events: list[str]) -> bool:
    """Whether each event is that of a line, or of the end of one."""
    text = content.decode(errors="replace")
    present = set()
    for line in text.splitlines():
        for start in (0, line.rfind('{"event"')):
            with contextlib.suppress(ValueError):
                event = json.loads(line[max(start, 0) :])
                present.add(json.dumps(event, sort_keys=True))
    return set(events) <= present


def config_text() -> bytes:
    config = RunConfig(data="iris", hidden=(20, 10), topology="rigl", zeta=0.2)
    return to_toml(config).encode()


def metrics_text() -> bytes:
    start = {"event": "run_start", "layer_sizes": [4, 8, 3], "nnz": 40}
    epoch = {"event": "epoch", "time": 1.5, "train_loss": 0.5, "val_loss": None}
    update = {"event": "topology", "layer": 1, "removed": 3, "grown": 3, "nnz": 20}
    lines = [start]
    for number in range(1, 9):
        place = {"epoch": number, "step": 10 * number}
        lines += [epoch | place, update | place]
    return "".join(json.dumps(line) + "\n" for line in lines).encode()


RUNS = {
    "config.toml": (config_text, load_config, says(naive_toml), UsageError),
    "metrics.jsonl": (metrics_text, load_metrics, is_in_lines, DataError),
}


def run_case(name: str) -> Case:
    """Return a text of a run folder."""
    content, read, agrees, refusal = RUNS[name]
    return Case(name, content(), mutations.TEXT, read, agrees, (refusal,))


# Files of others ---------------------------------------------------------------------


def read_foreign(path: pathlib.Path) -> str:
    """Give a file to every reader of models and of data; all must refuse it."""
    readers = (load, CondensedMLP.load, checkpoint.read, models.load_config)
    for read in (*readers, datasets.load):
        try:
            read(path)
        except TruesparseError:
            continue
        return f"{read.__qualname__} of {read.__module__} takes it"
    return "refused by all"


def foreign_case(name: str) -> Case:
    """Return a file that truesparse writes and does not read."""
    content = written(lambda path: _model().to_onnx(path), "m.onnx")
    return Case(name, content, mutations.BINARY, read_foreign, _never, ())


@functools.cache
def make(name: str) -> Case:
    """Return a case by its name."""
    if name in DATA:
        return data_case(name)
    if name in RUNS:
        return run_case(name)
    return foreign_case(name) if name == "m.onnx" else model_case(name)
