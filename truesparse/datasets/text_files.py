"""Text files as they lie on a disk: compressed or not, in whatever encoding.

A megabyte of compressed text may stand for many gigabytes, and two bytes of text for a
number of eight. So memory is watched while text is read.
"""

import bz2
import csv
import gzip
import io
import lzma
import zlib
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from truesparse.common import memory
from truesparse.errors import DataError

COMPRESSED = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
# What reading a damaged or foreign file can raise.
BROKEN = (OSError, EOFError, UnicodeError, csv.Error, lzma.LZMAError, zlib.error)
# Bytes of text between two looks at the memory, and what they may become until then:
# where a reader keeps the cells of rows in lists, sixty times as much.
_STRIDE = 1 << 22
_ROOM = 64 * _STRIDE


def ending_of(path: Path) -> str:
    """Return the ending of a file's name, without that of its compression.

    Examples
    --------
    >>> from pathlib import Path
    >>> from truesparse.datasets.text_files import ending_of
    >>> [ending_of(Path(name)) for name in ("a.CSV", "a.svm.bz2", "a9a")]
    ['.csv', '.svm', '']
    """
    return (Path(path.stem) if is_compressed(path) else path).suffix.lower()


def is_compressed(path: Path) -> bool:
    """Whether the name of a file says that it is compressed."""
    return path.suffix.lower() in COMPRESSED


def open_text(path: Path, encoding: str) -> TextIO:
    """Open a text file, compressed or not.

    Reading raises MemoryLimitError where memory ends.
    """
    return io.TextIOWrapper(_open(path), encoding=encoding, newline="")


def open_bytes(path: Path) -> BinaryIO:
    """Open a file, compressed or not, after its byte order mark; see open_text."""
    file = _open(path)
    if file.read(3) != b"\xef\xbb\xbf":
        file.seek(0)
    return file


def _open(path: Path) -> io.BufferedReader:
    opener: Any = COMPRESSED.get(path.suffix.lower(), open)
    return io.BufferedReader(_Watched(opener(path, "rb")), 1 << 17)


class _Watched(io.RawIOBase):
    """A file whose reader stops before memory is full."""

    def __init__(self, file: Any):
        self._file, self._count = file, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def readinto(self, buffer: Any) -> int:
        n_read = self._file.readinto(buffer)
        self._count += n_read
        if self._count >= _STRIDE:
            self._count = 0
            memory.require(_ROOM, "give fewer rows, or store them as .npz or .parquet")
        return n_read

    def close(self) -> None:
        self._file.close()
        super().close()


def encoding_of(path: Path) -> str:
    """Return UTF-8, or what a byte order mark says.

    Raises
    ------
    DataError
        If the file is binary, or cannot be decompressed.
    """
    opener: Any = COMPRESSED.get(path.suffix.lower(), open)
    try:
        with opener(path, "rb") as file:
            mark = file.read(1024)
    except BROKEN as error:
        raise DataError(f"cannot read {path}: {error}") from error
    if mark[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "utf-16"
    if b"\0" in mark:
        raise DataError(f"cannot read {path} as a text table: it is a binary file")
    return "utf-8-sig"
