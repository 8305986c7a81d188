"""Going on with the run in a folder: what it needs, what may change, what must not.

A run folder has ``config.toml``, all options as they were resolved, and
``checkpoint.safetensors``, see checkpoint.
"""

import dataclasses
import os
import pathlib
import shlex
import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from truesparse.commands.config import RunConfig, flag, merge, parse_toml, read_toml
from truesparse.errors import DataError, ModelFileError, UsageError
from truesparse.storage.run_folder import CHECKPOINT, CONFIG, FILES

if TYPE_CHECKING:
    from truesparse.datasets import Dataset
    from truesparse.training.checkpoints import Saved
    from truesparse.training.run import Run
    from truesparse.training.trainer import Trainer

# Options that do not decide what the next steps are, but when there are no more, and
# where things are.
MAY_CHANGE = (
    *("epochs", "threads", "early_stopping", "checkpoint_every", "tensorboard"),
    *("data", "data_home", "fetch", "out"),
)


def check_folder(out: str | None) -> None:
    """Refuse a folder for a new run that holds one already."""
    for name in FILES:
        if out is not None and os.path.lexists(f"{out}/{name}"):
            raise UsageError(
                f"{out} already holds a run ({name}); choose another --out or remove it"
            )


def configure(
    folder: str, flags: dict[str, Any], config_file: str | None = None
) -> RunConfig:
    """Return the configuration of a run that goes on: its own, changed by flags.

    Raises
    ------
    UsageError
        If the folder holds no run.
    """
    for name, given in (("config", config_file), ("out", flags.get("out"))):
        if given is not None:
            raise UsageError(
                f"give either --resume or {flag(name)}: a run that goes on has the "
                "options and the folder that it had"
            )
    if not os.path.isdir(folder):
        raise UsageError(f"--resume must name a run folder, got {folder!r}")
    for name in (CONFIG, CHECKPOINT):
        if not os.path.exists(f"{folder}/{name}"):
            reason = (
                "the run ended before its first one, or had --checkpoint-every 0"
                if name == CHECKPOINT
                else "it is no run folder"
            )
            raise UsageError(f"cannot resume {folder}: there is no {name}; {reason}")
    options = merge(read_toml(f"{folder}/{CONFIG}"), flags)
    return dataclasses.replace(RunConfig(**options), out=folder)


def read(config: RunConfig) -> "Saved":
    """Read the checkpoint of a run, if it can go on with these options.

    Raises
    ------
    ModelFileError
        If the file is damaged.
    UsageError
        If options have changed that must not, or nothing is left to do.
    """
    from truesparse.training import checkpoints

    path = f"{config.out}/{CHECKPOINT}"
    saved = checkpoints.read(path)
    if saved.config is None:
        raise ModelFileError(f"{path} has no configuration: it is of no command line")
    options = parse_toml(saved.config, f"the metadata of {path}")
    # Another machine may not even take the number of threads.
    fixed = {key: value for key, value in options.items() if key not in MAY_CHANGE}
    before, patience = RunConfig(**fixed), options.get("early_stopping")
    changed = [
        f"{flag(option.name)} ({getattr(before, option.name)!r} before, "
        f"{getattr(config, option.name)!r} now)"
        for option in dataclasses.fields(RunConfig)
        if option.name not in MAY_CHANGE
        and getattr(config, option.name) != getattr(before, option.name)
    ]
    if changed:
        allowed = ", ".join(flag(name) for name in MAY_CHANGE if name != "out")
        raise UsageError(
            f"the run in {config.out} cannot go on with another {', '.join(changed)}; "
            f"only {allowed} may change"
        )
    run = saved.run
    if run.epoch >= config.epochs:
        raise UsageError(
            f"the run in {config.out} is done: {run.epoch} epochs; give it more, as in "
            f"--epochs {2 * run.epoch}, to go on"
        )
    if run.stop and not run.batch and config.early_stopping == patience:
        raise UsageError(
            f"the run in {config.out} is done: it stopped early after epoch "
            f"{run.epoch}; give it a larger --early-stopping to go on"
        )
    return saved


def describe(data: "Dataset") -> dict[str, Any]:
    """Return how many samples there are, and a checksum of all features and targets."""
    crc = 0
    part: Any
    for part in (data.X_train, data.y_train, data.X_test, data.y_test):
        is_sparse = hasattr(part, "indptr")
        for array in (part.indptr, part.indices, part.data) if is_sparse else (part,):
            # One dimension: an empty array of more has no bytes to look at.
            crc = zlib.crc32(array.reshape(-1).view("uint8"), crc)
    samples = [int(data.X_train.shape[0]), int(data.X_test.shape[0])]
    return {"samples": samples, "crc32": crc}


def check_data(saved: "Saved", about: dict[str, Any]) -> None:
    """Raise DataError unless the data are those of the checkpoint."""
    before = saved.about.get("samples")
    if before != about["samples"]:
        raise DataError(
            f"the run in {saved.path} has been trained on {before} training and test "
            f"samples, now there are {about['samples']}; go on with the same data"
        )
    if saved.about.get("crc32") != about["crc32"]:
        raise DataError(
            f"the data are not those that the run in {saved.path} has been trained on; "
            "go on with the same data, or start a new run"
        )


def rewrite_config(config: RunConfig) -> None:
    """Make the run folder say how the run goes on, if that is another way."""
    path, text = pathlib.Path(str(config.out)) / CONFIG, config.to_toml()
    try:
        if path.read_text(encoding="utf-8") != text:
            partial = path.with_name(path.name + ".part")
            partial.write_text(text, encoding="utf-8")
            os.replace(partial, path)
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot write {path}: {error}") from None


def start(saved: "Saved", trainer: "Trainer", say: Callable[[str], None]) -> "Run":
    """Put the trainer where the run was, and tell what is not as it was."""
    from truesparse.training import checkpoints

    run = saved.resume(trainer)
    place = f"step {run.model.step}, after epoch {run.epoch} of {run.n_epochs}"
    say(f"goes on at {place}")
    now = checkpoints.versions()
    others = [
        f"{name} {saved.versions.get(name)}, now {version}"
        for name, version in now.items()
        if saved.versions.get(name) != version
    ]
    if others:
        message = f"the checkpoint is of {'; '.join(others)}: last bits may differ"
        for callback in trainer.callbacks:
            callback.on_warning(run, message)
    return run


def hint(folder: pathlib.Path) -> str:
    """Return how to go on, where there is a checkpoint."""
    has_one = (folder / CHECKPOINT).exists()
    return f"; go on with --resume {shlex.quote(str(folder))}" if has_one else ""
