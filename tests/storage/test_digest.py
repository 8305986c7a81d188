"""Digests: any change of a file is noticed, wherever it is."""

import hashlib
import itertools
import json
import os
import threading
import time
import warnings

import numpy as np
import pytest
import safetensors.numpy
from support import tensor_files

from truesparse import SparseMLP, checkpoint, load, load_predictor, save
from truesparse.callbacks import Checkpoint
from truesparse.condensed import CondensedMLP
from truesparse.errors import ModelFileError
from truesparse.storage import digest, models
from truesparse.training.trainer import Trainer


@pytest.fixture(scope="module")
def model():
    return SparseMLP([6, 8, 3], density=0.5, seed=3)


@pytest.fixture
def path(model, tmp_path):
    return save(model, tmp_path / "m", config="epochs = 3")


def naive_digest(content):
    """Return the digest as the module's docstring defines it."""
    n_head = 8 + int.from_bytes(content[:8], "little")
    entry = json.dumps({digest.KEY: ""})[:-2].encode()  # as in the header
    start = content.index(entry) + len(entry)
    head = content[:start] + b"0" * 64 + content[start + 64 : n_head]
    leaves = b""
    for block in range(n_head, len(content), 1 << 24):
        part = content[block : block + (1 << 24)]
        leaves += hashlib.blake2b(part, digest_size=32).digest()
    return hashlib.blake2b(head + leaves, digest_size=32).hexdigest()


def test_it_is_what_the_module_says(path):
    content = path.read_bytes()
    with safetensors.safe_open(path, "numpy") as file:
        assert file.metadata()["digest"] == naive_digest(content)


def test_blocks_go_on_from_one_tensor_to_the_next(tmp_path, monkeypatch):
    monkeypatch.setattr(digest, "_BLOCK", 100)
    draw = np.random.default_rng(0)
    body = draw.bytes(1037)
    cuts = [0, 3, 3, 99, 100, 350, 1037]
    pieces = [memoryview(body[a:b]) for a, b in itertools.pairwise(cuts)]
    whole = [b"".join(block) for block in digest._blocks(pieces)]
    assert whole == [body[start : start + 100] for start in range(0, 1037, 100)]


def test_a_change_of_any_byte_is_noticed(path, tmp_path):
    content = path.read_bytes()
    other = tmp_path / "other"
    silent = []
    for place in range(len(content)):
        changed = bytearray(content)
        changed[place] ^= 1 << place % 8
        other.write_bytes(changed)
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # a file without a digest is warned of
            try:
                load(other)
            except (ModelFileError, UserWarning):
                continue
        silent.append(place)
    assert not silent


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:-4],
        lambda content: content + b"\0",
        lambda content: content[:-40] + bytes(40),
        lambda content: content[:-40] + content[-80:-40],
        lambda content: content.replace(b'"step\\": 0', b'"step\\": 7'),
    ],
    ids=["cut", "longer", "zeros", "repeated", "step"],
)
def test_damage_is_refused(damage, path):
    content = path.read_bytes()
    changed = damage(content)
    assert changed != content
    path.write_bytes(changed)
    with pytest.raises(ModelFileError, match="has changed since it was written"):
        load(path)


