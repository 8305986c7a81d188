"""Kits: what the trainer does, to the bit, on any threads; kits that are no good."""

import dataclasses
import itertools
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from support.dense_trainer import mix

from truesparse import Trainer
from truesparse.common import rng
from truesparse.errors import DataError, UsageError
from truesparse.reference import kit, protocol
from truesparse.reference.cases import CASES, SIZES, Case, choose_cases
from truesparse.reference.replay import dropout_mask
from truesparse.reference.write import write_kit
from truesparse.topology import ALGORITHMS

ROOT = pathlib.Path(__file__).parents[2]
GOLDEN = ROOT / "tests/data/reference_kit"
DOCUMENT = (ROOT / "truesparse/reference/FORMAT.md").read_text(encoding="utf-8")
N_STEPS = 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kits") / "kit"
    write_kit(folder, choose_cases(None, "small", N_STEPS))
    return folder


def rewritten(folder, change):
    """Change the manifest of a kit."""
    path = folder / kit.MANIFEST
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_kit_holds_what_the_trainer_does(folder, case):
    case = dataclasses.replace(case, n_steps=N_STEPS)
    X, y, *_ = case.make_data()
    n_epochs = N_STEPS // SIZES["small"][3]
    trainer = Trainer(
        case.make_model(),
        optimizer=case.make_optimizer(),
        lr=case.lr,
        topology=case.make_topology(),
        epochs=n_epochs,
        batch_size=case.batch_size,
    )
    history = trainer.fit(X, y)
    stored = kit.Kit(folder).case(case.name)
    state = stored.after(N_STEPS - 1)
    for index, layer in enumerate(trainer.model.layers):
        connections = layer.connections
        want = {
            "indptr": connections.indptr,
            "indices": connections.indices,
            "weights": connections.values,
            "bias": layer.bias,
            "first": connections.moments.first,
            "second": connections.moments.second,
        }
        for key, each in want.items():
            np.testing.assert_array_equal(state[protocol.name(index, key)], each)
    assert trainer.model.evaluate(*stored.test)[1] == stored.accuracy
    # The losses of the last epoch, weighted by the samples of its two batches.
    sizes = [len(stored.batch(step).targets) for step in range(N_STEPS - 2, N_STEPS)]
    losses = [stored.observed(step)["loss"] for step in range(N_STEPS - 2, N_STEPS)]
    assert sizes[1] < sizes[0]
    got = np.average(losses, weights=sizes)
    assert got == pytest.approx(history[-1].train_loss, rel=1e-14)


def test_the_cases_cover_everything():
    texts = [case.describe() for case in CASES]
    for key, accepted in {
        "topology": "set rigl static dsr ggr srigl cht snip",
        "optimizer": "sgd nesterov adam adamw",
        "decay": "l2 decoupled set",
        "activation": "relu all_relu gelu",
        "loss": "softmax logistic",
    }.items():
        assert {text[key] for text in texts} == set(accepted.split())
    assert {text["sparse_input"] for text in texts} == {True, False}
    assert {text["dropout"] > 0 for text in texts} == {True, False}


@pytest.mark.parametrize("size", SIZES)
def test_algorithms_look_at_all_cells_in_all_sizes(size):
    # FORMAT.md says nothing of samples, which large layers are looked at by.
    for case in choose_cases(None, size, N_STEPS):
        most = getattr(ALGORITHMS[case.topology], "most_products", np.inf)
        shapes = itertools.pairwise(case.layer_sizes)
        assert max(a * b for a, b in shapes) * case.batch_size <= most


def test_updates_happen_and_drop_and_grow(folder):
    for case in CASES:
        stored = kit.Kit(folder).case(case.name)
        if case.topology == "static":
            assert not stored.updates
            continue
        (step,) = stored.updates
        update, done = stored.update(step)
        for what in ("dropped", "grown"):
            names = [protocol.name(index, what) for index in update.layers]
            assert sum(done[each].size for each in names) > 0
        before = stored.initial if step == 0 else stored.after(step - 1)
        after = stored.updated(step)
        for index in update.layers:
            old, new = protocol.keys_of(before, index), protocol.keys_of(after, index)
            dropped = done[protocol.name(index, "dropped")]
            grown = done[protocol.name(index, "grown")]
            assert np.isin(dropped, old).all()
            want = np.union1d(np.setdiff1d(old, dropped), grown)
            np.testing.assert_array_equal(new, want)
            scores = stored.trace("float64").get(
                f"update.{step}.layer.{index}.dropped_scores", np.empty(0)
            )
            assert scores.size == dropped.size


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_a_kit_is_the_same_to_the_bit_on_any_number_of_threads(
    folder, tmp_path, threads
):
    words = [*["-m", "truesparse.reference", "write"], str(tmp_path / "kit")]
    other = tmp_path / "kit"
    environment = os.environ | {"NUMBA_NUM_THREADS": str(threads)}
    subprocess.run(
        [sys.executable, *words, "--steps", str(N_STEPS)],
        env=environment | {"PYTHONPATH": str(ROOT)},
        check=True,
        timeout=300,
    )
    manifests = [
        json.loads((each / kit.MANIFEST).read_text()) for each in (folder, other)
    ]
    assert manifests[0] == manifests[1]


