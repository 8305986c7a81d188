"""Compare loading a large model with and without checking its digest.

    python -m benchmarks.digest                 a minute, 330 MB of disk
    python -m benchmarks.digest --smoke         seconds

The same file is loaded in turn with ``verify=True`` and ``verify=False``: from the
system's cache, and from the disk, where the system forgets files on request (Linux).
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from truesparse import SparseMLP, load, save
from truesparse.common.cores import usable_cores

from .options import OUT_HELP, program
from .stored import results_file, results_in, write_results

# 40 million connections.
SIZES, EPSILON = (1000, 1_000_000, 1000), 20
SMOKE_SIZES = (100, 1000, 100)
PLACES = ("cache", "disk")


def forget(path: Path) -> bool:
    """Let the system drop a file from its cache; return whether it can be asked to."""
    if not hasattr(os, "posix_fadvise"):
        return False
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)
    return True


def seconds(path: Path, verify: bool) -> float:
    """Return how long a load takes."""
    started = time.perf_counter()
    load(path, verify=verify)
    return time.perf_counter() - started


def measure(path: Path, repeats: int) -> list[dict[str, Any]]:
    """Return a row for each place: median seconds with and without the check."""
    rows = []
    for place in PLACES:
        if place == "disk" and not forget(path):
            continue
        times: dict[bool, list[float]] = {True: [], False: []}
        for _ in range(repeats + 1):
            for verify in times:
                if place == "disk":
                    forget(path)
                times[verify].append(seconds(path, verify))
        # The first ones load libraries.
        checked, plain = (statistics.median(times[each][1:]) for each in (True, False))
        row = {"place": place, "checked_s": checked, "plain_s": plain}
        row["share"] = checked / plain - 1.0
        rows.append(row)
        print(
            f"from the {place}: {plain:.3f} s, with the check {checked:.3f} s, "
            f"{row['share']:+.0%}",
            flush=True,
        )
    return rows


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.digest",
        description="Time the check of a model's digest.",
    )
    parser.add_argument("--repeats", type=int, default=15, metavar="N")
    parser.add_argument("--smoke", action="store_true", help="a small file")
    parser.add_argument("--out", type=Path, metavar="FILE", help=OUT_HELP)
    options = parser.parse_args(arguments)
    options.out = results_file(
        options.out, "digest.json", is_published=not options.smoke
    )
    return options


@program
def main(arguments: list[str] | None = None) -> None:
    """Write a model, load it again and again, and write the times."""
    options = parse(arguments)
    with results_in(options.out), tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.safetensors")
        sizes = SMOKE_SIZES if options.smoke else SIZES
        save(SparseMLP(sizes, epsilon=EPSILON), path)
        payload = {
            "file_bytes": path.stat().st_size,
            "cores": usable_cores(),
            "rows": measure(path, 2 if options.smoke else options.repeats),
        }
        write_results(options.out, payload)


if __name__ == "__main__":
    sys.exit(main())
