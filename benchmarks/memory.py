"""Compare the estimate of a run's memory with what the run takes.

    python -m benchmarks.memory                         25 minutes
    python -m benchmarks.memory --parts warm            4 minutes
    python -m benchmarks.memory --largest 100000000     half an hour, 12 GB

Every case is a command line of ``python -m truesparse.train``, run in a process of its
own: once with ``--dry-run`` for the estimate, then for the peak of its resident memory
(VmHWM: what ``wait4`` reports starts at the peak of the parent), with compiled kernels
(warm) and with none (cold). A ratio is the estimate divided by the peak: 1.05 is 5 %
too much, below 1 too little.

The file is written after every case; a later start resumes and takes the cases that are
missing.
"""

import argparse
import contextlib
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .options import OUT_HELP, names, program
from .probe import clean_environment, run_json
from .stored import git_commit, read_runs, results_file, results_in, write_results

PARTS = ("warm", "cold")
KEYS = ("case", "commit", "estimate", *PARTS)
LARGEST = 10_000_000


@dataclass(frozen=True)
class Case:
    """A run to be measured.

    Parameters
    ----------
    neurons : int
        Hidden neurons.
    flags : str
        More flags of ``python -m truesparse.train``.
    data : str
        Name of a data set, or "dense" or "csr" for files that this program makes.
    """

    neurons: int
    flags: str = ""
    data: str = "digits"

    def words(self, folder: Path) -> list[str]:
        """Return the words of the command line, with files and results in `folder`."""
        file = {"dense": "dense.npz", "csr": "rows.svm"}.get(self.data)
        data = self.data if file is None else str(folder / file)
        words = ["--epochs=3", f"--neurons={self.neurons}", f"--data={data}"]
        return [*words, *self.flags.split()]


CASES = {
    "small": Case(1_000),
    "hundred_thousand": Case(100_000),
    "million": Case(1_000_000),
    "million_b8": Case(1_000_000, "--batch-size=8", "iris"),
    "three_million_static": Case(3_000_000, "--batch-size=8 --topology=static", "iris"),
    "ten_million": Case(10_000_000, "--depth=10 --batch-size=8", "iris"),
    "hundred_million": Case(
        100_000_000,
        # Eight steps and an update: these determine the peak.
        "--depth=10 --batch-size=8 --activation-dtype=bfloat16 --test-fraction=0.8 "
        "--epochs=2 --lr=0.01",
        "iris",
    ),
    "adam": Case(500_000, "--optimizer=adam"),
    "float64": Case(500_000, "--dtype=float64"),
    "bfloat16": Case(500_000, "--activation-dtype=bfloat16"),
    "clipped": Case(500_000, "--clip-norm=1"),
    "gelu": Case(500_000, "--activation=gelu"),
    "srelu": Case(500_000, "--activation=srelu"),
    "sgd_plain": Case(500_000, "--momentum=0 --epsilon=10"),
    "rigl": Case(500_000, "--topology=rigl --update-every=2 --update-unit=step"),
    "gse": Case(200_000, "--topology=gse"),
    "chts": Case(100_000, "--topology=chts"),
    "soft_deepr": Case(50_000, "--topology=soft_deepr"),
    "granet": Case(200_000, "--topology=granet"),
    "snfs": Case(300_000, "--topology=snfs"),
    "bsf": Case(200_000, "--init-topology=bsf"),
    "dense": Case(100_000, "", "dense"),
    "csr": Case(100_000, "", "csr"),
    "csr_million": Case(1_000_000, "--batch-size=32", "csr"),
}


def make_files(folder: Path) -> None:
    """Write the data of the cases "dense" (80 MB) and "csr" (0.5 million entries)."""
    draw = np.random.default_rng(0)
    X = draw.standard_normal((20_000, 1_000), dtype=np.float32)
    np.savez(folder / "dense.npz", X=X, y=draw.integers(0, 5, len(X)))
    with open(folder / "rows.svm", "w", encoding="ascii") as file:
        for label in draw.integers(0, 5, 5_000):
            columns = np.unique(draw.integers(1, 50_001, 100))
            file.write(f"{label} {' '.join(f'{column}:1' for column in columns)}\n")


