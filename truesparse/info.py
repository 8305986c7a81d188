"""Command line: describe a model file, a checkpoint or a run folder.

    python -m truesparse.info runs/iris-1

Weights are not read, so that files larger than memory can be described, too.
"""

import json
import sys
from typing import Any

from truesparse.commands.shell import CommandParser, run_command

_MOST_NAMES = 10


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    return run_command(_main, arguments)


def _main(words: list[str]) -> None:
    parser = CommandParser(
        "truesparse.info", "Describe a model or checkpoint file.", codes=(2, 6)
    )
    parser.add_argument(
        "file",
        metavar="FILE",
        help="model, checkpoint or condensed file, or run folder",
    )
    parser.add_argument(
        "--json", action="store_true", help="print one object, with every layer"
    )
    options = parser.parse(words)
    from truesparse.commands.describe import describe

    found = describe(options.file)
    print(json.dumps(found, allow_nan=False) if options.json else format_text(found))


def format_text(found: dict[str, Any]) -> str:
    """Return a description for people, of what describe.describe returns."""
    from truesparse.memory import human

    sizes = " - ".join(f"{size:,}" for size in found["layer_sizes"])
    sizes_of = found["memory"]
    rows = [
        ("file", f"{found['file']}, {human(sizes_of['file'])}"),
        ("kind", f"{found['kind']}, format {found['format']}, {found['dtype']}"),
        ("layers", sizes),
        ("connections", f"{found['nnz']:,}, density {found['density']:.3g}"),
        ("loss", _with_options(found["loss"])),
    ]
    if "seed" in found:
        rows.append(("trained", f"{found['step']:,} steps, seed {found['seed']}"))
        rows.append(("unused features", f"{found['unused_features']:,}"))
    if "task" in found:
        rows.append(("task", _with_names(found["task"], found["classes"], "classes")))
        names = found["feature_names"]
        rows.append(("features", _with_names(found["feature_scaling"], names, "names")))
        if found["target_scaling"] != "none":
            rows.append(("targets", found["target_scaling"]))
    memory = f"{human(sizes_of['model'])} to predict; weights of a dense network "
    rows.append(("memory", memory + human(sizes_of["dense_weights"])))
    if found["other_tensors"]["bytes"]:
        others = found["other_tensors"]
        names = ", ".join(others["names"])
        rows.append(("other tensors", f"{names}, {human(others['bytes'])}"))
    if "run" in found:
        rows.append(("run", _run_line(found["run"])))
    lines = [f"{name:<16} {text}" for name, text in rows]
    return "\n".join([*lines, "", *_layer_table(found["layers"]), *_config(found)])


def _with_options(loss: dict[str, Any]) -> str:
    """Return the name of a loss, and what belongs to it."""
    parts = [loss["name"]]
    if loss["label_smoothing"]:
        parts.append(f"label smoothing {loss['label_smoothing']:g}")
    if loss["name"] == "huber":
        parts.append(f"threshold {loss['huber_threshold']:g}")
    return ", ".join(parts)


def _with_names(text: str, names: list | None, what: str) -> str:
    if names is None:
        return text
    shown = ", ".join(str(name) for name in names[:_MOST_NAMES])
    more = ", ..." if len(names) > _MOST_NAMES else ""
    return f"{text}, {len(names)} {what}: {shown}{more}"


def _run_line(run: dict[str, Any]) -> str:
    parts = [f"{run['epochs']} epochs"]
    for name in ("train_loss", "val_loss", "val_score"):
        if isinstance(run.get(name), int | float):
            parts.append(f"{name.replace('_', ' ')} {run[name]:.4g}")
    return ", ".join(parts) + ("" if run["ended"] else ", not ended")


def _layer_table(layers: list[dict[str, Any]]) -> list[str]:
    has_dead = all("dead" in layer for layer in layers)
    head = ["layer", "inputs", "neurons", "activation", "connections", "density"]
    head += ["fan-in min", "mean", "max"]
    head += ["no input", "no output"] if has_dead else []
    table = [head]
    for number, layer in enumerate(layers, 1):
        fan_in = layer["fan_in"]
        row = [
            str(number),
            f"{layer['n_in']:,}",
            f"{layer['n_out']:,}",
            layer["activation"],
            f"{layer['nnz']:,}",
            f"{layer['density']:.3g}",
            f"{fan_in['min']:,}",
            f"{fan_in['mean']:.1f}",
            f"{fan_in['max']:,}",
        ]
        if has_dead:
            dead = layer["dead"]
            row += [f"{dead['no_input']:,}", f"{dead['no_output']:,}"]
        table.append(row)
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return [
        "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        for row in table
    ]


def _config(found: dict[str, Any]) -> list[str]:
    config = found.get("config")
    if not isinstance(config, dict):
        return [] if config is None else ["", "configuration:", str(config)]
    lines = [f"  {key} = {json.dumps(value)}" for key, value in config.items()]
    return ["", "configuration:", *lines]


if __name__ == "__main__":
    sys.exit(main())
