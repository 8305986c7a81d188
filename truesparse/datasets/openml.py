"""Data sets from OpenML, downloaded on request and cached as .npz in data_home.

The page of id 554 is https://www.openml.org/d/554, and so on. The rows of MNIST,
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

from truesparse.datasets.npz import ARRAYS, read_npz, save_npz
from truesparse.datasets.raw import RawData, first_line
from truesparse.datasets.table_options import TableOptions
from truesparse.errors import DataError


class Source(NamedTuple):
    """Data set that OpenML must return for an id.

    `n_rows` includes rows with missing values, which are left out (HIGGS has one);
    `n_train` is None where no test part is defined; `balanced` is true if each part has
    equally many rows of each class, which shows whether the rows are still in order.
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
    folder = os.environ.get("TRUESPARSE_DATA")
    if folder:
        return Path(folder).expanduser().absolute()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or ".")
    # The XDG specification says to ignore relative paths.
    if not cache.is_absolute():
        cache = Path.home() / ".cache"
    return cache / "truesparse"


def load_openml(name: str, data_home: Path, fetch: bool) -> RawData:
    """Return a data set from data_home, downloading it there first if asked.

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
        If the set is absent and `fetch` is false, cannot be downloaded, or is not the
        one that ``SOURCES`` describes.
    """
    source = SOURCES[name]
    path = data_home / f"{name}.npz"
    if not path.is_file():
        if not fetch:
            raise DataError(
                f"data set {name!r} is not in {data_home}; download it from OpenML (id "
                f"{source.data_id}) with --fetch or load({name!r}, fetch=True), or "
                f"{_put_file(name, data_home)}"
            )
        save_npz(path, *_download(name, source, data_home))
    raw = read_npz(path, TableOptions())
    n_features = np.shape(raw.X_train)[1:]
    if n_features != (source.n_features,):
        raise DataError(
            f"{path} has rows of shape {n_features}, but {name} has "
            f"{source.n_features} features; remove the file and fetch the set again"
        )
    return raw


def _put_file(name: str, data_home: Path) -> str:
    """Return how a user provides a set without downloading it."""
    return f"put {name}.npz with {ARRAYS} into {data_home}"


def _download(name: str, source: Source, data_home: Path) -> tuple[np.ndarray, ...]:
    from sklearn.datasets import fetch_openml

    # Without pandas only the slower parser works.
    parser = "auto" if importlib.util.find_spec("pandas") else "liac-arff"
    try:
        data_home.mkdir(parents=True, exist_ok=True)
        # A cache makes scikit-learn 1.9 download the file once, not twice, and check
        # the MD5 of the bytes that it parses. Only the .npz remains afterwards.
        with (
            tempfile.TemporaryDirectory(prefix=f".{name}.", dir=data_home) as folder,
            warnings.catch_warnings(),
        ):
            # It warns at every attempt; only the last one matters.
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
            f"cannot fetch {name!r} from OpenML: {first_line(error)}; try again when "
            f"online, or {_put_file(name, data_home)}"
        ) from error
    X, y = np.asarray(bunch.data), np.asarray(bunch.target)
    title = str(bunch.details.get("name", ""))
    if title.lower() != source.title.lower() or X.shape != (
        source.n_rows,
        source.n_features,
    ):
        raise DataError(
            f"OpenML id {source.data_id} is {title!r} of shape {X.shape}, not "
            f"{source.title!r} of shape {(source.n_rows, source.n_features)}; "
            f"{_put_file(name, data_home)}"
        )
    return _arrange(name, source, X, y)


def _arrange(
    name: str, source: Source, X: np.ndarray, y: np.ndarray
) -> tuple[np.ndarray, ...]:
    """Split OpenML's rows into the stored arrays and give them their stored types."""
    y = _plain_labels(y)
    if len(np.unique(y)) != source.n_classes:
        raise DataError(
            f"OpenML's {name} has {len(np.unique(y))} classes, not {source.n_classes}; "
            "give a file with the data instead"
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
                f"OpenML's {name} is not in the usual order, training part first: "
                f"classes have {counts.min()} to {counts.max()} of {len(part)} rows; "
                "give a file with the data instead"
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
