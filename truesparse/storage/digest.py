"""Digests of tensor files, which tell whether anything in a file has changed.

The metadata of a file begin with the entry ``digest``, 64 hexadecimal digits of blake2b
over

* the bytes of the file before the tensors, with zeros in place of the digits, and
* the blake2b digests of the bytes after them, in blocks of 16 MB.

So each byte counts, and blocks can be hashed side by side.
"""

import concurrent.futures
import contextlib
import functools
import hashlib
import json
import mmap
import os
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator

from truesparse.common.cores import usable_cores
from truesparse.errors import ModelFileError

KEY = "digest"
BLANK = "0" * 64
# How write_tensors begins the header, after the eight bytes of its length.
_PREFIX = json.dumps({"__metadata__": {KEY: BLANK}}).partition(BLANK)[0].encode()
_START = 8 + len(_PREFIX)
_END = _START + len(BLANK)
# Other bytes than those of _PREFIX are damage, if they are so few: without a digest
# another key stands there.
_MOST_WRONG = 2
_BLOCK = 1 << 24
_MOST_THREADS = 4
_ADVICE = (
    "use another copy of the file, or skip this check with verify=False or --no-verify"
)
# What to say of a file without one.
NONE = (
    "has no digest, so changes of its content would not be noticed; an earlier version "
    "or another program wrote it: save it again to add one"
)


def stamp(head: bytes, views: Iterable[memoryview]) -> bytes:
    """Return the start of a file, up to the tensors, with the digest filled in.

    Parameters
    ----------
    head : bytes
        The start, with `BLANK` as the metadata's first entry, `KEY`.
    views : iterable of memoryview
        The bytes of the tensors.
    """
    digits = _root(head, _blocks(views), threading.Semaphore(_MOST_THREADS))
    return head[:_START] + digits.encode() + head[_END:]


@contextlib.contextmanager
def verifying(path, wanted: bool = True) -> Iterator[None]:
    """Compare a file with its digest while the ``with`` statement reads it.

    The reader has a core to itself, as blake2b takes as long as it does: 0.23 s and
    0.19 s of a core for a model of 320 MB (AMD EPYC, 2026-11). A file without a digest
    is warned of.

    Parameters
    ----------
    path : str or path
    wanted : bool
        Whether to compare at all.

    Raises
    ------
    ModelFileError
        At the end, if the content of the file has changed since it was written, also
        in place of what its content made the body raise.
    """
    if not wanted:
        yield
        return
    gate = threading.Semaphore(max(_count_threads() - 1, 1))
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        verification = pool.submit(_verify, path, gate)
        try:
            yield
        except Exception:
            verification.result()
            raise
        finally:
            gate.release()  # the core of the reader
        if not verification.result():
            warn_of_none(path)


def warn_of_none(path) -> None:
    """Warn that a file has no digest."""
    warnings.warn(f"{path} {NONE}", UserWarning, stacklevel=5)


def verify(path) -> bool:
    """Compare a file with its digest; return whether it has one.

    Files of earlier versions and of other programs have none.

    Raises
    ------
    ModelFileError
        If the content of the file has changed since it was written, or it cannot be
        read.
    """
    return _verify(path, threading.Semaphore(_MOST_THREADS))


def is_intact(path) -> bool:
    """Whether a file can be read and its digest shows that it has not changed."""
    try:
        return verify(path)
    except ModelFileError:
        return False


def _verify(path, gate: threading.Semaphore) -> bool:
    """Compare a file with its digest; as many threads hash as pass the gate."""
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            first = file.read(_END)
            start = first[8:_START]
            if start != _PREFIX:
                n_wrong = sum(a != b for a, b in zip(start, _PREFIX, strict=False))
                if len(start) == len(_PREFIX) and n_wrong <= _MOST_WRONG:
                    raise ModelFileError(
                        f"the content of {path} has changed since it was written: "
                        f"where its digest should be stands something else; {_ADVICE}"
                    )
                return False
            expected = first[_START:]
            n_head = 8 + int.from_bytes(first[:8], "little")
            if n_head > size:
                raise ModelFileError(
                    f"cannot read model {path}: it is cut off after {size} bytes, in "
                    "its header"
                )
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                actual = _root_of_file(content, n_head, gate)
    except ModelFileError:
        raise
    except (OSError, ValueError) as error:
        raise ModelFileError(f"cannot read model {path}: {error}") from None
    if actual.encode() != expected:
        raise ModelFileError(
            f"the content of {path} has changed since it was written: its digest is "
            f"{actual[:12]}..., not {ascii(expected[:12])[2:-1]}...; {_ADVICE}"
        )
    return True


def _root_of_file(content: mmap.mmap, n_head: int, gate: threading.Semaphore) -> str:
    with memoryview(content) as view:
        head = view[:_START].tobytes() + BLANK.encode() + view[_END:n_head].tobytes()

        def let_go(number: int) -> None:
            # Pages that were read count as memory of the process until then.
            stop = (n_head + (number + 1) * _BLOCK) // mmap.PAGESIZE * mmap.PAGESIZE
            content.madvise(mmap.MADV_DONTNEED, 0, min(stop, len(content)))

        can_let_go = hasattr(mmap, "MADV_DONTNEED")  # not on Windows
        blocks = _blocks([view[n_head:]])
        return _root(head, blocks, gate, let_go if can_let_go else None)


def _root(
    head: bytes,
    blocks: Iterable[list[memoryview]],
    gate: threading.Semaphore,
    on_block: Callable[[int], None] | None = None,
) -> str:
    """Return the digest of a head and of what follows it.

    `on_block` is called with the number of each block that is done.
    """
    root = _hash()
    root.update(head)
    leaf_of = functools.partial(_leaf, gate)
    with concurrent.futures.ThreadPoolExecutor(_count_threads()) as pool:
        # Hashing lets go of the interpreter's lock.
        for number, leaf in enumerate(pool.map(leaf_of, blocks)):
            root.update(leaf)
            if on_block is not None:
                on_block(number)
    return root.hexdigest()


def _count_threads() -> int:
    return min(usable_cores() or 1, _MOST_THREADS)


def _hash():
    return hashlib.blake2b(digest_size=len(BLANK) // 2)


def _leaf(gate: threading.Semaphore, pieces: list[memoryview]) -> bytes:
    leaf = _hash()
    with gate:
        for piece in pieces:
            leaf.update(piece)
            piece.release()
    return leaf.digest()


def _blocks(views: Iterable[memoryview]) -> Iterator[list[memoryview]]:
    """Yield the bytes of views, one after another, as pieces of whole blocks."""
    pieces: list[memoryview] = []
    room = _BLOCK
    for view in views:
        while view:
            pieces.append(view[:room])
            view = view[room:]
            room -= len(pieces[-1])
            if room == 0:
                yield pieces
                pieces, room = [], _BLOCK
    if pieces:
        yield pieces
