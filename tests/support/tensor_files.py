"""Model files as tests change them: read whole, and written with a digest that fits."""

import json
import pathlib

import numpy as np
import safetensors.numpy

from truesparse.storage import digest


def read(path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Return the tensors and the metadata of a file."""
    with safetensors.safe_open(path, "numpy") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        metadata = dict(file.metadata() or {})
    metadata.pop(digest.KEY, None)
    return tensors, metadata


def write(path, tensors: dict[str, np.ndarray], metadata: dict[str, str]) -> None:
    """Write a file of any tensors, as write_tensors does of those it takes."""
    content = safetensors.numpy.save(tensors, metadata)
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    more = header.pop("__metadata__")
    entries = {"__metadata__": {digest.KEY: digest.BLANK, **more}, **header}
    text = json.dumps(entries).encode()
    head = len(text).to_bytes(8, "little") + text
    body = content[start:]
    pathlib.Path(path).write_bytes(digest.stamp(head, [memoryview(body)]) + body)


def restamp(path) -> None:
    """Give a file that was changed the digest that fits it."""
    content = pathlib.Path(path).read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    present = json.loads(content[8:start])["__metadata__"][digest.KEY].encode()
    content = content.replace(present, digest.BLANK.encode(), 1)
    head, body = content[:start], content[start:]
    pathlib.Path(path).write_bytes(digest.stamp(head, [memoryview(body)]) + body)
