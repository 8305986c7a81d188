"""Train a small net again and again, and print what the process holds after each time.

run_soak.py FITS EPOCHS [EVERY]

With EVERY it says so after each EVERY epochs, too.
"""

import json
import os
import pathlib
import sys
import tempfile
import threading

import numpy as np

from truesparse import SparseMLP, Trainer
from truesparse.callbacks import BestModel, Callback, Checkpoint, MetricsFile
from truesparse.common import memory


class Look(Callback):
    """Notes what the process holds after every few epochs."""

    def __init__(self, every, seen):
        self.every, self.seen = every, seen

    def on_epoch_end(self, run, record):
        if record.epoch % self.every == 0:
            self.seen.append(held())


def fit(epochs, folder, *more):
    """Train with all that writes files, in a folder that is emptied again."""
    draw = np.random.default_rng(0)
    X = draw.standard_normal((48, 8)).astype(np.float32)
    y = (X[:, 0] > 0).astype(int)
    callbacks = [
        MetricsFile(folder / "metrics.jsonl"),
        BestModel("val_score"),
        Checkpoint(folder / "checkpoint", every=epochs // 4),
        *more,
    ]
    model = SparseMLP([8, 40, 30, 2], epsilon=3, seed=1)
    settings = {"topology": "rigl", "optimizer": "adam", "lr": 0.001, "batch_size": 16}
    Trainer(model, epochs=epochs, callbacks=callbacks, **settings).fit(
        X, y, X_val=X, y_val=y
    )
    for file in folder.iterdir():
        file.unlink()


def held():
    return {
        "bytes": memory.current_rss(),
        "descriptors": len(os.listdir("/proc/self/fd")),
        "threads": threading.active_count(),
        "temporary": len(os.listdir(tempfile.gettempdir())),
    }


if __name__ == "__main__":
    n_fits, n_epochs, *every = map(int, sys.argv[1:])
    with tempfile.TemporaryDirectory() as place:
        tempfile.tempdir = place
        run = pathlib.Path(place, "run")
        run.mkdir()
        after = []
        for _ in range(n_fits):
            fit(n_epochs, run, *(Look(each, after) for each in every))
            if not every:
                after.append(held())
    print(json.dumps(after))
