"""HDF5 files, which .h5ad and version 7.3 of .mat are; h5py is an extra.

An HDF5 file can name other files, plugins, and arrays far larger than itself. What lies
in the file itself is read, in a layout whose sizes agree; all else is refused unread.
"""

import contextlib
import math
import os
import zlib
from collections.abc import Iterator
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from truesparse.common import memory
from truesparse.common.checks import check_compressed, import_extra
from truesparse.datasets.raw import first_line
from truesparse.datasets.room import require_room_for_rows
from truesparse.errors import DataError, MemoryLimitError, UsageError

# How a heap of text begins: signature, version, and zeros.
_HEAP = b"GCOL\1\0\0\0"
# How text of any length is stored: how long it is, and its heap and number there.
_REFERENCE = np.dtype([("length", "<u4"), ("heap", "<u8"), ("number", "<u4")])
# Filters of chunks that are read, by their number in HDF5. For others libhdf5 would
# look for a plugin, or has code that few files need.
_SHUFFLE, _CHECKSUM, _DEFLATE, _LZF = 2, 3, 1, 32000
# Bytes that a stored byte can become, at most: 258 for two bits, 264 for three bytes.
_RATIOS = {_DEFLATE: 1032, _LZF: 88}
_CHECKSUM_BYTES = 4
# A chunk that cannot become more is unpacked without a look at it before.
_SMALL = 1 << 28
_STEP = 1 << 24  # bytes that are unpacked at a time to count them


@contextlib.contextmanager
def open_hdf5(path: Path, kind: str) -> Iterator[Any]:
    """Open an HDF5 file to read it in a ``with`` statement.

    Parameters
    ----------
    path : Path
    kind : str
        What the file is, for messages.

    Raises
    ------
    DataError
        If the file is damaged or not laid out as it is read.
    UsageError
        If h5py is not installed.
    """
    h5py = import_extra("h5py", f"{path}: {kind} needs h5py", "formats")
    try:
        _check_heaps(path)
        with h5py.File(path, "r") as file:
            yield file
    except (DataError, MemoryLimitError, UsageError):
        raise
    except Exception as error:
        # A damaged file can raise any error.
        raise DataError(
            f"cannot read {path} as {kind}: {first_line(error)}; the file seems to be "
            "damaged or of another format"
        ) from error


def _check_heaps(path: Path) -> None:
    """Raise if text of any length lies in heaps whose objects do not follow each other.

    libhdf5 would never end to read one with an object of no bytes (1.14, 2026-11). A
    heap is the signature, its size, and objects: number, count, size, and the bytes,
    padded to eight; number 0 is the free rest, whose size counts its own 16 bytes.
    Sizes have 8 bytes in files of all known writers.
    """
    with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as content:
        start = content.find(_HEAP)
        while start >= 0:
            place = start + 16
            end = start + _number(content, start + 8, 8)
            if not place <= end <= len(content):
                raise ValueError(f"the heap at byte {start} has no valid size")
            while end - place >= 16:
                size = _number(content, place + 8, 8)
                if _number(content, place, 2) > 0:
                    size += 16 + -size % 8
                if not 16 <= size <= end - place:
                    raise ValueError(
                        f"in the heap at byte {start} an object is damaged"
                    )
                place += size
            start = content.find(_HEAP, max(place, start + 16))


def _number(content: Any, place: int, size: int) -> int:
    return int.from_bytes(content[place : place + size], "little")


def member(group: Any, name: str) -> Any:
    """Return what a group holds under a name, as long as it is in the same file.

    Raises
    ------
    ValueError
        If the name stands for a path, which may lead to another file.
    """
    import h5py

    for part in name.split("/"):
        if not isinstance(group.get(part, getlink=True), h5py.HardLink | None):
            raise ValueError(f"{name!r} is the name of something that lies elsewhere")
        group = group[part]
    return group


def read_whole(stored: Any, *, as_text: bool = False) -> np.ndarray:
    """Return a stored array, (*shape), as it is or with its bytes as text.

    Raises
    ------
    ValueError
        If it holds neither numbers nor, where that is wanted, text; or if its data lie
        in another file, need a plugin, or unpack to more than its shape says.
    MemoryLimitError
        If it does not fit in memory: a few bytes of a file may declare any shape.
    """
    if stored.dtype.kind not in ("OS" if as_text else "biuf"):
        raise ValueError(f"{stored.name} holds {stored.dtype} values")
    memory.require(stored.nbytes, "the file declares an array of that size")
    _check_layout(stored)
    array: np.ndarray = (stored.asstr() if as_text else stored)[()]
    return array


