"""The check command: verdicts, exit codes, JSON, picture; implementations that fail."""

import json
import re
import time
from types import SimpleNamespace

import numpy as np
import pytest
from support.dense_trainer import DenseTrainer

from truesparse.reference import reasons
from truesparse.reference.__main__ import main
from truesparse.reference.cases import choose_cases
from truesparse.reference.check import check
from truesparse.reference.driving import Driver
from truesparse.reference.protocol import TopologyDraws
from truesparse.reference.write import write_kit


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kits") / "kit"
    write_kit(folder, choose_cases(["rigl"], "small", 4), truth_only=True)
    return folder


class Raises(DenseTrainer):
    def step(self, batch):
        raise RuntimeError("out of shared memory")


class Hangs(DenseTrainer):
    def step(self, batch):
        time.sleep(3.0)


class NotFinite(DenseTrainer):
    def step(self, batch):
        result = super().step(batch)
        result["layer.0.gradient"][3] = np.nan
        return result


class WrongShape(DenseTrainer):
    def step(self, batch):
        result = super().step(batch)
        return result | {"layer.1.output": result["layer.1.output"].T}


class Lacks(DenseTrainer):
    def state(self):
        state = super().state()
        del state["layer.1.bias"]
        return state


class NoDict(DenseTrainer):
    def step(self, batch):
        return 0.3


class Words(DenseTrainer):
    def update_topology(self, update):
        return super().update_topology(update) | {"layer.0.grown": np.array(["a"])}


class LazyTensor:
    """As a tensor of torch that needs a gradient, or is on a GPU."""

    def __array__(self, *arguments, **options):
        raise TypeError("can't convert cuda:0 device type tensor to numpy")


class OnDevice(DenseTrainer):
    def step(self, batch):
        return super().step(batch) | {"layer.0.output": LazyTensor()}


def no_trainer(case):
    return object()


def bad_factory(case):
    raise KeyError("activation")


@pytest.mark.parametrize(
    ("factory", "verdict", "text"),
    [
        (Raises, "raises", "RuntimeError: out of shared memory at .*py:.* in step 1"),
        (Hangs, "hangs", "step has not returned after 0.5 s in step 1"),
        (NotFinite, "not finite", "layer.0.gradient holds 1 NaN"),
        (WrongShape, "wrong form", r"layer.1.output has shape \(4, 5\), not \(5, 4\)"),
        (Lacks, "wrong form", "state returns no layer.1.bias"),
        (NoDict, "wrong form", "step returns float, not a dict"),
        (OnDevice, "wrong form", "layer.0.output, a LazyTensor, is no array: can't"),
        (Words, "wrong form", "layer.0.grown must be a vector of whole numbers"),
        (no_trainer, "wrong form", "object has no method load"),
        (bad_factory, "raises", "the factory raises KeyError: 'activation'"),
    ],
)
def test_an_implementation_that_fails_gets_a_clear_verdict(
    folder, factory, verdict, text
):
    result = check(folder, factory, seconds=0.5 if factory is Hangs else 60.0)
    assert result["verdict"] == verdict
    assert re.search(text, result["cases"]["rigl"]["text"])


def test_what_an_implementation_returns_stays_as_it_is():
    answer = {
        "layer.0.indptr": np.array([0, 1, 1]),
        "layer.0.indices": np.array([0], np.int32),
        "layer.0.weights": np.ones(1),
        "layer.0.bias": np.zeros(1),
    }
    cells = {"layer.0.dropped": [1, 0]}
    trainer = SimpleNamespace(
        state=lambda: answer, update_topology=lambda update: cells
    )
    driver = Driver(lambda case: trainer, {"layer_sizes": [2, 1]}, 60.0)
    assert driver.state()["layer.0.first"].size == 0
    assert len(answer) == 4
    update = TopologyDraws(1, 0.5, [0], {}, None)
    assert driver.update_topology(update)["layer.0.dropped"].tolist() == [0, 1]
    assert cells == {"layer.0.dropped": [1, 0]}


def test_the_command_says_what_departs_with_json_and_picture(folder, tmp_path, capsys):
    words = ["check", str(folder), "--implementation"]
    right, wrong = "support.dense_trainer:DenseTrainer", "test_check_command:Raises"
    assert main([*words, right]) == 0
    assert "verdict: passes" in capsys.readouterr().out
    files = ["--json", str(tmp_path / "r.json"), "--picture", str(tmp_path / "r.png")]
    plain = "test_check_command:PlainMomentum"
    assert main([*words, plain, *files]) == 8
    out = capsys.readouterr().out
    assert "likely reason: nesterov is plain momentum" in out
    assert "first in step 1: layer.0.weights" in out
    stored = json.loads((tmp_path / "r.json").read_text())
    assert stored["cases"]["rigl"]["first"]["step"] == 1
    assert (tmp_path / "r.png").read_bytes()[:4] == b"\x89PNG"
    assert main([*words, wrong]) == 9
    assert main([*words, "support.nowhere:DenseTrainer"]) == 2
    assert "import the implementation 'support.nowhere" in capsys.readouterr().err
    assert main([*words, "support"]) == main([*words, "math:pi"]) == 2
    assert "'math:pi' cannot be called: it is 3.14" in capsys.readouterr().err
    assert main(["check", str(tmp_path), "--implementation", right]) == 4
    assert main([*words, right, "--case", "rigle"]) == 2
    assert main(["shout"]) == main([]) == main(["chek"]) == 2
    assert "unknown command 'chek'; use one of check," in capsys.readouterr().err
    assert main(["--help"]) == 0
    assert "truesparse.reference write DIR" in capsys.readouterr().out


class PlainMomentum(DenseTrainer):
    def nesterov(self, m, step):
        return m


def test_a_tie_that_is_broken_otherwise_is_named():
    before = {
        "layer.0.indptr": np.array([0, 2, 4]),
        "layer.0.indices": np.array([0, 1, 0, 1], np.int32),
        "layer.0.weights": np.array([0.5, -1.0, -0.5, 2.0]),
        "layer.0.bias": np.zeros(3),
    }
    draws = {"layer.0.ranks": np.array([0])}
    update = TopologyDraws(1, 0.25, [0], draws, None)
    want = {"layer.0.dropped": np.array([0]), "layer.0.grown": np.array([0])}
    got = {"layer.0.dropped": np.array([3]), "layer.0.grown": np.array([2])}
    texts = reasons.reasons_of_update({}, before, update, want, got, None)
    assert texts == ["tie-break: of equal magnitudes the last goes"]
