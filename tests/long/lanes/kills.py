"""Runs that are killed again and again, and resumed to the same bits."""

import contextlib
import functools
import json
import pathlib
import signal
import tempfile
import time

import numpy as np
from support import golden
from support.commands import SMALL, start
from support.faulty_runs import call

from tests.long.registry import Figures, lane
from truesparse import checkpoint, load, train

EPOCHS = 60
_EVERY = [*SMALL["iris"], "--hidden", "40,30", "--epochs", str(EPOCHS), "--quiet"]
_EVERY += ["--threads", "1"]
WORDS = {
    "set": ["--checkpoint-every", "1"],
    "rigl": ["--optimizer", "adam", "--checkpoint-every", "3", "--lr", "0.01"],
    "chts": ["--checkpoint-every", "2", "--restore-best", "--activation", "srelu"],
    "gse": ["--checkpoint-every", "1", "--explored", "--dtype", "float64"],
}


@functools.cache
def whole(topology: str) -> tuple[dict[str, str], float]:
    """Return what a run gives that nothing stops, and how long it trains."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        words = [*_EVERY, "--topology", topology, *WORDS[topology], "--out", "run"]
        call(train.main, words)  # compiles
        begun = time.perf_counter()
        code, said = call(train.main, [*words[:-1], "again"])
        assert code == 0, said
        return _result("again"), time.perf_counter() - begun


def _result(folder: str) -> dict[str, str]:
    lines = pathlib.Path(folder, "metrics.jsonl").read_text().splitlines()
    events = [json.loads(line) for line in lines]
    # Of each epoch everything but the times.
    fields = ("epoch", "step", "train_loss", "val_loss", "nnz")
    epochs = [[e[f] for f in fields] for e in events if e["event"] == "epoch"]
    return {
        "model": golden.digest(load(f"{folder}/model.safetensors")),
        "checkpoint": golden.digest(
            checkpoint.read(f"{folder}/checkpoint.safetensors").model
        ),
        "epochs": json.dumps(epochs),
    }


@lane(
    "kills",
    "a run that is killed at any moments and resumed gives the same bits, and no line "
    "of metrics twice",
    batch=6,
    test="pytest tests/commands/test_resume_cli.py tests/commands/test_kills.py",
)
def kill(seed: int, count: int) -> Figures:
    """Kill runs at random moments, up to four times each."""
    figures, draw = Figures(), np.random.default_rng([seed, 2])
    for case in range(count):
        topology = list(WORDS)[draw.integers(len(WORDS))]
        want, seconds = whole(topology)
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
            words = [*_EVERY, "--topology", topology, *WORDS[topology], "--out", "run"]
            moments = draw.uniform(0, 1.2 * seconds, draw.integers(1, 5))
            n_kills, wrong = _run(words, moments)
            if not wrong:
                got = _result("run")
                wrong = [f"another {key}" for key in want if got[key] != want[key]]
            place = f"{topology}, seed {seed}, case {case}, moments {moments.round(3)}"
        if wrong:
            figures.fail(f"{place}: {'; '.join(wrong)}")
        else:
            figures.add(f"killed {n_kills}x" if n_kills else "ended first")
    return figures


def _run(words: list[str], moments) -> tuple[int, list[str]]:
    """Start a run, kill it at these seconds of training, and let it end at last."""
    n_kills, now = 0, words
    for moment in moments:
        lock = pathlib.Path("run", ".lock")
        # That of the process before, which was killed.
        lock.unlink(missing_ok=True)
        process = start(*now, cwd=".")
        while process.poll() is None and not lock.exists():
            time.sleep(0.002)
        with contextlib.suppress(Exception):
            process.wait(moment)
        process.send_signal(signal.SIGKILL)
        said = process.communicate()[1]
        if process.returncode == 0:
            break
        if process.returncode != -signal.SIGKILL:
            return n_kills, [f"code {process.returncode}: {said}"]
        n_kills += 1
        now = ["--resume", "run", "--quiet"]
    if n_kills:
        code, said = call(train.main, now)
        if code:
            return n_kills, [f"the last run ends with {code}: {said}"]
    return n_kills, []
