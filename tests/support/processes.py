"""Running a script or a program in a process of its own."""

import ast
import json
import os
import pathlib
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).parent
HEAVY = (
    *("numpy", "scipy", "numba", "llvmlite", "sklearn", "pandas", "tqdm"),
    "matplotlib",
)


def run_script(name, *arguments, threads, seconds=600):
    """Return the object that a script of this folder prints as JSON, in time."""
    paths = [str(HERE.parents[1]), str(HERE.parent), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {
        "NUMBA_NUM_THREADS": str(threads),
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
    }
    command = [sys.executable, "-W", "error", str(HERE / name), *arguments]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=seconds
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def heavy_imports(program):
    """Return which heavy libraries a program has loaded at its end."""
    program += f"\nimport sys; print([m for m in {HEAVY} if m in sys.modules])"
    command = [sys.executable, "-W", "error", "-c", program]
    paths = [str(HERE.parents[1]), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return ast.literal_eval(done.stdout.splitlines()[-1])


def wait_for(condition, seconds=60):
    """Return what `condition` returns once that is true, or when the time is over."""
    deadline = time.monotonic() + seconds
    while not (result := condition()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return result
