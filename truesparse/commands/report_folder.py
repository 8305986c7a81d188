"""Reading a run folder for a report, even if some of its files are missing."""

import dataclasses
import os
import pathlib
from typing import TYPE_CHECKING, Any

from truesparse.commands.config_files import read_table
from truesparse.errors import UsageError
from truesparse.storage.run_folder import CONFIG, METRICS, MODEL

if TYPE_CHECKING:
    from truesparse.network.sparse_mlp import SparseMLP
    from truesparse.plots.run_records import History

# What a report says if a file is missing.
_MISSING = {
    CONFIG: "its options are unknown",
    METRICS: "its epochs are unknown",
    MODEL: "there are no pictures of its connections; it may have been stopped before "
    "a model was saved",
}


@dataclasses.dataclass
class RunFolder:
    """The contents of a run folder.

    Attributes
    ----------
    path : pathlib.Path
    options : dict
        Options in config.toml by name, with unchecked types.
    history : History
    model : SparseMLP or None
    notes : list of str
        Sentences on files that are missing and lines that could not be read.
    """

    path: pathlib.Path
    options: dict[str, Any]
    history: "History"
    model: "SparseMLP | None"
    notes: list[str]


def read_folder(path: Any, verify: bool = True) -> RunFolder:
    """Read a run folder.

    Raises
    ------
    DataError
        If metrics.jsonl exists but cannot be read.
    ModelFileError
        If the model exists but is not valid.
    UsageError
        If this is not a run folder, or its config.toml is not TOML.
    """
    from truesparse.plots.run_records import History
    from truesparse.storage.models import find_model, load

    folder = pathlib.Path(path)
    try:
        exists = {name: os.path.lexists(folder / name) for name in _MISSING}
        is_folder = os.path.isdir(folder)
    except ValueError as error:
        raise UsageError(f"not a run folder: {str(path)!r}: {error}") from None
    if not any(exists.values()):
        reason = "it is a file" if os.path.exists(folder) else "there is no such folder"
        if is_folder:
            reason = f"it holds none of {', '.join(_MISSING)}"
        raise UsageError(
            f"not a run folder: {str(path)!r}: {reason}; give the --out of a run"
        )
    notes = [
        f"The run has no {name}: {_MISSING[name]}."
        for name, is_there in exists.items()
        if not is_there
    ]
    options = read_table(folder / CONFIG) if exists[CONFIG] else {}
    history = History.read(folder / METRICS) if exists[METRICS] else History()
    if history.n_unreadable:
        lines = "line" if history.n_unreadable == 1 else "lines"
        notes.append(
            f"{history.n_unreadable:,} {lines} of {METRICS} could not be read and "
            f"{'was' if history.n_unreadable == 1 else 'were'} left out."
        )
    # If the run was killed, the checkpoint may be the later model.
    model = (
        load(find_model(folder, verify=verify), verify=verify)
        if exists[MODEL]
        else None
    )
    return RunFolder(folder, options, history, model, notes)
