"""Write the tables and the pictures of the documents from the results.

    python -m benchmarks.report             README.md, benchmarks/*.md and pictures
    python -m benchmarks.report --check     change nothing; exit code 1 if one is stale

A document asks for a table by two comments, and what stands between them is replaced:

    <!-- benchmark:step -->
    <!-- /benchmark -->

tables.py has the names. Pictures need matplotlib, see pictures.py; ``--check`` does
not.
"""

import argparse
import re
import sys
from pathlib import Path

from truesparse.common.checks import choose
from truesparse.errors import DataError

from .options import program
from .picture_choice import CHOICE
from .pictures import MEMORY, Picture
from .stored import RESULTS, ROOT, MissingResultsError, Results
from .tables import METHOD_TABLES, README_TABLES, TABLES

_FOLDER = ROOT / "benchmarks"
DOCUMENTS = (ROOT / "README.md", _FOLDER / "RESULTS.md", _FOLDER / "METHODS.md")
PICTURES = (MEMORY, CHOICE)
ALL_TABLES = TABLES | METHOD_TABLES | README_TABLES
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
        The document, in Markdown.
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
        name = choose(block["name"], ALL_TABLES, "table")
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
        return ALL_TABLES[name](results)
    except MissingResultsError as missing:
        return f"*Not measured with the present code: `{missing}`.*"
    except (KeyError, TypeError) as error:
        raise DataError(
            f"results for table {name!r} are of another version ({error!r}); run the "
            "benchmark again"
        ) from error


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.report",
        description="Write the tables and the pictures of the documents from results.",
    )
    parser.add_argument(
        "documents",
        nargs="*",
        type=Path,
        metavar="FILE.md",
        help="documents to update; all of them, and the pictures, by default",
    )
    parser.add_argument(
        "--check", action="store_true", help="change nothing, fail if one is stale"
    )
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="DIR")
    return parser.parse_args(arguments)


@program
def main(arguments: list[str] | None = None) -> int:
    """Update or check the documents and the pictures."""
    options = parse(arguments)
    results = Results(options.results)
    results.refuse_uncommitted()
    changed = [
        name
        for path in options.documents or DOCUMENTS
        for name in update(path, results, options.check)
    ]
    for picture in () if options.documents else PICTURES:
        changed += update_picture(picture, results, options.check)
    for name in changed:
        print(f"{name} {'stale' if options.check else 'updated'}")
    if options.check and changed:
        print("run python -m benchmarks.report", file=sys.stderr)
        return 1
    return 0


def update(path: Path, results: Results, is_check: bool) -> list[str]:
    """Update a document, unless it is only checked; return which tables changed."""
    text, stale = render(read(path), results)
    if stale and not is_check:
        path.write_text(text, encoding="utf-8")
    return [f"{path}: table {name}" for name in stale]


def update_picture(picture: Picture, results: Results, is_check: bool) -> list[str]:
    """Draw a picture anew if its figures have changed, unless it is only checked."""
    try:
        if not picture.is_stale(results):
            return []
    except MissingResultsError:
        # It stays as it is until there are results.
        return []
    if not is_check:
        picture.write(results)
    return [f"{picture.path}: picture"]


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
