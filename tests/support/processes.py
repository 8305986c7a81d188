"""Running a test script in a process of its own."""

import json
import os
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).parent


def run_script(name, *arguments, threads):
    """Return the object that a script of this folder prints as JSON."""
    paths = [str(HERE.parents[1]), str(HERE.parent), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {
        "NUMBA_NUM_THREADS": str(threads),
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
    }
    command = [sys.executable, "-W", "error", str(HERE / name), *arguments]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
