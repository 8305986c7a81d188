"""Refusal of sources that would not fit in memory, before their arrays are made.

Linux grants memory until it is written to, so an allocation that is too large does not
fail: the process is killed later, without a message.
"""

import os
import zipfile
from pathlib import Path

import numpy as np

from truesparse.common.memory import require
from truesparse.datasets.named_arrays import Role, role_of
from truesparse.datasets.raw import DAMAGED
from truesparse.datasets.table_options import say
from truesparse.datasets.text_files import is_compressed
from truesparse.errors import MemoryLimitError

# Bytes of text that a byte of a compressed file stands for, or more.
_COMPRESSION = 4


def require_room_for_file(path: Path, dtype: np.dtype, memory: int) -> None:
    """Refuse a file whose arrays would not fit in memory.

    Parameters
    ----------
    path : Path
        File to load. One that does not exist passes; its reader reports that.
    dtype : dtype
        Type of the features when they are loaded.
    memory : int
        Bytes that may be used.

    Raises
    ------
    MemoryLimitError
        If loading would take more than `memory`.
    """
    if not os.path.isfile(path):
        return
    needed = loading_bytes(path, dtype)
    if needed > memory:
        raise MemoryLimitError(
            f"loading {path} takes about {needed / 1e9:.3g} GB, but only "
            f"{memory / 1e9:.3g} GB are left; give fewer rows, or store them in an "
            ".npz file as float32 or, if they are mostly zeros, as CSR"
        )


def require_room_for_scales(n_features: int, memory: int, name: str) -> None:
    """Refuse so many features that the scaler would not fit in memory.

    A sparse file with one absurd index is small, but its scaler is not.

    Raises
    ------
    MemoryLimitError
        If the scales of so many features would take more than `memory`.
    """
    # Largest values and scales, float64, and marks: see fit_scaler.
    needed = (8 + 8 + 1) * n_features
    if needed > memory:
        raise MemoryLimitError(
            f"{name} has {n_features:,} features, whose scales take {needed / 1e9:.3g} "
            f"GB, but only {memory / 1e9:.3g} GB are left; renumber the features "
            "without gaps, so that the largest index is their number"
        )


def require_room_for_rows(n_rows: int) -> None:
    """Refuse CSR of more rows than fit in memory: a few bytes may declare any number.

    Raises
    ------
    MemoryLimitError
        If the bounds of so many rows do not fit.
    """
    # Once in the matrix, once in the part that is taken of it.
    require(16 * n_rows, f"{n_rows:,} rows are declared; give fewer")


def require_room_for_encoding(
    shape: tuple[int, int], dtype: np.dtype, memory: int
) -> None:
    """Refuse categories that would become more features than fit in memory.

    Raises
    ------
    MemoryLimitError
        If features of this shape and `dtype` take more than `memory`.
    """
    needed = shape[0] * shape[1] * dtype.itemsize
    if needed > memory:
        raise MemoryLimitError(
            f"the categories of the table make {shape[1]:,} features, which take "
            f"{needed / 1e9:.3g} GB, but only {memory / 1e9:.3g} GB are left; number "
            f"them with {say('categorical', 'ordinal')}, or leave columns out with "
            "drop (--drop)"
        )


def loading_bytes(path: Path, dtype: np.dtype) -> int:
    """Return about how many bytes loading a file takes at its peak.

    The headers of an .npz file say how large the stored arrays are; beside them stand
    the features in the type they are scaled to, and the indices of CSR features, where
    rows are split; parts that are stored apart in that type are scaled in place. Other
    files count with their size, or that of the text that they compress, since
    a number takes about as many bytes as text as it does in memory. A file that cannot
    be read counts 0.
    """
    try:
        if path.suffix.lower() != ".npz":
            size = path.stat().st_size
            return size * _COMPRESSION if is_compressed(path) else size
        with zipfile.ZipFile(path) as archive:
            members = [m for m in archive.infolist() if m.filename.endswith(".npy")]
            stored = sum(member.file_size for member in members)
            features = [m for m in members if _is_features(m.filename)]
            has_test = any(_is_of_test(m.filename) for m in features)
            scaled = 0
            for member in features:
                source = _stored_dtype(archive, member)
                if not (has_test and source == dtype):
                    itemsize = max(source.itemsize, 1)
                    scaled += member.file_size // itemsize * dtype.itemsize
            if not has_test:
                scaled += sum(m.file_size for m in members if _is_indices(m.filename))
    except DAMAGED:
        # Its reader reports what is wrong with it.
        return 0
    return stored + scaled


def _is_features(filename: str) -> bool:
    role = _role_of_member(filename)
    return role is not None and role.is_features


def _is_indices(filename: str) -> bool:
    role = role_of(filename.removesuffix("_indices.npy"))
    return role is not None and role.is_features


def _is_of_test(filename: str) -> bool:
    role = _role_of_member(filename)
    return role is not None and role.part == "test"


def _role_of_member(filename: str) -> Role | None:
    """Return the role of an array, or of the values of a CSR matrix."""
    name = filename.removesuffix(".npy")
    return role_of(name) or role_of(name.removesuffix("_data"))


def _stored_dtype(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.dtype:
    with archive.open(member) as file:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0
        if version > (1, 0):
            read = np.lib.format.read_array_header_2_0
        _, _, stored = read(file)
    return stored
