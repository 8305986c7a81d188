"""Measure how cost grows with neurons, how long a start takes, what subnormals cost.

    python -m benchmarks.scale                  7 minutes
    python -m benchmarks.scale --smoke          under a minute
    python -m benchmarks.scale --parts start,help
    python -m benchmarks.scale --parts large --large 10000000,100000000,200000000
                                                25 minutes, 24 GB, 10 GB of disk

Parts, each measured in processes of its own:

    table       nets 64-n-n-10 of 10^4 to 4 10^6 hidden neurons, eps 5 and 10, batch 32:
                initialisation, step, SET update, peak memory, bytes a weight
    main_job    ``python -m truesparse.train --neurons 1000000`` with nothing compiled
    start       the same run with 100,000 neurons and 2 epochs with and without compiled
                kernels; time of the main job to its first step, kernels compiled
    help        ``python -m truesparse.train --help``
    refusal     the same for a net that fits no memory
    subnormal   see subnormal.py
    large       ``python -m truesparse.train --data iris --depth 10 --batch-size 8
                --activation-dtype bfloat16`` with as many neurons as --large lists,
                and one topology update
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from truesparse.errors import MemoryLimitError

from .harness import WorkerError
from .options import OUT_HELP, names, numbers, program, whole_numbers
from .probe import clean_environment, probe, run_json
from .stored import ROOT, results_file, results_in, write_results
from .subnormal import compare

PARTS = ("table", "main_job", "start", "help", "refusal", "subnormal", "large")
LARGE_BATCH, LARGE_EPOCHS, IRIS_SAMPLES = 8, 2, 120
FEATURES, CLASSES, BATCH = 64, 10, 32
MAIN_JOB_NEURONS, START_NEURONS = 1_000_000, 100_000
ANSWERS = 7
ABSURD = ("--neurons=100000000000", "--depth=100", "--data=iris")


def table(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Return a row for every number of neurons and epsilon."""
    rows: list[dict[str, Any]] = []
    for neurons in options.neurons:
        for epsilon in options.epsilons:
            half = neurons // 2
            sizes = (FEATURES, half, neurons - half, CLASSES)
            arguments = (
                "net",
                "--net=" + ",".join(map(str, sizes)),
                f"--epsilon={epsilon}",
                f"--batch={BATCH}",
                f"--threads={options.threads}",
            )
            if not rows:
                # Compiles what is not compiled yet.
                probe(*arguments, "--steps=1", threads=options.threads)
            row = {"epsilon": epsilon, "batch": BATCH, "sizes": sizes}
            row |= probe(*arguments, threads=options.threads)
            rows.append(row)
            print(
                f"{neurons:>9,} neurons, eps {epsilon:g}: {row['nnz']:>11,} weights; "
                f"initialisation {row['init_s']:.3g} s, step {row['step_s']:.3g} s, "
                f"SET update {row['update_s']:.3g} s, peak {row['peak_update_mb']} MB, "
                f"{row['bytes_sgd_all']:.1f} bytes a weight; dense weights and "
                f"momentum: {row['dense_bytes'] / 1e9:,.3g} GB",
                flush=True,
            )
    return rows


def main_job(options: argparse.Namespace) -> dict[str, Any]:
    """Run the main job with no compiled kernels, and return what it reports."""
    with tempfile.TemporaryDirectory() as folder:
        cache = None if options.smoke else folder
        job = train(cache, f"{folder}/run", options, options.main_job_flags)
    print(
        f"main job: test accuracy {job['test_score']:.4f}, {job['wall_s']:.1f} s "
        f"with compilation, peak {job['peak_rss_mb']:.0f} MB",
        flush=True,
    )
    return job


def start(options: argparse.Namespace) -> dict[str, Any]:
    """Compare cold and warm runs; time the way to the first step."""
    flags = (f"--neurons={options.start_neurons}", "--epochs=2")
    with tempfile.TemporaryDirectory() as folder:
        cache = None if options.smoke else folder
        cold, warm = (
            train(cache, f"{folder}/run{turn}", options, flags)["wall_s"]
            for turn in range(2)
        )
        first = []
        for turn in range(3):
            first.append(
                probe(
                    "first-step",
                    f"--threads={options.threads}",
                    f"--started={time.time()}",
                    "--",
                    f"--out={folder}/first{turn}",
                    *options.main_job_flags,
                    threads=options.threads,
                    cache=cache,
                )["seconds"]
            )
    seconds = {
        "cold_s": cold,
        "warm_s": warm,
        "compile_s": cold - warm,
        # The first of these may have a kernel to compile that the small run has not.
        "first_step_s": statistics.median(first[1:]),
    }
    print(
        f"cold {cold:.1f} s, warm {warm:.1f} s: compilation {cold - warm:.1f} s; "
        f"first step of the main job after {seconds['first_step_s']:.2f} s",
        flush=True,
    )
    return seconds


def train(
    cache: str | None, out: str, options: argparse.Namespace, flags: tuple[str, ...]
) -> dict[str, Any]:
    """Run ``python -m truesparse.train`` and return its JSON and ``wall_s``."""
    started = time.perf_counter()
    result = run_json(
        "truesparse.train",
        *flags,
        f"--out={out}",
        f"--threads={options.threads}",
        "--json",
        "--quiet",
        environment=clean_environment(options.threads, cache),
    )
    wall = time.perf_counter() - started
    # Its folder is removed.
    result.pop("model")
    return result | {"wall_s": wall, "flags": list(flags)}


