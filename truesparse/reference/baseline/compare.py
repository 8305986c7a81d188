"""Command line: compare the times in two files.

    python -m truesparse.reference compare A.json B.json

A ratio is A's number over B's, so that above 1 B is better: faster, with less memory,
with less energy.
"""

import json
from typing import Any

from truesparse.commands.shell import CommandParser, run_command
from truesparse.errors import DataError
from truesparse.reference.baseline import times_file

_RATIOS = {"speed": "median_s", "memory": "peak_bytes", "energy": "energy_j"}
_HEAD = ("net", "operation", "batch", "dtype", "A ms", "B ms", *_RATIOS)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    return run_command(_main, arguments)


def _main(words: list[str]) -> None:
    parser = CommandParser(
        "truesparse.reference compare",
        "Compare the times in two files; above 1, B is better.",
        codes=(2, 4),
    )
    parser.add_argument("first", metavar="A.json")
    parser.add_argument("second", metavar="B.json")
    parser.add_argument("--json", action="store_true", help="print a JSON object")
    options = parser.parse(words)
    files = times_file.read(options.first), times_file.read(options.second)
    result = compare(*files)
    print(json.dumps(result) if options.json else format_text(*files, result))


def compare(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """Return the ratios of what two files have in common, and what only one has.

    Parameters
    ----------
    first, second : dict
        Return values of times_file.read.

    Returns
    -------
    dict
        ``rows``, each with the entries of times_file.KEY, ``a_s`` and ``b_s``
        (medians), the ratios ``speed``, ``memory`` and ``energy`` of first over second,
        None where one has no number, and ``is_clear``: whether the quartiles are apart.
        ``only_first`` and ``only_second``: lists of the keys that the other lacks.

    Raises
    ------
    DataError
        If a name stands for different nets.
    """
    for name in first["nets"].keys() & second["nets"].keys():
        _refuse_other_net(name, first["nets"][name], second["nets"][name])
    ours = {times_file.key_of(row): row for row in first["rows"]}
    theirs = {times_file.key_of(row): row for row in second["rows"]}
    return {
        "rows": [
            _compare_rows(ours[key], theirs[key]) for key in ours if key in theirs
        ],
        "only_first": [list(key) for key in ours if key not in theirs],
        "only_second": [list(key) for key in theirs if key not in ours],
    }


def _refuse_other_net(name: str, first: dict, second: dict) -> None:
    differences = [
        f"{key} {first.get(key)} and {second.get(key)}"
        for key in sorted(first.keys() | second.keys())
        if first.get(key) != second.get(key)
    ]
    if differences:
        raise DataError(
            f"{name!r} is not the same net in both files ({'; '.join(differences)}); "
            "measure both with the same release"
        )


def _compare_rows(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    is_clear = first["q3_s"] < second["q1_s"] or second["q3_s"] < first["q1_s"]
    ratios = {name: _ratio(first[of], second[of]) for name, of in _RATIOS.items()}
    medians = {"a_s": first["median_s"], "b_s": second["median_s"]}
    key = {name: first[name] for name in times_file.KEY}
    return {**key, **medians, **ratios, "is_clear": is_clear}


def _ratio(first: float | None, second: float | None) -> float | None:
    # A small net may fit in what the process held before: 0 bytes say nothing.
    return first / second if first and second else None


def format_text(
    first: dict[str, Any], second: dict[str, Any], result: dict[str, Any]
) -> str:
    """Return the comparison for people: both machines, the table, what one file lacks.

    Parameters
    ----------
    first, second : dict
        Return values of times_file.read.
    result : dict
        Return value of `compare`.
    """
    lines = [f"A: {_source(first)}", f"B: {_source(second)}", ""]
    table = [_HEAD, *(_cells(row) for row in result["rows"])]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    n_left = 2  # columns of text
    for cells in table if result["rows"] else []:
        sides = zip(cells, widths, strict=True)
        texts = [
            cell.ljust(width) if number < n_left else cell.rjust(width)
            for number, (cell, width) in enumerate(sides)
        ]
        lines.append("  ".join(texts))
    if result["rows"]:
        lines += ["", "ratios are A / B: above 1, B is better; ~ quartiles overlap"]
    else:
        lines.append("the files have no row in common")
    for name, keys in (("A", result["only_first"]), ("B", result["only_second"])):
        lines += [f"only {name}: {times_file.describe(tuple(key))}" for key in keys]
    for name, content in (("A", first), ("B", second)):
        for entry in content["not_measured"]:
            lines.append(f"not measured in {name}: {entry['net']}: {entry['reason']}")
    return "\n".join(lines)


def _source(content: dict[str, Any]) -> str:
    made = content["implementation"]
    where = made.get("device_name") or content["machine"].get("cpu")
    parts = [f"{made['name']} {made.get('version') or ''}".strip(), str(where)]
    if made.get("threads"):
        parts.append(f"{made['threads']} threads")
    commit = content["commit"] or "no commit"
    parts.append(commit + ("" if content["is_clean"] in (True, None) else ", changed"))
    if content["settings"].get("quick"):
        parts.append("a quick run")
    return ", ".join([*parts, content["date"]])


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    operation = row["operation"] + (f" {row['method']}" if row["method"] else "")
    batch = "" if row["batch"] is None else str(row["batch"])
    ratios = ["-" if row[name] is None else f"{row[name]:.2f}" for name in _RATIOS]
    if not row["is_clear"]:
        ratios[0] = f"~{ratios[0]}"
    times = f"{row['a_s'] * 1e3:.4g}", f"{row['b_s'] * 1e3:.4g}"
    return row["net"], operation, batch, row["activation_dtype"], *times, *ratios
