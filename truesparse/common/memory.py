"""The memory that this process uses, and how much more the machine lets it have.

Linux knows all of it. Where a system lacks /proc, as macOS and Windows do, free memory
is all memory; where it lacks `sysconf` or `resource`, too, as Windows does, there is no
limit, and the memory of this process counts as 0.

commands/estimate.py works out what a run will take.
"""

import contextlib
import ctypes
import os
import pathlib
import sys

from truesparse.errors import MemoryLimitError

try:
    import resource
except ImportError:  # on Windows
    resource = None  # type: ignore[assignment]

_PROC = pathlib.Path("/proc")
_CGROUPS = pathlib.Path("/sys/fs/cgroup")
# Names of limit and usage, and the line of memory.stat with the bytes of cached files.
_CGROUP_1 = "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"
_CGROUP_2 = "memory.max", "memory.current", "inactive_file"


def available() -> tuple[int, str]:
    """Return how many more bytes this process may use, and what limits it.

    The limit is the tightest of free memory, control groups and the address space.
    """
    limits = [(_free_memory(), "free memory")]
    limits += [(size, "the limit of the control group") for size in _cgroup_rooms()]
    if hasattr(resource, "RLIMIT_AS"):
        soft, _ = resource.getrlimit(resource.RLIMIT_AS)
        if soft != resource.RLIM_INFINITY:
            used = _status_bytes("VmSize")
            limits.append((max(soft - used, 0), "the limit of the address space"))
    return min(limits)


def total() -> int:
    """Return the bytes of this machine's memory, or sys.maxsize if it does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # no sysconf, or not these names
        return sys.maxsize


def require(
    needed: int, advice: str = "use fewer neurons or connections, or a smaller batch"
) -> None:
    """Raise MemoryLimitError if fewer than `needed` bytes are available."""
    room, limit = available()
    if needed > room:
        raise MemoryLimitError(
            f"the run needs about {human(needed)}, but {limit} leaves {human(room)}; "
            f"{advice}"
        )


def return_freed_arrays() -> bool:
    """Return freed arrays of over 1 MB to the system at once, on Linux with glibc.

    By default glibc keeps freed memory, in pieces that the next array may not fit into:
    the largest topology updates of a million neurons then take a tenth more memory
    (EPYC 7003, 2026-11). The setting concerns the whole process, so programs make it,
    not the library.

    Returns
    -------
    bool
        Whether it was possible.
    """
    try:
        # -3 is M_MMAP_THRESHOLD in malloc.h, 1 stands for success.
        return ctypes.CDLL(None).mallopt(-3, 1 << 20) == 1
    except (AttributeError, OSError, TypeError):
        return False


def current_rss() -> int:
    """Return how many bytes of memory this process holds now."""
    return _status_bytes("VmRSS") or _max_rss()


def peak_rss() -> int:
    """Return how many bytes of memory this process has held at most."""
    return _status_bytes("VmHWM") or _max_rss()


def human(size: float) -> str:
    """Return a size as text, in decimal units.

    Examples
    --------
    >>> from truesparse.common.memory import human
    >>> human(1_500_000)
    '1.5 MB'
    """
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} PB"


def _free_memory() -> int:
    try:
        lines = (_PROC / "meminfo").read_text().splitlines()
        sizes = {line.split(":")[0]: line.split()[1] for line in lines}
        return int(sizes["MemAvailable"]) * 1024
    except (OSError, KeyError):
        return total()


def _status_bytes(field: str) -> int:
    """Return an entry of the process's status, or 0 where there is none."""
    try:
        lines = (_PROC / "self" / "status").read_text().splitlines()
    except OSError:
        return 0
    for line in lines:
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    return 0


def _max_rss() -> int:
    if resource is None:
        return 0
    # On Linux this is at least what the parent held when it started this process.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _cgroup_rooms() -> list[int]:
    """Return how many bytes each control group of this process leaves."""
    try:
        lines = (_PROC / "self" / "cgroup").read_text().splitlines()
    except OSError:
        return []
    rooms = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            root, names = _CGROUPS, _CGROUP_2
        elif "memory" in controllers.split(","):
            root, names = _CGROUPS / "memory", _CGROUP_1
        else:
            continue
        innermost = root / path.lstrip("/")
        # The limits of all groups above count too.
        for group in (innermost, *innermost.parents):
            if not group.is_relative_to(root):
                break
            with contextlib.suppress(OSError, ValueError):
                rooms.append(_cgroup_room(group, *names))
    return rooms


def _cgroup_room(group: pathlib.Path, limit: str, usage: str, cache: str) -> int:
    used = int((group / usage).read_text())
    with contextlib.suppress(OSError):
        # The system drops cached files when a process needs their memory.
        for line in (group / "memory.stat").read_text().splitlines():
            if line.startswith(cache + " "):
                used -= int(line.split()[1])
    return max(int((group / limit).read_text()) - used, 0)
