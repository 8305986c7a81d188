"""The package truesparse.torch is optional; see tests/test_package.py for the rest."""

import subprocess
import sys

from support.sources import ROOT


def run(program):
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_says_what_to_install():
    # With None in its place, Python takes a module for missing.
    program = """
import sys
sys.modules["torch"] = None
try:
    import truesparse.torch
except ImportError as error:
    print(error)
"""
    want = "truesparse.torch needs torch: pip install 'truesparse[torch]'\n"
    assert run(program) == want


def test_nothing_else_imports_torch():
    program = """
import sys
import truesparse, truesparse.estimators, truesparse.train
from truesparse import SparseMLP
SparseMLP([4, 5, 2])
print("torch" in sys.modules)
"""
    assert run(program) == "False\n"
