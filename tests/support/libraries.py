"""The pages of shared libraries that this process holds.

How many of a library's pages a process gets with one that it touches is up to the
system, which gives what lies in its cache: of libllvmlite 40 to 110 MB on one machine.
They are shared with all processes, and dropped where memory is short.
"""

import pathlib
import re

_HEAD = re.compile(r"[0-9a-f]+-[0-9a-f]+ \S+ \S+ \S+ \S+ *(.*)")


def library_bytes() -> int:
    """Return the bytes of unchanged pages of shared libraries in memory, on Linux."""
    total, is_library = 0, False
    for line in pathlib.Path("/proc/self/smaps").read_text().splitlines():
        head = _HEAD.fullmatch(line)
        if head:
            is_library = ".so" in head[1].rpartition("/")[2]
        elif is_library and line.startswith("Rss:"):
            total += 1024 * int(line.split()[1])
        elif is_library and line.startswith("Anonymous:"):
            total -= 1024 * int(line.split()[1])
    return total
