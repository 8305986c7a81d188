"""Damage of files: seeded changes of bytes, of text and of what containers hold.

A mutation takes content and a `random.Random`, and returns other content. Mutations of
containers pack what they changed again, so that checksums are right and the readers
behind them see the damage.
"""

import io
import random
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Sequence

Mutation = Callable[[bytes, random.Random], bytes]

# Around the limits of 8, 16, 32 and 64 bits, and sizes whose products overflow.
NUMBERS = sorted(
    {sign * (1 << bits) + more for bits in (7, 8, 15, 16, 31, 32, 33, 40, 62, 63)
     for sign in (1, -1) for more in (-1, 0, 1)} | {0, 1, 2, 3, 4, 10_000_000}
)  # fmt: skip
WORDS = (
    *("", "nan", "inf", "-inf", "1e400", "1e-320", "1e30", "0x10", "1_000", "True"),
    *("-0", "\uff11", "1.2.3", "9" * 400, "null", "?", "''", "{}", "[]", "\x00"),
    *("\ufeff", '"', "'", '"""', "\\", "\r", "\x1a", "=1+1", "@SUM(A1)", "\u202e"),
    *("<script>alert(1)</script>", "__import__('os').system('true')", "#", "%", ":"),
)
_DIGITS = re.compile(rb"-?\d+")
_STRUCTURE = b",;:\t \n\r\"'{}[]()=.#%@-+e"


def flip_bits(content: bytes, draw: random.Random) -> bytes:
    """Flip one to eight bits."""
    changed = bytearray(content)
    for _ in range(draw.randint(1, 8)):
        changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
    return bytes(changed)


def zero_range(content: bytes, draw: random.Random) -> bytes:
    """Set a range to zeros."""
    start, stop = _range(content, draw)
    return content[:start] + bytes(stop - start) + content[stop:]


def repeat_range(content: bytes, draw: random.Random) -> bytes:
    """Write a range over another one, or once more behind itself."""
    start, stop = _range(content, draw)
    piece = content[start:stop]
    if draw.random() < 0.3:
        return content[:stop] + piece + content[stop:]
    place = draw.randrange(len(content) - len(piece) + 1)
    return content[:place] + piece + content[place + len(piece) :]


def drop_range(content: bytes, draw: random.Random) -> bytes:
    """Leave a range out."""
    start, stop = _range(content, draw)
    return content[:start] + content[stop:]


def cut(content: bytes, draw: random.Random) -> bytes:
    """Cut the end off."""
    return content[: draw.randrange(len(content))]


def write_number(content: bytes, draw: random.Random) -> bytes:
    """Write a binary number over bytes, mostly of the beginning or the end."""
    size = draw.choice((1, 2, 4, 8))
    number = draw.choice(NUMBERS) % (1 << 8 * size)
    piece = number.to_bytes(size, draw.choice(("little", "big")))
    n_places = max(len(content) - size, 1)
    near = min(draw.randrange(256), n_places - 1)
    place = draw.choice((near, n_places - 1 - near, draw.randrange(n_places)))
    return content[:place] + piece + content[place + size :]


def change_number(content: bytes, draw: random.Random) -> bytes:
    """Write another number in place of one in a text, or in a header of text."""
    places = list(_DIGITS.finditer(content))
    if not places:
        return flip_bits(content, draw)
    # Headers are in the beginning.
    place = draw.choice(draw.choice((places[:20], places)))
    text = str(draw.choice(NUMBERS)).encode()
    return content[: place.start()] + text + content[place.end() :]


def write_word(content: bytes, draw: random.Random) -> bytes:
    """Insert a word with a meaning for some reader, or put it in place of a number."""
    word = draw.choice(WORDS).encode()
    if draw.random() < 0.5:
        start = stop = draw.randrange(len(content) + 1)
    else:
        start, stop = draw.choice(
            [place.span() for place in _DIGITS.finditer(content)] or [(0, 0)]
        )
    return content[:start] + word + content[stop:]


def change_structure(content: bytes, draw: random.Random) -> bytes:
    """Put a sign that divides a text in place of another one."""
    places = [i for i, byte in enumerate(content) if byte in _STRUCTURE]
    if not places:
        return flip_bits(content, draw)
    place = draw.choice(places)
    return content[:place] + bytes([draw.choice(_STRUCTURE)]) + content[place + 1 :]


def change_lines(content: bytes, draw: random.Random) -> bytes:
    """Leave out, double, exchange or join lines."""
    lines = content.splitlines(keepends=True)
    i, j = (draw.randrange(len(lines)) for _ in range(2))
    match draw.randrange(4):
        case 0:
            del lines[i]
        case 1:
            lines.insert(j, lines[i])
        case 2:
            lines[i], lines[j] = lines[j], lines[i]
        case _:
            lines[i] = lines[i].rstrip(b"\r\n")
    return b"".join(lines)


def _range(content: bytes, draw: random.Random) -> tuple[int, int]:
    """Return the bounds of a range of 1 byte to a quarter of the content."""
    size = draw.choice((1, 4, 16, 64, max(len(content) // 4, 1)))
    size = min(size, len(content))
    start = draw.randrange(len(content) - size + 1)
    return start, start + size


BINARY: tuple[Mutation, ...] = (
    *(flip_bits, zero_range, repeat_range, drop_range, cut),
    *(write_number, change_number),
)
TEXT: tuple[Mutation, ...] = (
    *(*BINARY[:5], change_number, write_word, write_word),
    *(change_structure, change_structure, change_lines, change_lines),
)


def in_members(mutations: Sequence[Mutation]) -> Mutation:
    """Return a mutation of a member of a .zip archive, which is then packed again."""

    def mutate(content: bytes, draw: random.Random) -> bytes:
        members = unpack_zip(content)
        name = draw.choice(list(members))
        members[name] = draw.choice(mutations)(members[name], draw)
        if draw.random() < 0.1:
            members[draw.choice(WORDS) or "x"] = members.pop(name)
        return pack_zip(members, draw.choice((True, False)))

    return mutate


def unpack_zip(content: bytes) -> dict[str, bytes]:
    """Return the members of an archive."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def pack_zip(members: dict[str, bytes], deflated: bool) -> bytes:
    """Return an archive."""
    file = io.BytesIO()
    kind = zipfile.ZIP_DEFLATED if deflated else zipfile.ZIP_STORED
    with zipfile.ZipFile(file, "w", kind) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return file.getvalue()


def in_elements(mutations: Sequence[Mutation]) -> Mutation:
    """Return a mutation of what a deflated element of a .mat file of level 5 holds."""

    def mutate(content: bytes, draw: random.Random) -> bytes:
        head, rest, elements = content[:128], content[128:], []
        while len(rest) >= 8:
            kind, size = struct.unpack("<II", rest[:8])
            elements.append((kind, rest[8 : 8 + size]))
            rest = rest[8 + size :]
        i = draw.randrange(len(elements))
        kind, data = elements[i]
        data = draw.choice(mutations)(zlib.decompress(data), draw)
        elements[i] = kind, zlib.compress(data)
        packed = (struct.pack("<II", kind, len(data)) + data for kind, data in elements)
        return head + b"".join(packed)

    return mutate


def packed(
    mutations: Sequence[Mutation],
    unpack: Callable[[bytes], bytes],
    pack: Callable[[bytes], bytes],
) -> Mutation:
    """Return a mutation of what is compressed, or given a digest, as a whole."""

    def mutate(content: bytes, draw: random.Random) -> bytes:
        return pack(draw.choice(mutations)(unpack(content), draw))

    return mutate
