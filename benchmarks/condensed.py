"""Latency of one sample: the condensed layout beside dense, CSR and SparseMLP.

    python -m benchmarks.condensed              4 minutes; needs torch
    python -m benchmarks.condensed --smoke      seconds, figures of no meaning

Two layers of a ViT-B/16, 768 -> 3072 and 3072 -> 768, as in the figure of SRigL (Lasby
et al., ICLR 2024), and a net 784-1000x3-10 whose output layer is full. Cells are drawn:
every neuron of a sparse layer has the same number of inputs, or ("varying") each cell
is as likely as any, as in SET. The two layers of constant fan-in have the targets of
that figure, whatever varies one of 1.5 times the fastest CSR. All compute the same
float32 numbers, biases and ReLU included, and are checked against each other. They run
in this one process, in alternating rounds.

    condensed         CondensedLayer.forward, or CondensedMLP.decision_function
    torch_dense       torch.nn.functional.linear and relu_, in inference mode
    torch_csr         MKL's product of a CSR matrix and a vector
    scipy_csr         SciPy's, which is serial
    predict           SparseMLP.decision_function, which condenses unasked
    truesparse_csr    the kernels of training, which larger batches take
"""

import argparse
import itertools
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse

from truesparse.activations import LayerActivation
from truesparse.commands.shell import limit_spinning
from truesparse.condensed import CondensedMLP
from truesparse.kernels import jit
from truesparse.network import feedforward
from truesparse.network.sparse_mlp import SparseMLP
from truesparse.sparse.condensing import condense
from truesparse.sparse.connections import Connections
from truesparse.sparse.layer import SparseLayer

from .harness import Timing, median_times
from .options import OUT_HELP, numbers, program, whole_numbers
from .peers import PeerUnavailableError
from .peers.numpy_peers import blas_threads
from .peers.torch_peers import load_torch
from .stored import results_file, results_in, write_results

SHAPES = {
    "768-3072": (768, 3072),
    "3072-768": (3072, 768),
    "784-1000x3-10": (784, 1000, 1000, 1000, 10),
}
TARGET_SHAPES = ("768-3072", "3072-768")
SMOKE_SHAPES = {"40-64": (40, 64), "40-50x2-10": (40, 50, 50, 10)}
TARGET_SPARSITY, VS_DENSE, VS_CSR, VS_CSR_VARYING = 90.0, 3.4, 2.5, 1.5
FAN_INS = "constant", "varying"
CSR = ("torch_csr", "scipy_csr")
_WARM_UP = 150  # samples, after which SparseMLP has made its windows
Step = Callable[[], np.ndarray]


def draw_layers(
    sizes: tuple[int, ...], sparsity: float, seed: int = 0, fan_in: str = "constant"
):
    """Return SparseLayers of random cells; the output layer of a net is full."""
    layers, draw = [], np.random.default_rng(seed)
    for n_in, n_out in itertools.pairwise(sizes):
        is_output = len(sizes) > 2 and len(layers) == len(sizes) - 2
        share = 1.0 if is_output else 1.0 - sparsity / 100
        k = max(1, round(n_in * share))
        if fan_in == "varying" and not is_output:
            cells = draw.choice(n_in * n_out, k * n_out, replace=False)
            columns, rows = np.divmod(np.sort(cells), n_in)
        else:
            columns = np.repeat(np.arange(n_out), k)
            choices = [draw.choice(n_in, k, replace=False) for _ in range(n_out)]
            rows = np.concatenate(choices)
        weights = draw.standard_normal(rows.size, np.float32) * (2 / k) ** 0.5
        connections = weights.astype(np.float32), (rows, columns)
        matrix = scipy.sparse.coo_array(connections, shape=(n_in, n_out))
        name = "identity" if is_output else "relu"
        layer = SparseLayer(Connections.from_scipy(matrix), LayerActivation(name))
        layer.bias[:] = draw.standard_normal(n_out, np.float32)
        layers.append(layer)
    return layers


