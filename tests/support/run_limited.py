"""Run the command line with little address space; print its code and peak memory.

Run by commands/test_estimate.py in a process of its own: BYTES ARGUMENT ...
"""

import json
import resource
import sys

from truesparse.common.memory import peak_rss
from truesparse.train import main

if __name__ == "__main__":
    limit = int(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    code = main(sys.argv[2:])
    print(json.dumps({"code": code, "peak": peak_rss()}))