def test_the_small_kit_is_golden(tmp_path):
    """Where this fails on purpose: write it again, as FORMAT.md says at its end."""
    size = sum(path.stat().st_size for path in GOLDEN.rglob("*.*"))
    assert size < 200_000
    write_kit(tmp_path / "kit", choose_cases(None, "small", 3), truth_only=True)
    want, got = kit.Kit(GOLDEN), kit.Kit(tmp_path / "kit")
    assert want.names == got.names
    assert want.manifest["tie_breaks"] == got.manifest["tie_breaks"]
    for name in want.names:
        one, other = want.case(name), got.case(name)
        assert one.description == other.description
        assert one.updates == other.updates
        assert one.accuracy == pytest.approx(other.accuracy)
        for tensors, others in (
            (one.start, other.start),
            (one.trace("float64"), other.trace("float64")),
        ):
            assert tensors.keys() == others.keys()
            for key, each in tensors.items():
                # Another machine may add up in another order.
                exact = each.dtype.kind != "f"
                close = {
                    "rtol": 0.0 if exact else 1e-9,
                    "atol": 0.0 if exact else 1e-12,
                }
                np.testing.assert_allclose(others[key], each, **close, err_msg=key)


# The document -------------------------------------------------------------------------


def test_the_test_vectors_of_the_document_are_right():
    rows = re.findall(
        r"^\| (0x\w+) \| (0x\w+) \| \| (\d+), (\d+), (\d+) \| (\d+) \| "
        r"\| (\d+) \| ([01 ]+) \|",
        DOCUMENT,
        re.MULTILINE,
    )
    assert len(rows) == 3
    for x, mixed, seed, step, layer, key, mask_key, mask in rows:
        assert mix(int(x, 16)) == int(mixed, 16)
        place = int(seed), rng.Purpose.DROPOUT, int(step), int(layer)
        assert rng.key32(*place) == int(key)
        got = dropout_mask(int(mask_key), 3, 4, 0.25).astype(int)
        assert [[int(c) for c in word] for word in mask.split()] == got.tolist()


def test_the_document_names_what_a_kit_holds(folder):
    for case in CASES:
        stored = kit.Kit(folder).case(case.name)
        for key in (*stored.start, *stored.trace("float64")):
            assert f"{key.rpartition('.')[2]}`" in DOCUMENT, key
        for key in stored.description:
            assert f"`{key}`" in DOCUMENT or key == "name", key


# Kits that are no good ----------------------------------------------------------------


def test_kits_that_are_no_good_are_refused(folder, tmp_path):
    def copy(name):
        return pathlib.Path(shutil.copytree(folder, tmp_path / name))

    with pytest.raises(DataError, match=r"is not a kit.*give a folder"):
        kit.Kit(tmp_path)
    other = copy("version")
    rewritten(other, lambda content: content.update(version=99))
    with pytest.raises(DataError, match=r"has version 99, but this program reads 3"):
        kit.Kit(other)
    short = copy("short")
    path = short / "set/float64.safetensors"
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(DataError, match=r"is cut off or has changed"):
        kit.Kit(short)
    changed = copy("changed")
    path = changed / "rigl/case.json"
    path.write_text(path.read_text().replace("0.05", "0.06"))
    with pytest.raises(DataError, match=r"case.json .* its digest is"):
        kit.Kit(changed)
    lacking = copy("lacking")
    (lacking / "cht/start.safetensors").unlink()
    with pytest.raises(DataError, match=r"lacks cht/start.safetensors"):
        kit.Kit(lacking)
    empty = copy("empty")
    (empty / kit.MANIFEST).write_text("{}")
    with pytest.raises(DataError, match="is not a kit"):
        kit.Kit(empty)


def test_the_writer_refuses_what_it_cannot_write(folder):
    with pytest.raises(UsageError, match="is not empty; give a new folder"):
        write_kit(folder, [Case("set", "set")])
    with pytest.raises(UsageError, match="no case 'sett'; give one of set, rigl"):
        choose_cases(["sett"], "small", 4)
    with pytest.raises(UsageError, match="no size 'huge'; give one of small, mnist"):
        choose_cases(None, "huge", 4)
