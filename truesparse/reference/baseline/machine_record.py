"""The machine and the code that times belong to, and its energy counters.

What a system does not say is None: caches outside Linux, energy without the right to
read the counters of RAPL (Linux lets root alone read them, since CVE-2020-8694).
"""

import contextlib
import os
import pathlib
import platform
import subprocess
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from truesparse.common import memory
from truesparse.common.cores import usable_cores

PACKAGES = ("numpy", "scipy", "numba", "llvmlite", "torch")
# What decides the width of vectors and of tiles of a matrix.
VECTOR_FLAGS = (
    *("avx", "avx2", "fma", "avx512f", "avx512bw", "avx512vl", "avx512_bf16"),
    *("avx512_fp16", "amx_tile", "asimd", "sve"),
)
_CPU_INFO = pathlib.Path("/proc/cpuinfo")
_CACHES = pathlib.Path("/sys/devices/system/cpu/cpu0/cache")
_POWERCAP = pathlib.Path("/sys/class/powercap")
_CLEAR_REFS = pathlib.Path("/proc/self/clear_refs")
_PACKAGE = pathlib.Path(__file__).resolve().parents[2]


def machine_record() -> dict[str, Any]:
    """Describe processor, caches, memory, system and versions, all JSON types."""
    model, flags = processor()
    size = memory.total()
    return {
        "cpu": model,
        "vector_flags": [flag for flag in VECTOR_FLAGS if flag in flags],
        "logical_cores": os.cpu_count(),
        "physical_cores": _physical_cores(),
        "usable_cores": usable_cores(),
        "caches": _caches(),
        # A system that does not say has the largest number.
        "memory_bytes": size if size < 1 << 60 else None,
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in PACKAGES},
    }


def processor() -> tuple[str, set[str]]:
    """Return model name and feature flags, from the kernel where it lists them."""
    known = dict(reversed(_cpu_fields()))
    if not known:
        return platform.processor() or platform.machine(), set()
    model = known.get("model name", platform.machine()).strip()
    return model, set(known.get("flags", known.get("Features", "")).split())


def code_state(
    root: pathlib.Path, paths: Iterable[str], length: int = 12
) -> tuple[str | None, bool | None]:
    """Return the commit of a checkout, and whether these paths are as committed.

    Parameters
    ----------
    root : Path
        Top folder of the checkout.
    paths : iterable of str
        What counts, as git takes paths.
    length : int
        Digits of the commit.

    Returns
    -------
    commit : str or None
        None where `root` is not the top of a checkout, as of an installed package.
    is_clean : bool or None
    """

    def git(*words: str) -> str:
        command = ["git", *words]
        done = subprocess.run(
            command, cwd=root, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    try:
        # An installed package may lie in a checkout of something else.
        if pathlib.Path(git("rev-parse", "--show-toplevel")) != root:
            return None, None
        commit = git("rev-parse", f"--short={length}", "HEAD")
        changes = git("status", "--porcelain", "--untracked-files=no", "--", *paths)
    except (OSError, subprocess.CalledProcessError):
        return None, None
    return commit, not changes


def engine_state() -> tuple[str | None, bool | None]:
    """Return commit and cleanness of this package's code, see `code_state`."""
    return code_state(_PACKAGE.parent, ("truesparse",))


class EnergyCounter:
    """The energy that the processors of this machine have taken, from Intel's RAPL.

    AMD's processors have it, too. It counts whatever runs on the machine.
    """

    def __init__(self) -> None:
        # Packages alone: the names of what they contain have a second number.
        self._zones = sorted(_POWERCAP.glob("intel-rapl:*[0-9]"))
        self._zones = [zone for zone in self._zones if zone.name.count(":") == 1]

    def read(self) -> list[int] | None:
        """Return the microjoules of each processor, None if they are not readable."""
        try:
            values = [int((zone / "energy_uj").read_text()) for zone in self._zones]
        except (OSError, ValueError):
            return None
        return values or None

    def joules(self, before: list[int] | None, after: list[int] | None) -> float | None:
        """Return the joules between two readings; a counter may start again once."""
        if before is None or after is None or len(before) != len(after):
            return None
        total = 0
        for zone, start, end in zip(self._zones, before, after, strict=True):
            if end < start:
                try:
                    end += int((zone / "max_energy_range_uj").read_text())
                except (OSError, ValueError):
                    return None
            total += end - start
        return total * 1e-6


class HostPeak:
    """The most memory that this process has held since `reset`; on Linux alone."""

    def __init__(self) -> None:
        self._is_known = False

    def reset(self) -> None:
        """Count from now on."""
        try:
            _CLEAR_REFS.write_text("5")
            self._is_known = True
        except OSError:
            self._is_known = False

    def read(self) -> int | None:
        """Return bytes, or None where the system does not count anew."""
        return memory.peak_rss() if self._is_known else None


def _cpu_fields() -> list[tuple[str, str]]:
    try:
        lines = _CPU_INFO.read_text().splitlines()
    except OSError:
        return []
    parts = (line.partition(":") for line in lines)
    return [(key.strip(), text.strip()) for key, _, text in parts]


def _physical_cores() -> int | None:
    cores, place = set(), {}
    for key, text in _cpu_fields():
        place[key] = text
        if key == "core id":
            cores.add((place.get("physical id"), text))
    return len(cores) or None


def _caches() -> list[dict[str, Any]] | None:
    """Return level, type, bytes and sharing of the caches of the first core."""
    caches = []
    for folder in sorted(_CACHES.glob("index*")):
        with contextlib.suppress(OSError, ValueError):
            size = (folder / "size").read_text().strip()
            shared = (folder / "shared_cpu_list").read_text().strip()
            caches.append(
                {
                    "level": int((folder / "level").read_text()),
                    "type": (folder / "type").read_text().strip().lower(),
                    "bytes": int(size.removesuffix("K")) * 1024,
                    "shared_by_logical_cores": _count(shared),
                }
            )
    return caches or None


def _count(cores: str) -> int:
    """Return how many cores a list of the kernel names, such as 0-3,8."""
    total = 0
    for part in cores.split(","):
        first, _, last = part.partition("-")
        total += int(last or first) - int(first) + 1
    return total


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
