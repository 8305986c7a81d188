"""What the studies share: flags, journal, progress, and the report's file."""

import argparse
import functools
import math
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from truesparse.analysis.sweeps import Progress, Result, Setting, run_sweep
from truesparse.commands.report_summary import duration

from ..markdown import source
from ..options import program, whole_numbers
from ..stored import refuse_uncommitted, write_results
from .training import load, train_and_measure

MODELS = "models"
Rows = list[tuple[Setting, Result]]


def make_parser(description: str, out: str) -> argparse.ArgumentParser:
    """Return a parser of the flags that all studies have."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--data", help="data sets, separated by commas")
    parser.add_argument("--data-home", help="folder with data sets")
    parser.add_argument("--hidden", help="neurons of the hidden layers")
    parser.add_argument("--epochs", type=int, help="epochs of every run")
    parser.add_argument("--seeds", type=int, help="seeds of every setting")
    parser.add_argument("--jobs", type=int, default=1, help="processes, 1 by default")
    parser.add_argument("--out", type=Path, default=Path(out), help=f"folder, {out}")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--full", action="store_true", help="all seeds and epochs")
    size.add_argument("--smoke", action="store_true", help="tiny: to see that it runs")
    return parser


def with_size(
    options: argparse.Namespace, sizes: dict[str, dict[str, Any]]
) -> dict[str, Any]:
    """Return the options of the chosen size, replaced by the flags that are given.

    Parameters
    ----------
    options : argparse.Namespace
    sizes : dict
        For "smoke", "default" and "full" the values of flags; "full" and "smoke" hold
        only what differs from "default".
    """
    name = "full" if options.full else "smoke" if options.smoke else "default"
    values = sizes["default"] | sizes[name] | {"size": name}
    given = {k: v for k, v in vars(options).items() if k in values and v is not None}
    if "hidden" in given:
        given["hidden"] = whole_numbers(given["hidden"], "--hidden")
    if "data" in given:
        given["data"] = given["data"].split(",")
    return values | given


def run(
    settings: list[Setting],
    options: argparse.Namespace,
    name: Callable[[Setting], str],
) -> Rows:
    """Run the settings that the journal lacks, with a line for each on stderr.

    Models that settings ask for are saved in the folder `models` beside the journal.
    """
    refuse_uncommitted(options.out / "report.json")
    for data in dict.fromkeys(setting["data"] for setting in settings):
        # One that is missing would end the study after an hour.
        load(data, options.data_home)
    options.out.mkdir(parents=True, exist_ok=True)

    def report(progress: Progress) -> None:
        accuracy = progress.result["accuracy"]
        shown = "diverged" if accuracy is None else f"accuracy {accuracy:.4f}"
        rest = duration(progress.remaining_seconds)
        text = f"{progress.n_done} of {progress.n_settings}: {name(progress.setting)}"
        print(f"{text}, {shown}; {rest} remaining", file=sys.stderr, flush=True)

    journal = options.out / "journal.jsonl"
    places = {"data_home": options.data_home, "models": options.out / MODELS}
    work = functools.partial(train_and_measure, **places)
    return run_sweep(work, settings, journal, n_workers=options.jobs, report=report)


def write_report(
    out: Path, text: str, chosen: dict[str, Any], rows: Rows, **more: Any
) -> None:
    """Write the report as Markdown, all runs as JSON, and print where the first is."""
    runs = []
    for setting, result in rows:
        measured = dict(result)
        commit = measured.pop("commit", None)
        runs.append({"commit": commit, "setting": setting, "result": measured})
    facts = {"size": chosen, **more, "runs": runs}
    written = write_results(out / "report.json", facts)
    (out / "report.md").write_text(text.rstrip() + source(written) + "\n")
    print(out / "report.md")


def table(head: list[str], rows: list[list[str]]) -> str:
    """Return a table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def mean_text(values: list[float], digits: int = 3) -> str:
    """Return the mean and, of several values, their standard deviation."""
    known = [value for value in values if value is not None and math.isfinite(value)]
    if not known:
        return "-"
    text = f"{statistics.mean(known):.{digits}f}"
    if len(known) > 1:
        text += f" \N{PLUS-MINUS SIGN} {statistics.stdev(known):.{digits}f}"
    return text


def call(main: Callable[[list[str] | None], int]) -> None:
    """Run a study; errors that a user can cause become one line."""
    try:
        sys.exit(program(main)(None))
    except KeyboardInterrupt:
        print("stopped; the same command runs what is missing", file=sys.stderr)
        sys.exit(130)
