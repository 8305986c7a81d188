"""Command line: train a truly sparse network and report.

    python -m truesparse.train --neurons 1000000

Everything for people goes to stderr; ``--json`` prints one object on stdout.
"""

import contextlib
import dataclasses
import json
import os
import pathlib
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from truesparse.commands import build, resume, shell, train_report
from truesparse.commands.config import RunConfig, merge
from truesparse.commands.config_files import read_toml, to_toml
from truesparse.commands.flags import parse_flags
from truesparse.common.tasks import TASKS
from truesparse.common.writing import write_error
from truesparse.errors import DivergedError, ModelFileError, StorageError, UsageError
from truesparse.storage import run_folder

if TYPE_CHECKING:
    from truesparse.commands.estimate import Estimate
    from truesparse.datasets import Dataset
    from truesparse.training.checkpoints import Saved
    from truesparse.training.run import EpochRecord, Run
    from truesparse.training.trainer import Trainer


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    return shell.run_command(_main, arguments, stopped="no model was saved")


def _main(words: list[str]) -> None:
    flags = vars(parse_flags(words))
    is_json, is_quiet = flags.pop("json"), flags.pop("quiet")
    is_dry, config_file = flags.pop("dry_run"), flags.pop("config")
    folder, verify = flags.pop("resume"), flags.pop("verify")
    del flags["debug"]
    if flags.pop("list_topologies"):
        print(train_report.format_topologies())
        return
    if folder is None:
        options = {} if config_file is None else read_toml(config_file)
        config = RunConfig(**merge(options, flags))
    else:
        config = resume.configure(folder, flags, config_file)
    result = run(
        config,
        quiet=is_quiet,
        dry=is_dry,
        resumes=folder is not None,
        verify=verify,
    )
    if is_json or is_dry:
        print(json.dumps(result, allow_nan=False))


@dataclass(frozen=True)
class _Job:
    """The start of a run: options, data and, if it is resumed, the checkpoint.

    Attributes
    ----------
    config : RunConfig
        All options, also those whose defaults depend on the data.
    data : Dataset
    saved : Saved or None
        Checkpoint of the run to resume.
    verify : bool
        Whether its best model is compared with its digest.
    afresh : bool
        Whether it was killed before the first one, and begins again in its folder.
    """

    config: RunConfig
    data: "Dataset"
    saved: "Saved | None"
    verify: bool
    afresh: bool


def run(
    config: RunConfig,
    *,
    quiet: bool = False,
    dry: bool = False,
    resumes: bool = False,
    verify: bool = True,
) -> dict[str, Any]:
    """Train as configured and return the result as JSON takes it.

    Parameters
    ----------
    config : RunConfig
    quiet : bool
        Say nothing on stderr but warnings.
    dry : bool
        Only check the options and estimate the memory.
    resumes : bool
        Resume the run in the folder `out`, see commands.resume.configure. A run that
        is complete is said to be so, and left alone.
    verify : bool
        Compare the checkpoint to resume, and the best model, with their digests.
    """
    say = shell.say_nothing if quiet else shell.say
    started = time.perf_counter()
    n_threads = shell.start_engine(config.threads)
    from truesparse.common import memory

    with contextlib.ExitStack() as stack:
        build.check_options(config)
        saved = None
        if resumes:
            stack.enter_context(run_folder.claim(config.out))
            if run_folder.has_checkpoint(config.out):
                saved = resume.read(config, verify)
                text = resume.completion(config, saved)
            else:
                text = resume.completion_without_checkpoint(config)
            if text:
                say(text)
                return {"complete": True, "epochs": run_folder.last_epoch(config.out)}
            if saved is None:
                say(f"{config.out} has no checkpoint yet: the run starts afresh")
        else:
            resume.check_folder(config.out)
        if not quiet:
            stack.enter_context(_showing_work())
        job = _load(config, saved, verify, afresh=resumes and saved is None)
        estimate = build.estimate(job.config, job.data)
        if dry:
            return _compare_with_room(estimate, say)
        # Only a run finds out which kernels it has to compile.
        memory.require(max(estimate.first_total - memory.current_rss(), 0))
        score_name = TASKS[job.data.task].score
        trainer, earlier = _build(job, None if quiet else score_name, say)
        if not resumes:
            folder = pathlib.Path(trainer.snapshot_path).parent
            # So that the same command can be given again.
            stack.enter_context(run_folder.discarding(folder))
            stack.enter_context(run_folder.claim(folder))
        say(train_report.format_start(job.data, trainer.model, n_threads))
        stack.enter_context(shell.announcing_compilation(say))
        with resume.naming_out(pathlib.Path(trainer.snapshot_path).parent):
            history = _fit(trainer, job.data, earlier, say)
    result = train_report.summarise(trainer, history, estimate, started)
    say(train_report.format_result(result, score_name))
    return run_folder.as_json(result)


def _showing_work() -> contextlib.AbstractContextManager[None]:
    """Show the progress of long work between steps in a ``with`` statement."""
    from truesparse.callbacks import WorkProgress
    from truesparse.common.work import listening

    return listening(WorkProgress())


def _load(
    config: RunConfig, saved: "Saved | None", verify: bool, *, afresh: bool
) -> _Job:
    """Read the data, and choose the options that depend on them."""
    from truesparse import datasets
    from truesparse.common import memory

    data = datasets.load(
        config.data,
        config.data_home,
        test_fraction=config.test_fraction,
        seed=config.seed,
        fetch=config.fetch,
        scale=config.scale,
        scale_target=True,
        task=config.task,
        dtype=config.dtype,
        memory=memory.available()[0],
        **vars(build.table_options(config)),
    )
    config = build.resolve(config, data)
    build.make_loss(config, data)  # refuses what does not suit the task
    return _Job(config, data, saved, verify, afresh)


