"""Random streams: functions of (seed, purpose, step, layer) and of nothing else."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import naive

from truesparse.common.rng import Purpose, check_seed, key32, stream
from truesparse.errors import UsageError

# Wherever an argument could be mixed up with another one.
PLACES = list(itertools.product((0, 1, 2**63 - 1), list(Purpose)[:3], (0, 1), (0, 1)))
WORDS = st.integers(0, 2**40)


def test_a_stream_depends_on_each_argument_and_on_nothing_else():
    draws = {place: stream(*place).integers(0, 2**62, 4) for place in PLACES}
    for place in reversed(PLACES):
        np.testing.assert_array_equal(
            draws[place], stream(*place).integers(0, 2**62, 4)
        )
    assert len({tuple(draw) for draw in draws.values()}) == len(PLACES)


def test_a_key_depends_on_each_argument_and_on_nothing_else():
    keys = {place: key32(*place) for place in PLACES}
    assert all(key32(*place) == key for place, key in keys.items())
    assert len(set(keys.values())) == len(PLACES)


@given(st.integers(0, 2**63 - 1), st.sampled_from(Purpose), WORDS, WORDS)
def test_keys_are_a_chain_of_splitmix64(seed, purpose, step, layer):
    key = key32(seed, purpose, step, layer)
    assert 0 <= key < 2**32
    assert key == naive.key32(seed, (purpose, step, layer))


def test_keys_of_successive_steps_look_random():
    keys = np.array([key32(7, Purpose.DROPOUT, step) for step in range(4000)])
    bits = (keys[:, None] >> np.arange(32)) & 1
    # Six deviations of the mean of 4000 coins.
    assert (np.abs(bits.mean(0) - 0.5) < 6 * 0.5 / np.sqrt(4000)).all()


def test_purposes_are_fixed_as_they_define_results():
    assert {purpose.name: purpose.value for purpose in Purpose} == {
        "TOPOLOGY_INIT": 1,
        "WEIGHT_INIT": 2,
        "SHUFFLE": 3,
        "DROPOUT": 4,
        "EVOLUTION": 5,
        "REGROWN_WEIGHTS": 6,
        "SPLIT": 7,
        "GRADIENT_BATCH": 8,
        "CANDIDATES": 9,
        "FILLING": 10,
        "SIGNS": 11,
        "NOISE": 12,
        "REMOVAL": 13,
        "ACTIVATION_INIT": 14,
        "PERTURBATION": 15,
        "PROBES": 16,
        "GRAPH_SAMPLES": 17,
        "REACTIVATION": 20,
    }


@pytest.mark.parametrize("seed", [0, 1, 2**63 - 1, np.int32(5), np.uint64(5)])
def test_seeds(seed):
    assert check_seed(seed) == seed
    assert type(check_seed(seed)) is int


@pytest.mark.parametrize("seed", [-1, 2**63, 1.0, "1", None, True])
def test_bad_seeds(seed):
    for use in (check_seed, lambda s: stream(s, Purpose.SPLIT)):
        with pytest.raises(UsageError, match=r"seed must be (from 0|a whole number)"):
            use(seed)
