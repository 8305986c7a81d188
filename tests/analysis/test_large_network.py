"""No analysis or display makes anything of the size of a dense layer."""

import sys

import pytest
from support.processes import run_script
from support.run_large_analysis import public_analyses, public_displays

# A dense layer would take 400 MB with a byte a cell. The long lane large-networks takes
# a million neurons.
NEURONS, EXTRA = 20_000, 300_000_000


@pytest.mark.compiled
@pytest.mark.skipif(sys.platform != "linux", reason="limits the address space")
def test_all_analyses_of_a_wide_network_take_little_address_space():
    words = str(NEURONS), str(EXTRA), "1"
    done = run_script("run_large_analysis.py", *words, threads=1)
    assert set(done["seconds"]) == public_analyses() | set(public_displays())
    assert done["dense_refused"]


def test_the_public_names_are_read_from_the_packages():
    assert {"shrink", "layer_ranks", "robustness"} <= public_analyses()
    both = {"RanksDisplay", "StructureDisplay", "DegreeDisplay", "LayersDisplay"}
    assert both <= set(public_displays())
