"""Results on a standard output that takes nothing, or whose reader has gone."""

import os
import subprocess
import sys

import numpy as np
import pytest
from support.commands import ROOT

from truesparse import SparseMLP, save


@pytest.fixture
def here(tmp_path):
    save(SparseMLP([4, 5, 3], seed=1), tmp_path / "m")
    # More rows than any buffer holds.
    np.savetxt(tmp_path / "rows.csv", np.ones((6000, 4)), fmt="%.1f", delimiter=",")
    return tmp_path


CASES = [("info", ["m"]), ("predict", ["m", "rows.csv", "--quiet"])]


def start(name, words, here, stdout):
    return subprocess.Popen(
        [sys.executable, "-m", f"truesparse.{name}", *words],
        cwd=here,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.compiled
@pytest.mark.parametrize(("name", "words"), CASES)
def test_a_full_one_is_a_fault_of_the_disk(name, words, here):
    """It used to end with the code of bugs."""
    with open("/dev/full", "w") as full:
        process = start(name, words, here, full)
    said = process.communicate(timeout=120)[1]
    assert process.returncode == 7
    assert said.splitlines()[-1] == (
        "truesparse: cannot write to standard output: No space left on device"
    )
    assert "Traceback" not in said


@pytest.mark.compiled
@pytest.mark.parametrize(("name", "words"), CASES)
def test_a_reader_that_has_gone_is_no_fault_to_speak_of(name, words, here):
    reader, writer = os.pipe()
    os.close(reader)
    process = start(name, words, here, writer)
    os.close(writer)
    said = process.communicate(timeout=120)[1]
    assert process.returncode == 1
    assert "truesparse: " not in said
    assert "Traceback" not in said
