"""Measure how a large CSV file is read: seconds, and memory at its peak.

    python -m benchmarks.loading                       3 minutes, 200 MB of text
    python -m benchmarks.loading --megabytes 1000      15 minutes, 8 GB of memory
    python -m benchmarks.loading --smoke               seconds

Two files are written to a temporary folder: whole numbers from 0 to 255 in 785
columns, most of them 0, like MNIST; and real numbers in 250 columns. The last column is
the target. Each is read in processes of their own by pandas and pyarrow alone, by the
reader of text tables, and by `load`, which also splits and scales the rows. They take
turns, three times; of the seconds the least counts. Memory is what the process has
grown by at most since it read a small file, as a multiple of the array that is
returned: the frame, the features as they are stored, or both parts; those of `load`
are compared with the features as they are stored where these are larger.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from .options import OUT_HELP, program
from .peers.machine import peak_rss_mb
from .probe import clean_environment, run_json
from .stored import results_file, results_in, write_results

LIBRARIES = ("pandas", "pyarrow")
READERS = (*LIBRARIES, "read", "load")
ROUNDS = 3
# The reader beside the faster of the two libraries, and beside its own array.
MOST_TIME, MOST_MEMORY = 1.3, 1.5
BLOCK_ROWS = 500


def write_table(path: Path, kind: str, n_bytes: float) -> None:
    """Write rows of numbers and a label until the file has that size."""
    draw = np.random.default_rng(0)
    with path.open("w") as file:
        while file.tell() < n_bytes:
            labels = draw.integers(0, 10, (BLOCK_ROWS, 1))
            if kind == "whole":
                values = draw.integers(0, 256, (BLOCK_ROWS, 784))
                values *= draw.random(values.shape) < 0.3
                np.savetxt(file, np.hstack([values, labels]), "%d", delimiter=",")
            else:
                values = draw.standard_normal((BLOCK_ROWS, 249))
                rows = zip(values.round(6).tolist(), labels[:, 0], strict=True)
                file.writelines(f"{','.join(map(str, r))},{y}\n" for r, y in rows)


def measure(reader: str, path: Path) -> dict[str, Any]:
    """Read a file in this process; return seconds and megabytes."""
    small = path.with_name(f"small-{reader}.csv")
    small.write_text("1,2.5,0\n2,3.5,1\n" * 20)
    read(reader, small)  # which loads the libraries
    before = peak_rss_mb() or 0.0
    start = time.perf_counter()
    n_bytes = read(reader, path)
    seconds = time.perf_counter() - start
    peak_mb = (peak_rss_mb() or 0.0) - before
    return {
        "reader": reader,
        "seconds": seconds,
        "array_mb": n_bytes / 1e6,
        "peak_mb": peak_mb,
    }


def measure_in_turn(path: Path) -> dict[str, dict[str, Any]]:
    """Return what each reader took, at best of `ROUNDS`, by its name."""
    best: dict[str, dict[str, Any]] = {}
    for _ in range(ROUNDS):
        for reader in READERS:
            arguments = ("--measure", reader, str(path))
            row = run_json(
                "benchmarks.loading", *arguments, environment=clean_environment(2)
            )
            before = best.get(reader)
            if before is None or row["seconds"] < before["seconds"]:
                best[reader] = row
    largest = max(best["read"]["array_mb"], best["load"]["array_mb"])
    best["load"]["array_mb"] = largest
    return best


def read(reader: str, path: Path) -> int:
    """Return the bytes of what was read."""
    if reader in LIBRARIES:
        import pandas as pd

        engine: Any = "c" if reader == "pandas" else "pyarrow"
        return int(pd.read_csv(path, header=None, engine=engine).memory_usage().sum())
    if reader == "read":
        from truesparse.datasets.csv_table import read_csv
        from truesparse.datasets.table_options import TableOptions

        return read_csv(path, TableOptions()).X_train.nbytes
    from truesparse import datasets

    data = datasets.load(path)
    return data.X_train.nbytes + data.X_test.nbytes


def describe(kind: str, row: dict[str, Any], fastest: float) -> str:
    """Return a line about one reader, with verdicts on that of text tables."""
    ratio = row["peak_mb"] / row["array_mb"]
    line = (
        f"{kind:<6} {row['reader']:<8} {row['seconds']:7.2f} s, array "
        f"{row['array_mb']:6.0f} MB, peak {row['peak_mb']:6.0f} MB ({ratio:.2f}x)"
    )
    if row["reader"] in LIBRARIES:
        return line
    is_met = ratio <= MOST_MEMORY
    at_most = f"at most {MOST_MEMORY:g}x the memory"
    if row["reader"] == "read":
        slower = row["seconds"] / fastest
        is_met &= slower <= MOST_TIME
        line += f"; {slower:.2f}x the time of the faster library"
        at_most += f" and {MOST_TIME:g}x the time"
    return f"{line} ({at_most}: {'met' if is_met else 'MISSED'})"


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.loading", description="Measure reading of CSV files."
    )
    parser.add_argument("--megabytes", type=float, default=200.0, help="of each file")
    parser.add_argument("--smoke", action="store_true", help="1 MB, not published")
    parser.add_argument("--measure", nargs=2, metavar=("READER", "FILE"), help="JSON")
    parser.add_argument("--out", type=Path, metavar="FILE", help=OUT_HELP)
    options = parser.parse_args(arguments)
    if options.smoke:
        options.megabytes = 1.0
    options.out = results_file(
        options.out, "loading.json", is_published=not options.smoke
    )
    return options


@program
def main(arguments: list[str] | None = None) -> int:
    """Measure every reader on both files and write the results."""
    options = parse(arguments)
    if options.measure:
        print(json.dumps(measure(options.measure[0], Path(options.measure[1]))))
        return 0
    with results_in(options.out):
        rows = []
        with tempfile.TemporaryDirectory() as folder:
            for kind in ("whole", "real"):
                path = Path(folder) / f"{kind}.csv"
                write_table(path, kind, options.megabytes * 1e6)
                measured = measure_in_turn(path)
                fastest = min(measured[name]["seconds"] for name in LIBRARIES)
                for row in measured.values():
                    print(describe(kind, row, fastest), flush=True)
                    rows.append({"kind": kind, **row})
                path.unlink()
        write_results(options.out, {"megabytes": options.megabytes, "rows": rows})
    return 0


if __name__ == "__main__":
    sys.exit(main())