def flip_last_byte(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("verify", [True, False])
def test_every_reader_verifies_unless_told_not_to(verify, model, path, tmp_path):
    from truesparse.datasets import Preprocessing

    scales = np.zeros(6), np.ones(6)
    how = Preprocessing("classification", np.arange(3), *scales)
    save(model, path, preprocessing=how)
    condensed = CondensedMLP.from_model(model).save(tmp_path / "c")
    saved = tmp_path / "checkpoint"
    callback = Checkpoint(saved)
    X = np.ones((8, 6), np.float32)
    Trainer(model, epochs=1, callbacks=[callback]).fit(X, np.arange(8) % 3)
    for file in (path, condensed, saved):
        flip_last_byte(file)
    readers = (load, path), (load_predictor, path), (CondensedMLP.load, condensed)
    for read, file in (*readers, (checkpoint.read, saved)):
        if verify:
            with pytest.raises(ModelFileError, match="has changed"):
                read(file)
        else:
            read(file, verify=False)


def test_files_without_a_digest_are_warned_of(path):
    tensors, metadata = tensor_files.read(path)
    safetensors.numpy.save_file(tensors, path, metadata)
    with pytest.warns(UserWarning, match="has no digest") as caught:
        load(path)
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load(path, verify=False)


def test_a_damaged_checkpoint_gives_way_to_the_one_before(tmp_path):
    model = SparseMLP([4, 6, 2], density=0.5, seed=1)
    path, X = tmp_path / "c.safetensors", np.ones((12, 4), np.float32)
    y = np.arange(12) % 2
    callbacks = [Checkpoint(path, every=1)]
    trainer = Trainer(model, epochs=4, batch_size=4, callbacks=callbacks)
    trainer.fit(X, y)
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "c.previous.safetensors",
        "c.safetensors",
    ]
    assert checkpoint.read(path).run.epoch == 4
    flip_last_byte(path)
    with pytest.warns(UserWarning, match=r"has changed.*c\.previous.*of step 9"):
        saved = checkpoint.read(path)
    assert saved.run.epoch == 3
    # Resumed from there, it gives the same bits.
    again = Trainer(saved.model, epochs=4, batch_size=4)
    again.fit(X, y, run=saved.resume(again))
    for ours, theirs in zip(saved.model.layers, model.layers, strict=True):
        np.testing.assert_array_equal(
            ours.connections.values, theirs.connections.values
        )
    # As a crash between the two renames leaves it.
    path.unlink()
    with pytest.warns(UserWarning, match="cannot read model"):
        assert checkpoint.read(path).run.epoch == 3
    flip_last_byte(tmp_path / "c.previous.safetensors")
    with pytest.raises(ModelFileError, match="nor is the one before"):
        checkpoint.read(path)


@pytest.mark.parametrize("n_cores", [1, 2, 8, None])
def test_the_reader_has_a_core_to_itself(tmp_path, n_cores, monkeypatch):
    """Until it has read; then that core hashes, too."""
    now, most, lock, hash_of = 0, [0, 0], threading.Lock(), digest._hash
    is_read = threading.Event()

    class Slow:
        """A hash that counts how many blocks are hashed at once."""

        def __init__(self):
            self.hash = hash_of()

        def update(self, data):
            nonlocal now
            is_block = len(data) <= digest._BLOCK  # else it is the root
            with lock:
                now += is_block
                most[is_read.is_set()] = max(most[is_read.is_set()], now)
            time.sleep(0.001 * is_block)
            self.hash.update(data)
            with lock:
                now -= is_block

        def __getattr__(self, name):
            return getattr(self.hash, name)

    monkeypatch.setattr(digest, "usable_cores", lambda: n_cores)
    monkeypatch.setattr(digest, "_BLOCK", 16)
    path = save(SparseMLP([30, 40, 3], density=0.5, seed=3), tmp_path / "m")
    monkeypatch.setattr(digest, "_hash", Slow)
    with digest.verifying(path):
        time.sleep(0.02)
        # A block that is being hashed counts for both.
        with lock:
            is_read.set()
    n_threads = min(n_cores or 1, digest._MOST_THREADS)
    assert most == [max(n_threads - 1, 1), n_threads]


def test_a_file_of_this_process_is_not_read_again_before_it_is_moved(
    tmp_path, monkeypatch
):
    path, previous = tmp_path / "c.safetensors", tmp_path / "c.previous.safetensors"
    compared = []
    is_intact = digest.is_intact
    monkeypatch.setattr(
        digest, "is_intact", lambda path: compared.append(path) or is_intact(path)
    )
    for seed in range(3):
        models.save(SparseMLP([4, 6, 2], seed=seed), path, previous=previous)
    assert len(compared) == 1  # there was none
    assert digest.verify(previous)
    # Changed by someone else: it must not take the place of the one before.
    content = previous.read_bytes()
    flip_last_byte(path)
    os.utime(path, (1, 1))
    models.save(SparseMLP([4, 6, 2], seed=3), path, previous=previous)
    assert len(compared) == 2
    assert previous.read_bytes() == content
