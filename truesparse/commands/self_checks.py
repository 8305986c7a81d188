"""The checks of truesparse.selftest: each compares the engine with something simpler.

A check returns a few words on what it saw and raises AssertionError with what is wrong.
The networks are small, and share their shapes, so that few kernels are compiled.
"""

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse

from truesparse import SparseMLP, Trainer, load, save
from truesparse.commands import shell
from truesparse.errors import ModelFileError
from truesparse.kernels import jit
from truesparse.optimizers import Optimizer

SIZES = [30, 40, 24, 5]
N_SAMPLES = 32
_PATIENCE = 120.0  # seconds, for processes of their own


def kernels() -> str:
    """Compare outputs and one step of SGD with dense matrices in float64.

    Sparse rows, which have kernels of their own, must give the same.
    """
    worst = 0.0
    for dtype, tolerance in (("float32", 2e-5), ("float64", 1e-12)):
        model = _model(dtype)
        X, y = _data(dtype)
        W = _dense(model)
        b = [layer.bias.astype(float) for layer in model.layers]
        z, outputs = _forward(W, b, X)
        worst = max(worst, _compare(model.decision_function(X), z, tolerance))
        rows, sparse = scipy.sparse.csr_array(X), _model(dtype)
        worst = max(worst, _compare(sparse.decision_function(rows), z, tolerance))
        masks = [w != 0 for w in W]
        delta = _probabilities(z) - np.eye(SIZES[-1])[y]
        delta /= len(X)
        for i in reversed(range(len(W))):
            gradient = outputs[i].T @ delta * masks[i]
            b[i] -= 0.1 * delta.sum(axis=0)
            delta = (delta @ W[i].T) * (outputs[i] > 0)
            W[i] = W[i] - 0.1 * gradient
        for trained, given in ((model, X), (sparse, rows)):
            _step(trained, given, y, lr=0.1)
            for got, want in zip(_dense(trained), W, strict=True):
                worst = max(worst, _compare(got, want, tolerance))
            for layer, bias in zip(trained.layers, b, strict=True):
                worst = max(worst, _compare(layer.bias, bias, tolerance))
    return f"largest difference {worst:.1g} of the tolerance"


def gradients() -> str:
    """Compare gradients in float64 with central differences of the loss."""
    model, (X, y) = _model("float64"), _data("float64")
    before = [layer.connections.values.copy() for layer in model.layers]
    lr = 1e-3
    _step(model, X, y, lr)
    worst = 0.0
    probe = _model("float64")
    for layer, trained, start in zip(probe.layers, model.layers, before, strict=True):
        gradient = (start - trained.connections.values) / lr
        for k in range(gradient.size):
            losses = []
            for step in (1e-5, -1e-5):
                layer.connections.values[k] = start[k] + step
                losses.append(probe.evaluate(X, y, N_SAMPLES)[0])
            layer.connections.values[k] = start[k]
            slope = (losses[0] - losses[1]) / 2e-5
            worst = max(worst, abs(slope - gradient[k]) / (1e-6 + 1e-5 * abs(slope)))
    assert worst < 1, f"a gradient is off by {worst:.2g} times the tolerance"
    return f"largest difference {worst:.1g} of the tolerance"


def threads() -> str:
    """Train with 1, 2, 4 threads and so on, and with all: the bits are the same."""
    most = jit.most_threads()
    if most == 1:
        return "there is but one thread here: nothing was compared"
    counts = sorted({most, *(2**k for k in range(most.bit_length()))})
    seen = {}
    for count in counts:
        with jit.threads(count):
            seen[count] = _bits(_trained())
        assert seen[count] == seen[1], f"1 and {count} threads give other weights"
    return f"{', '.join(map(str, counts))} threads, the same bits"


