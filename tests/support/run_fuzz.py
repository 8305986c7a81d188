"""Fuzz a kind of file in a process of its own, which damaged files may end.

Run by the long lanes: NAME SEED COUNT. Prints what became of the files as JSON.
"""

import json
import sys
import tempfile

from support import fuzz_cases
from support.fuzzing import fuzz

if __name__ == "__main__":
    name, seed, count = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        figures = fuzz(fuzz_cases.make(name), int(seed), int(count), folder)
    print(json.dumps({"counts": figures.counts, "faults": figures.faults}))
