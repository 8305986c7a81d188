"""No analysis makes anything of the size of a dense layer."""

import sys

import pytest
from support.processes import run_script

# A dense layer would take 2.5 GB with a byte a cell.
NEURONS, EXTRA = "50000", "1000000000"


@pytest.mark.compiled
@pytest.mark.skipif(sys.platform != "linux", reason="limits the address space")
def test_all_analyses_of_a_wide_network_take_little_address_space():
    seconds = run_script("run_large_analysis.py", NEURONS, EXTRA, threads=1)
    assert len(seconds) == 13