def _compare_with_room(
    estimate: "Estimate", say: Callable[[str], None]
) -> dict[str, Any]:
    """Say and return what a run would take, and whether it would fit."""
    from truesparse.common import memory

    room, limit = memory.available()
    room += memory.current_rss()
    say(f"{estimate.table()}\n{'available':<22} {memory.human(room):>10}, {limit}")
    sizes = dataclasses.asdict(estimate)
    sizes |= {"total": estimate.total, "first_total": estimate.first_total}
    return {**sizes, "available": room, "fits": estimate.first_total <= room}


def _build(
    job: _Job, score_name: str | None, say: Callable[[str], None]
) -> tuple["Trainer", "Run | None"]:
    """Return the trainer, and the run to resume; `score_name` asks for progress."""
    from truesparse.datasets import Preprocessing

    config, data, saved = job.config, job.data, job.saved
    about = resume.fingerprint(data)
    save_options = {
        "config": to_toml(config),
        "preprocessing": Preprocessing.of(data),
    }
    if saved is None:
        model = build.make_model(config, data)
        # Only now, so that an option that is refused leaves no folder behind.
        folder = (resume.begin_afresh if job.afresh else _make_folder)(config)
    else:
        resume.check_data(saved, about)
        model, folder = saved.model, pathlib.Path(str(config.out))
    with resume.naming_out(folder):
        trainer = build.make_trainer(
            config,
            model,
            callbacks=build.make_callbacks(
                config,
                folder,
                about=about,
                save_options=save_options,
                score_name=score_name,
                verify=job.verify,
            ),
            snapshot_path=folder / run_folder.MODEL,
            save_options=save_options,
        )
        if saved is None:
            return trainer, None
        earlier = resume.start(saved, trainer, say)
        resume.rewrite_config(config)
    return trainer, earlier


def _make_folder(config: RunConfig) -> pathlib.Path:
    """Create the run folder; resume.check_folder refused one that holds a run."""
    if config.out is not None:
        folder = pathlib.Path(config.out)
    else:
        stem = run_folder.file_name(pathlib.Path(config.data).stem)
        numbered = (pathlib.Path("runs") / f"{stem}-{n}" for n in range(1, 1_000_000))
        folder = next(path for path in numbered if not os.path.exists(path))
    hint = "give another --out"
    path, file = folder / run_folder.CONFIG, None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with open(path, "x", encoding="utf-8") as file:
            file.write(to_toml(config))
    except OSError as error:
        if file is not None:
            with contextlib.suppress(OSError):
                path.unlink()  # half of it would look like a run
        raise write_error("run folder", folder, error, hint) from None
    except ValueError as error:  # a name that no system takes
        raise UsageError(
            f"cannot write run folder {str(folder)!r}: {error}; {hint}"
        ) from None
    return folder


def _fit(
    trainer: "Trainer",
    data: "Dataset",
    earlier: "Run | None",
    say: Callable[[str], None],
) -> list["EpochRecord"]:
    """Train, and save the model, also if the run is interrupted or diverges."""
    from truesparse.callbacks import Interrupted

    path, first_step = trainer.snapshot_path, trainer.model.step
    try:
        history = trainer.fit(
            data.X_train,
            data.y_train,
            X_val=data.X_test,
            y_val=data.y_test,
            run=earlier,
        )
    except Interrupted as interruption:
        _save(trainer)
        say(f"{interruption}; the model is saved in {path}{resume.hint(path.parent)}")
        raise SystemExit(interruption.exit_code) from None
    except DivergedError as error:
        _save(trainer)
        raise DivergedError(f"{error}, saved in {path}") from None
    except ModelFileError as error:
        # The best model, or after a divergence the last good one, cannot be read.
        note = _save_last(trainer) if trainer.model.step > first_step else ""
        raise ModelFileError(f"{error}{note}") from None
    _save(trainer)
    return history


def _save(trainer: "Trainer", *, ends: bool = True) -> None:
    """Save the model of a run, elsewhere if its folder takes no more; end its metrics.

    A run without that end is resumed to save its model, which a kill prevented, or to
    restore the best one once that can be read.

    Raises
    ------
    StorageError
        If it could not be saved in the folder; the message says where it is.
    """
    from truesparse.callbacks import MetricsFile
    from truesparse.storage import models

    path, options = pathlib.Path(trainer.snapshot_path), trainer.snapshot_options
    try:
        models.save(trainer.model, path, **options)
    except (StorageError, UsageError) as error:
        folder = None
        try:
            folder = tempfile.mkdtemp(prefix="truesparse-")
            second = models.save(trainer.model, f"{folder}/{path.name}", **options)
        except (OSError, UsageError) as other:
            if folder is not None:
                with contextlib.suppress(OSError):
                    shutil.rmtree(folder)
            raise StorageError(f"{error}; nor elsewhere: {other}") from None
        raise StorageError(f"{error}; the model is in {second} instead") from None
    for callback in trainer.callbacks:
        if ends and isinstance(callback, MetricsFile):
            callback.end(trainer.run)


def _save_last(trainer: "Trainer") -> str:
    """Save the model as it is, if it is finite, and return what to say of it."""
    from truesparse.training.snapshot import has_finite_weights

    path, text = pathlib.Path(trainer.snapshot_path), ""
    if has_finite_weights(trainer.model):
        _save(trainer, ends=False)
        text = f"; the model of the last epoch is saved in {path}"
    return f"{text}{resume.hint(path.parent)}"


if __name__ == "__main__":
    sys.exit(main())
