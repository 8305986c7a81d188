"""Command line: a report on a run, as one HTML file.

    python -m truesparse.report runs/digits-1

The path of the report goes to stdout, errors to stderr.
"""

import pathlib
import sys

from truesparse.commands.shell import CommandParser, run_command
from truesparse.errors import UsageError
from truesparse.storage.run_folder import REPORT


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    return run_command(_main, arguments, stopped="no report was written")


def _main(words: list[str]) -> None:
    options = _make_parser().parse(words)
    path = write_report(options.run, options.out, verify=options.verify)
    if not options.quiet:
        print(path)


def write_report(
    run: str | pathlib.Path, out=None, *, verify: bool = True
) -> pathlib.Path:
    """Write the report on a run and return where it is.

    Parameters
    ----------
    run : str or path
        Run folder with at least one of config.toml, metrics.jsonl and
        model.safetensors.
    out : str or path, optional
        By default report.html in the run folder. An existing file is replaced once
        all is written.
    verify : bool
        Compare the model with its digest first, see truesparse.load.

    Raises
    ------
    DataError, ModelFileError
        If a file of the run exists but cannot be read.
    UsageError
        If `run` is not a run folder, the report cannot be written, or matplotlib is
        not installed.
    """
    from truesparse.plots.display import require_matplotlib

    # Before a large model is read in vain.
    require_matplotlib()
    from truesparse.commands.report_folder import read_folder
    from truesparse.commands.report_page import render, write_page
    from truesparse.commands.report_pictures import draw_sections
    from truesparse.commands.report_summary import changed_options, summarise

    if str(run) == "" or (out is not None and str(out) == ""):
        raise UsageError("RUN must name a folder, and --out a file; one of them is ''")
    folder = read_folder(run, verify)
    page = render(
        f"Run {folder.path.resolve().name}",
        folder.notes,
        summarise(folder),
        changed_options(folder),
        draw_sections(folder),
    )
    path = folder.path / REPORT if out is None else pathlib.Path(out)
    write_page(page, path)
    return path


def _make_parser() -> CommandParser:
    parser = CommandParser(
        "truesparse.report",
        "Write a report on a run: one HTML file with tables and pictures.",
        codes=(2, 3, 4, 6, 7),
    )
    parser.add_argument(
        "run", metavar="RUN", help="run folder (--out of truesparse.train)"
    )
    parser.add_argument(
        "--out", metavar="FILE", help="file to write (default: RUN/report.html)"
    )
    parser.add_no_verify()
    parser.add_argument("--quiet", action="store_true", help="do not print the path")
    return parser


if __name__ == "__main__":
    sys.exit(main())
