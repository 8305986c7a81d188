"""Fingerprints against arithmetic of whole numbers, and what they must not miss."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.strategies import SEEDS

from truesparse.kernels.fingerprint import KEYS, PAIRS, are_unchanged, fingerprint

BLOCK = 2 * PAIRS
SIZES = st.sampled_from([0, 1, 2, 3, 10, 255, 256, 257, 258, 600])


def draw_words(size, seed):
    return np.random.default_rng(seed).integers(0, 2**32, size, np.uint32)


def naive(words):
    keys, words, total = KEYS.tolist(), words.tolist(), 0
    pairs = [low + (high << 32) for low, high in zip(words[::2], words[1::2])]  # noqa: B905
    blocks = [pairs[i : i + 128] for i in range(0, len(pairs), 128)]
    for block in blocks + [words[-1:]] * (len(words) % 2):
        sums = [(pair + key) % 2**64 for pair, key in zip(block, keys)]  # noqa: B905
        number = sum(each % 2**32 * (each // 2**32) for each in sums)
        total = (total * 0x9E3779B97F4A7C15 + number) % 2**64
    return total


@given(SIZES, SEEDS)
def test_the_number_is_that_of_the_formula(size, seed):
    words = draw_words(size + 1, seed)
    # The address of a pair need not be a multiple of 8.
    for each in (words[1:], words[:-1]):
        assert int(fingerprint(KEYS, each)) == naive(each)


@given(st.integers(0, 999), st.integers(1, 2**32 - 1), SEEDS)
def test_a_changed_word_shows(place, change, seed):
    arrays = draw_words(1000, seed), draw_words(3, seed)
    table = np.array(
        [(a.ctypes.data, a.size, fingerprint(KEYS, a)) for a in arrays], np.uint64
    )
    assert are_unchanged(KEYS, table[:0])
    assert are_unchanged(KEYS, table)
    for words in arrays:
        words[place % words.size] ^= np.uint32(change)
        assert not are_unchanged(KEYS, table)
        words[place % words.size] ^= np.uint32(change)
    assert are_unchanged(KEYS, table)


def negate(x):
    x *= -1.0


def double(x):
    x *= 2.0


def swap(x):
    x[[3, 4]] = x[[4, 3]]


def swap_pairs(x):
    x[4:6], x[6:8] = x[6:8].copy(), x[4:6].copy()


def swap_halves(x):
    half = BLOCK // 2
    x[:half], x[half:BLOCK] = x[half:BLOCK].copy(), x[:half].copy()


def swap_blocks(x):
    x[:BLOCK], x[BLOCK : 2 * BLOCK] = x[BLOCK : 2 * BLOCK].copy(), x[:BLOCK].copy()


def exchange(x):
    x[5] += 1.0
    x[6] -= 1.0


def turn(x):
    x[:] = x[::-1].copy()


@pytest.mark.parametrize(
    "change",
    [negate, double, swap, swap_pairs, swap_halves, swap_blocks, exchange, turn],
)
def test_changes_with_a_plan_show(change):
    for size in (2 * BLOCK, 1000):
        x = np.arange(1, size + 1, dtype=np.float32)
        before = int(fingerprint(KEYS, x.view(np.uint32)))
        change(x)
        assert int(fingerprint(KEYS, x.view(np.uint32))) != before
