"""The command line, called in this process or started as a process of its own."""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np

from truesparse.kernels.jit import DISABLED
from truesparse.train import main

ROOT = pathlib.Path(__file__).parents[2]
# At most 32 held-out rows, so that they fit the buffers of the training batches: every
# other width of a batch would be compiled anew.
SMALL = {
    "iris": ["--data", "iris"],
    "digits": ["--data", "digits", "--test-fraction", "0.015"],
    "diabetes": ["--data", "diabetes", "--test-fraction", "0.07"],
}
NET = ["--hidden", "24,20", "--epochs", "3"]


class Result:
    """Exit code and output of a call."""

    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err

    @property
    def json(self):
        return json.loads(self.out)


def call(capsys, *words, main=main):
    """Run the command line in this process."""
    capsys.readouterr()
    code = main([str(word) for word in words])
    return Result(code, *capsys.readouterr())


def start(*words, cwd, module="truesparse.train", **environment):
    """Start the command line in a process of its own."""
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        **environment,
    }
    environment.pop("NUMBA_NUM_THREADS", None)
    # With the JIT off, NumPy warns of what kernels do on purpose.
    warnings = "ignore" if DISABLED else "error"
    return subprocess.Popen(
        [sys.executable, "-W", warnings, "-m", module, *map(str, words)],
        cwd=cwd,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process):
    out, err = process.communicate(timeout=300)
    return Result(process.returncode, out, err)


def write_svm(path, n=90):
    """Write thin samples of two classes that the first two features tell apart."""
    draw = np.random.default_rng(0)
    lines = []
    for _ in range(n):
        label = draw.integers(2)
        others = sorted(draw.choice(np.arange(3, 40), 5, replace=False))
        words = [f"{feature}:{draw.random():.3f}" for feature in others]
        lines.append(f"{label} {1 + label}:1.0 {' '.join(words)}")
    path.write_text("\n".join(lines) + "\n")
    return path
