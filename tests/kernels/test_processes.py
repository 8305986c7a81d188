"""Kernels in forked processes, under every threading layer, and without a cache."""

import os
import subprocess
import sys

import pytest

from truesparse.kernels import jit

pytestmark = [
    pytest.mark.compiled,
    pytest.mark.skipif(jit.DISABLED, reason="plain Python has one thread"),
]

MODEL = """
import numpy as np
from truesparse import SparseMLP
model = SparseMLP([64, 1000, 10], epsilon=5)
X = np.ones((300, 64), np.float32)
want = model.decision_function(X)
"""
FORK = """
import os
child = os.fork()
if child == 0:
    try:
        again = model.decision_function(X)
        SparseMLP([64, 1000, 10], epsilon=5)
    except Exception as error:
        print(type(error).__name__, error, flush=True)
        os._exit(3)
    os._exit(0 if np.array_equal(again, want) else 4)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
# More threads of Python than of the pool, at once.
THREADS = """
from concurrent.futures import ThreadPoolExecutor
with ThreadPoolExecutor(4) as callers:
    results = list(callers.map(lambda _: model.decision_function(X), range(200)))
print(all(np.array_equal(result, want) for result in results))
"""


def run(code, **environment):
    """Return what a program prints; it must not hang, nor end by a signal."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_process_forked_after_the_first_call_is_told_what_to_do():
    out, _ = run(MODEL + FORK, NUMBA_THREADING_LAYER="omp")
    assert out.startswith("UsageError this process was forked after truesparse had")
    assert "'spawn'" in out
    assert out.endswith("3\n")  # neither hung nor killed


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_process_forked_before_the_first_call_has_threads_of_its_own():
    code = """
import os
import truesparse.kernels.forward
child = os.fork()
if child == 0:
"""
    code += "".join(f"    {line}\n" for line in MODEL.strip().splitlines())
    code += "    os._exit(0)\n"
    code += "print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    assert run(code, NUMBA_THREADING_LAYER="omp")[0] == "0\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_the_workqueue_survives_a_fork():
    assert run(MODEL + FORK, NUMBA_THREADING_LAYER="workqueue")[0] == "0\n"


@pytest.mark.parametrize("layer", ["workqueue", "omp"])
def test_threads_of_python_may_predict_at_once(layer):
    assert run(MODEL + THREADS, NUMBA_THREADING_LAYER=layer)[0] == "True\n"


def test_without_a_folder_to_write_to_kernels_are_compiled_with_one_warning():
    code = """
from numba.core import caching
for name in vars(caching).values():
    if hasattr(name, "_locator_classes"):
        name._locator_classes = []
import numpy as np
from truesparse.kernels import backward, forward
from truesparse.kernels.rewire import count_kept
counts = np.zeros(2, np.int64)
ends = np.array([0, 1]), np.array([0, 3])
count_kept(*ends, np.array([True, False, True]), counts)
print(counts.tolist())
"""
    out, err = run(code)
    assert out == "[0, 1]\n"
    assert err.count("UserWarning") == 1
    assert "set NUMBA_CACHE_DIR to a folder that can be written to" in err


def test_binaries_go_by_all_sources_of_kernels():
    folder = os.path.dirname(jit.__file__)
    names = [name for name in os.listdir(folder) if name.endswith(".py")]
    stats = [os.stat(os.path.join(folder, name)) for name in names]
    assert {"forward.py", "jit.py", "aligned.py"} <= set(names)
    want = max(s.st_mtime for s in stats), sum(s.st_size for s in stats)
    assert jit._package_stamp() == want
