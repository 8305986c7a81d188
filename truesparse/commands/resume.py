"""Resuming the run in a folder: what it takes, and which options may change.

The folder has ``config.toml`` with all options of the run, and
``checkpoint.safetensors``, see training/checkpoints.py.
"""

import contextlib
import dataclasses
import os
import pathlib
import shlex
import zlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from truesparse.commands.config import RunConfig, flag, merge
from truesparse.commands.config_files import (
    ALWAYS_WRITTEN,
    parse_toml,
    read_text,
    to_toml,
)
from truesparse.common.writing import replacing, write_error
from truesparse.errors import DataError, ModelFileError, StorageError, UsageError
from truesparse.storage.run_folder import (
    BEST,
    CHECKPOINT,
    CONFIG,
    FILES,
    METRICS,
    PREVIOUS,
    has_checkpoint,
    last_epoch,
    model_files,
    stopped_early,
)

if TYPE_CHECKING:
    from truesparse.datasets import Dataset
    from truesparse.training.checkpoints import Saved
    from truesparse.training.run import Run
    from truesparse.training.trainer import Trainer

# Options that do not change what a step does, only how many there are, what is written
# and where files are.
MAY_CHANGE = (
    *("epochs", "threads", "early_stopping", "checkpoint_every", "tensorboard"),
    *("data", "data_home", "fetch", "out"),
)
# `out` is the folder that --resume names.
*_first, _last = (flag(name) for name in MAY_CHANGE if name != "out")
CHANGEABLE_FLAGS = f"{', '.join(_first)} and {_last}"


def check_folder(out: str | None) -> None:
    """Raise UsageError if the folder for a new run holds a run already."""
    for name in FILES:
        if out is not None and os.path.lexists(f"{out}/{name}"):
            raise UsageError(
                f"{out} already holds a run ({name}); choose another --out or remove it"
            )


def configure(
    folder: str, flags: dict[str, Any], config_file: str | None = None
) -> RunConfig:
    """Return the configuration of the run in a folder, as changed by flags.

    Raises
    ------
    UsageError
        If the folder holds no run that can be resumed, or --config or --out is given
        as well.
    """
    for name, given in (("config", config_file), ("out", flags.get("out"))):
        if given is not None:
            raise UsageError(
                f"give either --resume or {flag(name)}, not both: a resumed run keeps "
                "its options and its folder"
            )
    if not os.path.isdir(folder):
        raise UsageError(f"--resume must name a run folder, got {folder!r}")
    options = merge(_options_of(folder), flags)
    return dataclasses.replace(RunConfig(**options), out=folder)


def _options_of(folder: str) -> dict[str, Any]:
    """Return the options in a run folder.

    Where a kill or a fault of the disk has left no configuration, or a part of it, they
    are those in the checkpoint.
    """
    path, text = pathlib.Path(folder, CONFIG), ""
    with contextlib.suppress(FileNotFoundError):
        text = read_text(path)
    if not text.endswith("\n"):
        saved = _saved_options(folder)
        if not saved:
            state = "is empty or cut off" if os.path.lexists(path) else "is missing"
            raise UsageError(
                f"cannot resume {folder}: its {CONFIG} {state}, and it has no "
                "checkpoint; give the --out of a run, or start the run again with "
                "another --out"
            )
        return saved
    try:
        written = parse_toml(text, str(path))
    except UsageError as error:
        if not _saved_options(folder):
            raise
        raise UsageError(
            f"{error}; remove it to resume the run with the options in its checkpoint"
        ) from None
    if written.keys() >= ALWAYS_WRITTEN:
        return written
    # Cut off at the end of a line, or of an earlier version.
    return _saved_options(folder) or written


def _saved_options(folder: str) -> dict[str, Any]:
    """Return the options in the checkpoint of a run; none if they cannot be read."""
    # Not by storage/tensors.py: Numba would be loaded before it is known how many
    # threads it is to have.
    from safetensors import SafetensorError, safe_open

    for path in model_files(folder, CHECKPOINT, PREVIOUS):
        with (
            contextlib.suppress(OSError, SafetensorError, LookupError, UsageError),
            safe_open(path, "numpy") as file,
        ):
            return parse_toml((file.metadata() or {})["config"], str(path))
    return {}


def read(config: RunConfig, verify: bool = True) -> "Saved":
    """Read the checkpoint of a run, if it can be resumed with these options.

    Raises
    ------
    ModelFileError
        If the file is damaged, and the one before as well.
    UsageError
        If an option has changed that must not, or the run has more epochs than asked
        for.
    """
    from truesparse.training import checkpoints

    path = f"{config.out}/{CHECKPOINT}"
    saved = checkpoints.read(path, verify=verify)
    if saved.config is None:
        raise ModelFileError(
            f"{path} holds no configuration; only runs of the command line can be "
            "resumed by it"
        )
    options = parse_toml(saved.config, f"the metadata of {path}")
    # A number of threads from another machine may be invalid on this one.
    fixed = {key: value for key, value in options.items() if key not in MAY_CHANGE}
    before = RunConfig(**fixed)
    changed = [
        f"{flag(option.name)} ({getattr(before, option.name)!r} before, "
        f"{getattr(config, option.name)!r} now)"
        for option in dataclasses.fields(RunConfig)
        if option.name not in MAY_CHANGE
        and getattr(config, option.name) != getattr(before, option.name)
    ]
    if changed:
        raise UsageError(
            f"the run in {config.out} cannot be resumed with a different "
            f"{', '.join(changed)}; only {CHANGEABLE_FLAGS} may change"
        )
    begun = saved.run.epoch + (saved.run.batch > 0)
    if config.epochs is not None and begun > config.epochs:
        raise UsageError(
            f"--epochs {config.epochs} is less than the {begun} epochs that the run in "
            f"{config.out} has begun already; give more to train longer"
        )
    return saved


