"""Damaged files of all kinds: refused in a line, or read as they are; no code runs.

`tests/support/fuzzing.py` says what counts as a fault.
"""

import resource

import pytest
from support import fuzz_cases, fuzz_data
from support.fuzzing import MOST_GROWTH, damaged, fuzz
from support.processes import run_script

from tests.long.lanes import fuzzing

NAMES = (
    *("a.npz", "csr.npz", "a.npy", "a.csv", "z.csv.gz", "a.svm", "a.arff"),
    *("a.parquet", "a.mat", "z.mat", "model", "condensed", "checkpoint"),
    *("config.toml", "metrics.jsonl", "m.onnx", *fuzz_data.HDF5),
)
LIBRARIES = {"a.parquet": "pyarrow", "m.onnx": "onnx"}
LIBRARIES |= dict.fromkeys(fuzz_data.HDF5, "h5py")
FILES = 200
GUARDED_FILES = 80  # each in a process of its own


def case_of(name):
    if name in LIBRARIES:
        pytest.importorskip(LIBRARIES[name])
    return fuzz_cases.make(name)


@pytest.mark.parametrize("name", NAMES)
def test_damaged_files_are_refused_or_right(name, tmp_path):
    case = case_of(name)
    n_files = GUARDED_FILES if case.is_guarded else FILES
    figures = fuzz(case, 0, n_files, tmp_path)
    assert not figures.faults
    assert figures.files > 0.8 * n_files
    assert figures.grown < MOST_GROWTH


@pytest.mark.parametrize("name", ["a.csv", "a.npz"])
def test_the_same_seed_damages_alike(name):
    case = case_of(name)
    first, again, other = (
        [damaged(case, seed, number) for number in range(20)] for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other


def test_faults_are_seen(tmp_path):
    """A reader that takes what it should not, in each way that counts."""
    case = case_of("a.csv")

    def reader(path, act):
        return act(path) if path.read_bytes() != case.content else "whole"

    for act, word in (
        (lambda path: "other", "silent"),
        (lambda path: 1 / 0, "ZeroDivisionError"),
        (lambda path: eval("'whole'"), "audit event exec"),
        (lambda path: path.with_name("more").write_text("") and "", "audit event open"),
    ):
        bad = case._replace(load=lambda path, act=act: reader(path, act))
        figures = fuzz(bad, 0, 5, tmp_path)
        assert len(figures.faults) == figures.files
        assert all(word in fault for fault in figures.faults)


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_AS"), reason="no limit to set")
def test_bombs_are_refused_within_memory():
    """Files of a few megabytes or less that stand for many gigabytes."""
    pytest.importorskip("pyarrow")
    pytest.importorskip("h5py")
    results = run_script("run_bombs.py", threads=1)
    refused = {"DataError", "MemoryLimitError", "ModelFileError"}
    assert len(results) == 19
    assert {name: kind for name, kind in results.items() if kind not in refused} == {}
    # Before CSR of so many rows; and as it is made, where as many targets are claimed.
    assert results["rows.mat"] == "DataError"
    assert results["both.mat"] == "MemoryLimitError"


def test_lanes_have_all_files_and_see_a_crash():
    assert sorted(NAMES) == sorted(sum(fuzzing.GROUPS.values(), ()))
    figures = fuzzing.fuzz(("config.toml",), 3, 20)
    assert not figures.failures
    assert figures.cases > 15
    figures = fuzzing.fuzz(("no such name",), 3, 20)
    assert "code 1: " in figures.failures[0]
