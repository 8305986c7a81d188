"""Time one training step: truesparse beside every peer that is installed.

    python -m benchmarks.step                       all nets, 15 minutes
    python -m benchmarks.step --nets 1000,4000
    python -m benchmarks.step --smoke               tiny nets, under a minute
    python -m benchmarks.step --peer-python ../bench-venv/bin/python

Each implementation has a process of its own; they take turns on the same pattern,
weights and batch. The figures of a case, for which nets.py has targets:

    ms                median of a step of truesparse
    ns                the same in nanoseconds per weight and sample
    gflops, of_sgemm  rate by the arithmetic in nets.py; its share of the sgemm rate
    of_bound          least possible time of a step over the time measured
    vs_NAME           time of peer NAME over that of truesparse
    vs_fastest_peer   the same for the fastest of them
    bfloat16_...      ms, and vs_fastest_peer, with activations in bfloat16
    init_s, update_s  building the net; one SET update with what it costs the next step
    epoch_s           an epoch of CIFAR-10
    cold_s, warm_s    first build and first step, kernels to be compiled or loaded
    bytes_sgd, ...    bytes of all arrays with an entry a weight, over the weights;
                      with _all, row pointers too
"""

import argparse
import contextlib
import sys
import tempfile
from pathlib import Path
from typing import Any

from .harness import Timing, Worker, WorkerError, median_times
from .nets import (
    BYTES_TARGETS,
    CASES,
    SMOKE_CASES,
    Case,
    Target,
    bound_seconds,
    step_flops,
)
from .options import OUT_HELP, names, program
from .peers import PEERS
from .probe import probe
from .stored import results_file, results_in, write_results

TRUESPARSE = "truesparse"
# By name: importing it would make this process large, and with it the least peak memory
# that its children can report.
BUILDER = "benchmarks.peers.truesparse_step:Truesparse"
ROUNDED = "truesparse_bfloat16"
_OURS = {TRUESPARSE: BUILDER, ROUNDED: "benchmarks.peers.truesparse_step:Rounded"}
# Relative difference of float32 sums in different orders.
LOSS_TOLERANCE = 1e-3


def run_case(case: Case, options: argparse.Namespace) -> dict[str, Any]:
    """Time truesparse and its peers on one net; `derive` completes the result.

    Parameters
    ----------
    case : Case
    options : argparse.Namespace
        As `parse` returns them.
    """
    timings, workers, refused = time_workers(case, options)
    rows = {name: row(name, case, timings[name], workers[name]) for name in timings}
    rounded = rows.pop(ROUNDED, None)
    return {
        "key": case.key,
        "title": case.title,
        "batch": case.batch,
        "nnz": case.net.nnz,
        "neurons": sum(case.net.sizes[1:-1]),
        "rows": sorted(rows.values(), key=lambda r: r["ms"]),
        "rounded": rounded,
        "refused": refused,
        "own": figures_of_a_user(case, options),
    }


def derive(case: Case, result: dict[str, Any], rates: dict[str, Any]) -> None:
    """Add to a result what depends on the rates of the machine, and the targets."""
    for entry in measured(result):
        entry["of_sgemm"] = entry["gflops"] / rates["sgemm_gflops"]
    result["losses_agree"] = losses_agree(result["rows"])
    result["figures"] = figures(case, result, rates)
    result["targets"] = [
        judge(target, result["figures"]) for target in (*case.targets, *BYTES_TARGETS)
    ]


