"""Data of the estimators' benchmark: split, scaled and held out.

NAME.npz is read by truesparse.datasets; a sparse set may also be three files of DIR,
NAME_X_train.npz and NAME_X_test.npz from scipy.sparse.save_npz, NAME_y.npz with y_train
and y_test. All features are float32. Scales and the weights of words come from the
training part alone.
"""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse

from truesparse.errors import DataError


@dataclass(frozen=True)
class DataSet:
    """A data set and how many epochs it is trained.

    Parameters
    ----------
    title : str
        As tables name it.
    epochs : int
        Epochs of both estimators.
    folds : int
        Folds of a stratified cross-validation that the seed draws, for sets whose test
        part would be a handful of samples; 1 for none.
    is_text : bool
        Whether features are counts of words, which TfidfTransformer weights.
    """

    title: str
    epochs: int
    folds: int = 1
    is_text: bool = False


SETS = {
    "digits": DataSet("digits", 50),
    "mnist": DataSet("MNIST", 10),
    "fashion_mnist": DataSet("Fashion-MNIST", 10),
    "madelon": DataSet("Madelon", 50),
    "20news": DataSet("20 newsgroups, CSR", 10, is_text=True),
    "micro_nakayama": DataSet("Nakayama microarray", 50, folds=5),
}


@dataclass(frozen=True)
class Parts:
    """Training and test part: X is (n, n_features) float32, dense or CSR, y classes."""

    X_train: Any
    y_train: np.ndarray
    X_test: Any
    y_test: np.ndarray


def load(
    name: str,
    data_home: str | Path | None,
    *,
    seed: int = 0,
    fold: int = 0,
    holdout: float = 0.0,
) -> Parts:
    """Return a data set as both estimators see it.

    Parameters
    ----------
    name : str
        A key of `SETS`.
    data_home : path, optional
        Folder of the files.
    seed, fold : int
        Which part of a cross-validation is the test part.
    holdout : float
        Share of the training part, drawn by class, that replaces the test part.

    Raises
    ------
    DataError
        If the data are absent or invalid.
    """
    kind = SETS[name]
    parts = read(name, data_home, is_scaled=kind.folds == 1 and not kind.is_text)
    if kind.folds > 1:
        parts = take_fold(parts, kind.folds, seed, fold)
    if holdout:
        parts = hold_out(parts, holdout)
    if kind.is_text:
        return weigh_words(parts)
    return standardise(parts) if kind.folds > 1 else parts


def read(name: str, data_home: str | Path | None, *, is_scaled: bool) -> Parts:
    """Read the files of a data set."""
    from truesparse import datasets

    halves = [
        Path(data_home or datasets.default_data_home()) / f"{name}_{part}.npz"
        for part in ("X_train", "X_test", "y")
    ]
    if all(path.is_file() for path in halves):
        try:
            X_train, X_test = (scipy.sparse.load_npz(path) for path in halves[:2])
            with np.load(halves[2]) as y:
                y_train, y_test = y["y_train"], y["y_test"]
        except (OSError, EOFError, ValueError, KeyError) as error:
            raise DataError(f"cannot read {halves[0]} and the like: {error}") from error
        return Parts(_as_csr(X_train), y_train, _as_csr(X_test), y_test)
    data = datasets.load(name, data_home, scale="auto" if is_scaled else "none")
    return Parts(
        *(data.X_train, np.asarray(data.y_train)),
        *(data.X_test, np.asarray(data.y_test)),
    )


def _as_csr(X: Any) -> scipy.sparse.csr_array:
    return scipy.sparse.csr_array(X).astype(np.float32)


def take_fold(parts: Parts, folds: int, seed: int, fold: int) -> Parts:
    """Return a fold of all samples as test part, and the others for training."""
    from sklearn.model_selection import StratifiedKFold

    X = np.concatenate([parts.X_train, parts.X_test])
    y = np.concatenate([parts.y_train, parts.y_test])
    splitter = StratifiedKFold(folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        # A class with fewer samples than folds is absent from some test parts.
        warnings.filterwarnings("ignore", "The least populated class")
        train, test = list(splitter.split(X, y))[fold]
    return Parts(X[train], y[train], X[test], y[test])


def hold_out(parts: Parts, share: float) -> Parts:
    """Return a share of the training part in place of the test part."""
    from sklearn.model_selection import train_test_split

    y = parts.y_train
    # Without two samples there is nothing to split by class.
    can_stratify = np.unique(y, return_counts=True)[1].min() > 1
    train, test = train_test_split(
        np.arange(len(y)),
        test_size=share,
        random_state=0,
        stratify=y if can_stratify else None,
    )
    return Parts(parts.X_train[train], y[train], parts.X_train[test], y[test])


def standardise(parts: Parts) -> Parts:
    """Return features of mean 0 and deviation 1 in the training part."""
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(parts.X_train)
    X_train, X_test = (scaler.transform(X) for X in (parts.X_train, parts.X_test))
    return Parts(X_train, parts.y_train, X_test, parts.y_test)


def weigh_words(parts: Parts) -> Parts:
    """Return counts of words as TF-IDF, rows of length 1."""
    from sklearn.feature_extraction.text import TfidfTransformer

    tfidf = TfidfTransformer().fit(parts.X_train)
    X_train, X_test = (
        _as_csr(tfidf.transform(X)) for X in (parts.X_train, parts.X_test)
    )
    return Parts(X_train, parts.y_train, X_test, parts.y_test)
