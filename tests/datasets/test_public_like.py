"""Files like public teaching sets load right, or with the options that errors name."""

import numpy as np
import pytest
from support.made_up import CLASS
from support.public_like import CASES

from truesparse.datasets import load
from truesparse.datasets.dialect import MISSING
from truesparse.errors import DataError


def features_of(case):
    """Return the expected features, unordered, one column for each category."""
    rows = np.array([column.cells for column in case.columns]).T
    if case.options.get("missing") == "drop":
        rows = rows[[not MISSING & {c.lower() for c in row} for row in rows]]
    columns = []
    for place, column in enumerate(case.columns):
        cells = rows[:, place]
        if column.name == case.target or column.kind == "none":
            continue
        present = [cell for cell in cells if cell.lower() not in MISSING]
        if column.kind == "text":
            values, counts = np.unique(present, return_counts=True)
            filled = values[counts.argmax()]
            cells = np.array([c if c.lower() not in MISSING else filled for c in cells])
            columns += [(cells == value).astype(float) for value in values]
        else:
            truth = {"true": "1", "false": "0"}
            columns.append([_number(truth.get(c.lower(), c)) for c in cells])
    return np.array(columns, float).T


def _number(cell):
    return np.nan if cell.lower() in MISSING else float(cell)


def check(path, case):
    """Assert that a file is read as it is meant."""
    data = load(path, scale="none", dtype=np.float64, **case.options)
    X = data.X_train.toarray() if data.is_sparse else data.X_train
    test = data.X_test.toarray() if data.is_sparse else data.X_test
    X = np.concatenate([X, test])
    y = np.concatenate([data.y_train, data.y_test]).ravel()
    expected = features_of(case)
    assert data.task == case.task
    assert X.shape == expected.shape
    target = next(c for c in case.columns if c.name == case.target)
    if case.task == CLASS:
        labels = sorted(set(target.cells))
        assert sorted(map(_plain, data.classes.tolist())) == sorted(map(_plain, labels))
    else:
        np.testing.assert_allclose(sorted(y), sorted(map(float, target.cells)))
    if "missing" not in case.options:
        labels = map(_plain, data.classes[y.astype(int)] if case.task == CLASS else y)
        pairs = zip(X[:, 0].tolist(), labels, strict=True)
        wanted = zip(expected[:, 0].tolist(), map(_plain, target.cells), strict=True)
        assert sorted(pairs) == sorted(wanted)
    # Column by column, whatever the order of the rows; gaps are filled.
    for got, wanted in zip(X.T, expected.T, strict=True):
        gaps = np.isnan(wanted)
        values = wanted[~gaps].tolist()
        rest = got.tolist()
        for value in values:
            rest.remove(value)
        assert len(set(rest)) <= 1


def _plain(label):
    """Return a label as text: +1 is 1, True is true."""
    text = str(label).lower()
    try:
        return f"{float(text):g}"
    except ValueError:
        return text


def read(folder, case):
    """Follow the errors to the options, then check the reading."""
    path = folder / case.name
    path.write_bytes(case.content)
    names = list(case.options)
    for n_given in range(len(names)):
        given = {name: case.options[name] for name in names[:n_given]}
        try:
            data = load(path, **given)
        except DataError as error:
            message = str(error)
        else:  # a doubt is a warning, which names the option too
            message = "\n".join(data.warnings)
        assert f"--{names[n_given]}" in message, message
    check(path, case)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_file_is_read_as_it_is_meant(tmp_path, case):
    read(tmp_path, case)


def test_fifty_or_more_are_read():
    """Every one is, by the test above; this counts them and their kinds."""
    assert len({case.name for case in CASES}) == len(CASES) == 56
    assert sum(not case.options for case in CASES) >= 38