def files() -> str:
    """Save and load a model; notice when one bit of the file has changed."""
    model = _trained()
    with tempfile.TemporaryDirectory(prefix="truesparse-") as folder:
        path = save(model, pathlib.Path(folder) / "model.safetensors")
        assert _bits(load(path)) == _bits(model), "a model comes back with other bits"
        content = bytearray(path.read_bytes())
        for place in (8, len(content) // 2, len(content) - 1):
            content[place] ^= 4
            path.write_bytes(content)
            content[place] ^= 4
            with contextlib.suppress(ModelFileError):
                load(path)
                raise AssertionError(f"a changed bit in byte {place} is not noticed")
    return "the same bits; changed bits are noticed"


def resuming() -> str:
    """Kill a process that trains, resume the run, and compare it with a whole one."""
    with tempfile.TemporaryDirectory(prefix="truesparse-") as folder:
        words = ["--data", "iris", "--hidden", "40,24", "--epochs", "60"]
        words += ["--checkpoint-every", "1", "--quiet"]
        process = _train([*words, "--out", "killed"], folder)
        checkpoint = pathlib.Path(folder, "killed", "checkpoint.safetensors")
        end = time.monotonic() + _PATIENCE
        while not checkpoint.exists() and process.poll() is None:
            assert time.monotonic() < end, "no checkpoint was written"
            time.sleep(0.01)
        process.kill()
        process.communicate()
        _finish(_train(["--resume", "killed", "--quiet"], folder))
        _finish(_train([*words, "--out", "whole"], folder))
        killed, whole = (
            pathlib.Path(folder, name, "model.safetensors").read_bytes()
            for name in ("killed", "whole")
        )
        assert killed == whole, "the resumed run gave other weights"
    # Windows ends a process with code 1.
    killed_with = 1 if os.name == "nt" else -signal.SIGKILL
    assert process.returncode in (0, killed_with), (
        f"the training ended with exit code {process.returncode}"
    )
    return "killed and resumed" if process.returncode else "ended before it was killed"


def memory_estimate() -> str:
    """Compare the estimate of a run's memory with what a process takes."""
    words = ["--neurons", "200000", "--data", "digits", "--epochs", "1", "--quiet"]
    with tempfile.TemporaryDirectory(prefix="truesparse-") as folder:
        dry = json.loads(_finish(_train([*words, "--dry-run"], folder)))
        result = json.loads(_finish(_train([*words, "--json"], folder)))
    # The first run on a machine compiles kernels.
    least, most = dry["total"] / 1e6, dry["first_total"] / 1e6
    peak = result["peak_rss_mb"]
    text = f"{peak:.0f} MB taken, {least:.0f} to {most:.0f} MB estimated"
    assert 0.8 * least <= peak <= 1.03 * most, text
    return text


CHECKS: dict[str, Callable[[], str]] = {
    "kernels against dense matrices": kernels,
    "gradients by differences": gradients,
    "the same bits on any threads": threads,
    "model files and digests": files,
    "a killed run, resumed": resuming,
    "memory as estimated": memory_estimate,
}


def main(words: list[str]) -> None:
    """Run the checks from number ``words[0]`` on; print a JSON object after each."""
    shell.start_engine(None)
    for name, check in list(CHECKS.items())[int(words[0]) :]:
        started = time.perf_counter()
        try:
            passed, text = True, check()
        except Exception as error:
            # Whatever goes wrong here is what the command is there to find.
            passed, text = False, f"{type(error).__name__}: {error}"
        seconds = time.perf_counter() - started
        result = {"check": name, "passed": passed, "seconds": seconds, "text": text}
        print(json.dumps(result), flush=True)


def _model(dtype: str) -> SparseMLP:
    return SparseMLP(SIZES, density=0.3, seed=5, dtype=dtype)


def _dense(model: SparseMLP) -> list[np.ndarray]:
    # Of 30 x 40 cells at most.
    return [matrix.toarray().astype(float) for matrix in model.to_scipy()]


def _data(dtype: str) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(3)
    X = draw.standard_normal((N_SAMPLES, SIZES[0])).astype(dtype)
    return X, draw.integers(0, SIZES[-1], N_SAMPLES)


def _step(model: SparseMLP, X: Any, y: np.ndarray, lr: float) -> None:
    """Take one step of plain SGD on all samples."""
    plain = Optimizer("sgd", momentum=0.0)
    options: dict[str, Any] = {"epochs": 1, "batch_size": N_SAMPLES, "shuffle": False}
    Trainer(model, optimizer=plain, lr=lr, topology="static", **options).fit(X, y)


def _forward(W, b, X) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return the outputs of a dense net, and the inputs of each layer."""
    x, inputs = X.astype(float), []
    for i, (w, bias) in enumerate(zip(W, b, strict=True)):
        inputs.append(x)
        x = x @ w + bias
        if i < len(W) - 1:
            x = np.maximum(x, 0)
    return x, inputs


def _probabilities(z: np.ndarray) -> np.ndarray:
    exponentials = np.exp(z - z.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def _compare(got: np.ndarray, want: np.ndarray, tolerance: float) -> float:
    difference = np.abs(got - want) / (tolerance * (1 + np.abs(want)))
    worst = float(difference.max())
    assert worst < 1, f"a number is off by {worst:.2g} times the tolerance"
    return worst


def _trained() -> SparseMLP:
    model, (X, y) = _model("float32"), _data("float32")
    Trainer(model, topology="set", epochs=8, batch_size=N_SAMPLES).fit(X, y)
    return model


def _bits(model: SparseMLP) -> list[bytes]:
    return [
        array.tobytes()
        for layer in model.layers
        for array in (*layer.connections.csr, layer.bias)
    ]


def _train(words: list[str], folder: str) -> subprocess.Popen:
    """Start the command line in a process of its own."""
    package = pathlib.Path(__file__).parents[2]
    paths = [str(package), os.environ.get("PYTHONPATH", "")]
    return subprocess.Popen(
        [sys.executable, "-m", "truesparse.train", *words],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _finish(process: subprocess.Popen) -> str:
    """Return what a process wrote to stdout."""
    out, err = process.communicate(timeout=_PATIENCE)
    assert process.returncode == 0, f"truesparse.train failed: {err.strip()}"
    return str(out)


if __name__ == "__main__":
    main(sys.argv[1:])
