"""The parts of a run, made from its configuration: defaults, model, trainer, memory."""

import dataclasses
from typing import TYPE_CHECKING, Any

from truesparse.commands.config import RunConfig, flag
from truesparse.common.checks import check_positive
from truesparse.common.tasks import TASKS
from truesparse.errors import UsageError
from truesparse.storage import run_folder

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Iterable

    from truesparse.commands.estimate import Estimate
    from truesparse.datasets import Dataset, TableOptions
    from truesparse.losses import Loss
    from truesparse.network.sparse_mlp import SparseMLP
    from truesparse.optimizers import Optimizer
    from truesparse.schedules import LearningRate
    from truesparse.topology import TopologyAlgorithm
    from truesparse.training.events import Callback
    from truesparse.training.trainer import Trainer


# They divide a gradient by its own size, so that one rate suits most data.
_SCALED_BY_MOMENTS = ("adam", "adamw", "rmsprop")
# Neurons of a layer from which on regression learns better at a lower rate.
_WIDE = 10_000
_LEAST_EPOCHS, _LEAST_STEPS, _LEAST_STEPS_OF_REGRESSION = 15, 200, 700


def check_options(config: RunConfig) -> None:
    """Check all options that can be checked without the data.

    Raises
    ------
    UsageError
        For the first value that is not accepted, or a library that is not installed.
    """
    from truesparse.activations import layer_activation
    from truesparse.drawing.draw_layers import count_connections
    from truesparse.losses import Loss
    from truesparse.network.precision import choose_activation_dtype

    if config.tensorboard:
        from truesparse.callbacks.tensorboard import require_tensorboard

        require_tensorboard()
    _optimizer(config)
    _learning_rate(config)
    make_topology(config)
    if config.clip_norm is not None:
        check_positive(clip_norm=config.clip_norm)
    choose_activation_dtype(config.activation_dtype, config.dtype)
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


def table_options(config: RunConfig) -> "TableOptions":
    """Return what the options say about a table; UsageError if one is not accepted."""
    from truesparse.datasets import TableOptions

    names = (option.name for option in dataclasses.fields(TableOptions))
    given = {name: getattr(config, name) for name in names}
    return TableOptions(**given | {"drop": config.drop or ()})


