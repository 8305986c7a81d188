"""The texts of truesparse.train: what is trained, the result, the topologies."""

import time
from typing import TYPE_CHECKING, Any

from truesparse.common.tasks import format_score

if TYPE_CHECKING:
    from truesparse.commands.estimate import Estimate
    from truesparse.datasets import Dataset
    from truesparse.network.sparse_mlp import SparseMLP
    from truesparse.training.run import EpochRecord
    from truesparse.training.trainer import Trainer

# Parts of an epoch whose seconds a record has as PHASE_s.
_PHASES = ("data", "forward", "backward", "topology")


def format_start(data: "Dataset", model: "SparseMLP", n_threads: int) -> str:
    """Return what is about to be trained, on what data."""
    sizes = " - ".join(f"{size:,}" for size in model.layer_sizes)
    rounds = model.activation_dtype != model.dtype.name
    lines = [
        f"{data.name}: {data.X_train.shape[0]:,} samples, "
        f"{data.n_features:,} features, {data.n_outputs:,} outputs",
        *data.notes,
        *(f"warning: {warning}" for warning in data.warnings),
        f"{sizes}: {model.nnz:,} connections, density {model.density:.3g}, "
        f"{n_threads} {'thread' if n_threads == 1 else 'threads'}"
        f"{', activations in ' + model.activation_dtype if rounds else ''}",
    ]
    return "\n".join(lines)


def summarise(
    trainer: "Trainer",
    history: "list[EpochRecord]",
    estimate: "Estimate",
    started: float,
) -> dict[str, Any]:
    """Return the result of a run: scores, seconds, sizes and where the model is.

    Parameters
    ----------
    trainer : Trainer
        With the trained model.
    history : list of EpochRecord
    estimate : Estimate
    started : float
        When the run began, by time.perf_counter.
    """
    from truesparse.callbacks import BestModel, Exploration
    from truesparse.common import memory

    model, n_epochs = trainer.model, len(history)
    best = next((c for c in trainer.callbacks if isinstance(c, BestModel)), None)
    # The record of the model that is saved.
    last = history[best.epoch - 1 if best and best.restored else -1]

    def mean(field: str) -> float:
        return sum(getattr(record, field) for record in history) / n_epochs

    result = {
        "test_score": last.val_score,
        "test_loss": last.val_loss,
        "train_loss": last.train_loss,
        "seconds": time.perf_counter() - started,
        "seconds_per_epoch": mean("seconds"),
        **{f"{phase}_s_per_epoch": mean(f"{phase}_s") for phase in _PHASES},
        "epochs": n_epochs,
        "neurons": sum(model.layer_sizes[1:-1]),
        "nnz": model.nnz,
        "density": model.density,
        "peak_rss_mb": memory.peak_rss() / 1e6,
        "dense_mb": estimate.dense / 1e6,
        "model": str(trainer.snapshot_path),
    }
    if best is not None:
        result["best_epoch"] = last.epoch
    for callback in trainer.callbacks:
        if isinstance(callback, Exploration):
            result["explored"] = callback.rate
    return result


def format_result(result: dict[str, Any], score_name: str) -> str:
    """Return the result as a table for people."""
    from truesparse.common.memory import human

    parts = (f"{phase} {result[f'{phase}_s_per_epoch']:.3g}" for phase in _PHASES)
    peak, dense = result["peak_rss_mb"] * 1e6, result["dense_mb"] * 1e6
    lines = [
        ("test " + score_name, format_score(result["test_score"])),
        ("connections", f"{result['nnz']:,}, density {result['density']:.3g}"),
        (
            "seconds per epoch",
            f"{result['seconds_per_epoch']:.3g} ({', '.join(parts)})",
        ),
        ("seconds in total", f"{result['seconds']:.1f}"),
        (
            "peak memory",
            f"{human(peak)}; a dense net: {human(dense)} for weights and state",
        ),
        ("model", result["model"]),
    ]
    if "best_epoch" in result:
        lines.insert(1, ("best epoch", f"{result['best_epoch']}"))
    if "explored" in result:
        lines.insert(-4, ("cells explored", f"{result['explored']:.3g} of all"))
    return "\n" + "\n".join(f"{name:<18} {text}" for name, text in lines)


def format_topologies() -> str:
    """Return one line a topology, with the options that only it takes."""
    from truesparse.topology import ALGORITHMS, TopologyAlgorithm

    common = TopologyAlgorithm.options()
    lines = []
    for name, algorithm in ALGORITHMS.items():
        summary = (algorithm.__doc__ or "").splitlines()[0]
        options = [option for option in algorithm.options() if option not in common]
        lines.append(f"{name:<10} {summary} {', '.join(options)}".rstrip())
    shared = ", ".join(option for option in common if option != "schedule")
    return "\n".join([*lines, f"\nmost topologies take: {shared}"])