def _check_layout(stored: Any) -> None:
    """Raise unless libhdf5 reads an array from this file and within its size."""
    layout = stored.id.get_create_plist()
    if stored.is_virtual or layout.get_external_count():
        raise ValueError(f"the values of {stored.name} lie in another file")
    if stored.chunks is None:
        _check_text(stored)
        return
    filters = [layout.get_filter(i)[0] for i in range(layout.get_nfilters())]
    packers = [number for number in filters if number in _RATIOS]
    other = sorted({*filters} - {_SHUFFLE, _CHECKSUM, *_RATIOS})
    if other or len(packers) > 1:
        raise ValueError(
            f"{stored.name} is packed with HDF5's filters {other or packers}; pack it "
            "with gzip, or not at all"
        )
    size = math.prod(stored.chunks) * stored.id.get_type().get_size()
    memory.require(size, "the file declares chunks of that size")
    chunks = _chunks(stored, size, filters)
    if packers:
        _check_packed(stored, chunks, filters.index(packers[0]), packers[0], size)


def _chunks(stored: Any, size: int, filters: list[int]) -> list[Any]:
    """Return where the chunks are, if they are as long as they can be.

    libhdf5 reads outside of a chunk that is shorter than its checksum (1.14, 2026-11).
    """
    chunks: list[Any] = []
    stored.id.chunk_iter(chunks.append)
    n_bytes = os.path.getsize(stored.file.filename)
    least = _CHECKSUM_BYTES * (_CHECKSUM in filters) + 1 if filters else size
    for chunk in chunks:
        if not least <= chunk.size <= n_bytes - chunk.byte_offset:
            raise ValueError(f"a chunk of {stored.name} has {chunk.size:,} bytes")
    return chunks


def _check_text(stored: Any) -> None:
    """Raise if text claims to be longer than the file; libhdf5 takes memory for it."""
    kind, start = stored.id.get_type(), stored.id.get_offset()
    is_text = hasattr(kind, "is_variable_str") and kind.is_variable_str()
    if start is None or not is_text:
        return  # nothing is stored, or numbers, or text of one length
    path = stored.file.filename
    with open(path, "rb") as file:
        file.seek(start)
        lengths = np.fromfile(file, _REFERENCE, stored.size)["length"]
        n_bytes = file.seek(0, os.SEEK_END)
    if lengths.max(initial=0) > n_bytes:
        raise ValueError(f"a text of {stored.name} claims {lengths.max():,} bytes")
    memory.require(3 * int(lengths.sum(dtype="u8")), "the file declares so long text")


def _check_packed(
    stored: Any, chunks: list[Any], place: int, packer: int, size: int
) -> None:
    """Raise if a chunk unpacks to more than its size; libhdf5 believes the stream.

    Parameters
    ----------
    stored : h5py.Dataset
    chunks : list of h5py.h5d.StoreInfo
    place, packer : int
        Which of the filters packs, and its number in HDF5.
    size : int
        Bytes of a chunk.
    """
    for chunk in chunks:
        is_packed = not chunk.filter_mask & (1 << place)
        most = _RATIOS[packer] * chunk.size
        if not is_packed or most <= max(_SMALL, size):
            continue
        if packer == _LZF:
            memory.require(most, "a chunk may become as large")
            continue
        stream, count = zlib.decompressobj(), 0
        rest = stored.id.read_direct_chunk(chunk.chunk_offset)[1]
        while rest and not stream.eof:
            count += len(stream.decompress(rest, _STEP))
            rest = stream.unconsumed_tail
            if count > size + _CHECKSUM_BYTES:
                raise ValueError(
                    f"a chunk of {stored.name} unpacks to more than its {size} bytes"
                )


def compressed_matrix(
    group: Any, indices: str, shape: tuple[int, int], by_rows: bool
) -> sparse.csr_array | sparse.csc_array:
    """Return a matrix that is stored as compressed rows or columns.

    Parameters
    ----------
    group : h5py.Group
        Holds `data`, the indices, and the bounds: `indptr`, or MATLAB's `jc`.
    indices : str
        Name of the indices.
    shape : tuple of int
    by_rows : bool
        Whether rows are compressed.

    Raises
    ------
    ValueError
        If the arrays do not belong together.
    """
    require_room_for_rows(shape[0])
    bounds = read_whole(member(group, "indptr" if "indptr" in group else "jc"))
    # MATLAB leaves both out where no value is stored.
    values, numbers = (
        read_whole(member(group, name)) if name in group else np.zeros(0)
        for name in ("data", indices)
    )
    n_stored = int(bounds[-1]) if bounds.size else 0
    # MATLAB may leave room behind the values, but stores no room alone. Bounds of which
    # a chunk is lost are zeros.
    has_room = "jc" in group and 0 < n_stored < min(values.size, numbers.size)
    if not (values.size == numbers.size == n_stored or has_room):
        raise ValueError(
            f"{group.name} has {values.size} values and {numbers.size} {indices}, but "
            f"its bounds end at {n_stored}; write them again, pruned"
        )
    kind = sparse.csr_array if by_rows else sparse.csc_array
    matrix = kind((values, numbers.astype("i8"), bounds.astype("i8")), shape=shape)
    check_compressed(matrix)
    return matrix
