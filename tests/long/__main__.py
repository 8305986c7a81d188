"""Command line of the long lanes; the package's docstring shows how to call it."""

import argparse
import contextlib
import os
import pathlib
import sys
import time

# As pytest does, for lanes import what is in support/
sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

from tests.long import figures
from tests.long.journal import Journal
from tests.long.registry import Lane, lanes


def main(arguments: list[str] | None = None) -> int:
    """Run lanes in turn until the time is over; return 1 if a promise was broken."""
    options = _parse(arguments)
    chosen = _choose(options.lanes)
    if options.seed is not None:
        return _report_batches(chosen, options.seed)
    journal = Journal(options.journal)
    if options.write:
        figures.write(journal.batches)
        return 0
    deadline = time.monotonic() + 60 * options.minutes
    spent, n_failures = dict.fromkeys(chosen, 0.0), 0
    with contextlib.suppress(KeyboardInterrupt):
        while time.monotonic() < deadline:
            # The lane that has had the least time.
            name = min(spent, key=lambda each: spent[each])
            seed, start = journal.next_seed(name), time.monotonic()
            done = journal.run(chosen[name], seed)
            spent[name] += time.monotonic() - start
            _report(name, seed, done)
            n_failures += len(done.failures)
    for name, totals in figures.summarise(journal.batches).items():
        print(f"{name:<16} {totals['cases']:>9,} cases {totals['minutes']:>8} minutes")
    return 1 if n_failures else 0


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.long", description=__doc__, allow_abbrev=False
    )
    parser.add_argument("--minutes", type=float, default=10.0, help="(10)")
    parser.add_argument("--lanes", help="names with commas between them (all)")
    parser.add_argument(
        "--journal", default="runs/long.jsonl", help="file to go on with (%(default)s)"
    )
    parser.add_argument("--seed", type=int, help="only run the batch of this seed")
    parser.add_argument(
        "--write", action="store_true", help="only write figures.json and the table"
    )
    return parser.parse_args(arguments)


def _choose(names: str | None) -> dict[str, Lane]:
    every = lanes()
    if names is None:
        return every
    unknown = sorted(set(names.split(",")) - set(every))
    if unknown:
        raise SystemExit(f"no lane {', '.join(unknown)}; there are {', '.join(every)}")
    return {name: every[name] for name in names.split(",")}


def _report_batches(chosen: dict[str, Lane], seed: int) -> int:
    n_failures = 0
    for name, each in chosen.items():
        done = each.run(seed, each.batch)
        _report(name, seed, done)
        n_failures += len(done.failures)
    return 1 if n_failures else 0


def _report(name: str, seed: int, done) -> None:
    outcomes = ", ".join(f"{n} {what}" for what, n in sorted(done.outcomes.items()))
    print(f"{name} --seed {seed}: {done.cases} cases: {outcomes}", flush=True)
    for sentence in done.failures:
        print(f"  FAILED: {sentence}", flush=True)


if __name__ == "__main__":
    # As the commands do, before a kernel runs.
    os.environ.setdefault("GOMP_SPINCOUNT", "4000")
    sys.exit(main())
