"""Training gives the same bits for any number of threads, and again in another run."""

import dataclasses
import threading

import numpy as np
import pytest
from support.configurations import draw_configuration, result
from support.processes import run_script
from support.topology_options import OPTIONS, draw_options

from tests.long.lanes.configurations import compare
from truesparse.errors import UsageError
from truesparse.kernels import jit
from truesparse.topology import ALGORITHMS


@pytest.mark.compiled
def test_bits_do_not_depend_on_threads_nor_on_the_run():
    first = run_script("run_training.py", "1", "2", "4", threads=4)
    assert len(first["1"]) == len(set(first["1"]))
    assert first["1"] == first["2"] == first["4"]
    again = run_script("run_training.py", "3", threads=3)
    assert again["3"] == first["1"]


@pytest.mark.compiled
def test_random_trainings_give_the_same_bits_however_they_are_run():
    figures = compare(0, 2)
    assert not figures.failures
    assert figures.outcomes["equal"] == 2


@pytest.mark.compiled
def test_configurations_differ_and_have_all_topologies():
    drawn = [draw_configuration(seed) for seed in range(len(ALGORITHMS))]
    assert {each.topology["name"] for each in drawn} == set(ALGORITHMS)
    small = draw_configuration(0, largest=20), draw_configuration(1, largest=20)
    digests = [result(each) for each in small]
    assert digests[0] != digests[1]
    assert digests == [result(each) for each in small]
    # Another seed of the model is another training.
    other = dataclasses.replace(small[0], model=small[0].model | {"seed": 1})
    assert result(other) != digests[0]


def test_random_trainings_draw_every_option_of_every_topology():
    """And every value of an option, for one topology or another."""
    values = set()
    for name, algorithm in ALGORITHMS.items():
        drawn = {}
        for seed in range(300):
            drawn |= (options := draw_options(np.random.default_rng(seed), name, 3))
            options.pop("layers", None)
            values |= {(option, value) for option, value in options.items()}
        assert set(drawn) == set(algorithm.options()), name
    listed = {(option, value) for option, each in OPTIONS.items() for value in each}
    assert listed <= values


@pytest.mark.compiled
def test_threads_are_set_within_the_limits_of_the_process():
    most = jit.most_threads()
    before = jit.set_threads(None)
    try:
        assert jit.set_threads(1) == 1
        assert jit.set_threads(None) == 1
        for bad in (0, -1, most + 1):
            with pytest.raises(UsageError, match=f"threads must be from 1 to {most}"):
                jit.set_threads(bad)
        assert jit.set_threads(None) == 1
    finally:
        jit.set_threads(before)


@pytest.mark.compiled
def test_every_thread_of_python_has_its_own_number():
    most = jit.most_threads()
    before, counts = jit.set_threads(None), []
    try:
        jit.set_threads(1)
        assert jit.thread_count() == 1
        other = threading.Thread(target=lambda: counts.append(jit.thread_count()))
        other.start()
        other.join()
        assert counts == [most]
        with jit.threads(most):
            assert jit.thread_count() == most
        assert jit.thread_count() == 1
        jit.set_threads(most)
        assert jit.thread_count() == most
    finally:
        jit.set_threads(before)
