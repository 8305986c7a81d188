"""Golden runs, implementations checked by them, and baseline times.

python -m truesparse.reference write DIR
python -m truesparse.reference check KIT --implementation module:factory
python -m truesparse.reference times --out FILE
python -m truesparse.reference compare A.json B.json

Each command lists its options with --help.
"""

import importlib
import sys

from truesparse.commands.shell import run_command
from truesparse.common.checks import choose

_HOMES = {
    "write": "write",
    "check": "check",
    "times": "baseline.times",
    "compare": "baseline.compare",
}


def main(arguments: list[str] | None = None) -> int:
    """Run one of the commands and return its exit code."""
    words = sys.argv[1:] if arguments is None else arguments
    if words and words[0] in _HOMES:
        home = f"truesparse.reference.{_HOMES[words[0]]}"
        return importlib.import_module(home).main(words[1:])
    return run_command(_help, words)


def _help(words: list[str]) -> None:
    """Print what there is, if the words ask for it."""
    first = words[0] if words else ""
    if first not in ("-h", "--help"):
        choose(first, _HOMES, "command")
    print(__doc__)


if __name__ == "__main__":
    sys.exit(main())
