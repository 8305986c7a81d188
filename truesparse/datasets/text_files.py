"""Text files as they lie on a disk: compressed or not, in whatever encoding."""

import bz2
import csv
import gzip
import lzma
import zlib
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from truesparse.errors import DataError

COMPRESSED = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
# What reading a damaged or foreign file can raise.
BROKEN = (OSError, EOFError, UnicodeError, csv.Error, lzma.LZMAError, zlib.error)


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
    """Open a text file, compressed or not."""
    opener: Any = COMPRESSED.get(path.suffix.lower(), open)
    return opener(path, "rt", encoding=encoding, newline="")


def open_bytes(path: Path) -> BinaryIO:
    """Open a file, compressed or not, after its byte order mark."""
    opener: Any = COMPRESSED.get(path.suffix.lower(), open)
    file = opener(path, "rb")
    if file.read(3) != b"\xef\xbb\xbf":
        file.seek(0)
    return file


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
