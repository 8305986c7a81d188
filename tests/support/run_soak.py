"""Train a small net again and again, and print what the process holds after each time.

run_soak.py FITS EPOCHS
"""

import json
import os
import pathlib
import sys
import tempfile
import threading

import numpy as np

from truesparse import SparseMLP, Trainer
from truesparse.callbacks import BestModel, Checkpoint, MetricsFile
from truesparse.common import memory


def fit(epochs, folder):
    """Train with all that writes files, in a folder that is emptied again."""
    draw = np.random.default_rng(0)
    X = draw.standard_normal((48, 8)).astype(np.float32)
    y = (X[:, 0] > 0).astype(int)
    callbacks = [
        MetricsFile(folder / "metrics.jsonl"),
        BestModel("val_score"),
        Checkpoint(folder / "checkpoint", every=epochs // 4),
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
    n_fits, n_epochs = map(int, sys.argv[1:])
    with tempfile.TemporaryDirectory() as place:
        tempfile.tempdir = place
        run = pathlib.Path(place, "run")
        run.mkdir()
        after = []
        for _ in range(n_fits):
            fit(n_epochs, run)
            after.append(held())
    print(json.dumps(after))
