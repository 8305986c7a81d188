"""Command line: measure what a fixed list of nets costs on this machine.

    python -m truesparse.reference times --out times.json           six minutes
    python -m truesparse.reference times --quick --out quick.json   a minute

Each net has a process of its own, and a limit: what it has not done by then is named in
the file as not measured. Nothing else should run on the machine.
"""

import argparse
import json
import os
import subprocess
import sys
from typing import Any

from truesparse.commands.shell import CommandParser, check_threads, run_command, say
from truesparse.common.checks import check_positive, choose
from truesparse.errors import TruesparseError, UsageError
from truesparse.reference.baseline import timed_nets, times_file
from truesparse.reference.baseline.timed_nets import NETS, TimedNet

ENGINE = "truesparse.reference.baseline.engine:Engine"
_SECONDS, _QUICK_SECONDS, _LIMIT = 1.0, 0.1, 300.0


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    return run_command(_main, arguments, stopped="the file holds what was measured")


def _main(words: list[str]) -> None:
    parser = make_parser(
        "truesparse.reference times", "Measure this engine on a fixed list of nets."
    )
    parser.add_argument(
        "--out", metavar="FILE", required=True, help="where the times go, as JSON"
    )
    options = read_options(parser, words)
    collect(options.out, ENGINE, options)
    say(f"times: {options.out}")


def make_parser(module: str, description: str) -> CommandParser:
    """Return a parser with the flags of every program that measures times."""
    parser = CommandParser(module, description, codes=(2, 4, 7))
    parser.add_argument(
        "--nets", metavar="NAME,NAME", help=f"some of {', '.join(NETS)} (default: all)"
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help=f"nets of at most {timed_nets.QUICK_CONNECTIONS:,} connections, "
        f"{_QUICK_SECONDS:g} s an operation",
    )
    parser.add_argument(
        "--seconds",
        type=float,
        help=f"least time of the runs of an operation (default: {_SECONDS:g}); there "
        "are 3 runs at least",
    )
    parser.add_argument(
        "--limit",
        type=float,
        default=_LIMIT,
        metavar="SECONDS",
        help=f"time for each net, compilation included (default: {_LIMIT:g})",
    )
    parser.add_argument(
        "--threads", type=int, help="threads (default: as many as cores)"
    )
    return parser


def read_options(parser: CommandParser, words: list[str]) -> argparse.Namespace:
    """Return the options; `nets` are TimedNets, `seconds` a number.

    Raises
    ------
    UsageError
        For a value that is not accepted.
    """
    options = parser.parse(words)
    check_threads(options.threads)
    if options.seconds is None:
        options.seconds = _QUICK_SECONDS if options.quick else _SECONDS
    check_positive(seconds=options.seconds, limit=options.limit)
    options.nets = _choose_nets(options.nets, options.quick)
    return options


def _choose_nets(text: str | None, quick: bool) -> list[TimedNet]:
    if text is not None:
        names = dict.fromkeys(name.strip() for name in text.split(","))
        return [NETS[choose(name, NETS, "net")] for name in names]
    most = timed_nets.QUICK_CONNECTIONS if quick else sys.maxsize
    return [net for net in NETS.values() if net.n_connections <= most]


def collect(
    out: str, runner: str, options: argparse.Namespace, device: str = "cpu"
) -> None:
    """Measure all nets, and write the file after each of them.

    Parameters
    ----------
    out : str
    runner : str
        What to measure, as ``module:name``.
    options : argparse.Namespace
        Return value of `read_options`.
    device : str

    Raises
    ------
    UsageError
        If `out` exists already, or not a single net could be measured.
    """
    if os.path.lexists(out):
        raise UsageError(f"{out} exists already; choose another name, or remove it")
    content = times_file.header() | {
        "implementation": {"name": runner},
        "settings": {
            "quick": options.quick,
            "seconds": options.seconds,
            "limit": options.limit,
        },
        "nets": {},
        "not_measured": [],
        "rows": [],
    }
    for net in options.nets:
        say(f"{net.name}: {net.n_connections:,} connections")
        entries, reason = _measure(net, runner, options, device)
        content["nets"][net.name] = net.record()
        if reason:
            content["not_measured"].append({"net": net.name, "reason": reason})
            say(f"  not all was measured: {reason}")
        if entries:
            content["implementation"], *rows = entries
            content["rows"] += rows
            for row in rows:
                say(f"  {_line(row)}")
        times_file.write(out, content)
    if not content["rows"]:
        raise UsageError(f"nothing could be measured; {out} says why")


def _measure(
    net: TimedNet, runner: str, options: argparse.Namespace, device: str
) -> tuple[list[dict[str, Any]], str | None]:
    """Return what the process of a net has printed, and why it did not do all."""
    module = "truesparse.reference.baseline.timing"
    command = [sys.executable, "-m", module, runner, net.name, f"--device={device}"]
    command.append(f"--seconds={options.seconds}")
    if options.threads is not None:
        command.append(f"--threads={options.threads}")
    try:
        done = subprocess.run(command, capture_output=True, timeout=options.limit)
    except subprocess.TimeoutExpired as error:
        return _entries(error.stdout), f"the limit of {options.limit:g} s was reached"
    reason = None
    if done.returncode:
        complaint = done.stderr.decode(errors="replace").strip() or "no message"
        reason = f"exit code {done.returncode}: {complaint.splitlines()[-1]}"
    return _entries(done.stdout), reason


def _entries(output: bytes | None) -> list[dict[str, Any]]:
    """Return the objects of all lines; the last of a stopped process may be cut off."""
    *lines, _ = (output or b"").split(b"\n")
    try:
        return [json.loads(line) for line in lines]
    except ValueError as error:
        raise TruesparseError(
            f"the process of a net printed no JSON: {error}"
        ) from None


def _line(row: dict[str, Any]) -> str:
    memory = "" if row["peak_bytes"] is None else f", {row['peak_bytes'] / 1e6:,.0f} MB"
    energy = "" if row["energy_j"] is None else f", {row['energy_j']:.3g} J"
    what = times_file.describe(times_file.key_of(row)).partition(", ")[2]
    quartiles = f"{row['q1_s'] * 1e3:.4g} to {row['q3_s'] * 1e3:.4g}"
    return f"{what}: {row['median_s'] * 1e3:.4g} ms ({quartiles}){memory}{energy}"
