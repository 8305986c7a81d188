"""Command line: train a truly sparse network and report.

    python -m truesparse.train --neurons 1000000

Everything for people goes to stderr; ``--json`` prints one object on stdout.
"""

import argparse
import dataclasses
import difflib
import json
import math
import os
import pathlib
import sys
import time
from typing import TYPE_CHECKING, Any, NoReturn

from truesparse.config import RunConfig, add_flags, read_toml
from truesparse.errors import (
    DivergedError,
    MemoryLimitError,
    TruesparseError,
    UsageError,
)

if TYPE_CHECKING:
    from truesparse.datasets import Dataset
    from truesparse.memory import Estimate
    from truesparse.model import SparseMLP
    from truesparse.trainer import Trainer

_LOSSES = {
    "classification": "softmax",
    "multilabel": "logistic",
    "regression": "squared",
}
_SCORES = {"classification": "accuracy", "multilabel": "accuracy", "regression": "R2"}


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    words = sys.argv[1:] if arguments is None else arguments
    try:
        return _main(words)
    except (TruesparseError, MemoryError, KeyboardInterrupt) as error:
        if "--debug" in words:
            raise
        text, code = str(error), getattr(error, "exit_code", 1)
        if isinstance(error, KeyboardInterrupt):
            text, code = "stopped by SIGINT; there was nothing to save", 130
        elif not isinstance(error, TruesparseError):
            text, code = f"out of memory: {text}", MemoryLimitError.exit_code
        print("truesparse:", text.replace("\n", " "), file=sys.stderr)
        return code
    except BrokenPipeError:
        return 1


def _main(words: list[str]) -> int:
    flags = vars(_parse(words))
    is_json, is_quiet = flags.pop("json"), flags.pop("quiet")
    is_dry, config_file = flags.pop("dry_run"), flags.pop("config")
    del flags["debug"]
    options = read_toml(config_file) if config_file else {}
    config = RunConfig(**_merge(options, flags))
    result = run(config, quiet=is_quiet, dry=is_dry)
    if is_json or is_dry:
        print(json.dumps(result, allow_nan=False))
    return result.get("exit_code", 0)


def run(config: RunConfig, *, quiet: bool = False, dry: bool = False) -> dict[str, Any]:
    """Train as configured and return the result as JSON takes it.

    Parameters
    ----------
    config : RunConfig
    quiet : bool
        Say nothing on stderr.
    dry : bool
        Only estimate the memory.
    """
    say = _silent if quiet else _say
    started = time.perf_counter()
    if config.threads is not None:
        # Numba reads this when it is first imported, and never allows more later.
        most = max(config.threads, os.cpu_count() or 1)
        os.environ.setdefault("NUMBA_NUM_THREADS", str(most))
    from truesparse import datasets, jit, memory

    n_threads = jit.set_threads(config.threads)
    data = datasets.load(
        config.data,
        config.data_home,
        test_fraction=config.test_fraction,
        seed=config.seed,
        fetch=config.fetch,
        scale_target=True,
        dtype=config.dtype,
    )
    config = _resolve(config, data)
    estimate = _estimate(config, data)
    if dry:
        say(estimate.table())
        return {**dataclasses.asdict(estimate), "total": estimate.total}
    held = memory.current_rss()
    memory.require(max(estimate.total - held, 0))
    model = _make_model(config, data)
    trainer = _make_trainer(config, model)
    # Last of all, so that an option that is refused leaves no folder behind.
    folder = _make_folder(config)
    say(
        f"{data.name}: {data.X_train.shape[0]:,} samples, "
        f"{data.n_features:,} features, {data.n_outputs:,} outputs\n"
        f"{' - '.join(f'{size:,}' for size in model.layer_sizes)}: "
        f"{model.nnz:,} connections, density {model.density:.3g}, "
        f"{n_threads} threads"
    )
    jit.tell_when_compiling(lambda: say("compiling kernels, once on this machine ..."))
    return _train(trainer, data, folder, estimate, started, quiet)


def _train(trainer, data, folder, estimate, started, quiet) -> dict[str, Any]:
    from truesparse import io, memory
    from truesparse.callbacks import Interrupted, MetricsFile, Progress, StopOnSignal

    say = _silent if quiet else _say
    score_name = _SCORES[data.task]
    trainer.callbacks = [MetricsFile(folder / "metrics.jsonl"), StopOnSignal()]
    if not quiet:
        trainer.callbacks.append(Progress(score_name=score_name))
    path = trainer.snapshot_path = folder / "model.safetensors"
    model = trainer.model
    try:
        history = trainer.fit(
            data.X_train, data.y_train, X_val=data.X_test, y_val=data.y_test
        )
    except Interrupted as interruption:
        io.save(model, path)
        say(f"{interruption}; the model is saved in {path}")
        raise SystemExit(interruption.exit_code) from None
    except DivergedError as error:
        io.save(model, path)
        raise DivergedError(f"{error}; the last good model is in {path}") from None
    io.save(model, path)
    n_epochs = len(history)
    phases = {
        name: sum(getattr(record, f"{name}_s") for record in history) / n_epochs
        for name in ("data", "forward", "backward", "topology")
    }
    last = history[-1]
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
    say(_report(result, score_name, phases))
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
    return "\n" + "\n".join(f"{name:<18} {text}" for name, text in lines)


