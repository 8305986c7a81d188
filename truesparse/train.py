"""Command line: train a truly sparse network and report.

    python -m truesparse.train --neurons 1000000

Everything for people goes to stderr; ``--json`` prints one object on stdout.
"""

import dataclasses
import json
import math
import pathlib
import sys
import time
from typing import Any

from truesparse.commands import build, resume
from truesparse.commands.config import RunConfig, merge, read_toml
from truesparse.commands.flags import parse_flags
from truesparse.commands.shell import allow_threads, run_command, say, say_nothing
from truesparse.errors import DivergedError, UsageError
from truesparse.storage import run_folder
from truesparse.tasks import TASKS


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    return run_command(_main, arguments, stopped="no model was saved")


def _main(words: list[str]) -> None:
    flags = vars(parse_flags(words))
    is_json, is_quiet = flags.pop("json"), flags.pop("quiet")
    is_dry, config_file = flags.pop("dry_run"), flags.pop("config")
    folder = flags.pop("resume")
    del flags["debug"]
    if flags.pop("list_topologies"):
        print(_topology_table())
        return
    if folder is None:
        options = {} if config_file is None else read_toml(config_file)
        config = RunConfig(**merge(options, flags))
    else:
        config = resume.configure(folder, flags, config_file)
    result = run(config, quiet=is_quiet, dry=is_dry, goes_on=folder is not None)
    if is_json or is_dry:
        print(json.dumps(result, allow_nan=False))


def run(
    config: RunConfig, *, quiet: bool = False, dry: bool = False, goes_on: bool = False
) -> dict[str, Any]:
    """Train as configured and return the result as JSON takes it.

    Parameters
    ----------
    config : RunConfig
    quiet : bool
        Say nothing on stderr.
    dry : bool
        Only check the options and estimate the memory.
    goes_on : bool
        Go on with the run in the folder `out`, see commands.resume.configure.
    """
    tell = say_nothing if quiet else say
    started = time.perf_counter()
    allow_threads(config.threads)
    from truesparse import datasets, memory
    from truesparse.kernels import jit
    from truesparse.storage.preprocessing import Preprocessing

    memory.return_freed_arrays()
    n_threads = jit.set_threads(config.threads)
    if not goes_on:
        resume.check_folder(config.out)
    _check(config)
    saved = resume.read(config) if goes_on else None
    data = datasets.load(
        config.data,
        config.data_home,
        test_fraction=config.test_fraction,
        seed=config.seed,
        fetch=config.fetch,
        scale_target=True,
        dtype=config.dtype,
        memory=memory.available()[0],
    )
    config = build.resolve(config, data)
    build.make_loss(config, data)  # refuses what does not suit the task
    estimate = build.estimate(config, data)
    held = memory.current_rss()
    if dry:
        room, limit = memory.available()
        room += held
        tell(f"{estimate.table()}\n{'available':<22} {memory.human(room):>10}, {limit}")
        sizes = {**dataclasses.asdict(estimate), "total": estimate.total}
        return {**sizes, "available": room, "fits": estimate.total <= room}
    memory.require(max(estimate.total - held, 0))
    about = resume.describe(data)
    # What every file of the run has besides the model.
    kept = {"config": config.to_toml(), "preprocessing": Preprocessing.of(data)}
    if saved is None:
        model = build.make_model(config, data)
    else:
        resume.check_data(saved, about)
        model = saved.model
    trainer = build.make_trainer(config, model)
    # Last of all, so that an option that is refused leaves no folder behind.
    folder = _make_folder(config) if saved is None else pathlib.Path(str(config.out))
    score_name = None if quiet else TASKS[data.task].score
    trainer.callbacks = build.make_callbacks(
        config,
        folder,
        about=about,
        kept=kept,
        score_name=score_name,
    )
    earlier = None
    if saved is not None:
        earlier = resume.start(saved, trainer, tell)
        resume.rewrite_config(config)
    tell(
        f"{data.name}: {data.X_train.shape[0]:,} samples, "
        f"{data.n_features:,} features, {data.n_outputs:,} outputs\n"
        f"{' - '.join(f'{size:,}' for size in model.layer_sizes)}: "
        f"{model.nnz:,} connections, density {model.density:.3g}, "
        f"{n_threads} threads"
    )
    jit.tell_when_compiling(lambda: tell("compiling kernels, once on this machine ..."))
    return _train(trainer, earlier, data, folder, kept, estimate, started, quiet)


def _topology_table() -> str:
    """Return one line a topology, with the options that are its own."""
    from truesparse.topology import ALGORITHMS, TopologyAlgorithm

    common = TopologyAlgorithm.options()
    lines = []
    for name, algorithm in ALGORITHMS.items():
        summary = (algorithm.__doc__ or "").splitlines()[0]
        own = [option for option in algorithm.options() if option not in common]
        lines.append(f"{name:<10} {summary} {', '.join(own)}".rstrip())
    shared = ", ".join(option for option in common if option != "schedule")
    return "\n".join([*lines, f"\nmost take: {shared}"])


