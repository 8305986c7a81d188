"""Write the tables of the documents from the results of the benchmarks.

    python -m benchmarks.report             README.md and benchmarks/README.md
    python -m benchmarks.report --check     change nothing; exit code 1 if one is stale

A document asks for a table by two comments, and what stands between them is replaced:

    <!-- benchmark:step -->
    <!-- /benchmark -->

The names are those of tables.py.
"""

import argparse
import re
import sys
from pathlib import Path

from truesparse.checks import choose
from truesparse.errors import DataError, TruesparseError

from .stored import RESULTS, ROOT, MissingResultsError, Results
from .tables import TABLES

DOCUMENTS = (ROOT / "README.md", ROOT / "benchmarks" / "README.md")
_BLOCK = re.compile(
    r"(?P<open><!-- benchmark:(?P<name>[\w-]+) -->\n)"
    r"(?P<body>.*?)"
    r"(?P<close><!-- /benchmark -->)",
    re.DOTALL,
)
_MARKER = re.compile(r"<!-- (?:benchmark:[^>]*|/benchmark) -->")


def render(text: str, results: Results) -> tuple[str, list[str]]:
    """Return a document with its tables made anew, and the names of those that changed.

    Parameters
    ----------
    text : str
        Of the document.
    results : Results

    Raises
    ------
    UsageError
        If a table is unknown.
    DataError
        If a marker has no partner, or results cannot be read.
    """
    stale = []

    def replace(block: re.Match[str]) -> str:
        name = choose(block["name"], TABLES, "table")
        body = f"\n{table(name, results)}\n\n"
        if body != block["body"]:
            stale.append(name)
        return block["open"] + body + block["close"]

    lone = _MARKER.search(_BLOCK.sub("", text))
    nested = any(_MARKER.search(block["body"]) for block in _BLOCK.finditer(text))
    if lone or nested:
        where = lone[0] if lone else "a table inside a table"
        raise DataError(
            f"{where}: each <!-- benchmark:NAME --> needs its own <!-- /benchmark -->"
        )
    return _BLOCK.sub(replace, text), stale


def table(name: str, results: Results) -> str:
    """Return a table, or what to run to get it."""
    try:
        return TABLES[name](results)
    except MissingResultsError as program:
        return f"*Not measured with the present code: `{program}`.*"
    except (KeyError, TypeError) as error:
        raise DataError(
            f"results for table {name!r} are of another version ({error!r}); run the "
            "benchmark again"
        ) from error


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.report",
        description="Write the tables of the documents from benchmark results.",
    )
    parser.add_argument("documents", nargs="*", type=Path, metavar="FILE.md")
    parser.add_argument("--check", action="store_true", help="fail if one is stale")
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="DIR")
    options = parser.parse_args(arguments)
    options.documents = options.documents or DOCUMENTS
    return options


def main(arguments: list[str] | None = None) -> int:
    """Update or check the documents."""
    options = parse(arguments)
    results = Results(options.results)
    is_stale = False
    try:
        results.refuse_uncommitted()
        for path in options.documents:
            text = read(path)
            new, stale = render(text, results)
            for name in stale:
                word = "stale" if options.check else "updated"
                print(f"{path}: table {name} {word}")
            if stale and not options.check:
                path.write_text(new, encoding="utf-8")
            is_stale |= bool(stale)
    except TruesparseError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    if options.check and is_stale:
        print("run python -m benchmarks.report", file=sys.stderr)
        return 1
    return 0


def read(path: Path) -> str:
    """Return the text of a document.

    Raises
    ------
    DataError
        If it cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read {path}: {error}") from error


if __name__ == "__main__":
    sys.exit(main())
