"""How the work of a layer is split into tasks, whatever the number of threads."""

import numpy as np

N_TASKS = 64  # enough to balance 16 threads, few enough to cost nothing
TASK_SIZE = 1 << 16  # connections a task where all take equally long
# A row takes about as long as this many connections, besides those it has.
_ROW_COST = 4


def balance(indptr: np.ndarray, n_tasks: int = N_TASKS) -> np.ndarray:
    """Split rows into at most `n_tasks` contiguous ranges of about equal work.

    Parameters
    ----------
    indptr : (n_rows + 1,) int64 array
    n_tasks : int

    Returns
    -------
    (m + 1,) int64 array
        Range t is ``result[t]`` to ``result[t + 1]``; m <= `n_tasks`, as empty ranges
        are left out. The ranges depend on the pattern alone, never on the threads.
    """
    n_rows = indptr.size - 1
    work = np.arange(n_rows + 1)
    work *= _ROW_COST
    work += indptr
    cuts = np.searchsorted(work, np.linspace(0, work[-1], n_tasks + 1))
    cuts[0], cuts[-1] = 0, n_rows
    return np.unique(cuts).astype(np.int64)


def rows_per_task(columns: int) -> int:
    """Return how many rows a task computes: TASK_SIZE / 4 numbers, at least one row."""
    return max(1, TASK_SIZE // 4 // max(1, columns))