def help_seconds(options: argparse.Namespace) -> dict[str, float]:
    """Time ``--help``."""
    return _time_answers("--help", ("--help",), 0, options)


def refusal_seconds(options: argparse.Namespace) -> dict[str, float]:
    """Time the refusal of a net that would not fit in memory."""
    return _time_answers("refusal", ABSURD, MemoryLimitError.exit_code, options)


def _time_answers(
    name: str, words: tuple[str, ...], code: int, options: argparse.Namespace
) -> dict[str, float]:
    """Time a command that answers at once, with an exit code."""
    times = []
    for _ in range(ANSWERS):
        started = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "truesparse.train", *words],
            cwd=ROOT,
            env=clean_environment(options.threads),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        times.append(time.perf_counter() - started)
        if done.returncode != code:
            raise WorkerError(f"{name} ended with exit code {done.returncode}")
    seconds = {"median_s": statistics.median(times), "minimum_s": min(times)}
    print(f"{name}: {seconds['median_s']:.3f} s", flush=True)
    return seconds


def subnormal(options: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Compare steps with and without flushing."""
    cases = compare(options.threads, options.seconds)
    for case, row in cases.items():
        print(
            f"subnormal {case}: flushed {row['flushed_ms']:.3f} ms, kept "
            f"{row['kept_ms']:.3f} ms, {row['slowdown']:.2f}x",
            flush=True,
        )
    return cases


def large(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Train nets of ten layers for two epochs with an update between them."""
    rows = []
    for neurons in options.large:
        flags = (
            f"--neurons={neurons}",
            "--depth=10",
            f"--batch-size={LARGE_BATCH}",
            f"--epochs={LARGE_EPOCHS}",
            "--data=iris",
            "--activation-dtype=bfloat16",
            "--lr=0.01",  # ten layers diverge at the default
        )
        words = *flags, f"--threads={options.threads}", "--dry-run", "--quiet"
        environment = clean_environment(options.threads)
        said = run_json("truesparse.train", *words, environment=environment)
        with tempfile.TemporaryDirectory() as folder:
            row = train(None, f"{folder}/run", options, flags)
        row["estimate_mb"] = said["total"] / 1e6
        seconds = row["forward_s_per_epoch"] + row["backward_s_per_epoch"]
        row["step_s"] = seconds * LARGE_BATCH / IRIS_SAMPLES
        row["ns_weight_sample"] = 1e9 * seconds / IRIS_SAMPLES / row["nnz"]
        row["update_s"] = row["topology_s_per_epoch"] * LARGE_EPOCHS
        rows.append(row)
        print(
            f"{neurons:>11,} neurons: {row['nnz']:>13,} weights; step "
            f"{row['step_s']:.3g} s, {row['ns_weight_sample']:.2f} ns a weight and "
            f"sample, SET update {row['update_s']:.3g} s, {row['wall_s']:.0f} s in "
            f"all, peak {row['peak_rss_mb']:,.0f} MB",
            flush=True,
        )
    return rows


MEASURES = {
    "table": table,
    "main_job": main_job,
    "start": start,
    "help": help_seconds,
    "refusal": refusal_seconds,
    "subnormal": subnormal,
    "large": large,
}


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.scale",
        description="Measure growth with neurons, start and subnormals.",
    )
    parser.add_argument("--parts", help=f"some of {', '.join(PARTS)} (default: all)")
    parser.add_argument("--neurons", metavar="N,N,...", help="hidden neurons in all")
    parser.add_argument(
        "--large",
        metavar="N,N,...",
        help="also train nets of so many hidden neurons (100 million take 12 GB)",
    )
    parser.add_argument("--epsilons", metavar="E,E", default="5,10")
    parser.add_argument(
        "--smoke", action="store_true", help="small nets, nothing cold, not published"
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, metavar="FILE", help=OUT_HELP)
    options = parser.parse_args(arguments)
    options.parts = names(options.parts, PARTS, "part")
    smoke = options.smoke
    default = "1000,2000" if smoke else "10000,100000,1000000,4000000"
    options.neurons = whole_numbers(options.neurons or default, "--neurons")
    options.epsilons = numbers(options.epsilons, "--epsilons")
    options.large = whole_numbers(options.large, "--large") if options.large else []
    if not options.large:
        options.parts = [part for part in options.parts if part != "large"]
    # Results of their own: they take three times as long as all others.
    name = "scale_large.json" if options.parts == ["large"] else "scale.json"
    options.out = results_file(options.out, name, is_published=not smoke)
    options.start_neurons = 1000 if smoke else START_NEURONS
    options.seconds = 0.05 if smoke else 1.0
    job = (
        ("--neurons=2000", "--epochs=2")
        if smoke
        else (f"--neurons={MAIN_JOB_NEURONS}",)
    )
    options.main_job_flags = job
    return options


@program
def main(arguments: list[str] | None = None) -> None:
    """Run the parts asked for and write their results."""
    options = parse(arguments)
    with results_in(options.out):
        measured = {part: MEASURES[part](options) for part in options.parts}
        payload = {"threads": options.threads, "smoke": options.smoke, **measured}
        write_results(options.out, payload)


if __name__ == "__main__":
    sys.exit(main())
