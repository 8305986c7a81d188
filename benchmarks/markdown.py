"""Tables in Markdown and what stands in their cells."""

from collections.abc import Iterable, Sequence
from typing import Any

ABSENT = "-"
VERDICTS = {True: "met", False: "**missed**", None: "not measured"}


def digits(value: float | None) -> str:
    """Return a number with three digits and no exponent.

    Examples
    --------
    >>> from benchmarks.markdown import digits
    >>> digits(1234.5), digits(12.345), digits(1.2), digits(0.012345)
    ('1,234', '12.3', '1.20', '0.0123')
    """
    if value is None:
        return ABSENT
    if value >= 100 or value == 0:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:#.3g}"


def size(n_bytes: float) -> str:
    """Return a size in decimal units."""
    for unit in ("B", "kB", "MB", "GB"):
        if n_bytes < 1000:
            return f"{digits(n_bytes)} {unit}"
        n_bytes /= 1000
    return f"{digits(n_bytes)} TB"


def count(number: int) -> str:
    """Return a count with thousands, millions as such.

    Examples
    --------
    >>> from benchmarks.markdown import count
    >>> count(85192), count(16533120)
    ('85,192', '16.5 million')
    """
    return f"{number:,}" if number < 10**6 else f"{digits(number / 1e6)} million"


def table(head: Sequence[str], rows: Iterable[Sequence[str]], n_text: int = 1) -> str:
    """Return a table whose first `n_text` columns are text, the others numbers."""
    rule = ["---"] * n_text + ["---:"] * (len(head) - n_text)
    lines = [head, rule, *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def listed(words: Iterable[str]) -> str:
    """Return words with commas and a last "and".

    Examples
    --------
    >>> from benchmarks.markdown import listed
    >>> listed(["set", "cht", "ggr"])
    'set, cht and ggr'
    """
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


def missing(names: Iterable[str]) -> str:
    """Return a sentence that names what was not measured, or nothing."""
    names = list(names)
    return f"Not measured with the present code: {listed(names)}." if names else ""


def score(mean: float, spread: float | None) -> str:
    """Return an accuracy in percent, with its deviation if there is one.

    Examples
    --------
    >>> from benchmarks.markdown import score
    >>> score(0.9843, 0.0012), score(0.9843, None)
    ('98.43% ± 0.12', '98.43%')
    """
    return f"{mean:.2%}" if spread is None else f"{mean:.2%} ± {100 * spread:.2f}"


def source(results: dict[str, Any]) -> str:
    """Return machine, date and commits of results, as a paragraph."""
    machine = results["machine"]
    extras = ""
    if "rates" in results:
        rates = results["rates"]
        extras = (
            f"; sgemm {rates['sgemm_gflops']:.0f} GFLOP/s, memory "
            f"{max(rates['stream_gbs'].values()):.0f} GB/s in the same run"
        )
    settings = results.get("settings", results)
    if settings.get("smoke"):
        extras += "; a smoke run, whose figures mean nothing"
    # Runs of one file may come from several commits.
    commits = {run["commit"] for run in results.get("runs", [results])}
    names = sorted(commit or "unknown" for commit in commits)
    return (
        f"\n\n{machine['cpu']}, {machine['usable_cores']} cores{extras}; "
        f"{results['date'][:10]}, commit{'s' * (len(names) > 1)} {listed(names)}."
    )
