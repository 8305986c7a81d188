"""Command line: golden runs, implementations checked by them, baseline times.

python -m truesparse.reference write DIR
python -m truesparse.reference check KIT --implementation module:factory
python -m truesparse.reference times --out FILE
python -m truesparse.reference compare A.json B.json
"""

import importlib
import sys

_COMMANDS = ("write", "check", "times", "compare")


def main(arguments: list[str] | None = None) -> int:
    """Run one of the commands and return its exit code."""
    words = sys.argv[1:] if arguments is None else arguments
    if not words or words[0] not in _COMMANDS:
        print(f"truesparse: give one of {', '.join(_COMMANDS)}", file=sys.stderr)
        return 2
    return importlib.import_module(f"truesparse.reference.{words[0]}").main(words[1:])


if __name__ == "__main__":
    sys.exit(main())