def resolve(config: RunConfig, data: "Dataset") -> RunConfig:
    """Fill in the defaults that depend on the data or on other options.

    They were chosen by accuracy on validation parts split off the training part
    (2026-11). Classification: digits with 10^5 and 10^6 neurons and 3 to 5 seeds; wine,
    iris and breast_cancer with 400 and 40,000 and 5 seeds. Regression: the sets of
    benchmarks/default_sets.py with 20 to 100,000 neurons.
    """
    is_regression = data.task == "regression"
    # Grey values and sparse features are smaller than those of deviation 1.
    is_ranged = config.scale == "range" or (
        config.scale != "none" and data.feature_mean is None
    )
    # The delta of squared error has no bound: sgd diverges on some sets at any rate
    # that learns others within the epochs.
    optimizer = config.optimizer or ("adam" if is_regression else "sgd")
    if optimizer in _SCALED_BY_MOMENTS:
        is_wide = max(config.hidden_sizes) > _WIDE
        lr = (3e-3 if is_wide else 1e-2) if is_regression else 1e-3
    else:
        lr = 3e-4 if is_regression else 0.2 if is_ranged else 0.1
    # Raised digits from 0.968 to 0.981; wine and iris lost 8 points by it.
    smoothing = 0.1 if data.task == "classification" and is_ranged else 0.0
    n_steps = -(-data.X_train.shape[0] // config.batch_size)
    least_steps = _LEAST_STEPS_OF_REGRESSION if is_regression else _LEAST_STEPS
    defaults = {
        "optimizer": optimizer,
        "lr": lr,
        "label_smoothing": smoothing,
        "epochs": max(_LEAST_EPOCHS, -(-least_steps // n_steps)),
    }
    if config.density is None:
        # 2 cost 2 points; 5 gained nothing in the same time.
        defaults["epsilon"] = 3.0
    missing = {
        name: value for name, value in defaults.items() if getattr(config, name) is None
    }
    return dataclasses.replace(config, **missing)


def estimate(config: RunConfig, data: "Dataset") -> "Estimate":
    """Work out how much memory a run takes."""
    import numpy as np

    from truesparse.commands.estimate import (
        RUNTIME_BYTES,
        TRAINING_BYTES,
        NetPlan,
        TrainingPlan,
        estimate_run,
        measure_data,
    )
    from truesparse.common.memory import current_rss

    batch_size = min(config.batch_size, data.X_train.shape[0])
    algorithm = make_topology(config)
    net = NetPlan(
        layer_sizes(config, data),
        epsilon=config.epsilon,
        density=config.density,
        init_topology=config.init_topology,
        distribution=(config.init_arg or {}).get("distribution"),
        activation=config.activation,
        dropout=config.dropout,
        dtype=config.dtype,
        activation_dtype=config.activation_dtype,
    )
    itemsize = np.dtype(config.dtype).itemsize
    assert config.epochs is not None  # resolved
    n_steps = config.epochs * -(-data.X_train.shape[0] // batch_size)
    training = TrainingPlan(
        _optimizer(config),
        batch_size,
        evolves=config.topology != "static",
        update_bytes=algorithm.update_bytes(itemsize),
        visited=algorithm.visited(n_steps, config.epochs),
        visited_bytes=algorithm.visited_bytes(itemsize),
        scratch_bytes=algorithm.scratch_bytes,
        compiler_bytes=algorithm.compiler_bytes,
        sample_numbers=algorithm.sample_numbers,
        growth=algorithm.growth,
        needs_batches=algorithm.needs_batches,
        clips=config.clip_norm is not None,
    )
    parts = data.X_train, data.X_test, data.y_train, data.y_test
    size = measure_data(parts, batch_size)
    # Readers of some files load large libraries: 140 MB for .svm files.
    runtime = current_rss() - size.n_bytes + TRAINING_BYTES + algorithm.kernel_bytes
    # On Windows no process knows what it holds.
    runtime = runtime if current_rss() else RUNTIME_BYTES
    return estimate_run(net, training, size, runtime)


def layer_sizes(config: RunConfig, data: "Dataset") -> tuple[int, ...]:
    """Return the sizes of all layers: features, hidden layers, outputs."""
    return (data.n_features, *config.hidden_sizes, data.n_outputs)


def make_loss(config: RunConfig, data: "Dataset") -> "Loss":
    """Make the loss that suits the task of the data."""
    from truesparse.losses import Loss

    smoothing = config.label_smoothing
    assert smoothing is not None, "see `resolve`"
    return Loss(TASKS[data.task].loss, label_smoothing=smoothing)


def make_model(config: RunConfig, data: "Dataset") -> "SparseMLP":
    """Draw the network."""
    from truesparse.drawing.patterns import pattern_of
    from truesparse.network.sparse_mlp import SparseMLP

    needs_data = pattern_of(config.init_topology).needs_data
    return SparseMLP(
        layer_sizes(config, data),
        epsilon=config.epsilon,
        density=config.density,
        init_topology=config.init_topology,
        init_options=config.init_arg,
        init_data=data.X_train if needs_data else None,
        activation=config.activation,
        activation_parameter=config.activation_parameter,
        loss=make_loss(config, data),
        dropout=config.dropout,
        weight_init=config.weight_init,
        dtype=config.dtype,
        activation_dtype=config.activation_dtype,
        seed=config.seed,
    )


def make_trainer(
    config: RunConfig,
    model: "SparseMLP",
    *,
    callbacks: "Iterable[Callback]" = (),
    snapshot_path: "pathlib.Path | None" = None,
    save_options: dict[str, Any] | None = None,
) -> "Trainer":
    """Make the trainer.

    Parameters
    ----------
    config : RunConfig
    model : SparseMLP
    callbacks : iterable of Callback
    snapshot_path : path, optional
        File for the last good model.
    save_options : dict, optional
        Options of truesparse.save for that file.
    """
    from truesparse.training.trainer import Trainer

    assert config.epochs is not None, "see `resolve`"
    return Trainer(
        model,
        optimizer=_optimizer(config),
        lr=_learning_rate(config),
        topology=make_topology(config),
        epochs=config.epochs,
        batch_size=config.batch_size,
        clip_norm=config.clip_norm,
        callbacks=callbacks,
        snapshot_path=snapshot_path,
        snapshot_options=save_options,
    )


def make_callbacks(
    config: RunConfig,
    folder: "pathlib.Path",
    *,
    about: dict[str, Any],
    save_options: dict[str, Any],
    score_name: str | None,
    verify: bool = True,
) -> "list[Callback]":
    """Make what listens to a run, in the order in which events have to reach it.

    Callbacks whose state a checkpoint holds come before it. Signals come last, so that
    all others have heard of the step after which the run stops.

    Parameters
    ----------
    config : RunConfig
    folder : path
        The run folder.
    about : dict
        Facts about the data for checkpoints, see resume.fingerprint.
    save_options : dict
        Options of truesparse.save for checkpoints and the best model.
    score_name : str, optional
        Name of the validation score; without it only warnings are shown.
    verify : bool
        Compare the best model with its digest when it is put back.
    """
    from truesparse import callbacks

    made: list[Callback] = []
    fields = None
    if config.explored:
        made.append(exploration := callbacks.Exploration())
        fields = lambda: {"explored": exploration.rate}  # noqa: E731
    path = folder / run_folder.METRICS
    made.append(callbacks.MetricsFile(path, fields, ends=False))
    if config.early_stopping is not None:
        stops = callbacks.EarlyStopping(config.early_stopping, monitor=config.monitor)
        made.append(stops)
    if config.restore_best:
        path = folder / run_folder.BEST
        how = {"verify": verify, **save_options}
        made.append(callbacks.BestModel(config.monitor, path, **how))
    if config.tensorboard:
        made.append(callbacks.TensorBoard(folder / run_folder.TENSORBOARD))
    if score_name is not None:
        made.append(callbacks.Progress(score_name=score_name))
    else:
        made.append(callbacks.WarningLines())
    if config.checkpoint_every != 0:
        path = folder / run_folder.CHECKPOINT
        every = config.checkpoint_every
        made.append(callbacks.Checkpoint(path, every, about=about, **save_options))
    return [*made, callbacks.StopOnSignal(tells=score_name is not None)]


def make_topology(config: RunConfig) -> "TopologyAlgorithm":
    """Make the topology algorithm; options that are not given have its defaults."""
    from truesparse import topology

    options = dict(config.topology_arg or {})
    for name in ("zeta", "removal", "regrow_init", "evolve_output", "final"):
        value = getattr(config, name)
        if value is None:
            continue
        if name in options:
            raise UsageError(
                f"give either {flag(name)} or --topology-arg {name}, not both"
            )
        options[name] = value
    algorithm = topology.make(config.topology, **options)
    given = {
        name: getattr(config, f"update_{name}")
        for name in ("every", "unit", "start", "end")
        if getattr(config, f"update_{name}") is not None
    }
    if not given:
        return algorithm
    if given.get("unit", algorithm.schedule.unit) != algorithm.schedule.unit:
        # The default counts the other unit.
        given.setdefault("every", 1)
    if "every" in given:
        given.setdefault("start", given["every"])
    schedule = dataclasses.replace(algorithm.schedule, **given)
    if "schedule" not in algorithm.options():
        return algorithm
    return topology.make(config.topology, schedule=schedule, **options)


def _learning_rate(config: RunConfig) -> "LearningRate":
    """Make the schedule; before `resolve` it may have the default rate of its class."""
    from truesparse.schedules import LearningRate

    base: dict[str, Any] = {} if config.lr is None else {"base": config.lr}
    return LearningRate(
        name=config.lr_schedule,
        warmup=config.warmup,
        cycles=config.lr_cycles,
        **base,
    )


def _optimizer(config: RunConfig) -> "Optimizer":
    from truesparse.optimizers import Optimizer

    return Optimizer(
        config.optimizer or "sgd",
        momentum=config.momentum,
        weight_decay=config.weight_decay,
        decay=config.decay,
        fan_in_limit=config.fan_in_limit,
        powerprop=config.powerprop,
    )