def _check(config: RunConfig) -> None:
    """Refuse what needs no data to be refused, before these are loaded."""
    from truesparse.activations import layer_activation
    from truesparse.drawing.draw_layers import count_connections
    from truesparse.losses import Loss

    if config.tensorboard:
        from truesparse.callbacks.tensorboard import import_writer

        import_writer()
    lr = 1.0 if config.lr is None else config.lr
    build.make_trainer(dataclasses.replace(config, lr=lr), None)
    Loss(label_smoothing=config.label_smoothing or 0.0)
    parameter = config.activation_parameter
    layer_activation(config.activation, 0, parameter, config.dropout)
    if config.epsilon is not None or config.density is not None:
        count_connections(
            (1, 1),
            config.init_topology,
            epsilon=config.epsilon,
            density=config.density,
        )


def _train(
    trainer, earlier, data, folder, kept, estimate, started, quiet
) -> dict[str, Any]:
    from truesparse import memory
    from truesparse.callbacks import BestModel, Interrupted
    from truesparse.storage import models
    from truesparse.topology import Exploration

    tell = say_nothing if quiet else say
    path = trainer.snapshot_path = folder / run_folder.MODEL
    model = trainer.model
    trainer.snapshot_options = kept
    try:
        history = trainer.fit(
            data.X_train,
            data.y_train,
            X_val=data.X_test,
            y_val=data.y_test,
            run=earlier,
        )
    except Interrupted as interruption:
        models.save(model, path, **kept)
        hint = resume.hint(folder)
        tell(f"{interruption}; the model is saved in {path}{hint}")
        raise SystemExit(interruption.exit_code) from None
    except DivergedError as error:
        models.save(model, path, **kept)
        raise DivergedError(f"{error}, saved in {path}") from None
    models.save(model, path, **kept)
    n_epochs = len(history)
    phases = {
        name: sum(getattr(record, f"{name}_s") for record in history) / n_epochs
        for name in ("data", "forward", "backward", "topology")
    }
    best = next((c for c in trainer.callbacks if isinstance(c, BestModel)), None)
    # The record of the model that is saved.
    last = history[best.epoch - 1 if best and best.restored else -1]
    result = {
        "test_score": last.val_score,
        "test_loss": last.val_loss,
        "train_loss": last.train_loss,
        "seconds": time.perf_counter() - started,
        "seconds_per_epoch": sum(r.seconds for r in history) / n_epochs,
        **{f"{name}_s_per_epoch": seconds for name, seconds in phases.items()},
        "epochs": n_epochs,
        "neurons": sum(model.layer_sizes[1:-1]),
        "nnz": model.nnz,
        "density": model.density,
        "peak_rss_mb": memory.peak_rss() / 1e6,
        "dense_mb": estimate.dense / 1e6,
        "model": str(path),
    }
    if best is not None:
        result["best_epoch"] = last.epoch
    for callback in trainer.callbacks:
        if isinstance(callback, Exploration):
            result["explored"] = callback.rate
    tell(_report(result, TASKS[data.task].score, phases))
    # JSON has no NaN and no infinity.
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in result.items()
    }


def _report(result: dict[str, Any], score_name: str, phases: dict[str, float]) -> str:
    from truesparse.memory import human

    parts = ", ".join(f"{name} {seconds:.3g}" for name, seconds in phases.items())
    peak, dense = result["peak_rss_mb"] * 1e6, result["dense_mb"] * 1e6
    lines = [
        ("test " + score_name, f"{result['test_score']:.4f}"),
        ("connections", f"{result['nnz']:,}, density {result['density']:.3g}"),
        ("seconds an epoch", f"{result['seconds_per_epoch']:.3g} ({parts})"),
        ("seconds in all", f"{result['seconds']:.1f}"),
        ("peak memory", f"{human(peak)}; dense weights and state: {human(dense)}"),
        ("model", result["model"]),
    ]
    if "best_epoch" in result:
        lines.insert(1, ("of epoch", f"{result['best_epoch']}, the best"))
    if "explored" in result:
        lines.insert(-4, ("cells explored", f"{result['explored']:.3g} of all"))
    return "\n" + "\n".join(f"{name:<18} {text}" for name, text in lines)


def _make_folder(config: RunConfig) -> pathlib.Path:
    """Create the run folder; resume.check_folder refused one that holds a run."""
    if config.out is not None:
        folder = pathlib.Path(config.out)
    else:
        stem = pathlib.Path(config.data).stem.replace(":", "-")
        taken = (pathlib.Path("runs") / f"{stem}-{n}" for n in range(1, 1_000_000))
        folder = next(path for path in taken if not path.exists())
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with open(folder / run_folder.CONFIG, "x", encoding="utf-8") as file:
            file.write(config.to_toml())
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot write to run folder {folder}: {error}") from None
    return folder


if __name__ == "__main__":
    sys.exit(main())
