"""Damaged files of every format: refused in a line, or read as they are; no code runs.

tests/support/fuzzing.py says what is a fault. Processes of their own read the files.
"""

import functools
import json
import os
import pathlib
import subprocess
import sys

from support import fuzz_data

from tests.long.registry import Figures, lane

TEST = "pytest tests/test_fuzzing.py"
GROUPS = {
    "fuzz-arrays": ("a.npz", "csr.npz", "a.npy", "a.mat", "z.mat"),
    "fuzz-hdf5": fuzz_data.HDF5,
    "fuzz-tables": ("a.csv", "z.csv.gz", "a.svm", "a.arff", "a.parquet"),
    "fuzz-models": ("model", "condensed", "checkpoint"),
    "fuzz-runs": ("config.toml", "metrics.jsonl", "m.onnx"),
}
PROMISES = {
    "fuzz-arrays": "damaged .npz, .npy and .mat are refused, or read as they are",
    "fuzz-hdf5": "damaged .h5ad and .mat of version 7.3 are refused, or read as they "
    "are, unless libhdf5 is stuck, crashes, or takes gigabytes for a moment",
    "fuzz-tables": "damaged .csv, .csv.gz, .svm, .arff and .parquet are refused, or "
    "read as they are",
    "fuzz-models": "a model of any content whose digest is right is refused, or works",
    "fuzz-runs": "damaged config.toml and metrics.jsonl are refused, or read as they "
    "are; damaged ONNX is refused",
}


def fuzz(names: tuple[str, ...], seed: int, count: int) -> Figures:
    """Read `count` damaged files, as many of each name."""
    figures = Figures()
    for name in names:
        process = run_fuzz(name, seed, count // len(names))
        if process.returncode != 0:
            tail = " ".join(process.stderr.split())[-300:]
            figures.fail(f"{name}, seed {seed}: code {process.returncode}: {tail}")
            continue
        result = json.loads(process.stdout)
        for outcome, n in result["counts"].items():
            figures.add(outcome, n)
        for fault in result["faults"]:
            figures.fail(fault)
    return figures


def run_fuzz(name: str, seed: int, count: int) -> subprocess.CompletedProcess:
    """Run support/run_fuzz.py."""
    tests = pathlib.Path(__file__).parents[2]
    paths = [str(tests.parent), str(tests), os.environ.get("PYTHONPATH", "")]
    words = ["-X", "faulthandler", "-m", "support.run_fuzz", name, str(seed)]
    return subprocess.run(
        [sys.executable, *words, str(count)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))},
        capture_output=True,
        text=True,
        check=False,
    )


for _name, _files in GROUPS.items():
    lane(_name, PROMISES[_name], batch=300 * len(_files), test=TEST)(
        functools.partial(fuzz, _files)
    )