def make_steps(layers: list[SparseLayer], x: np.ndarray, threads: int):
    """Return what is to be timed, by name, and reasons for what is missing."""
    is_net = len(layers) > 1
    matrices = [
        scipy.sparse.csr_array(layer.connections.to_scipy().T) for layer in layers
    ]
    last = len(layers) - 1 if is_net else len(layers)

    def scipy_csr() -> np.ndarray:
        a = x[0]
        for index, (matrix, layer) in enumerate(zip(matrices, layers, strict=True)):
            a = matrix @ a
            a += layer.bias
            if index < last:
                np.maximum(a, 0, out=a)
        return a

    steps: dict[str, Step] = {}
    if is_net:
        model = SparseMLP.from_layers(layers)
        fast = CondensedMLP.from_model(model)
        steps["condensed"] = lambda: fast.decision_function(x)
    else:
        layer, sample = layers[0], x[0]
        condensed = condense(
            layer.connections, layer.bias, layer.activation, whole=True
        )
        steps["condensed"] = lambda: condensed.forward(sample)
        # A model must end in a linear layer; it saves the time of the ReLU.
        linear = SparseLayer(layer.connections, LayerActivation("identity"))
        linear.bias[:] = layer.bias
        model = SparseMLP.from_layers([linear])
    steps["predict"] = lambda: model.decision_function(x)
    steps["truesparse_csr"] = lambda: feedforward.predict(model.layers, None, x, 1)
    steps["scipy_csr"] = scipy_csr
    try:
        steps |= torch_steps(load_torch(threads), layers, matrices, x, last)
    except PeerUnavailableError as reason:
        return steps, str(reason)
    return steps, None


def torch_steps(torch: Any, layers, matrices, x: np.ndarray, last: int):
    """Return the dense and the CSR net of torch."""
    functional = torch.nn.functional
    biases = [torch.from_numpy(layer.bias) for layer in layers]
    batch, sample = torch.from_numpy(x), torch.from_numpy(x[0])
    dense = [torch.from_numpy(matrix.toarray()) for matrix in matrices]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse")
        csr = [
            torch.sparse_csr_tensor(
                torch.from_numpy(matrix.indptr.astype(np.int32)),
                torch.from_numpy(matrix.indices.astype(np.int32)),
                torch.from_numpy(matrix.data),
                matrix.shape,
                check_invariants=True,
            )
            for matrix in matrices
        ]

    @torch.inference_mode()
    def torch_dense() -> np.ndarray:
        a = batch
        for index, (weight, bias) in enumerate(zip(dense, biases, strict=True)):
            a = functional.linear(a, weight, bias)
            if index < last:
                a = a.relu_()
        return a

    @torch.inference_mode()
    def torch_csr() -> np.ndarray:
        a = sample
        for index, (weight, bias) in enumerate(zip(csr, biases, strict=True)):
            a = torch.mv(weight, a).add_(bias)
            if index < last:
                a = a.relu_()
        return a

    return {"torch_dense": torch_dense, "torch_csr": torch_csr}


def check_agreement(steps: dict[str, Step], is_net: bool) -> None:
    """Raise AssertionError unless all candidates compute the same numbers."""
    want = np.asarray(steps["scipy_csr"]()).ravel()
    for name, step in steps.items():
        got = np.asarray(step()).ravel()
        if not is_net:
            got = np.maximum(got, 0)  # SparseMLP has no ReLU there.
        np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-3, err_msg=name)


def figures(timings: dict[str, Timing]) -> dict[str, Any]:
    """Return the ratios of medians that the targets are about."""
    ours = timings["condensed"].median
    csr = min((timings[name].median, name) for name in timings if name in CSR)
    ratios: dict[str, Any] = {"vs_fastest_csr": csr[0] / ours, "fastest_csr": csr[1]}
    if "torch_dense" in timings:
        ratios["vs_torch_dense"] = timings["torch_dense"].median / ours
    ratios["predict_vs_fastest_csr"] = csr[0] / timings["predict"].median
    ratios["vs_truesparse_csr"] = timings["truesparse_csr"].median / ours
    return ratios


