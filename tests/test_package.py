"""The package itself: its names, and what importing it does not do."""

import subprocess
import sys

import pytest
from support.processes import heavy_imports

import truesparse


def test_importing_loads_nothing_heavy():
    assert heavy_imports("import truesparse; dir(truesparse)") == []


def test_it_offers_its_names():
    assert set(truesparse.__all__) <= set(dir(truesparse))
    for name in truesparse.__all__:
        assert getattr(truesparse, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'SparseMPL'"):
        truesparse.SparseMPL  # noqa: B018


def test_importing_leaves_the_environment_as_it_is():
    # How OpenMP waits concerns the whole process: programs decide that.
    program = (
        "import os; before = {**os.environ}\n"
        "import truesparse.kernels.jit\n"
        "assert {**os.environ} == before"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
