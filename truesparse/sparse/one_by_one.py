"""A few samples through condensed layers, one sample at a time: a single kernel call.

The outputs of the layers stay in a buffer that each thread of Python has for itself, so
that nothing is allocated and several threads may predict at the same time.
"""

import threading
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np

from truesparse.kernels import jit
from truesparse.kernels.condensed_net import (
    LayerRow,
    few_samples,
    few_samples_parallel,
)
from truesparse.kernels.simd import make_tile
from truesparse.kernels.windows import NARROW

# A batch of any size costs at least as much as 16 columns. Up to so many samples are
# as fast one by one, without windows and with them (784-1000x3-10: eight samples in
# 151 us instead of 178 at 140,000 connections, 374 instead of 636 at 560,000; EPYC with
# AVX-512, one thread, 2026-11).
_FEW_SAMPLES, _FEW_BY_WINDOWS = 4, 8


class _Layer(Protocol):
    """What is used of a CondensedLayer."""

    is_large: bool

    @property
    def room(self) -> int:
        """Numbers that its outputs take."""

    def describe(self, start: int, with_windows: bool) -> tuple[LayerRow, tuple]:
        """Return a row of the table, and what it has addresses of."""


class _Described(NamedTuple):
    """Layers as the kernels take them."""

    narrow: tuple | None  # the tile of a narrow window, if there are windows
    table: np.ndarray  # (n_layers, fields of LayerRow)
    room: int  # numbers that their outputs take
    held: list[tuple]  # the arrays whose addresses are in the table


class OneByOne:
    """Layers that fit each other, for samples one at a time.

    Parameters
    ----------
    layers : sequence of CondensedLayer
        At least one. Their arrays must not be replaced.
    patience : int
        So many samples are computed without windows, before those are made. That takes
        as long as they save in a thousand samples.
    """

    def __init__(self, layers: Sequence[_Layer], patience: int = 0):
        self._layers, self._patience = layers, patience
        self._is_large = any(layer.is_large for layer in layers)
        self._plain: _Described | None = None
        self._windowed: _Described | None = None
        self._of_thread = threading.local()

    def __reduce__(self) -> tuple:
        """Leave out what belongs to this process: addresses and buffers."""
        return OneByOne, (self._layers, self._patience)

    def takes(self, n: int) -> bool:
        """Whether `n` samples are done sooner one by one than as a batch."""
        if n <= _FEW_SAMPLES or n > _FEW_BY_WINDOWS:
            return n <= _FEW_SAMPLES
        has_windows = self._described().narrow is not None
        if not has_windows:
            self._patience -= n  # for `run` will not see them
        return has_windows

    def run(self, x: np.ndarray, out: np.ndarray) -> None:
        """Compute samples (n, n_in) into (n, neurons of the last layer).

        Both are C-contiguous and of the layers' dtype.
        """
        if not x.flags.writeable:
            x = x.copy()  # or Numba would compile the kernel for such arrays, too
        narrow, table, size, _ = self._described()
        self._patience -= len(x)
        try:
            room = self._of_thread.room
        except AttributeError:
            room = self._of_thread.room = np.empty(size, out.dtype)
        threads = jit.thread_count() if self._is_large else 1
        if threads == 1:
            few_samples(narrow, x, out, room, table)
        else:
            few_samples_parallel(narrow, x, out, room, table, threads)

    def _described(self) -> _Described:
        if self._windowed is not None:
            return self._windowed
        if self._patience <= 0 and jit.has_avx512():
            self._windowed = _describe(self._layers, with_windows=True)
            return self._windowed
        if self._plain is None:
            self._plain = _describe(self._layers, with_windows=False)
        return self._plain


def _describe(layers: Sequence[_Layer], with_windows: bool) -> _Described:
    rows, size, held = [], 0, []
    for layer in layers:
        row, arrays = layer.describe(size, with_windows)
        rows.append(row)
        held.append(arrays)
        size += layer.room
    has_windows = any(row.width > 0 for row in rows)
    narrow = make_tile(NARROW) if has_windows else None
    return _Described(narrow, np.array(rows, np.int64), size, held)
