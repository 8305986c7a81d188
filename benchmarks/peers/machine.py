"""Describe the machine: processor, memory, threads, library versions."""

import contextlib
import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from truesparse.common.cores import usable_cores
from truesparse.reference.baseline.machine_record import processor

PACKAGES = (
    "numpy",
    "scipy",
    "numba",
    "llvmlite",
    "scikit-learn",
    "torch",
    "sparseprop",
)
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "NUMBA_THREADING_LAYER",
    "OMP_WAIT_POLICY",
    "GOMP_SPINCOUNT",
    "KMP_BLOCKTIME",
    "MKL_DYNAMIC",
)
VECTOR_FLAGS = ("avx2", "fma", "avx512f", "avx512_bf16", "asimd", "sve")


def machine() -> dict[str, object]:
    """Describe CPU, cores, memory, thread settings and versions, all JSON types."""
    model, flags = processor()
    return {
        "cpu": model,
        "vector_flags": [flag for flag in VECTOR_FLAGS if flag in flags],
        "cores": os.cpu_count(),
        "usable_cores": usable_cores(),
        "memory_gb": _memory_gb(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "thread_variables": {
            name: os.environ[name] for name in THREAD_VARIABLES if name in os.environ
        },
        "versions": {name: _version(name) for name in PACKAGES},
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _memory_gb() -> float | None:
    try:
        size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None
    return round(size / 1e9, 1)


def peak_rss_mb() -> float | None:
    """Return the largest resident memory of this process so far, in MB (10^6 bytes)."""
    # VmHWM, because ru_maxrss of a new process starts at the peak of its parent, which
    # makes a small one seem large.
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return round(int(line.split()[1]) * 1024 / 1e6, 1)
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # macOS counts bytes, others kibibytes.
    return round(peak * (1 if sys.platform == "darwin" else 1024) / 1e6, 1)
