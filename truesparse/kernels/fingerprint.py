"""Fingerprints of arrays: whether they still hold what they held.

Blocks of words go through the hash NH (Black et al., UMAC: fast and secure message
authentication, CRYPTO 1999, section 4), with keys k::

    h = sum_i ((a_i + k_i) mod 2**32) ((b_i + k_(i + 128)) mod 2**32)    mod 2**64

for the halves a and b of a block of 256 words, and h of all blocks are the digits of a
number modulo 2**64. What remains at the end is multiplied by keys of 64 bits. Unlike
sums of the words, times their places or not, this has no blind spot: for keys drawn at
random any given change, of every sign, say, escapes once in 2**32.
"""

import numpy as np

from truesparse.kernels import jit
from truesparse.kernels.addresses import array_at
from truesparse.kernels.jit import inner_kernel, kernel

_HALF = 128
BLOCK = 2 * _HALF
KEYS = np.random.default_rng(0).integers(0, 2**32, BLOCK, np.uint32)
_BASE = 0x9E3779B97F4A7C15  # 2**64 / golden ratio, odd


@inner_kernel
def _hash_block(keys, words, start):
    a, b = words[start : start + _HALF], words[start + _HALF : start + BLOCK]
    total = np.uint64(0)
    for i in range(_HALF):
        left = np.uint64(np.uint32(a[i] + keys[i]))
        total += left * np.uint64(np.uint32(b[i] + keys[_HALF + i]))
    return total


@inner_kernel
def _hash_rest(keys, words, start):
    total, one = np.uint64(0), np.uint64(1)
    for i in range(words.size - start):
        key = np.uint64(keys[i]) << np.uint64(32) | np.uint64(keys[BLOCK - 1 - i]) | one
        total += np.uint64(words[start + i]) * key
    return total


@inner_kernel
def _hash(keys, words):
    total, base = np.uint64(0), np.uint64(_BASE)
    n_blocks = words.size // BLOCK
    for block in range(n_blocks):
        total = total * base + _hash_block(keys, words, block * BLOCK)
    return total * base + _hash_rest(keys, words, n_blocks * BLOCK)


if jit.DISABLED:

    def _hash(keys, words):
        """Do the same in NumPy."""
        total, cut = 0, words.size // BLOCK * BLOCK
        left, right = np.hsplit(words[:cut].reshape(-1, BLOCK) + keys, 2)
        hashes = (left.astype(np.uint64) * right).sum(1).tolist()
        rest = words[cut:].astype(np.uint64)
        long = keys.astype(np.uint64) << 32 | keys[::-1] | 1
        for number in (*hashes, int((rest * long[: rest.size]).sum())):
            total = (total * _BASE + number) % 2**64
        return np.uint64(total)


@kernel
def fingerprint(keys, words):
    """Return a number of 64 bits that stands for what an array holds.

    Parameters
    ----------
    keys : (256,) uint32 array
        KEYS.
    words : (n,) uint32 array

    Returns
    -------
    int
    """
    return _hash(keys, words)


@kernel
def are_unchanged(keys, table):
    """Return whether arrays still have their fingerprints.

    Parameters
    ----------
    keys : (256,) uint32 array
        KEYS.
    table : (n, 3) uint64 array
        Address, words and fingerprint of each array.

    Returns
    -------
    bool
    """
    for i in range(table.shape[0]):
        address, size = np.int64(table[i, 0]), np.int64(table[i, 1])
        if _hash(keys, array_at(address, (size,), np.uint32)) != table[i, 2]:
            return False
    return True
