"""The summary of a journal, and the table of promises in tests/README.md made of it.

python -m tests.long --write        after a run: figures.json and the table
"""

import collections
import json
import pathlib
from typing import Any

from tests.long.registry import Lane, lanes

HERE = pathlib.Path(__file__).parent
FIGURES = HERE / "figures.json"
README = HERE.parent / "README.md"
BEGIN, END = "<!-- promises: begin -->\n", "<!-- promises: end -->\n"


def summarise(batches: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the totals of each lane in a journal."""
    summary: dict[str, dict[str, Any]] = {}
    for name in sorted({batch["lane"] for batch in batches}):
        of_lane = [batch for batch in batches if batch["lane"] == name]
        outcomes: collections.Counter = collections.Counter()
        for batch in of_lane:
            outcomes.update(batch["outcomes"])
        failures = [text for batch in of_lane for text in batch["failures"]]
        summary[name] = {
            "cases": outcomes.total() + len(failures),
            "failures": failures,
            "outcomes": dict(sorted(outcomes.items())),
            "batches": len(of_lane),
            "minutes": round(sum(batch["seconds"] for batch in of_lane) / 60, 1),
            "date": max(batch["date"] for batch in of_lane),
            "commits": sorted({batch["where"]["commit"] for batch in of_lane}),
        }
    return summary


def table(summary: dict[str, dict[str, Any]]) -> str:
    """Return the table of promises in Markdown."""
    rows = ["| promise | in CI | long lane | last figure |", "|---|---|---|---|"]
    for name, each in lanes().items():
        rows.append(
            f"| {each.promise} | `{each.test}` | `python -m tests.long --lanes {name}` "
            f"| {_figure(each, summary.get(name))} |"
        )
    return "\n".join(rows) + "\n"


def _figure(lane: Lane, totals: dict[str, Any] | None) -> str:
    if totals is None:
        return "not run yet"
    outcomes = ", ".join(f"{n:,} {what}" for what, n in totals["outcomes"].items())
    n_failures = len(totals["failures"])
    return (
        f"{totals['cases']:,} cases, {n_failures:,} failures ({outcomes}; "
        f"{totals['date']}, {totals['minutes']} min)"
    )


def written() -> dict[str, dict[str, Any]]:
    """Return the committed summary."""
    summary: dict[str, dict[str, Any]] = json.loads(FIGURES.read_text())
    return summary


def write(batches: list[dict[str, Any]]) -> None:
    """Write the summary of batches, and the table; lanes not among them stay."""
    summary = (written() if FIGURES.exists() else {}) | summarise(batches)
    known = {name: summary[name] for name in sorted(summary) if name in lanes()}
    FIGURES.write_text(json.dumps(known, indent=1) + "\n")
    README.write_text(with_table(README.read_text(), known))


def with_table(text: str, summary: dict[str, dict[str, Any]]) -> str:
    """Return the text of tests/README.md with the table of a summary."""
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    return before + BEGIN + table(summary) + END + after
