"""The tables of a report, as rows of a name and a text."""

import json
import math
from typing import Any

from truesparse.commands.config import RunConfig
from truesparse.commands.report_folder import RunFolder
from truesparse.common.tasks import format_score
from truesparse.plots.counts import dead_neurons
from truesparse.plots.run_records import History, as_number

Rows = list[tuple[str, str]]


def score_name(run: RunFolder) -> str:
    """Return the name of the score of the run's task."""
    return run.model.loss.task.score if run.model else "score"


def layer_sizes(run: RunFolder) -> list[int]:
    """Return the number of neurons of every layer; empty if it is unknown."""
    if run.model is not None:
        return list(run.model.layer_sizes)
    sizes = _start(run.history).get("layer_sizes")
    is_valid = isinstance(sizes, list) and all(
        type(size) is int and 0 < size < 2**31 for size in sizes
    )
    return sizes if is_valid and isinstance(sizes, list) else []


def summarise(run: RunFolder) -> Rows:
    """Return the main facts about a run, without those that are unknown."""
    history, options = run.history, run.options
    start = _start(history)
    rows = [
        ("Data", _data(options, start)),
        ("Net", _net(run)),
        ("Connections", _connections(run, start)),
        ("Topology", as_text(options.get("topology", ""))),
        *_scores(run),
        ("Epochs", _epochs(run, start)),
        ("Training time", _time(history)),
        ("Memory", _memory(history)),
        ("Cells explored", _explored(history)),
        ("Dead hidden neurons", _dead(run)),
        ("Seed", as_text(options.get("seed", start.get("seed", "")))),
    ]
    return [(name, text) for name, text in rows if text]


def changed_options(run: RunFolder) -> Rows:
    """Return the options that differ from their defaults or have no default."""
    defaults = RunConfig()
    return [
        (str(name), as_text(value))
        for name, value in run.options.items()
        if name not in ("data", "out")
        and not _is_default(value, getattr(defaults, str(name), None))
    ]


def as_text(value: Any) -> str:
    """Return a value of a TOML file as text for a reader."""
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return f"{value:g}"
    try:
        return json.dumps(value, ensure_ascii=False, default=str)
    except (ValueError, RecursionError):
        return "(a value that cannot be shown)"


def _is_default(value: Any, default: Any) -> bool:
    if isinstance(value, list):
        value = tuple(value)
    return type(value) is type(default) and bool(value == default)


def _start(history: History) -> dict[str, Any]:
    return history.starts[-1] if history.starts else {}


def _data(options: dict[str, Any], start: dict[str, Any]) -> str:
    name = as_text(options.get("data", ""))
    samples = as_number(start.get("samples"))
    if math.isfinite(samples):
        name += f"{', ' if name else ''}{samples:,.0f} training samples"
    return name


def _net(run: RunFolder) -> str:
    text = " - ".join(f"{size:,}" for size in layer_sizes(run))
    activation = run.options.get("activation")
    if run.model is not None:
        activation = run.model.layers[0].activation.name
    return f"{text}, {as_text(activation)}" if text and activation else text


def _connections(run: RunFolder, start: dict[str, Any]) -> str:
    nnz, density = as_number(start.get("nnz")), as_number(start.get("density"))
    when = " initially"
    if run.model is not None:
        nnz, density, when = run.model.nnz, run.model.density, ""
    if not math.isfinite(nnz):
        return ""
    share = f", density {density:.3g}" if math.isfinite(density) else ""
    return f"{nnz:,.0f}{share}{when}"


def _scores(run: RunFolder) -> Rows:
    history, name = run.history, score_name(run)
    rows = []
    scores = [
        (score, epoch)
        for score, epoch in zip(
            history.column("val_score"), history.column("epoch"), strict=True
        )
        if math.isfinite(score)
    ]
    if scores:
        best, at = max(scores, key=lambda pair: pair[0])
        last = scores[-1][0]
        text = f"{format_score(last)} (best {format_score(best)}, epoch {at:.0f})"
        rows.append((f"Test {name}", text))
    for label, field in (("Test loss", "val_loss"), ("Training loss", "train_loss")):
        values = [v for v in history.column(field) if math.isfinite(v)]
        if values:
            rows.append((label, f"{values[-1]:.4g}"))
    return rows


def _epochs(run: RunFolder, start: dict[str, Any]) -> str:
    history = run.history
    done = history.column("epoch")[-1] if history.epochs else 0.0
    planned = as_number(start.get("epochs", run.options.get("epochs")))
    if not history.starts and not history.epochs:
        return ""
    text = f"{done:,.0f}"
    if math.isfinite(planned) and planned > done:
        text += f" of {planned:,.0f}"
        text += ", stopped" if history.has_ended else ", running or killed"
    if len(history.starts) > 1:
        text += f", started {len(history.starts)} times"
    return text


def _time(history: History) -> str:
    seconds = [s for s in history.column("seconds") if math.isfinite(s)]
    if not seconds:
        return ""
    total = sum(seconds)
    return f"{duration(total)}, {total / len(seconds):.3g} s per epoch"


def duration(seconds: float) -> str:
    """Return a time span in words.

    Examples
    --------
    >>> from truesparse.commands.report_summary import duration
    >>> duration(3.21), duration(130), duration(7300)
    ('3.2 s', '2 min 10 s', '2 h 1 min')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600:,} h {whole % 3600 // 60} min"


def _memory(history: History) -> str:
    sizes = [size for size in history.column("rss_mb") if math.isfinite(size)]
    return f"{max(sizes):,.0f} MB, the maximum at the end of an epoch" if sizes else ""


def _explored(history: History) -> str:
    shares = [share for share in history.column("explored") if math.isfinite(share)]
    return f"{100 * shares[-1]:.3g} % of all" if shares else ""


def _dead(run: RunFolder) -> str:
    if run.model is None or len(run.model.layers) < 2:
        return ""
    layers = dead_neurons(run.model)
    n_dead = sum(each.total for each in layers)
    return f"{n_dead:,} of {sum(each.n_neurons for each in layers):,}"
