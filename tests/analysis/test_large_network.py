"""No analysis makes anything of the size of a dense layer."""

import sys

import pytest

from benchmarks.probe import clean_environment, run_json

# A dense layer would take 400 MB with a byte a cell.
NEURONS, EXTRA = 20_000, 300_000_000


@pytest.mark.compiled
@pytest.mark.skipif(sys.platform != "linux", reason="limits the address space")
def test_all_analyses_of_a_wide_network_take_little_address_space():
    words = "--measure=large", f"--neurons={NEURONS}", f"--extra={EXTRA}"
    rows = run_json("benchmarks.analyses", *words, environment=clean_environment(1))
    assert len(rows) == 13
