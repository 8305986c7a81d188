"""Read files that claim or unpack to many gigabytes, with 320 MB of room.

Run by test_fuzzing.py in a process of its own. Prints the error of each file as JSON.
"""

import bz2
import gzip
import io
import json
import pathlib
import resource
import struct
import tempfile
import warnings
import zlib
from typing import Any

import h5py
import numpy as np
import pandas  # noqa: F401 - loaded before there is a limit
import pyarrow as pa
import pyarrow.parquet as pq
import scipy.io
import sklearn.datasets  # noqa: F401
from scipy import sparse

from truesparse.datasets import load as load_data
from truesparse.datasets import load_rows

ROOM = 320 << 20  # a reader of text stops where 256 MB are left
CLAIM = 1 << 32  # bytes
PIECE = 1 << 20


def deflated(text: bytes, size: int, tail: bytes = b"") -> bytes:
    """Return a raw deflate stream of `size` bytes, one piece again and again."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    piece = packer.compress(text) + packer.flush(zlib.Z_FULL_FLUSH)
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return piece * (size // len(text)) + packer.compress(tail) + packer.flush()


def npy_header(shape: tuple[int, ...]) -> bytes:
    file = io.BytesIO()
    about = {"descr": "<f8", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, about)
    return file.getvalue()


def zip_of(members: dict[str, tuple[bytes, int]]) -> bytes:
    """Return an archive of raw deflate streams that claim sizes of their own."""
    body, directory = b"", b""
    for name, (stream, size) in members.items():
        about = struct.pack("<HHHHHIII", 20, 0, 8, 0, 0, 0, len(stream), size)
        names = struct.pack("<HH", len(name), 0)
        place = len(body)
        body += b"PK\x03\x04" + about + names + name.encode() + stream
        more = struct.pack("<HHHII", 0, 0, 0, 0, place)
        directory += b"PK\x01\x02" + struct.pack("<H", 20) + about + names + more
        directory += name.encode()
    n = len(members)
    end = struct.pack("<HHHHIIH", 0, 0, n, n, len(directory), len(body), 0)
    return body + directory + b"PK\x05\x06" + end


def npz(claim: int, size: int, shape: tuple[int, ...]) -> bytes:
    """Return an archive with X of `size` bytes, which it says are `claim`."""
    head = npy_header(shape)
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    stream = packer.compress(head) + packer.flush(zlib.Z_FULL_FLUSH)
    stream += deflated(bytes(PIECE), size)
    labels = npy_header((4,)) + bytes(32)
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    y = packer.compress(labels) + packer.flush()
    return zip_of({"X.npy": (stream, claim), "y.npy": (y, len(labels))})


def mat(size: int) -> bytes:
    """Return a .mat file of level 5 with a deflated matrix of `size` bytes."""
    head = b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM"
    start = struct.pack("<II", 14, size)
    start += struct.pack("<IIII", 6, 8, 6, 0) + struct.pack("<IIii", 5, 8, 1, size // 8)
    start += struct.pack("<HHI", 1, 1, ord("X")) + struct.pack("<II", 9, size - 64)
    packer = zlib.compressobj(9)
    stream = packer.compress(start) + packer.compress(bytes(1 << 26)) + packer.flush()
    y = struct.pack("<IIIIIIiiHHI", 6, 8, 6, 0, 5, 8, 1, 1, 1, 1, ord("y"))
    y += struct.pack("<IId", 9, 8, 1.0)
    small = struct.pack("<II", 14, len(y)) + y
    return head + struct.pack("<II", 15, len(stream)) + stream + small


def sparse_mat(path: pathlib.Path, n_rows: int, n_targets: int) -> None:
    """Write sparse features, and as sparse targets, that claim so many rows."""
    arrays = {"X": sparse.eye_array(4, 5), "y": sparse.eye_array(6, 1)}
    scipy.io.savemat(path, {name: array.tocsc() for name, array in arrays.items()})
    content = path.read_bytes()
    for shape, n in (((4, 5), n_rows), ((6, 1), n_targets)):
        place = struct.pack("<IIii", 5, 8, *shape)
        assert content.count(place) == 1
        content = content.replace(place, struct.pack("<IIii", 5, 8, n, shape[1]))
    path.write_bytes(content)


def text(piece: bytes, pack, head: bytes = b"") -> bytes:
    """Return compressed text; streams behind one another are one."""
    piece *= PIECE // len(piece)
    return (pack(head) if head else b"") + pack(piece) * (CLAIM // PIECE)


def parquet(path: pathlib.Path) -> None:
    column = pa.array(np.zeros(2_000_000))
    table = pa.table({"x": column, "y": column})
    with pq.ParquetWriter(path, table.schema) as writer:
        for _ in range(20):
            writer.write_table(table)


def h5ad(path: pathlib.Path, **options: Any) -> None:
    """Write an array of 4 x 4 numbers, or as options of h5py say, with a long chunk."""
    with h5py.File(path, "w") as file:
        options = {"shape": (4, 4), "dtype": "f4"} | options
        stored = file.create_dataset("X", **options)
        for part in ("obs", "var"):
            file.create_group(part)
        if options.get("compression"):
            size = 4 * int(np.prod(stored.chunks))
            assert size < CLAIM // 100
            stream = zlib.compress(b"")[:2] + deflated(bytes(PIECE), CLAIM)
            stored.id.write_direct_chunk((0, 0), stream)


def write_bombs(folder: pathlib.Path) -> None:
    whole = CLAIM - (PIECE << 3)
    big = (whole // 8 // 4, 4)
    files = {
        "claim.npz": npz(1000, 0, (2**60, 4)),
        "true.npz": npz(whole + 128, whole, big),
        "lie.npz": npz(128 + (PIECE << 4), whole, big),
        "header.npy": npy_header((2**38, 4)),
        "product.npy": npy_header((2**40, 2**40)),
        "rows.csv.gz": text(b"0,0,1\n", gzip.compress, b"a,b,y\n"),
        "line.csv.gz": text(b"1", gzip.compress),
        "rows.svm.bz2": text(b"1 1:1 2:0\n", bz2.compress),
        "wide.svm": b"1 2147483000:1\n0 1:1\n" * 20,
        "rows.arff.gz": text(
            *(b"0,1\n", gzip.compress, b"@attribute a real\n@attribute y real\n@data\n")
        ),
        "rows.mtx.gz": text(
            *(b"1 1 1\n", gzip.compress),
            b"%%MatrixMarket matrix coordinate real general\n9 9 900000000\n",
        ),
        "matrix.mat": mat(CLAIM - 1024),
    }
    for name, content in files.items():
        (folder / name).write_bytes(content)
    parquet(folder / "rows.parquet")
    h5ad(folder / "cells.h5ad", shape=(1 << 20, 1 << 14), chunks=(1 << 10, 1 << 10))
    many = {"maxshape": (None, None), "chunks": (1 << 14, 1 << 14)}
    h5ad(folder / "chunk.h5ad", **many)
    h5ad(folder / "stream.h5ad", chunks=(4, 4), compression="gzip")
    sparse_mat(folder / "rows.mat", 2**31 - 1, 4)
    sparse_mat(folder / "both.mat", 2**30, 2**30)
    np.savez(
        folder / "matrix.npz",
        **{"format": b"coo", "shape": (2**40, 9), "data": np.ones(2)},
        **{"row": np.arange(2), "col": np.arange(2)},
    )


def error_of(path: pathlib.Path) -> str:
    """Return the name of the error that a file causes."""
    try:
        if ".mtx" in path.name or path.name == "matrix.npz":
            load_rows(path, n_features=9)
        else:
            load_data(path)
    except Exception as error:
        return type(error).__name__
    return "none"


def limit() -> None:
    """Leave little address space."""
    used = int(pathlib.Path("/proc/self/statm").read_text().split()[0])
    size = used * resource.getpagesize() + ROOM
    resource.setrlimit(resource.RLIMIT_AS, (size, size))


if __name__ == "__main__":
    warnings.simplefilter("ignore", UserWarning)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        write_bombs(folder)
        limit()
        print(json.dumps({path.name: error_of(path) for path in folder.iterdir()}))
