"""What a run folder holds, as far as it is there."""

import dataclasses
import os
import pathlib
import tomllib
from typing import TYPE_CHECKING, Any

from truesparse.errors import UsageError
from truesparse.storage.run_folder import CONFIG, METRICS, MODEL

if TYPE_CHECKING:
    from truesparse.network.sparse_mlp import SparseMLP
    from truesparse.plots.run_records import History

_MISSING = {
    CONFIG: "its options are not known",
    METRICS: "nothing is known of its epochs",
    MODEL: "there are no pictures of its connections; it may have been stopped before "
    "a model was saved",
}


@dataclasses.dataclass
class RunFolder:
    """A run as its folder tells of it.

    Attributes
    ----------
    path : pathlib.Path
    options : dict
        Of config.toml, by name, of whatever type they are there.
    history : History
    model : SparseMLP or None
    notes : list of str
        What is missing or could not be read.
    """

    path: pathlib.Path
    options: dict[str, Any]
    history: "History"
    model: "SparseMLP | None"
    notes: list[str]


def read_folder(path: Any) -> RunFolder:
    """Read what a run folder holds.

    Raises
    ------
    DataError
        If metrics.jsonl is there but cannot be read.
    ModelFileError
        If the model is there but not valid.
    UsageError
        If this is no run folder, or its config.toml is no TOML.
    """
    from truesparse.plots.run_records import History
    from truesparse.storage.models import load
    from truesparse.storage.run_folder import find_model

    folder = pathlib.Path(path)
    try:
        found = {name: os.path.lexists(folder / name) for name in _MISSING}
        is_folder = folder.is_dir()
    except ValueError as error:
        raise UsageError(f"not a run folder: {str(path)!r}: {error}") from None
    if not any(found.values()):
        what = f"it holds none of {', '.join(_MISSING)}"
        reason = what if is_folder else "there is no such folder"
        raise UsageError(
            f"not a run folder: {str(path)!r}: {reason}; give the --out of a run"
        )
    notes = [
        f"The run has no {name}: {_MISSING[name]}."
        for name, is_there in found.items()
        if not is_there
    ]
    options = _read_options(folder / CONFIG) if found[CONFIG] else {}
    history = History.read(folder / METRICS) if found[METRICS] else History()
    if history.n_unreadable:
        lines = "line" if history.n_unreadable == 1 else "lines"
        notes.append(
            f"{history.n_unreadable:,} {lines} of {METRICS} could not be read and "
            "were left out."
        )
    # Of a run that was killed the checkpoint may be the later one.
    model = load(find_model(folder)) if found[MODEL] else None
    return RunFolder(folder, options, history, model, notes)


def _read_options(path: pathlib.Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"cannot read configuration {path}: {error}") from None
