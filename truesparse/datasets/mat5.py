"""MATLAB's .mat files of level 5, which MATLAB 5 to 7 write: numbers and text.

scipy's reader of this level ends the process on some damaged files (1.17, 2026-11), so
this one checks every size before it uses it. The format is that of "MAT-File Format"
(MathWorks): a header of 128 bytes, then elements of a type, a length and as many bytes,
some of them deflated; a matrix is an element of elements.
"""

import itertools
import math
import zlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from scipy import sparse

from truesparse.common import memory
from truesparse.common.checks import check_compressed

_HEADER = 128
_MATRIX, _DEFLATED = 14, 15
# Types of elements.
_NUMBERS = {
    **{1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4"},
    **{7: "f4", 9: "f8", 12: "i8", 13: "u8"},
}
_TEXT = {16: "utf-8", 17: "utf-16", 18: "utf-32"}
# Classes of matrices.
_CLASSES = {
    **{1: "cell", 2: "struct", 3: "object", 4: "char", 5: "sparse"},
    **{6: "double", 7: "single", 8: "int8", 9: "uint8", 10: "int16", 11: "uint16"},
    **{12: "int32", 13: "uint32", 14: "int64", 15: "uint64"},
    **{16: "function", 17: "opaque"},
}
_LOGICAL, _COMPLEX = 0x0200, 0x0800
# Flags, dimensions and name of a matrix lie within as many bytes.
_MOST_DESCRIPTION = 1 << 12


class _Element(NamedTuple):
    type: int
    data: memoryview
    end: int  # where the next one begins


class _Matrix(NamedTuple):
    """What the beginning of a matrix says, and where its parts begin."""

    name: str
    kind: str
    shape: tuple[int, ...]
    is_logical: bool
    is_complex: bool
    start: int


def is_mat5(start: bytes) -> bool:
    """Whether a file that begins so is of this level."""
    # In files of level 4 one of the first four bytes is zero.
    return 0 not in start[:4] and start[124:128] in (b"\x00\x01IM", b"\x01\x00MI")


class Mat5File:
    """The matrices of a file, which are read one by one.

    Parameters
    ----------
    content : bytes
        The whole file, or a view of it.

    Attributes
    ----------
    kinds : dict of str to str
        The kind of each matrix as MATLAB calls it, by its name.

    Raises
    ------
    ValueError
        Here and in `read`, if sizes contradict each other or a type is unknown.
    """

    def __init__(self, content: bytes):
        self._order = "<" if content[126:128] == b"IM" else ">"
        self._places: dict[str, _Element] = {}
        self.kinds: dict[str, str] = {}
        for element in self._elements(memoryview(content)[_HEADER:]):
            if element.type not in (_MATRIX, _DEFLATED):
                raise ValueError(f"an element of type {element.type} is no matrix")
            matrix = self._describe(self._inflate(element, _MOST_DESCRIPTION))
            if matrix.name:  # others belong to objects
                self._places[matrix.name] = element
                self.kinds[matrix.name] = matrix.kind

    def read(self, name: str) -> np.ndarray | sparse.csc_array:
        """Return a matrix of numbers, a sparse one, or (n_rows,) text."""
        data = self._inflate(self._places[name])
        matrix = self._describe(data)
        parts = list(self._elements(data[matrix.start :]))
        if matrix.kind == "sparse":
            return self._sparse(matrix, parts)
        size = math.prod(matrix.shape)
        if matrix.kind == "char":
            return _lines(self._characters(parts[0], size), matrix.shape)
        values = self._numbers(parts[0], size)
        if matrix.is_complex:
            values = values + 1j * self._numbers(parts[1], size)
        elif matrix.is_logical:
            if values.size and not np.isin(values, (0, 1)).all():
                raise ValueError(f"{name} is logical, but not of zeros and ones")
        else:
            # Doubles lie in the smallest type that holds them.
            values = values.astype(matrix.kind)
        return values.reshape(matrix.shape, order="F")

    def _elements(self, data: memoryview) -> Iterator[_Element]:
        """Yield the elements that lie one after another."""
        place = 0
        while place + 8 <= len(data):
            kind, size = (int(n) for n in np.frombuffer(data[place:][:8], self._u4))
            if kind >> 16:  # a small one: type, length and four bytes of data
                kind, size, start = kind & 0xFFFF, kind >> 16, place + 4
                end = place + 8
                if size > 4:
                    raise ValueError(f"an element of 4 bytes claims {size}")
            else:
                start = place + 8
                end = start + size
                if kind != _DEFLATED:
                    end += -size % 8
            if start + size > len(data):
                raise ValueError(
                    f"an element of {size} bytes lies in {len(data) - start}"
                )
            yield _Element(kind, data[start : start + size], end)
            place = end
        if place < len(data):
            raise ValueError(f"the last {len(data) - place} bytes are no element")

    @property
    def _u4(self) -> str:
        return f"{self._order}u4"

    def _inflate(self, element: _Element, most: int | None = None) -> memoryview:
        """Return what a matrix consists of, or its first bytes."""
        if element.type == _MATRIX:
            return element.data[:most]
        stream = zlib.decompressobj()
        tag = stream.decompress(element.data, 8)
        if len(tag) < 8:
            raise ValueError("a deflated element is cut off")
        kind, size = (int(n) for n in np.frombuffer(tag, self._u4))
        if kind != _MATRIX:
            raise ValueError(f"a deflated element has type {kind}, not {_MATRIX}")
        if most is None:
            memory.require(size)
        wanted = size if most is None else min(size, most)
        data = stream.decompress(stream.unconsumed_tail, wanted) if wanted else b""
        if len(data) < wanted:
            raise ValueError(f"{len(data)} of {size} deflated bytes are there")
        # Only at its end the stream compares its checksum.
        if most is None and (
            stream.decompress(stream.unconsumed_tail, 1) or not stream.eof
        ):
            raise ValueError(f"a deflated element does not end after {size} bytes")
        return memoryview(data)

    def _describe(self, data: memoryview) -> _Matrix:
        """Return what the first elements of a matrix say; others may be cut off."""
        first = itertools.islice(self._elements(data), 3)
        flags, shape, *name = first
        bits = int(self._numbers(flags, 2)[0])
        kind = _CLASSES.get(bits & 0xFF)
        if kind is None:
            raise ValueError(f"a matrix has class {bits & 0xFF}")
        if kind == "opaque":  # without dimensions
            return _Matrix(_text(shape), kind, (), False, False, shape.end)
        sizes = tuple(self._numbers(shape).tolist())
        if len(sizes) < 2 or min(sizes) < 0:
            raise ValueError(f"a matrix has dimensions {sizes}")
        is_logical = bool(bits & _LOGICAL)
        if is_logical and kind != "sparse":
            kind = "logical"
        is_complex = bool(bits & _COMPLEX)
        return _Matrix(_text(name[0]), kind, sizes, is_logical, is_complex, name[0].end)

    def _numbers(self, element: _Element, size: int | None = None) -> np.ndarray:
        """Return the numbers of an element, of which there must be `size`."""
        if element.type not in _NUMBERS:
            raise ValueError(f"numbers have type {element.type}")
        dtype = np.dtype(self._order + _NUMBERS[element.type])
        values = np.frombuffer(element.data, dtype)
        if size is not None and values.size != size:
            raise ValueError(f"{values.size} numbers, not {size}, are there")
        return values.astype(dtype.newbyteorder("="))

    def _characters(self, element: _Element, size: int) -> np.ndarray:
        """Return characters one by one."""
        if element.type in _TEXT:
            ending = "" if element.type == 16 else ("-le", "-be")[self._order == ">"]
            text = bytes(element.data).decode(_TEXT[element.type] + ending)
        else:
            text = "".join(map(chr, self._numbers(element).tolist()))
        if len(text) != size:
            raise ValueError(f"{len(text)} characters, not {size}, are there")
        return np.array(list(text), dtype="U1")

    def _sparse(self, matrix: _Matrix, parts: list[_Element]) -> sparse.csc_array:
        n_rows, n_columns = matrix.shape
        rows, starts = self._numbers(parts[0]), self._numbers(parts[1], n_columns + 1)
        values = self._numbers(parts[2])
        if matrix.is_complex:
            values = values + 1j * self._numbers(parts[3], values.size)
        nnz = int(starts[-1])
        if not 0 <= nnz <= min(rows.size, values.size):
            raise ValueError(f"a sparse matrix has {rows.size} of {nnz} entries")
        values = (
            values[:nnz]
            if matrix.is_logical
            else values[:nnz].astype(float, copy=False)
        )
        csc = values[:nnz], rows[:nnz], starts
        array = sparse.csc_array(csc, shape=(n_rows, n_columns))
        check_compressed(array)
        return array


def _text(element: _Element) -> str:
    """Return a name."""
    if element.type != 1:
        raise ValueError(f"a name has type {element.type}")
    return bytes(element.data).decode("latin-1")


def _lines(characters: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return the rows of a matrix of characters as text."""
    if len(shape) != 2:
        raise ValueError(f"text has dimensions {shape}")
    rows = characters.reshape(shape, order="F")
    return np.array(["".join(row) for row in rows.tolist()], dtype=str)
