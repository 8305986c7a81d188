"""Command line: check another implementation by a kit.

python -m truesparse.reference check KIT --implementation module:factory

The exit code is 0 if it passes, 8 if it departs, 9 if it raises, hangs or returns what
cannot be compared, and that of an error else.
"""

import json
import os
import pathlib
import sys
from typing import Any

from truesparse.commands.shell import CommandParser, run_command, say
from truesparse.common.checks import check_positive, choose
from truesparse.common.writing import replacing
from truesparse.reference import kit
from truesparse.reference.comparing import Comparison
from truesparse.reference.divergence import DivergenceDisplay
from truesparse.reference.driving import Driver, Failure
from truesparse.reference.named import load_named

DEPARTS, FAILS = 8, 9


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    codes = [0]
    code = run_command(lambda words: codes.append(_main(words)), arguments)
    return code or codes[-1]


def _main(words: list[str]) -> int:
    parser = CommandParser(
        "truesparse.reference check",
        "Check another implementation by a kit. Exit code 8: it departs; 9: it raises, "
        "hangs, or returns what cannot be compared.",
        codes=(2, 4, 7),
    )
    parser.add_argument("kit", metavar="KIT", help="folder of a kit")
    parser.add_argument("--implementation", required=True, metavar="MODULE:FACTORY")
    parser.add_argument("--case", action="append", metavar="NAME", help="default: all")
    parser.add_argument(
        "--dtype", default="float64", choices=list(kit.DTYPES), help="what it works in"
    )
    parser.add_argument(
        *("--limit", "-l"),
        type=float,
        default=60.0,
        metavar="SECONDS",
        help="longest time of one call (default 60)",
    )
    parser.add_argument("--json", metavar="FILE", help="write all figures to a file")
    parser.add_argument("--picture", metavar="FILE", help="draw the divergence")
    options = parser.parse(words)
    check_positive(limit=options.limit)
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    factory = load_named(options.implementation, "implementation")
    result = check(
        options.kit, factory, options.case, options.dtype, seconds=options.limit
    )
    result["implementation"] = options.implementation
    print(format_text(result))
    if options.json:
        with replacing(options.json, "results") as path:
            path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    if options.picture:
        _draw(result, options.picture)
    if result["verdict"] in ("passes", "departs"):
        return 0 if result["verdict"] == "passes" else DEPARTS
    return FAILS


def check(
    folder,
    factory: Any,
    names: list[str] | None = None,
    dtype: str = "float64",
    *,
    seconds: float = 60.0,
) -> dict[str, Any]:
    """Drive an implementation through the cases of a kit.

    Parameters
    ----------
    folder : str or path
        A kit.
    factory : callable
        See protocol.py.
    names : list of str, optional
        Cases; by default all.
    dtype : {"float64", "float32"}
    seconds : float
        Longest time of one call.

    Returns
    -------
    dict
        Ready for JSON: the verdict, and the report of each case.

    Raises
    ------
    DataError
        If the kit cannot be used.
    """
    source = kit.Kit(folder)
    for each in names or ():
        choose(each, source.names, "case of this kit")
    cases = {}
    for each in names or source.names:
        case = source.case(each)
        try:
            driver = Driver(factory, {**case.description, "dtype": dtype}, seconds)
            comparison = Comparison(case, driver, dtype)
            comparison.run()
            cases[each] = comparison.report()
        except Failure as failure:
            notes = " ".join(getattr(failure, "__notes__", ()))
            text = f"{failure} {notes}".strip()
            cases[each] = {"verdict": failure.verdict, "text": text}
    verdicts = [report["verdict"] for report in cases.values()]
    bad = [verdict for verdict in verdicts if verdict not in ("passes", "departs")]
    verdict = bad[0] if bad else "departs" if "departs" in verdicts else "passes"
    return {
        "verdict": verdict,
        "kit_version": kit.VERSION,
        "kit": str(pathlib.Path(folder)),
        "dtype": dtype,
        "cases": cases,
    }


def format_text(result: dict[str, Any]) -> str:
    """Return the results for people, a few lines for each case."""
    lines = []
    for each, report in result["cases"].items():
        if "quantities" not in report:
            lines.append(f"{each}: {report['verdict']}: {report['text']}")
            continue
        worst = max(q["largest"] for q in report["quantities"].values())
        lines.append(
            f"{each}: {report['verdict']}, largest difference {worst:.2g} tolerances"
        )
        if report["near_ties"]:
            lines.append(f"  {report['near_ties']} cells of nearly equal score differ")
        first = report["first"]
        if first is None:
            continue
        lines.append(
            f"  first in step {first['step']}: {first['quantity']}, "
            f"{first['ratio']:.2g} tolerances"
        )
        texts = first.get("reasons") or ["none of the known mistakes explains it"]
        lines += [f"  likely reason: {text}" for text in texts]
        for quantity, figures in report["quantities"].items():
            if figures["first_departure"] is not None:
                lines.append(
                    f"    {quantity}: up to {figures['largest']:.2g}, from step "
                    f"{figures['first_departure']} on"
                )
    lines.append(f"verdict: {result['verdict']}")
    return "\n".join(lines)


def _draw(result: dict[str, Any], file: str) -> None:
    figure = DivergenceDisplay.from_result(result).plot().figure_
    with replacing(file, "picture") as path:
        figure.savefig(path)
    say(f"picture: {file}")
