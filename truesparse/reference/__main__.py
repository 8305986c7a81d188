"""Command line: golden runs, implementations checked by them, baseline times.

python -m truesparse.reference write DIR
python -m truesparse.reference check KIT --implementation module:factory
python -m truesparse.reference times --out FILE
python -m truesparse.reference compare A.json B.json
"""

import importlib
import sys

_HOMES = {
    "write": "write",
    "check": "check",
    "times": "baseline.times",
    "compare": "baseline.compare",
}


def main(arguments: list[str] | None = None) -> int:
    """Run one of the commands and return its exit code."""
    words = sys.argv[1:] if arguments is None else arguments
    if not words or words[0] not in _HOMES:
        print(f"truesparse: give one of {', '.join(_HOMES)}", file=sys.stderr)
        return 2
    home = f"truesparse.reference.{_HOMES[words[0]]}"
    return importlib.import_module(home).main(words[1:])


if __name__ == "__main__":
    sys.exit(main())