def _make_model(config: RunConfig, data: "Dataset") -> "SparseMLP":
    from truesparse.losses import Loss
    from truesparse.model import SparseMLP

    return SparseMLP(
        (data.n_features, *config.hidden_sizes, data.n_outputs),
        epsilon=config.epsilon,
        density=config.density,
        activation=config.activation,
        activation_parameter=config.activation_parameter,
        loss=Loss(_LOSSES[data.task], label_smoothing=config.label_smoothing),
        dropout=config.dropout,
        weight_init=config.weight_init,
        dtype=config.dtype,
        seed=config.seed,
    )


def _make_trainer(config: RunConfig, model: "SparseMLP") -> "Trainer":
    from truesparse import topology
    from truesparse.schedules import LearningRate
    from truesparse.trainer import Trainer

    assert config.lr is not None, "see _resolve"
    options: dict[str, Any] = {}
    if config.topology == "set":
        options = {
            "zeta": config.zeta,
            "removal": config.removal,
            "regrow_init": config.regrow_init,
            "evolve_output": config.evolve_output,
            "final": config.final,
            "schedule": topology.UpdateSchedule(
                every=config.update_every, start=config.update_every
            ),
        }
    return Trainer(
        model,
        optimizer=_optimizer(config),
        lr=LearningRate(config.lr, config.lr_schedule, warmup=config.warmup),
        topology=topology.make(config.topology, **options),
        epochs=config.epochs,
        batch_size=config.batch_size,
        clip_norm=config.clip_norm,
    )


def _optimizer(config: RunConfig):
    from truesparse.optimizers import Optimizer

    return Optimizer(
        config.optimizer,
        momentum=config.momentum,
        weight_decay=config.weight_decay,
        decay=config.decay,
        fan_in_limit=config.fan_in_limit,
    )


def _resolve(config: RunConfig, data: "Dataset") -> RunConfig:
    """Fill in the defaults that depend on the data or on other options."""
    epsilon, lr = config.epsilon, config.lr
    if epsilon is None and config.density is None:
        # Measured for the million-neuron job.
        epsilon = 3.0
    if lr is None:
        if data.task == "regression":
            # The delta of squared error has no bound: it diverges at higher rates.
            lr = 3e-4
        else:
            # Features from 0 to 1 are smaller than those of deviation 1.
            lr = 0.3 if data.feature_mean is None else 0.1
    return dataclasses.replace(config, epsilon=epsilon, lr=lr)


def _make_folder(config: RunConfig) -> pathlib.Path:
    """Create the run folder; never one that already holds a run."""
    if config.out is not None:
        folder = pathlib.Path(config.out)
    else:
        stem = pathlib.Path(config.data).stem.replace(":", "-")
        taken = (pathlib.Path("runs") / f"{stem}-{n}" for n in range(1, 1_000_000))
        folder = next(path for path in taken if not path.exists())
    path = folder / "config.toml"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with open(path, "x", encoding="utf-8") as file:
            file.write(config.to_toml())
    except (OSError, UnicodeError) as error:
        if isinstance(error, FileExistsError) and path.exists():
            text = f"{folder} already holds a run; choose another --out or remove it"
        else:
            text = f"cannot write to run folder {folder}: {error}"
        raise UsageError(text) from None
    return folder


def _estimate(config: RunConfig, data: "Dataset") -> "Estimate":
    from truesparse.memory import estimate_run

    return estimate_run(
        (data.n_features, *config.hidden_sizes, data.n_outputs),
        epsilon=config.epsilon,
        density=config.density,
        activation=config.activation,
        dropout=config.dropout,
        dtype=config.dtype,
        batch_size=min(config.batch_size, data.X_train.shape[0]),
        optimizer=_optimizer(config),
        evolves=config.topology != "static",
        clips=config.clip_norm is not None,
        data_bytes=_data_bytes(data),
    )


def _data_bytes(data: "Dataset") -> int:
    import scipy.sparse

    total = 0
    for part in (data.X_train, data.X_test, data.y_train, data.y_test):
        if isinstance(part, scipy.sparse.csr_array):
            total += part.data.nbytes + part.indices.nbytes + part.indptr.nbytes
        else:
            total += part.nbytes
    return total


class _Parser(argparse.ArgumentParser):
    """Reports a bad flag in one line, without the usage of all the others."""

    def error(self, message: str) -> NoReturn:
        """Raise UsageError."""
        raise UsageError(f"{message}; --help lists what is accepted")


def _parse(words: list[str]) -> argparse.Namespace:
    parser = _parser()
    known, unknown = parser.parse_known_args(words)
    if unknown:
        name = unknown[0].split("=")[0]
        close = difflib.get_close_matches(name, parser._option_string_actions, n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        parser.error(f"unknown argument {name}{hint}")
    return known


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m truesparse.train",
        description="Train a truly sparse multilayer perceptron on CPUs.",
        epilog="Exit codes: 0 done, 2 usage, 3 would not fit in memory, 4 data missing "
        "or invalid, 5 diverged, 6 model unreadable, 130 and 143 stopped by a signal.",
        allow_abbrev=False,
    )
    add_flags(parser)
    parser.add_argument(
        "--config", metavar="FILE.toml", help="read options from a file"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="only estimate the memory, as JSON too"
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("--quiet", action="store_true", help="no progress, no report")
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    return parser


def _merge(file_options: dict[str, Any], flags: dict[str, Any]) -> dict[str, Any]:
    """Flags win over the file; one of a pair that excludes another replaces it."""
    for pair in (("epsilon", "density"), ("density", "epsilon"), ("neurons", "hidden")):
        if pair[0] in flags and pair[1] not in flags:
            file_options.pop(pair[1], None)
    return {**file_options, **flags}


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _silent(text: str) -> None:
    """Say nothing."""


if __name__ == "__main__":
    sys.exit(main())
