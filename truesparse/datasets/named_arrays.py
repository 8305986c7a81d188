"""Features and targets among named arrays, as .npz, .npy and .mat files have them.

    features    X, data, features, fea, images
    target      y, target, targets, label, labels, gnd

in any case, alone or with train and test before or after: X_train, trainX, test_labels.
"""

import math
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any, NamedTuple

from truesparse.datasets.raw import RawData
from truesparse.errors import DataError

FEATURES = ("x", "data", "features", "fea", "images")
TARGETS = ("y", "target", "targets", "label", "labels", "gnd")
# As numpy.savez names arrays that are given without names.
UNNAMED = ["arr_0", "arr_1"]

_PARTS = "train|test|valid|validation|val"
_NAME = re.compile(
    rf"(?:(?P<before>{_PARTS})_?)?(?P<role>{'|'.join(FEATURES + TARGETS)})"
    rf"(?:_?(?P<after>{_PARTS}))?"
)


class Role(NamedTuple):
    """What an array is: features or not, of which part ("" without parts)."""

    is_features: bool
    part: str


class Names(NamedTuple):
    """Names of the arrays of a data set; None where it lacks one.

    `warning` says what is doubtful about the choice, or is empty.
    """

    X: str | None
    y: str | None
    X_test: str | None
    y_test: str | None
    warning: str = ""


def role_of(name: str) -> Role | None:
    """Return what an array of this name is, or None.

    Examples
    --------
    >>> from truesparse.datasets.named_arrays import role_of
    >>> role_of("x_Train"), role_of("test_labels"), role_of("names")
    (Role(is_features=True, part='train'), Role(is_features=False, part='test'), None)
    """
    matched = _NAME.fullmatch(name.lower())
    if matched is None or (matched["before"] and matched["after"]):
        return None
    part = matched["before"] or matched["after"] or ""
    return Role(matched["role"] in FEATURES, part)


def choose_arrays(
    names: Collection[str], path: Path, needed: str, needs_targets: bool
) -> Names:
    """Say which arrays are the features and the targets.

    Parameters
    ----------
    names : collection of str
        Names of all arrays.
    path : Path
        Path of the file, for messages.
    needed : str
        End of the message about what is lacking.
    needs_targets : bool
        Whether features alone are refused.

    Raises
    ------
    DataError
        If an array is lacking, or several have the same role.
    """
    if sorted(names) == UNNAMED:
        warning = "arr_0 is taken for the features and arr_1 for the target"
        warning = f"{path}: {warning}; give them names"
        return Names(UNNAMED[0], UNNAMED[1], None, None, warning)
    by_role: dict[Role, list[str]] = {}
    for name in sorted(names):
        if (role := role_of(name)) is not None:
            by_role.setdefault(role, []).append(name)
    train = "train" if Role(True, "train") in by_role else ""
    wanted = {
        f"{letter}_{part}" if part else letter: Role(letter == "X", part)
        for part in ((train, "test") if train else ("",))
        for letter in "Xy"
    }
    for role in wanted.values():
        if len(same := by_role.get(role, [])) > 1:
            what = "features" if role.is_features else "target"
            raise DataError(
                f"{path} has {len(same)} arrays that could be the {what}: "
                f"{', '.join(map(repr, same))}; leave one in the file"
            )
    lacking = [title for title, role in wanted.items() if role not in by_role]
    features = "X_train" if train else "X"
    if features in lacking or (needs_targets and lacking):
        held = ", ".join(map(repr, sorted(names))) or "nothing"
        raise DataError(
            f"{path} lacks {', '.join(lacking)}; it holds {held}; store {needed}"
        )
    first = [next(iter(by_role.get(role, ())), None) for role in wanted.values()]
    unused = [
        name
        for role, same in by_role.items()
        if role not in wanted.values()
        for name in same
    ]
    warning = f"{path}: not used: {', '.join(unused)}" if unused else ""
    X, y, X_test, y_test = [*first, None, None][:4]
    # Without its features a test part is none.
    return Names(X, y, X_test, y_test if X_test else None, warning)


def as_raw_data(names: Names, arrays: list[Any], path: Path) -> RawData:
    """Return chosen arrays, in the order of `Names`, as a data set.

    Images, (n, height, width) or more dimensions, become rows.

    Raises
    ------
    DataError
        If arrays without names do not look like features and a target.
    """
    X, y, X_test, y_test = arrays
    if names.X in UNNAMED and (X.ndim < 2 or (y.ndim > 1 and y.shape[1] > 1)):
        raise DataError(
            f"{path}: arr_0 has shape {X.shape} and arr_1 {y.shape}, which may be "
            "several things; give names, as in numpy.savez(file, X=X, y=y)"
        )
    raw = RawData(as_rows(X), y, as_rows(X_test), y_test)
    if names.y:
        reason = "by its place" if names.y in UNNAMED else "by its name"
        raw.target_choice = f"array {names.y!r}, {reason}"
    if names.warning:
        raw.warnings.append(names.warning)
    return raw


def as_rows(X: Any) -> Any:
    """Return images as rows, and other features and None as they are."""
    if X is None or X.ndim <= 2:
        return X
    return X.reshape(len(X), math.prod(X.shape[1:]))
