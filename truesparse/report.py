"""Command line: a report on a run, as one HTML file.

    python -m truesparse.report runs/digits-1

The path of the report goes to stdout, errors to stderr.
"""

import argparse
import contextlib
import pathlib
import sys
import traceback
from typing import NoReturn

from truesparse.errors import MemoryLimitError, TruesparseError, UsageError


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    words = sys.argv[1:] if arguments is None else arguments
    try:
        flags = _make_parser().parse_args(words)
        path = write_report(flags.run, flags.out)
        if not flags.quiet:
            print(path, flush=True)
        return 0
    except BrokenPipeError:
        return 1
    except (TruesparseError, MemoryError, KeyboardInterrupt, OSError) as error:
        text, code = str(error), getattr(error, "exit_code", 1)
        if isinstance(error, KeyboardInterrupt):
            text, code = "stopped by SIGINT; no report was written", 130
        elif isinstance(error, MemoryError) and not isinstance(error, TruesparseError):
            text, code = f"out of memory: {text}", MemoryLimitError.exit_code
        # Where stderr is full too, the code alone tells.
        with contextlib.suppress(OSError):
            if "--debug" in words:
                traceback.print_exc()
            print("truesparse:", text.replace("\n", " "), file=sys.stderr)
        return code


def write_report(run: str | pathlib.Path, out=None) -> pathlib.Path:
    """Write the report on a run and return where it is.

    Parameters
    ----------
    run : str or path
        Run folder; of config.toml, metrics.jsonl and model.safetensors at least one.
    out : str or path, optional
        By default report.html in the run folder. An existing file is replaced when
        all is written.

    Raises
    ------
    DataError, ModelFileError
        If a file of the run is there but cannot be read.
    UsageError
        If this is no run folder, the report cannot be written, or matplotlib is not
        installed.
    """
    from truesparse.plots.display import require_matplotlib

    # Before a large model is read.
    require_matplotlib()
    from truesparse.reporting.folder import read_folder
    from truesparse.reporting.page import render, write_page
    from truesparse.reporting.pictures import draw_sections
    from truesparse.reporting.summary import changed_options, summarise

    if str(run) == "" or (out is not None and str(out) == ""):
        raise UsageError("RUN must name a folder and --out a file, got ''")
    folder = read_folder(run)
    page = render(
        f"Run {folder.path.resolve().name}",
        folder.notes,
        summarise(folder),
        changed_options(folder),
        draw_sections(folder),
    )
    path = folder.path / "report.html" if out is None else pathlib.Path(out)
    write_page(page, path)
    return path


class _Parser(argparse.ArgumentParser):
    """Reports a bad flag in one line."""

    def error(self, message: str) -> NoReturn:
        """Raise UsageError."""
        raise UsageError(f"{message}; --help lists what is accepted")


def _make_parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m truesparse.report",
        description="Write a report on a run: one HTML file with tables and pictures.",
        epilog="Exit codes: 0 done, 2 usage, 3 out of memory, 4 metrics unreadable, "
        "6 model unreadable, 130 stopped by a signal.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "run", metavar="RUN", help="folder of the run (--out of truesparse.train)"
    )
    parser.add_argument(
        "--out", metavar="FILE", help="the report (default: RUN/report.html)"
    )
    parser.add_argument("--quiet", action="store_true", help="do not print the path")
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    return parser


if __name__ == "__main__":
    sys.exit(main())