def measured(result: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of a case, that of activations in bfloat16 last."""
    rounded = result["rounded"]
    return result["rows"] + ([] if rounded is None else [rounded])


def losses_agree(rows: list[dict[str, Any]]) -> bool:
    """Whether all that train the same weights have the same first loss."""
    ours = next(row for row in rows if row["name"] == TRUESPARSE)
    losses = [row["loss"] for row in rows if row["nnz"] == ours["nnz"]]
    return max(losses) - min(losses) <= LOSS_TOLERANCE * abs(ours["loss"])


def time_workers(
    case: Case, options: argparse.Namespace
) -> tuple[dict[str, Timing], dict[str, Worker], dict[str, str]]:
    """Return timings, the workers that gave them, and why the others did not run."""
    refused: dict[str, str] = {}
    with contextlib.ExitStack() as stack:
        workers: dict[str, Worker] = {}
        ours = list(_OURS)[: 1 + case.rounds]
        for name in (*ours, *options.peers):
            builder, python = _OURS.get(name, name), options.peer_python
            if name in _OURS:
                python = sys.executable
            try:
                worker = Worker(
                    builder,
                    case.net,
                    case.batch,
                    options.seed,
                    threads=options.threads,
                    max_bytes=options.max_bytes,
                    python=python,
                )
            except WorkerError as error:
                if name in _OURS:
                    raise
                refused[name] = str(error)
                continue
            if worker.unavailable is not None:
                refused[name] = worker.unavailable
                continue
            workers[name] = stack.enter_context(worker)
        timings = median_times(dict(workers), options.repeats, options.seconds)
    return timings, workers, refused


def row(name: str, case: Case, timing: Timing, worker: Worker) -> dict[str, Any]:
    """Return the figures of one implementation; rates count the weights it trains."""
    net = case.net
    n_in, n_out = net.shapes[0]
    is_dense = worker.nnz == net.n_dense
    nnz_first = n_in * n_out if is_dense else net.layer_nnz[0]
    flops = step_flops(worker.nnz, nnz_first, case.batch)
    return {
        "name": name,
        "nnz": worker.nnz,
        "ms": timing.median * 1e3,
        "q1_ms": timing.q1 * 1e3,
        "q3_ms": timing.q3 * 1e3,
        "steps": timing.steps,
        "first_s": timing.first,
        "ns": timing.median / (worker.nnz * case.batch) * 1e9,
        "gflops": flops / timing.median * 1e-9,
        "peak_mb": worker.peak_rss_mb,
        "loss": worker.info["loss"],
    }


def figures_of_a_user(case: Case, options: argparse.Namespace) -> dict[str, Any]:
    """Build the net as a user does: compile times, initialisation, update, memory."""
    arguments = [
        "net",
        "--net=" + ",".join(map(str, case.net.sizes)),
        f"--epsilon={case.net.epsilon}",
        f"--batch={case.batch}",
        f"--seed={options.seed}",
        f"--threads={options.threads}",
    ]
    if options.skip_cold:
        return {"cold_s": None, **probe(*arguments, threads=options.threads)}
    with tempfile.TemporaryDirectory() as cache:
        settings = {"threads": options.threads, "cache": cache}
        cold = probe(*arguments, "--only-first", **settings)
        # This run compiles what only topology updates need.
        probe(*arguments, "--steps=1", **settings)
        return {"cold_s": cold["first_s"], **probe(*arguments, **settings)}


def figures(
    case: Case, result: dict[str, Any], rates: dict[str, Any]
) -> dict[str, float | None]:
    """Return the figures of truesparse, those of the targets among them."""
    rows = {entry["name"]: entry for entry in result["rows"]}
    ours, probed = rows[TRUESPARSE], result["own"]
    seconds = ours["ms"] * 1e-3
    bandwidth = max(rates["stream_gbs"].values())
    values: dict[str, float | None] = {
        key: ours[key] for key in ("ms", "ns", "gflops", "of_sgemm")
    }
    bound = bound_seconds(case, rates["sgemm_gflops"], bandwidth)
    values |= {"bound_ms": bound * 1e3, "of_bound": bound / seconds}
    peers = {
        name: r["ms"] / ours["ms"] for name, r in rows.items() if name != TRUESPARSE
    }
    values["vs_fastest_peer"] = min(peers.values(), default=None)
    values |= {f"vs_{name}": ratio for name, ratio in peers.items()}
    if rounded := result["rounded"]:
        fastest, share = values["vs_fastest_peer"], rounded["ms"] / ours["ms"]
        values["bfloat16_ms"] = rounded["ms"]
        values["bfloat16_vs_fastest_peer"] = fastest and fastest / share
    keys = ["init_s", "update_s", "bytes_sgd", "bytes_adam", "cold_s"]
    keys += ["bytes_sgd_all", "bytes_adam_all", "peak_step_mb", "peak_update_mb"]
    values |= {key: probed[key] for key in keys}
    values["warm_s"] = probed["first_s"]
    if case.epoch_steps is not None:
        values["epoch_s"] = seconds * case.epoch_steps
    return values


def judge(target: Target, values: dict[str, float | None]) -> dict[str, Any]:
    """Return a target with the value measured and whether it is met."""
    value = values.get(target.figure)
    return {
        "figure": target.figure,
        "text": target.text,
        "bound": target.bound,
        "value": value,
        "met": target.met(value),
    }


def describe(result: dict[str, Any]) -> str:
    """Return one case as lines of text."""
    values = result["figures"]
    lines = [
        f"\n{result['title']}: {result['nnz']:,} weights",
        f"  {'':<19} {'ms':>9} {'quartiles':>19} {'ns/(w s)':>9} {'GFLOP/s':>8}"
        f" {'of sgemm':>8} {'peak MB':>8} {'1st loss':>8}",
    ]
    for entry in measured(result):
        quartiles = f"{entry['q1_ms']:.3g} to {entry['q3_ms']:.3g}"
        peak = "-" if entry["peak_mb"] is None else f"{entry['peak_mb']:.0f}"
        lines.append(
            f"  {entry['name']:<19} {entry['ms']:>9.3f} {quartiles:>19}"
            f" {entry['ns']:>9.3f} {entry['gflops']:>8.1f} {entry['of_sgemm']:>8.2f}"
            f" {peak:>8} {entry['loss']:>8.4f}"
        )
    lines += [f"  {name}: not run: {why}" for name, why in result["refused"].items()]
    cold = values["cold_s"]
    cold_text = "not measured" if cold is None else f"{cold:.1f} s"
    lines += [
        f"  lower bound {values['bound_ms']:.3g} ms, {values['of_bound']:.0%} reached; "
        f"initialisation {values['init_s']:.3g} s, "
        f"SET update {values['update_s']:.3g} s",
        f"  first call cold {cold_text}, warm {values['warm_s']:.2f} s; peak memory "
        f"{values['peak_step_mb']} MB, with an update {values['peak_update_mb']} MB",
        f"  bytes a weight: {values['bytes_sgd']:.2f} momentum, "
        f"{values['bytes_adam']:.2f} Adam ({values['bytes_sgd_all']:.2f} and "
        f"{values['bytes_adam_all']:.2f} with row pointers)",
    ]
    if not result["losses_agree"]:
        lines.append("  FIRST LOSSES DIFFER: not all compute the same")
    words = {True: "met", False: "MISSED", None: "not measured"}
    for target in result["targets"]:
        value = target["value"]
        got = "" if value is None else f": {value:.3g}"
        lines.append(f"  target {target['text']}{got}: {words[target['met']]}")
    return "\n".join(lines)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.step",
        description="Time one training step of truesparse and its peers.",
    )
    parser.add_argument("--nets", help=f"some of {', '.join(CASES)} (default: all)")
    parser.add_argument("--peers", help=f"some of {', '.join(PEERS)} (default: all)")
    parser.add_argument("--smoke", action="store_true", help="tiny nets, not published")
    parser.add_argument("--out", type=Path, metavar="FILE", help=OUT_HELP)
    parser.add_argument(
        "--peer-python",
        default=sys.executable,
        metavar="PYTHON",
        help="interpreter that has the peers",
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--repeats", type=int, help="rounds (default: 8)")
    parser.add_argument("--seconds", type=float, help="length of a turn, 0.25")
    parser.add_argument(
        "--max-bytes",
        type=int,
        default=6 * 10**9,
        help="leave out peers whose dense arrays take more",
    )
    parser.add_argument(
        "--skip-cold", action="store_true", help="do not time compilation"
    )
    options = parser.parse_args(arguments)
    cases = SMOKE_CASES if options.smoke else CASES
    options.cases = [cases[key] for key in names(options.nets, cases, "net")]
    options.peers = names(options.peers, PEERS, "peer")
    options.out = results_file(options.out, "step.json", is_published=not options.smoke)
    options.repeats = options.repeats or (2 if options.smoke else 8)
    options.skip_cold |= options.smoke
    options.seconds = options.seconds or (0.01 if options.smoke else 0.25)
    return options


def measure_rates(options: argparse.Namespace) -> dict[str, Any]:
    """Return the rates of the machine, by the libraries of the peers too."""
    quick = ("--size=256", "--seconds=0.1") if options.smoke else ()
    return probe(
        "rates",
        f"--threads={options.threads}",
        *quick,
        threads=options.threads,
        python=options.peer_python,
    )


def better(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """Return the higher of two measurements of each rate.

    Examples
    --------
    >>> from benchmarks.step import better
    >>> one = {"sgemm_gflops": 1.0, "stream_gbs": {"read": 4.0}}
    >>> better(one, {"sgemm_gflops": 2.0, "stream_gbs": {"read": 3.0}})
    {'sgemm_gflops': 2.0, 'stream_gbs': {'read': 4.0}}
    """
    streams = first["stream_gbs"], second["stream_gbs"]
    return {
        "sgemm_gflops": max(first["sgemm_gflops"], second["sgemm_gflops"]),
        "stream_gbs": {key: max(s[key] for s in streams) for key in streams[0]},
    }


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Run the benchmark, printing and writing results as it goes, and return them."""
    names_of_settings = ("threads", "seed", "repeats", "seconds", "smoke")
    payload: dict[str, Any] = {
        "settings": {key: getattr(options, key) for key in names_of_settings},
        "peer_versions": probe("versions", python=options.peer_python),
        "rates": measure_rates(options),
        "cases": [],
    }
    for case in options.cases:
        payload["cases"].append(run_case(case, options))
        # The best rates of the whole run are those of the machine; the first ones may
        # have had company.
        payload["rates"] = better(payload["rates"], measure_rates(options))
        for known, result in zip(options.cases, payload["cases"], strict=False):
            derive(known, result, payload["rates"])
        print(describe(payload["cases"][-1]), flush=True)
        write_results(options.out, payload)
    rates = payload["rates"]
    stream = ", ".join(f"{k} {v:.1f}" for k, v in rates["stream_gbs"].items())
    print(
        f"\n{options.threads} threads; sgemm {rates['sgemm_gflops']:.0f} GFLOP/s; "
        f"memory in GB/s: {stream}",
    )
    return payload


@program
def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark and write its results."""
    options = parse(arguments)
    with results_in(options.out):
        payload = run(options)
        missed = [
            f"{case['title']}: {target['text']}"
            for case in payload["cases"]
            for target in case["targets"]
            if target["met"] is False
        ]
        print(f"\n{len(missed)} targets missed" + "".join(f"\n  {m}" for m in missed))
    return 0 if all(case["losses_agree"] for case in payload["cases"]) else 1


if __name__ == "__main__":
    sys.exit(main())
