"""The one place that knows Numba: the kernel decorators, threads, compile cache.

Kernels take arrays, NamedTuples of arrays and scalars, write into arguments named
``out...`` and allocate nothing. Compilation is lazy and cached on disk; importing
the package compiles nothing.

At the end of a parallel loop the threads of GNU OpenMP spin for milliseconds before
they sleep. On a machine that does other work too, they thereby keep the last thread
from its core. The environment variable ``GOMP_SPINCOUNT`` limits this; milliseconds a
step on a Xeon (AVX-512 FP16) with 2 cores, 2026-11:

    GOMP_SPINCOUNT                not set   2000   4000   8000
    beside four busy processes       51     4.2    4.2    6.5
    on a quiet machine              0.8    0.95    0.8    0.8

(2000 turns, 25 us, are too few where nothing else runs, as it takes 50 us to wake a
thread.) The commands set it to 4000, see commands/shell.py. The library leaves the
environment alone: set it before the first kernel runs, as in
``GOMP_SPINCOUNT=4000 python program.py``. It changes no result.
"""

import contextlib
import functools
import os
import pathlib
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numba
from numba.core import event
from numba.core.codegen import get_host_cpu_features

from truesparse.common.checks import check_whole
from truesparse.errors import UsageError

prange = numba.prange
CONFIG: Any = numba.config
DISABLED = bool(CONFIG.DISABLE_JIT)
get_thread_id = numba.get_thread_id
if DISABLED:

    def get_thread_id():
        """Return the number of the only thread."""
        return 0


# Products may be fused with sums, but sums keep their order, and NaN and infinity their
# meaning: a diverging run must be seen as one. Freedom to reorder would also let LLVM
# undo the short chains of simd.py.
FASTMATH = {"nsz", "arcp", "contract", "afn"}
_FLAGS = {
    "cache": True,
    "nogil": True,
    "fastmath": FASTMATH,
    "error_model": "numpy",
    "no_cfunc_wrapper": True,
}
# Functions that only kernels call need no entry for Python, which unpacks every array:
# without it the backward pass compiles in 3.0 s instead of 4.0 (EPYC 7003, 2026-11).
_INNER = {"no_cpython_wrapper": True}

# The number that each thread of Python has set, for thread_count.
_settings = threading.local()


class _Pool:
    """The threads that parallel kernels share, and who may call them.

    Numba makes them of GNU OpenMP ("omp"), TBB ("tbb") or its own "workqueue" at the
    first call, whichever it has. Its workqueue ends the process when two threads of
    Python call at once, so they take turns. GNU OpenMP ends a process that was forked
    after the first call.

    Attributes
    ----------
    is_free : bool
        Whether anyone may call without asking.
    is_lost : bool
        Whether this process was forked and its parent kept the threads.
    """

    def __init__(self) -> None:
        self.is_free, self.is_lost = False, False
        self._turns = threading.RLock()
        if hasattr(os, "register_at_fork"):  # not on Windows
            os.register_at_fork(after_in_child=self._forked)

    @property
    def layer(self) -> str | None:
        """What the threads are made of; None before the first call."""
        try:
            return numba.threading_layer()
        except ValueError:
            return None

    def call(self, compiled, arguments):
        """Call a parallel kernel when it is safe.

        Raises
        ------
        UsageError
            In a forked process that cannot have threads.
        """
        if self.is_lost:
            raise UsageError(
                "this process was forked after truesparse had started threads, which "
                "GNU OpenMP does not survive; start processes with "
                "multiprocessing.get_context('spawn') or 'forkserver', or with "
                "joblib's 'loky', or set NUMBA_THREADING_LAYER=workqueue before Python "
                "starts"
            )
        with self._turns:
            result = compiled(*arguments)
        self.is_free = self.layer in ("omp", "tbb")
        return result

    def _forked(self) -> None:
        self._turns = threading.RLock()  # another thread may have held it
        if self.layer == "omp":
            self.is_free, self.is_lost = False, True


_pool = _Pool()


@functools.cache
def _package_stamp() -> tuple[float, int]:
    """Return the newest change and the total size of all kernel sources."""
    sources = pathlib.Path(__file__).parent.glob("*.py")
    stats = [os.stat(path) for path in sources]
    return max(s.st_mtime for s in stats), sum(s.st_size for s in stats)


def _compile(function, **flags):
    """Return `function` compiled when called, with its binary kept on disk."""
    flags = _FLAGS | flags
    try:
        dispatcher = numba.njit(**flags)(function)
    except RuntimeError as error:
        if "cannot cache" not in str(error):
            raise
        _warn_uncached()
        dispatcher = numba.njit(**flags | {"cache": False})(function)
    _stamp_cache(dispatcher)
    return dispatcher


@functools.cache
def _warn_uncached() -> None:
    warnings.warn(
        "compiled kernels cannot be kept, as neither the folder of truesparse nor a "
        "home folder can be written to: every process compiles them again; set "
        "NUMBA_CACHE_DIR to a folder that can be written to",
        stacklevel=2,
    )


