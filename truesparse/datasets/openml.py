"""Data sets from OpenML, downloaded only when asked and kept as .npz in data_home.

https://www.openml.org/d/554 is the page of id 554, and so on. The rows of MNIST,
Fashion-MNIST, EMNIST and CIFAR-10 are the training part followed by the test part.
"""

import http.client
import importlib.util
import os
import tempfile
import warnings
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

from truesparse.datasets.build import Parts, reason
from truesparse.datasets.npz import read_npz, save_npz
from truesparse.errors import DataError


class Source(NamedTuple):
    """What OpenML must return for an id.

    `n_rows` includes rows with missing values, which are left out (HIGGS has one);
    `n_train` is None where no test part is defined; `balanced` says that each part has
    equally many rows of each class, which shows whether rows are still in order.
    """

    data_id: int
    title: str
    n_rows: int
    n_features: int
    n_classes: int
    n_train: int | None = None
    balanced: bool = False


SOURCES = {
    "mnist": Source(554, "mnist_784", 70_000, 784, 10, 60_000),
    "fashion_mnist": Source(40996, "Fashion-MNIST", 70_000, 784, 10, 60_000, True),
    "emnist_balanced": Source(
        41039, "EMNIST_Balanced", 131_600, 784, 47, 112_800, True
    ),
    "cifar10": Source(40927, "CIFAR_10", 60_000, 3072, 10, 50_000, True),
    "madelon": Source(1485, "madelon", 2_600, 500, 2),
    "higgs": Source(23512, "higgs", 98_050, 28, 2),
}


def default_data_home() -> Path:
    """Return the folder of downloaded data sets.

    It is ``TRUESPARSE_DATA`` if set, or else the folder ``truesparse`` in the user's
    cache folder: ``XDG_CACHE_HOME`` if set, otherwise ``~/.cache``.

    Examples
    --------
    >>> from truesparse.datasets import default_data_home
    >>> default_data_home().is_absolute()
    True
    """
    own = os.environ.get("TRUESPARSE_DATA")
    if own:
        return Path(own).expanduser().absolute()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or ".")
    # The XDG specification says to ignore relative paths.
    if not cache.is_absolute():
        cache = Path.home() / ".cache"
    return cache / "truesparse"


def load_openml(name: str, data_home: Path, fetch: bool) -> Parts:
    """Return a data set from data_home, or download it into there first.

    Parameters
    ----------
    name : str
        A key of ``SOURCES``.
    data_home : Path
        Folder of NAME.npz; made if needed.
    fetch : bool
        Download what data_home lacks.

    Raises
    ------
    DataError
        If the set is absent and not asked for, cannot be downloaded, or is not what
        OpenML is known to have.
    """
    source = SOURCES[name]
    path = data_home / f"{name}.npz"
    if not path.is_file():
        if not fetch:
            raise DataError(
                f"data set {name!r} is not in {data_home}: {_ways(name, data_home)}"
            )
        save_npz(path, *_download(name, source, data_home))
    parts = read_npz(path)
    n_features = np.shape(parts.X_train)[1:]
    if n_features != (source.n_features,):
        raise DataError(
            f"{path} has rows of shape {n_features}; {name} has {source.n_features} "
            "features; remove the file to fetch it again"
        )
    return parts


def _ways(name: str, data_home: Path) -> str:
    return (
        f"--fetch, or load({name!r}, fetch=True), downloads it from OpenML (id "
        f"{SOURCES[name].data_id}); or put {name}.npz with X_train, y_train, X_test, "
        f"y_test (or X, y) into {data_home}"
    )


def _download(name: str, source: Source, data_home: Path) -> tuple[np.ndarray, ...]:
    from sklearn.datasets import fetch_openml

    # Without pandas only the slower parser works.
    parser = "auto" if importlib.util.find_spec("pandas") else "liac-arff"
    try:
        data_home.mkdir(parents=True, exist_ok=True)
        # With a cache the file is downloaded once and its MD5 is that of what is
        # parsed (scikit-learn 1.9 downloads twice without); afterwards the .npz is
        # all that is kept.
        with (
            tempfile.TemporaryDirectory(prefix=f".{name}.", dir=data_home) as folder,
            warnings.catch_warnings(),
        ):
            # It warns of every attempt; what matters is whether the last one failed.
            warnings.simplefilter("ignore")
            bunch = fetch_openml(
                data_id=source.data_id, data_home=folder, as_frame=False, parser=parser
            )
    except (
        OSError,
        ValueError,
        EOFError,
        ImportError,
        zlib.error,
        http.client.HTTPException,
    ) as error:
        raise DataError(
            f"cannot fetch {name!r} from OpenML: {reason(error)}; try again when "
            f"online, or put {name}.npz with X_train, y_train, X_test, y_test (or "
            f"X, y) into {data_home}"
        ) from error
    X, y = np.asarray(bunch.data), np.asarray(bunch.target)
    title = str(bunch.details.get("name", ""))
    if title.lower() != source.title.lower() or X.shape != (
        source.n_rows,
        source.n_features,
    ):
        raise DataError(
            f"OpenML id {source.data_id} is {title!r} of shape {X.shape}, not "
            f"{source.title!r} of shape {(source.n_rows, source.n_features)}"
        )
    return _arrange(name, source, X, y)


def _arrange(
    name: str, source: Source, X: np.ndarray, y: np.ndarray
) -> tuple[np.ndarray, ...]:
    """Bring what OpenML returned into the arrays and types that are stored."""
    y = _plain_labels(y)
    if len(np.unique(y)) != source.n_classes:
        raise DataError(
            f"OpenML's {name} has {len(np.unique(y))} classes, not {source.n_classes}"
        )
    if X.dtype.kind == "O":
        X = X.astype(np.float64)
    if source.n_train is None:
        complete = np.isfinite(X).all(axis=1)
        return (X, y) if complete.all() else (X[complete], y[complete])
    X = _compact(X)
    n = source.n_train
    for part in (y[:n], y[n:]) if source.balanced else ():
        counts = np.unique(part, return_counts=True)[1]
        if np.any(counts * source.n_classes != len(part)):
            raise DataError(
                f"OpenML's {name} is not in its order, training part before test part: "
                f"classes have {counts.min()} to {counts.max()} of {len(part)} rows"
            )
    return X[:n], y[:n], X[n:], y[n:]


def _plain_labels(y: np.ndarray) -> np.ndarray:
    """Turn object or text labels into whole numbers, or else text."""
    try:
        return y.astype(np.int64)
    except ValueError:
        return y.astype(str)


def _compact(X: np.ndarray) -> np.ndarray:
    """Store pixels, whole numbers from 0 to 255, in one byte each."""
    with np.errstate(invalid="ignore"):
        pixels = X.astype(np.uint8)
    return pixels if np.array_equal(pixels, X) else X