def measure(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Return a row for every number of threads, shape and sparsity."""
    rows = []
    shapes = SMOKE_SHAPES if options.smoke else SHAPES
    cases = itertools.product(
        options.threads, shapes.items(), options.sparsities, FAN_INS
    )
    for threads, (name, sizes), sparsity, fan_in in cases:
        jit.set_threads(int(threads))
        layers = draw_layers(sizes, sparsity, fan_in=fan_in)
        draw = np.random.default_rng(1)
        x = draw.standard_normal((1, sizes[0]), np.float32)
        with blas_threads(int(threads)):
            steps, missing = make_steps(layers, x, int(threads))
            check_agreement(steps, len(layers) > 1)
            for _ in range(_WARM_UP):
                steps["predict"]()
            timings = median_times(steps, options.repeats, options.seconds)
        row = {
            "shape": name,
            "fan_in": fan_in,
            "sparsity": sparsity,
            "threads": int(threads),
            "nnz": sum(layer.connections.nnz for layer in layers),
            "timings": timings,
            "missing": missing,
        } | figures(timings)
        is_target = sparsity == TARGET_SPARSITY and name in TARGET_SHAPES
        is_target = is_target and fan_in == "constant"
        if fan_in == "varying":
            is_met = row["predict_vs_fastest_csr"] >= VS_CSR_VARYING
            row["target_varying_met"] = is_met
        if is_target and "vs_torch_dense" in row:
            row["target_dense_met"] = row["vs_torch_dense"] >= VS_DENSE
            row["target_csr_met"] = row["vs_fastest_csr"] >= VS_CSR
        rows.append(row)
        times = ", ".join(
            f"{key} {timing.median * 1e6:.1f}" for key, timing in timings.items()
        )
        dense = row.get("vs_torch_dense", float("nan"))
        print(
            f"{name} {sparsity:g} %, {fan_in}, {threads:g} threads, us: {times}; "
            f"{dense:.2f}x torch dense, "
            f"{row['vs_fastest_csr']:.2f}x {row['fastest_csr']}, "
            f"predict {row['predict_vs_fastest_csr']:.2f}x",
            flush=True,
        )
    return rows


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.condensed", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--threads", default="1,2", help="list with commas")
    parser.add_argument("--sparsities", default="80,90,95,99", help="percent")
    parser.add_argument("--repeats", type=int, default=6, help="rounds")
    parser.add_argument("--seconds", type=float, default=0.1, help="a turn")
    parser.add_argument("--smoke", action="store_true", help="tiny, not published")
    parser.add_argument("--out", type=Path, metavar="FILE", help=OUT_HELP)
    options = parser.parse_args(arguments)
    if options.smoke:
        options.repeats, options.seconds = 1, 0.001
    options.out = results_file(
        options.out, "condensed.json", is_published=not options.smoke
    )
    return options


@program
def main(arguments: list[str] | None = None) -> None:
    """Measure, print and write."""
    options = parse(arguments)
    limit_spinning()  # as the commands do
    with results_in(options.out):
        options.threads = whole_numbers(options.threads, "--threads")
        options.sparsities = numbers(options.sparsities, "--sparsities")
        threads = jit.set_threads(None)
        try:
            rows = measure(options)
        finally:
            jit.set_threads(threads)
        targets = {"sparsity": TARGET_SPARSITY, "dense": VS_DENSE, "csr": VS_CSR}
        targets["csr_varying"] = VS_CSR_VARYING
        write_results(options.out, {"targets": targets, "rows": rows})


if __name__ == "__main__":
    sys.exit(main())