def _stamp_cache(dispatcher) -> None:
    """Invalidate the cached binary when any kernel source changes.

    Numba looks only at the file of the kernel, but the binary also contains helpers and
    intrinsics of other files.
    """
    cache_file = getattr(getattr(dispatcher, "_cache", None), "_cache_file", None)
    if hasattr(cache_file, "_source_stamp"):
        cache_file._source_stamp = _package_stamp()


def kernel(function):
    """Compile `function` for one thread."""
    return _compile(function)


def inner_kernel(function):
    """Compile `function` for kernels alone; called from Python, it would crash."""
    return _compile(function, **_INNER)


def inlined_kernel(function):
    """Compile `function` into the kernels that call it: for helpers of an inner loop.

    A call passes groups of arrays as dozens of numbers, which takes longer than a short
    row does (12 ns a call, EPYC, 2026-11).
    """
    return _compile(function, forceinline=True, **_INNER)


def exact_kernel(function):
    """Compile `function` for one thread with arithmetic in the order written."""
    return _compile(function, fastmath=False)


def parallel_kernel(function):
    """Compile `function`, whose ``prange`` loops run on all threads.

    Results must not depend on the number of threads: the data fix the tasks of such a
    loop, and each task has outputs of its own. Where no sum crosses outputs, any
    division into tasks will do. The body of the loop hands its range to a serial
    kernel: Numba 0.68 loses writes through the fields of a NamedTuple that stand in the
    body itself.
    """
    compiled = _compile(function, parallel=True)
    if DISABLED:
        return compiled

    @functools.wraps(function)
    def call(*arguments):
        if _pool.is_free:
            return compiled(*arguments)
        return _pool.call(compiled, arguments)

    return call


@functools.cache
def has_avx512() -> bool:
    """Whether kernels are compiled for a processor with AVX-512."""
    setting = CONFIG.CPU_FEATURES
    features = get_host_cpu_features() if setting is None else setting
    return "+avx512f" in features.split(",")


def host() -> tuple[str, list[str]]:
    """Return the name of the processor that kernels are compiled for, and its SIMD."""
    from llvmlite.binding import get_host_cpu_name

    has = get_host_cpu_features().split(",")
    known = ("neon", "sve", "sse4.2", "avx", "avx2", "fma", "avx512f", "avx512bf16")
    return get_host_cpu_name(), [name for name in known if f"+{name}" in has]


def most_threads() -> int:
    """Return how many threads the process may use at most."""
    return CONFIG.NUMBA_NUM_THREADS


def set_threads(n_threads: int | None) -> int:
    """Set how many threads kernels use from now on.

    Parameters
    ----------
    n_threads : int or None
        None keeps the present number.

    Returns
    -------
    int
        The number in force.

    Raises
    ------
    UsageError
        If `n_threads` is below 1 or above what the process started with.
    """
    if n_threads is not None:
        most = most_threads()
        if not 1 <= n_threads <= most:
            name = "NUMBA_NUM_THREADS"
            limit = f"as {name} says" if name in os.environ else "the cores"
            raise UsageError(
                f"threads must be from 1 to {most} ({limit}), got {n_threads}; to go "
                f"beyond, set {name} in the environment before Python starts"
            )
        numba.set_num_threads(n_threads)
        _settings.count = n_threads
    return numba.get_num_threads()


def thread_count() -> int:
    """Return how many threads kernels use, as last given to `set_threads`.

    For choices where asking Numba would take too long: 1.7 us (EPYC 9004, 2026-11).
    """
    try:
        return _settings.count
    except AttributeError:
        return most_threads()


@contextlib.contextmanager
def threads(n_jobs: int | None) -> Iterator[None]:
    """Set how many threads kernels use within a ``with`` statement.

    Parameters
    ----------
    n_jobs : int or None
        As in joblib, -1 means all threads and -2 all but one; a number above all means
        all. None keeps the present number.

    Raises
    ------
    UsageError
        If `n_jobs` is 0 or not a whole number.
    """
    if n_jobs is None:
        yield
        return
    if check_whole("n_jobs", n_jobs, -sys.maxsize) == 0:
        raise UsageError("n_jobs must not be 0: give 1 for one thread, -1 for all")
    before, most = numba.get_num_threads(), most_threads()
    set_threads(min(n_jobs, most) if n_jobs > 0 else max(1, most + 1 + n_jobs))
    try:
        yield
    finally:
        set_threads(before)


@contextlib.contextmanager
def when_compiling(callback: Callable[[], None]) -> Iterator[None]:
    """Call `callback` once in a ``with``, before the first kernel that is compiled.

    Loading a kernel from the cache on disk does not count.
    """

    class Listener(event.Listener):
        is_first = True

        def on_start(self, _) -> None:
            if self.is_first:
                self.is_first = False
                callback()

        def on_end(self, _) -> None:
            pass

    with event.install_listener("numba:compile", Listener()):
        yield