def completion_without_checkpoint(config: RunConfig) -> str:
    """Return that a run without a checkpoint is complete; empty if it was killed.

    Raises
    ------
    UsageError
        If it ended before it was complete, with a model that beginning afresh would
        replace.
    """
    folder = str(config.out)
    epoch = last_epoch(folder)
    if epoch is None:
        return ""
    if stopped_early(folder) or epoch == config.epochs:
        return f"the run in {folder} is complete after {epoch} epochs"
    raise UsageError(
        f"cannot resume {folder}: it has no {CHECKPOINT}, since the run had "
        f"--checkpoint-every 0 or the file was removed, and its model is that of epoch "
        f"{epoch}; train anew with another --out"
    )


def begin_afresh(config: RunConfig) -> pathlib.Path:
    """Empty the folder of a run that was killed before its first checkpoint."""
    folder = pathlib.Path(str(config.out))
    try:
        for name in (METRICS, BEST):
            (folder / name).unlink(missing_ok=True)
    except OSError as error:
        hint = "start the run again with another --out"
        raise write_error("run folder", folder, error, hint) from None
    rewrite_config(config)
    return folder


def completion(config: RunConfig, saved: "Saved") -> str:
    """Return why there is nothing to resume, or an empty text if there is.

    A run that was killed before it had saved its model is resumed, to save it.
    """
    run, folder = saved.run, str(config.out)
    options = parse_toml(str(saved.config), f"the metadata of {saved.path}")
    # An earlier run in the folder may have ended after fewer epochs.
    if last_epoch(folder) != run.epoch:
        return ""
    if config.epochs is not None and run.epoch >= config.epochs:
        return (
            f"the run in {folder} is complete after {run.epoch} epochs; to train "
            f"longer give more, as in --epochs {2 * run.epoch}"
        )
    is_stopped = run.stop and not run.batch
    if is_stopped and config.early_stopping == options.get("early_stopping"):
        return (
            f"the run in {folder} is complete: it stopped early after epoch "
            f"{run.epoch}; to train longer give a larger --early-stopping"
        )
    return ""


def fingerprint(data: "Dataset") -> dict[str, Any]:
    """Return the numbers of samples and a checksum of all features and targets."""
    crc = 0
    part: Any
    for part in (data.X_train, data.y_train, data.X_test, data.y_test):
        is_sparse = hasattr(part, "indptr")
        for array in (part.indptr, part.indices, part.data) if is_sparse else (part,):
            # Flat, as an empty array of two dimensions cannot be viewed as bytes.
            crc = zlib.crc32(array.reshape(-1).view("uint8"), crc)
    samples = [int(data.X_train.shape[0]), int(data.X_test.shape[0])]
    return {"samples": samples, "crc32": crc}


def check_data(saved: "Saved", about: dict[str, Any]) -> None:
    """Raise DataError unless the data are those of the checkpoint."""
    before = saved.about.get("samples")
    if before != about["samples"]:
        raise DataError(
            f"the run in {saved.path} was trained with {before} training and test "
            f"samples, but the data have {about['samples']}; resume it with the same "
            "data"
        )
    if saved.about.get("crc32") != about["crc32"]:
        raise DataError(
            f"the data differ from those that the run in {saved.path} was trained on; "
            "resume it with the same data, or start a new run"
        )


def rewrite_config(config: RunConfig) -> None:
    """Write the configuration to the run folder, if flags have changed it."""
    path, text = pathlib.Path(str(config.out)) / CONFIG, to_toml(config)
    before = None
    with contextlib.suppress(OSError):
        before = path.read_text(encoding="utf-8")
    if before != text:
        with replacing(path, "configuration") as partial:
            partial.write_text(text, encoding="utf-8")


def start(saved: "Saved", trainer: "Trainer", say: Callable[[str], None]) -> "Run":
    """Put the trainer where the run was; warn if libraries have changed since."""
    from truesparse.training import checkpoints
    from truesparse.training.events import warn

    run = saved.resume(trainer)
    place = f"step {run.model.step}, after epoch {run.epoch} of {run.n_epochs}"
    say(f"resuming at {place}")
    now = checkpoints.versions()
    changed = [
        f"{name} {saved.versions.get(name)} (now {version})"
        for name, version in now.items()
        if saved.versions.get(name) != version
    ]
    if changed:
        message = (
            f"the checkpoint was written with {', '.join(changed)}: results may differ "
            "in their last bits"
        )
        warn(trainer.callbacks, run, message)
    return run


def hint(folder: pathlib.Path) -> str:
    """Return how to resume a run, if it has a checkpoint; else nothing."""
    with contextlib.suppress(ModelFileError):
        if has_checkpoint(folder):
            return f"; resume the run with --resume {shlex.quote(str(folder))}"
    return ""


@contextlib.contextmanager
def naming_out(folder: pathlib.Path) -> Iterator[None]:
    """Add to errors of the disk that the folder is on what can be done."""
    try:
        yield
    except StorageError as error:
        how = hint(folder)
        other = ", or choose another --out" if how else "; choose another --out"
        raise StorageError(f"{error}{how}{other}") from None
