"""Data sets that come with scikit-learn and load without a network."""

import contextlib
from importlib.metadata import version

from truesparse.datasets.npz import read_npz, save_npz
from truesparse.datasets.openml import default_data_home
from truesparse.datasets.raw import RawData
from truesparse.datasets.table_options import TableOptions
from truesparse.errors import DataError

# For each name its loader in sklearn.datasets, the loader's options, and the task.
BUNDLED = {
    "digits": ("load_digits", {}, "classification"),
    "breast_cancer": ("load_breast_cancer", {}, "classification"),
    "wine": ("load_wine", {}, "classification"),
    "iris": ("load_iris", {}, "classification"),
    # scikit-learn scales diabetes by all of its rows unless told not to, which would
    # let the test part leak into the training part.
    "diabetes": ("load_diabetes", {"scaled": False}, "regression"),
}


def load_bundled(name: str) -> RawData:
    """Return one of scikit-learn's bundled data sets.

    Importing scikit-learn takes longer than drawing a million neurons, so the arrays
    are cached in `default_data_home`, by the version they came with. If that folder
    cannot be written or the cached file is damaged, scikit-learn is imported again.

    Parameters
    ----------
    name : str
        A key of ``BUNDLED``.

    Examples
    --------
    >>> from truesparse.datasets.bundled import load_bundled
    >>> load_bundled("digits").X_train.shape
    (1797, 64)
    """
    loader, options, task = BUNDLED[name]
    folder = default_data_home() / f"scikit-learn-{version('scikit-learn')}"
    cached = folder / f"{name}.npz"
    with contextlib.suppress(DataError):
        raw = read_npz(cached, TableOptions())
        return RawData(raw.X_train, raw.y_train, task=task)

    import sklearn.datasets

    X, y = getattr(sklearn.datasets, loader)(return_X_y=True, **options)
    with contextlib.suppress(DataError):
        save_npz(cached, X, y)
    return RawData(X, y, task=task)
