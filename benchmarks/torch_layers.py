"""Time sparse layers in networks of torch beside what else torch can do.

    python -m benchmarks.torch_layers --threads 1             all cases, 30 minutes
    python -m benchmarks.torch_layers --cases head,1000-99
    python -m benchmarks.torch_layers --smoke                 tiny, under a minute

A step is forward, backward and SGD with momentum, by truesparse.torch with and without
torch.compile, SparseProp, CSR tensors with sampled gradients, masked dense layers and
dense ones, and by truesparse's own trainer, each in a process of its own (step.py).

    head      512-1000x3-10, hidden layers of 1000 inputs at 99 %
    N-S       64-N-N-10, the layer N x N at S % sparsity: half of the weights are in it
              at 1000-99, nearly all at 30000-90

The targets of the head are 2.3 ms on one thread, and 5.5 times as fast as dense. In all
cases sparse layers are to be ahead of SparseProp and of CSR tensors, compiled or not.
Each gets a verdict, and misses are listed at the end.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

from .nets import Case, Target
from .options import OUT_HELP, names, program
from .peers import NetSpec
from .step import judge, losses_agree, row, time_workers
from .stored import results_file, results_in, write_results

OURS = "benchmarks.peers.torch_peers:SparseLayers"
COMPILED = "benchmarks.peers.torch_peers:CompiledSparseLayers"
PEERS = {
    "sparse_linear": OURS,
    "sparse_linear_compiled": COMPILED,
    "sparseprop": "sparseprop",
    "torch_csr": "torch_csr",
    "torch_masked": "torch_masked",
    "torch_dense": "torch_dense",
}
BATCH = 128
# Layers as torch runs them and compiled, each beside other sparse layers.
AHEAD = tuple(
    Target(f"{ours}_vs_{peer}", 1.0, True, f"{how}ahead of {name}")
    for ours, how in (("sparse_linear", ""), ("sparse_linear_compiled", "compiled, "))
    for peer, name in (("sparseprop", "SparseProp"), ("torch_csr", "torch CSR"))
)
HEAD_TARGETS = (
    Target("ms", 2.3, False, "at most 2.3 ms"),
    Target("sparse_linear_vs_torch_dense", 5.5, True, "5.5x as fast as torch dense"),
)
HEAD = Case(
    "head", NetSpec((512, 1000, 1000, 1000, 10), 5), BATCH, (*HEAD_TARGETS, *AHEAD)
)
SMOKE = Case("smoke", NetSpec((16, 40, 40, 10), 4), 16, AHEAD)


def layer_case(n: int, sparsity: int) -> Case:
    """Return the case of one wide layer.

    Examples
    --------
    >>> from benchmarks.torch_layers import layer_case
    >>> case = layer_case(1000, 99)
    >>> case.key, case.net.layer_nnz
    ('1000-99', (5320, 10000, 5050))
    """
    epsilon = (100 - sparsity) / 100 * n / 2
    return Case(f"{n}-{sparsity}", NetSpec((64, n, n, 10), epsilon), BATCH, AHEAD)


LAYERS = [layer_case(n, s) for n in (1000, 4000, 30_000) for s in (90, 95, 98, 99)]
CASES = {case.key: case for case in (HEAD, *LAYERS)}


def run_case(case: Case, options: argparse.Namespace) -> dict[str, Any]:
    """Time all that run on one net and return their rows, the fastest first."""
    timings, workers, refused = time_workers(case, options)
    labels = {builder: label for label, builder in PEERS.items()}
    rows = [row(name, case, timings[name], workers[name]) for name in timings]
    agree = losses_agree(rows)
    for each in rows:
        each["name"] = labels.get(each["name"], each["name"])
    rows.sort(key=lambda each: each["ms"])
    times = {each["name"]: each["ms"] for each in rows}
    ours = times["sparse_linear"]
    return {
        "key": case.key,
        "nnz": case.net.nnz,
        "rows": rows,
        "refused": {labels.get(name, name): why for name, why in refused.items()},
        "losses_agree": agree,
        "ratios": {name: ms / ours for name, ms in times.items()},
        "targets": [judge(target, figures(times)) for target in case.targets],
    }


def figures(times: dict[str, float]) -> dict[str, float | None]:
    """Return what the targets are about, of the milliseconds of each implementation.

    Examples
    --------
    >>> from benchmarks.torch_layers import figures
    >>> values = figures({"sparse_linear": 2.0, "torch_dense": 13.0})
    >>> values["ms"], values["sparse_linear_vs_torch_dense"]
    (2.0, 6.5)
    """
    values: dict[str, float | None] = {"ms": times["sparse_linear"]}
    for ours in ("sparse_linear", "sparse_linear_compiled"):
        if ours in times:
            values |= {
                f"{ours}_vs_{name}": ms / times[ours] for name, ms in times.items()
            }
    return values


def describe(result: dict[str, Any]) -> str:
    """Return one case as lines of text."""
    lines = [f"\n{result['key']}: {result['nnz']:,} weights"]
    for each in result["rows"]:
        ratio = result["ratios"][each["name"]]
        quartiles = f"{each['q1_ms']:.3g} to {each['q3_ms']:.3g}"
        lines.append(
            f"  {each['name']:<23} {each['ms']:>9.3f} ms  {quartiles:>18}  {ratio:.2f}x"
        )
    lines += [f"  {name}: not run: {why}" for name, why in result["refused"].items()]
    if not result["losses_agree"]:
        lines.append("  FIRST LOSSES DIFFER: not all compute the same")
    words = {True: "met", False: "MISSED", None: "not measured"}
    for target in result["targets"]:
        got = "" if target["value"] is None else f": {target['value']:.3g}"
        lines.append(f"  target {target['text']}{got}: {words[target['met']]}")
    return "\n".join(lines)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.torch_layers",
        description="Time sparse layers in networks of torch.",
    )
    parser.add_argument("--cases", help=f"some of {', '.join(CASES)} (default: all)")
    parser.add_argument("--peers", help=f"some of {', '.join(PEERS)} (default: all)")
    parser.add_argument("--smoke", action="store_true", help="a tiny net")
    parser.add_argument("--out", type=Path, metavar="FILE", help=OUT_HELP)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--repeats", type=int, default=8, help="rounds (default: 8)")
    parser.add_argument("--seconds", type=float, default=0.25, help="length of a turn")
    parser.add_argument("--max-bytes", type=int, default=12 * 10**9)
    options = parser.parse_args(arguments)
    chosen = names(options.cases, CASES, "case")
    options.cases = [SMOKE] if options.smoke else [CASES[key] for key in chosen]
    peers = names(options.peers, PEERS, "peer")
    options.peers = [PEERS[name] for name in dict.fromkeys(["sparse_linear", *peers])]
    options.peer_python = sys.executable
    if options.smoke:
        options.repeats, options.seconds = 2, 0.01
    name = "torch_layers.json"
    options.out = results_file(options.out, name, is_published=not options.smoke)
    return options


@program
def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark and write its results."""
    options = parse(arguments)
    with results_in(options.out):
        keys = ("threads", "seed", "repeats", "seconds", "smoke")
        settings = {key: getattr(options, key) for key in keys}
        payload: dict[str, Any] = {"settings": settings, "cases": []}
        for case in options.cases:
            payload["cases"].append(run_case(case, options))
            print(describe(payload["cases"][-1]), flush=True)
            write_results(options.out, payload)
        missed = [
            f"{case['key']}: {target['text']}"
            for case in payload["cases"]
            for target in case["targets"]
            if target["met"] is False
        ]
        if missed:
            print(f"\n{len(missed)} targets missed\n  " + "\n  ".join(missed))
    return 0 if all(case["losses_agree"] for case in payload["cases"]) else 1


if __name__ == "__main__":
    sys.exit(main())
