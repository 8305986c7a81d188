"""Command line: describe a model file, a checkpoint or a run folder.

    python -m truesparse.info runs/iris-1

Files larger than memory can be described as well. The content of the file is compared
with its digest first; with ``--verify`` that is all that is done, with each file of a
run.
"""

import json
import sys
from typing import Any

from truesparse.commands.shell import CommandParser, run_command
from truesparse.errors import ModelFileError, UsageError

_MOST_NAMES = 10


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    return run_command(_main, arguments)


def _main(words: list[str]) -> None:
    parser = CommandParser(
        "truesparse.info",
        "Describe a model, a checkpoint or a run folder.",
        codes=(2, 6),
    )
    parser.add_argument(
        "file",
        metavar="FILE",
        help="model, checkpoint or condensed model, or a run folder",
    )
    parser.add_argument(
        "--json", action="store_true", help="print a JSON object, with every layer"
    )
    parser.add_argument(
        "--verify",
        dest="verify_only",
        action="store_true",
        help="only compare the file, or all of a run, with their digests; exit code 6 "
        "unless they are the same",
    )
    parser.add_no_verify()
    options = parser.parse(words)
    from truesparse.commands.describe import describe_file
    from truesparse.storage import digest, models, run_folder

    if options.verify_only and not options.verify:
        raise UsageError("give either --verify or --no-verify, not both")
    if options.verify_only:
        files = run_folder.model_files(options.file)
        damage = []
        for file in files or [models.find_model(options.file)]:
            try:
                _refuse_without_digest(file, digest.verify(file))
            except ModelFileError as error:
                damage.append(str(error))
            else:
                if not options.json:
                    print(f"{file} is as it was written")
        if damage:
            raise ModelFileError("; ".join(damage))
        if options.json:
            print(json.dumps({"file": options.file, "verified": True}))
        return
    file = models.find_model(options.file, verify=options.verify)
    has_digest = options.verify and digest.verify(file)
    facts = describe_file(options.file, file) | {"verified": has_digest}
    if options.verify and not has_digest:
        digest.warn_of_none(file)
    print(json.dumps(facts, allow_nan=False) if options.json else format_text(facts))


def _refuse_without_digest(file: Any, has_digest: bool) -> None:
    """Raise ModelFileError if nothing of a file could be verified."""
    from truesparse.storage import digest
    from truesparse.storage.tensors import open_tensors

    if not has_digest:
        with open_tensors(file):  # refuses what holds no tensors
            raise ModelFileError(f"{file} {digest.NONE}")


def format_text(facts: dict[str, Any]) -> str:
    """Return a description for people from the result of describe.describe_file."""
    from truesparse.common.memory import human

    layers = " - ".join(f"{size:,}" for size in facts["layer_sizes"])
    sizes = facts["memory"]
    rows = [
        ("file", f"{facts['file']}, {human(sizes['file'])}"),
        ("kind", f"{facts['kind']}, format {facts['format']}, {_dtypes(facts)}"),
        ("layers", layers),
        ("connections", f"{facts['nnz']:,}, density {facts['density']:.3g}"),
        ("loss", _with_options(facts["loss"])),
    ]
    if "seed" in facts:
        rows.append(("trained", f"{facts['step']:,} steps, seed {facts['seed']}"))
        rows.append(("unused features", f"{facts['unused_features']:,}"))
    if "task" in facts:
        rows.append(("task", _with_names(facts["task"], facts["classes"], "classes")))
        names = facts["feature_names"]
        rows.append(("features", _with_names(facts["feature_scaling"], names, "names")))
        if facts["categories"]:
            rows.append(("categories", facts["categories"]))
        if facts["target_scaling"] != "none":
            rows.append(("targets", facts["target_scaling"]))
    memory = f"{human(sizes['model'])} to predict; weights of a dense network "
    rows.append(("memory", memory + human(sizes["dense_weights"])))
    if facts["other_tensors"]["bytes"]:
        others = facts["other_tensors"]
        names = ", ".join(others["names"])
        rows.append(("other tensors", f"{names}, {human(others['bytes'])}"))
    if "run" in facts:
        rows.append(("run", _run_line(facts["run"])))
    lines = [f"{name:<16} {text}" for name, text in rows]
    return "\n".join([*lines, "", *_layer_table(facts["layers"]), *_config(facts)])


def _dtypes(facts: dict[str, Any]) -> str:
    """Return the dtype of the weights, and that of activations if it is another."""
    dtype: str = facts["dtype"]
    stored = facts.get("activation_dtype", dtype)
    return dtype if stored == dtype else f"{dtype}, activations in {stored}"


def _with_options(loss: dict[str, Any]) -> str:
    """Return the name of a loss and its options."""
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


def _config(facts: dict[str, Any]) -> list[str]:
    config = facts.get("config")
    if not isinstance(config, dict):
        return [] if config is None else ["", "configuration:", str(config)]
    lines = [f"  {key} = {json.dumps(value)}" for key, value in config.items()]
    return ["", "configuration:", *lines]


if __name__ == "__main__":
    sys.exit(main())
