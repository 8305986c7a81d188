"""Store numbers and run layers in bfloat16, and print a digest of all bits.

Run by kernels/test_bfloat16.py, also in a process that is told of another processor.
Sums are of whole numbers, so that their order does not matter.
"""

import hashlib

import numpy as np
import scipy.sparse
from support.naive_bfloat16 import bits
from support.strategies import layer, tile_for

from truesparse.kernels import simd
from truesparse.kernels.arrays import Head, SparseBatch
from truesparse.kernels.bfloat16 import BFLOAT16, read, write
from truesparse.kernels.jit import kernel
from truesparse.kernels.update import STORE
from truesparse.sparse.connections import Connections

EMPTY = np.zeros((0, 0), BFLOAT16)


@kernel
def store_tiles(tile, data, out):
    for row in range(data.shape[0]):
        simd.store(out, row, 0, simd.load(tile, data, row, 0))


@kernel
def store_numbers(data, out):
    for k in range(data.size):
        write(out, k, read(data, k))


def all_bits(step=1):
    """Return numbers of bfloat16, each exactly, and in the middle to the next."""
    upper = np.arange(0, 1 << 16, step, dtype=np.uint32) << 16
    lower = np.array([0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF, 0, 0], np.uint32)
    return (upper[:, None] | lower).reshape(-1)


def as_sparse(x):
    """Return data (n_in, columns) as a sparse batch."""
    csr = scipy.sparse.csr_array(x)
    return SparseBatch(
        csr.indptr.astype(np.int64), csr.indices.astype(np.int32), csr.data
    )


def digest():
    """Return a hash of numbers stored one by one and by tiles, and of layers."""
    numbers = all_bits().view(np.float32)
    numbers = numbers[~np.isnan(numbers)]
    numbers = numbers[: numbers.size // 48 * 48]
    one_by_one = np.zeros(numbers.size, BFLOAT16)
    store_numbers(numbers, one_by_one)
    in_tiles = np.zeros((numbers.size // 48, 48), BFLOAT16)
    store_tiles(simd.make_tile(48), numbers.reshape(-1, 48), in_tiles)
    results = [one_by_one, in_tiles]
    draw = np.random.default_rng(0)
    matrix = scipy.sparse.random_array((40, 30), density=0.3, rng=draw, format="csr")
    matrix.data = draw.integers(1, 9, matrix.nnz) / np.float32(4)
    columns, tile = tile_for(20, np.float32)
    subject = layer(Connections.from_scipy(matrix.astype(np.float32)), "leaky_relu")
    x, delta = (draw.integers(-8, 9, (n, columns)).astype(np.float32) for n in (40, 30))
    for inputs in (bits(x), x, as_sparse(x)):
        out = np.zeros((30, columns), BFLOAT16)
        room = subject.partial_size(columns, isinstance(inputs, SparseBatch))
        head = Head(subject.bias, out, EMPTY)
        how = subject.activation.for_inference()
        subject.forward(tile, inputs, head, how, np.zeros(room, np.float32))
        results.append(out)
    source = layer(Connections.from_scipy(matrix.T.astype(np.float32)), "relu")
    source, _ = source.as_source(bits(x), EMPTY, STORE)
    gradient = np.zeros(matrix.nnz, np.float32)
    scratch = np.zeros((64, 0), np.float32)
    subject.backward(tile, source, bits(delta), STORE, STORE, scratch, gradient)
    results += [source.x, gradient]
    joined = b"".join(array.tobytes() for array in results)
    return hashlib.sha256(joined).hexdigest()


if __name__ == "__main__":
    print(f'"{digest()}"')
