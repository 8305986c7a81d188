"""From labels to class numbers, and back: ``classes[codes]`` equals the labels."""

import numpy as np

from truesparse.errors import DataError


def encode_labels(
    labels: np.ndarray, classes: np.ndarray | None = None, name: str = "y"
) -> tuple[np.ndarray, np.ndarray]:
    """Turn the labels of a classification into class numbers.

    Parameters
    ----------
    labels : ndarray, shape (n,)
        Labels as `check_targets` returns them.
    classes : ndarray, shape (n_classes,), optional
        The sorted labels of the training part; those of `labels` if left out.
    name : str
        Name of the array in messages.

    Returns
    -------
    codes : ndarray, shape (n,), int32
        ``classes[codes]`` equals `labels`.
    classes : ndarray, shape (n_classes,)
        Sorted distinct labels.

    Raises
    ------
    DataError
        If a label is not one of `classes`; the message names it.

    Examples
    --------
    >>> import numpy as np
    >>> from truesparse.datasets import encode_labels
    >>> codes, classes = encode_labels(np.array(["b", "a", "b"]))
    >>> codes.tolist(), classes.tolist()
    ([1, 0, 1], ['a', 'b'])
    """
    if classes is None:
        classes, codes = np.unique(labels, return_inverse=True)
        return codes.astype(np.int32), classes
    if (classes.dtype.kind == "U") == (labels.dtype.kind == "U"):
        codes = np.minimum(np.searchsorted(classes, labels), len(classes) - 1)
        unseen = classes[codes] != labels
    else:
        codes, unseen = np.zeros(len(labels), dtype=np.intp), np.ones(len(labels), bool)
    if unseen.any():
        names = np.unique(labels[unseen]).tolist()
        shown = ", ".join(repr(n) for n in names[:5]) + (", ..." if names[5:] else "")
        raise DataError(
            f"{name} has labels that the training part lacks, in {unseen.sum()} rows: "
            f"{shown}; add such rows to the training part or remove them from {name}"
        )
    return codes.astype(np.int32), classes
