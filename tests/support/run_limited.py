"""Run the command line with little memory; print its code, words and peak memory.

Run by commands/test_memory_limits.py in a process of its own: LIMIT ARGUMENT ..., where
LIMIT is the bytes of the address space, or the folder of a control group.
"""

import contextlib
import io
import json
import os
import resource
import sys

from truesparse.common.memory import peak_rss
from truesparse.train import main

if __name__ == "__main__":
    limit = sys.argv[1]
    if limit.isdigit():
        resource.setrlimit(resource.RLIMIT_AS, (int(limit), int(limit)))
    else:
        with open(f"{limit}/cgroup.procs", "w") as file:
            file.write(str(os.getpid()))
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        code = main(sys.argv[2:])
    print(json.dumps({"code": code, "said": said.getvalue(), "peak": peak_rss()}))