def estimate(case: Case, folder: Path, threads: int) -> dict[str, Any]:
    """Return what ``--dry-run`` says."""
    words = [*case.words(folder), f"--threads={threads}", "--dry-run"]
    environment = clean_environment(threads)
    return run_json("truesparse.train", *words, environment=environment)


def peak(case: Case, folder: Path, threads: int, cache: str | None = None) -> float:
    """Run a case and return the most bytes that it held."""
    with tempfile.TemporaryDirectory() as out:
        words = [*case.words(folder), f"--out={out}/run", f"--threads={threads}"]
        environment = clean_environment(threads, cache)
        result = run_json(
            "truesparse.train", *words, "--json", "--quiet", environment=environment
        )
    return 1e6 * result["peak_rss_mb"]


def measure(name: str, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Return the row of a case."""
    case = CASES[name]
    row: dict[str, Any] = {"case": name, "neurons": case.neurons, "flags": case.flags}
    row |= {"data": case.data, "commit": git_commit()}
    with contextlib.ExitStack() as stack:
        cache = None
        if "cold" in options.parts:
            cache = stack.enter_context(tempfile.TemporaryDirectory())
        # The first run compiles what is not compiled yet, and stores the data, so that
        # later ones do not load the library they come from.
        peaks = {"cold": peak(case, folder, options.threads, cache)}
        if "warm" in options.parts:
            peaks["warm"] = peak(case, folder, options.threads, cache)
    said = row["estimate"] = estimate(case, folder, options.threads)
    totals = {"warm": said["total"], "cold": said["first_total"]}
    for part in options.parts:
        ratio = totals[part] / peaks[part]
        row[part] = {"peak": peaks[part], "estimate": totals[part], "ratio": ratio}
    return row


def line(row: dict[str, Any]) -> str:
    """Return a row as text."""
    parts = [
        f"{part} {row[part]['estimate'] / 1e6:>8,.0f} MB said, "
        f"{row[part]['peak'] / 1e6:>8,.0f} taken, {row[part]['ratio']:.3f}"
        for part in PARTS
        if part in row
    ]
    return f"{row['case']:<22} {'; '.join(parts)}"


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.memory",
        description="Compare the estimated memory of runs with what they take.",
    )
    parser.add_argument("--parts", help=f"some of {', '.join(PARTS)} (default: both)")
    parser.add_argument("--cases", help=f"some of {', '.join(CASES)} (default: all)")
    parser.add_argument(
        "--largest",
        type=int,
        default=LARGEST,
        metavar="N",
        help="leave out cases of more hidden neurons (default: 10 million)",
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, metavar="FILE", help=OUT_HELP)
    options = parser.parse_args(arguments)
    is_published = options.parts is None and options.cases is None
    options.out = results_file(options.out, "memory.json", is_published=is_published)
    options.parts = names(options.parts, PARTS, "part")
    wanted = names(options.cases, CASES, "case")
    options.cases = [name for name in wanted if CASES[name].neurons <= options.largest]
    return options


@program
def main(arguments: list[str] | None = None) -> None:
    """Measure the cases that are missing and write the results after each."""
    options = parse(arguments)
    settings = {"threads": options.threads, "parts": list(options.parts)}
    keys = [key for key in KEYS if key not in PARTS or key in options.parts]
    runs = read_runs(options.out, settings, keys)["runs"]
    done = {run["case"] for run in runs}
    with results_in(options.out), tempfile.TemporaryDirectory() as folder:
        make_files(Path(folder))
        for name in options.cases:
            if name not in done:
                runs.append(measure(name, Path(folder), options))
                print(line(runs[-1]), flush=True)
                write_results(options.out, {"settings": settings, "runs": runs})


if __name__ == "__main__":
    sys.exit(main())
