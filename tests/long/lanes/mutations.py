"""Damaged models, condensed models and checkpoints: none is read without a word."""

import functools
import pathlib
import tempfile
import warnings

import numpy as np

from tests.long.registry import Figures, lane
from truesparse import SparseMLP, Trainer, checkpoint, load, save
from truesparse.callbacks import Checkpoint
from truesparse.condensed import CondensedMLP
from truesparse.errors import ModelFileError
from truesparse.topology import UpdateSchedule, make

READERS = {
    "model": load,
    "checkpoint": checkpoint.read,
    "condensed": CondensedMLP.load,
}


@functools.cache
def originals() -> dict[str, bytes]:
    """Return the content of a small file of each kind."""
    draw = np.random.default_rng(0)
    X = draw.standard_normal((40, 12)).astype(np.float32)
    model = SparseMLP([12, 30, 20, 3], epsilon=3, seed=1, activation="srelu")
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        callbacks = [Checkpoint(folder / "checkpoint", every=1)]
        rigl = make("rigl", schedule=UpdateSchedule(1, "step"))
        settings = {"optimizer": "adam", "topology": rigl, "epochs": 2}
        Trainer(model, callbacks=callbacks, **settings).fit(X, np.arange(40) % 3)
        save(model, folder / "model", config="epochs = 2")
        CondensedMLP.from_model(model).save(folder / "condensed")
        return {kind: (folder / kind).read_bytes() for kind in READERS}


def _flip(content: bytearray, draw) -> str:
    place, bit = draw.integers(len(content)), draw.integers(8)
    content[place] ^= 1 << bit
    return f"bit {bit} of byte {place} flipped"


def _span(content: bytearray, draw) -> tuple[int, int]:
    start = int(draw.integers(len(content)))
    return start, min(start + int(2 ** draw.uniform(0, 10)), len(content))


def _zero(content: bytearray, draw) -> str:
    start, end = _span(content, draw)
    content[start:end] = bytes(end - start)
    return f"bytes {start} to {end} set to 0"


def _repeat(content: bytearray, draw) -> str:
    start, end = _span(content, draw)
    source = int(draw.integers(len(content) - (end - start) + 1))
    content[start:end] = content[source : source + end - start]
    return f"bytes {start} to {end} copied from {source}"


def _cut(content: bytearray, draw) -> str:
    size = int(draw.integers(len(content)))
    del content[size:]
    return f"cut off after {size} bytes"


def _insert(content: bytearray, draw) -> str:
    place, extra = int(draw.integers(len(content) + 1)), draw.bytes(draw.integers(1, 9))
    content[place:place] = extra
    return f"{extra.hex()} inserted at {place}"


def _renumber(content: bytearray, draw) -> str:
    n_head = 8 + int.from_bytes(content[:8], "little")
    digits = [i for i in range(8, n_head) if chr(content[i]).isdigit()]
    place = int(draw.choice(digits))
    content[place] = ord(str(draw.integers(10)))
    return f"digit at {place} of the header is {chr(content[place])}"


MUTATIONS = (_flip, _zero, _repeat, _cut, _insert, _renumber)


@lane(
    "mutations",
    "a change of a model, condensed model or checkpoint is noticed",
    batch=5000,
    test="pytest tests/storage/test_digest.py tests/storage/test_mutations.py",
)
def mutate(seed: int, count: int) -> Figures:
    """Read damaged files; each must be refused, or warned of if its digest is gone."""
    figures, draw = Figures(), np.random.default_rng([seed, 1])
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "file")
        for case in range(count):
            kind = list(READERS)[case % len(READERS)]
            original = originals()[kind]
            content = bytearray(original)
            how = MUTATIONS[draw.integers(len(MUTATIONS))](content, draw)
            if content == original:
                figures.add("unchanged")
                continue
            path.write_bytes(content)
            said = _read(kind, path)
            if said in ("refused", "warned of"):
                figures.add(said)
            else:
                figures.fail(f"{kind}, {how} (seed {seed}, case {case}): {said}")
    return figures


def _read(kind: str, path: pathlib.Path) -> str:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            READERS[kind](path)
        except ModelFileError:
            return "refused"
        except Exception as error:
            return f"raised {error!r}"
    if any("has no digest" in str(each.message) for each in caught):
        return "warned of"
    return "read in silence"
