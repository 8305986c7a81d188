"""Data sets that come with scikit-learn and load without a network."""

import contextlib
from importlib.metadata import version

from truesparse.datasets.build import Parts
from truesparse.datasets.npz import read_npz, save_npz
from truesparse.datasets.openml import default_data_home
from truesparse.errors import DataError

# Name to loader in sklearn.datasets, its options, and the task.
BUNDLED = {
    "digits": ("load_digits", {}, "classification"),
    "breast_cancer": ("load_breast_cancer", {}, "classification"),
    "wine": ("load_wine", {}, "classification"),
    "iris": ("load_iris", {}, "classification"),
    # scikit-learn scales diabetes by all of its rows unless told not to, which would
    # let the test part leak into the training part.
    "diabetes": ("load_diabetes", {"scaled": False}, "regression"),
}


def load_bundled(name: str) -> Parts:
    """Return one of scikit-learn's bundled data sets.

    Importing scikit-learn takes longer than drawing a million neurons, so the arrays
    are kept in `default_data_home`, by the version they came with. A folder that cannot
    be written, or a damaged file, costs that time and nothing else.

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
    kept = folder / f"{name}.npz"
    with contextlib.suppress(DataError):
        parts = read_npz(kept)
        return Parts(parts.X_train, parts.y_train, task=task)

    import sklearn.datasets

    X, y = getattr(sklearn.datasets, loader)(return_X_y=True, **options)
    with contextlib.suppress(DataError):
        save_npz(kept, X, y)
    return Parts(X, y, task=task)
