"""Data sets that come with scikit-learn and load without a network."""

from .parts import Parts

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
    import sklearn.datasets

    loader, options, task = BUNDLED[name]
    X, y = getattr(sklearn.datasets, loader)(return_X_y=True, **options)
    return Parts(X, y, task=task)
