"""Command line: predict with a trained model.

    python -m truesparse.predict runs/iris-1 new.csv --out predictions.csv

Rows are scaled as in training, and predictions are labels and probabilities, or values
in the units of the training targets. Without ``--out`` they go to stdout as CSV;
everything for people goes to stderr. A table may have the target or lack it: the number
of columns decides. Where the target is there, the score is reported.
"""

import json
import math
import os
import sys
import time
import tomllib
from typing import Any

from truesparse.commands.shell import (
    CommandParser,
    allow_threads,
    run_command,
    say,
    say_nothing,
)
from truesparse.errors import DataError, UsageError

_BATCH_SIZE = 128


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    return run_command(_main, arguments, stopped="no file was written")


def _main(words: list[str]) -> None:
    options = _make_parser().parse(words)
    if sys.stdout is None and options.out == "-":
        raise UsageError("stdout is closed; give --out FILE")
    if options.json and options.out == "-":
        raise UsageError(
            "--json prints to stdout, where predictions go without --out FILE; give one"
        )
    result = _run(options)
    if options.json:
        print(json.dumps(result, allow_nan=False))


def _make_parser() -> CommandParser:
    parser = CommandParser(
        "truesparse.predict",
        "Predict with a trained model: labels and probabilities, or values.",
        codes=(2, 3, 4, 6),
    )
    parser.add_argument("model", metavar="MODEL", help="model file or run folder")
    parser.add_argument(
        "data",
        metavar="DATA",
        help="data set by name or file, as training takes it; a file may lack the "
        "target, and one with as many columns as the model has features does",
    )
    parser.add_argument(
        "--out",
        default="-",
        metavar="FILE",
        help="write to a file that ends in .csv, .npz, .npy or .parquet (default: CSV "
        "to stdout)",
    )
    parser.add_argument(
        "--labels-only", action="store_true", help="leave out the probabilities"
    )
    parser.add_argument(
        "--part",
        metavar="train|test|all",
        help="which rows (default: test of a set with a name or a test part, all of "
        "other files); those without a test part are split as in training",
    )
    parser.add_argument("--data-home", metavar="DIR", help="folder of data sets")
    parser.add_argument(
        "--fetch", action="store_true", help="download the data set if it is not there"
    )
    parser.add_argument(
        "--batch-size", type=int, metavar="N", help="rows at once (default: as trained)"
    )
    parser.add_argument(
        "--threads", type=int, metavar="N", help="threads (default: all cores)"
    )
    parser.add_argument(
        "--json", action="store_true", help="print the score and the like as JSON"
    )
    parser.add_argument("--quiet", action="store_true", help="say nothing on stderr")
    return parser


def _run(options: Any) -> dict[str, Any]:
    started = time.perf_counter()
    allow_threads(options.threads)
    from truesparse import datasets, memory
    from truesparse.commands import describe, predictions
    from truesparse.kernels import jit
    from truesparse.storage import models, run_folder

    if options.part is not None:
        _choose_part(options.part, datasets.PARTS)
    tell = say_nothing if options.quiet else say
    memory.return_freed_arrays()
    jit.set_threads(options.threads)
    file = run_folder.find_model(options.model)
    out = None
    if options.out != "-":
        out = predictions.check_out(options.out, (file, options.data))
    trained = _training_options(models.load_config(file))
    batch_size = options.batch_size
    if batch_size is None:
        batch_size = trained["batch_size"]
    if batch_size < 1:
        raise UsageError(f"--batch-size must be at least 1, got {batch_size}")
    memory.require(describe.prediction_bytes(file, batch_size), "lower --batch-size")
    preprocessing = models.load_preprocessing(file)
    predictor = predictions.Predictor(models.load(file), preprocessing)
    if os.path.isdir(options.model) and run_folder.is_unfinished(options.model):
        tell(f"the run has not ended: {file} is of step {predictor.model.step:,}")
    if preprocessing is None:
        tell(f"{file} does not say how features were scaled: they are taken as is")
    rows = datasets.load_rows(
        options.data,
        options.data_home,
        n_features=predictor.model.layer_sizes[0],
        feature_names=predictor.preprocessing.feature_names,
        first_index=predictor.preprocessing.first_index,
        part=options.part,
        task=predictor.task,
        test_fraction=trained["test_fraction"],
        seed=trained["seed"],
        fetch=options.fetch,
        dtype=predictor.model.dtype,
        memory=memory.available()[0],
    )
    n_rows = rows.X.shape[0]
    score = None
    if rows.y is not None:
        try:
            score = predictions.Score(predictor, rows.y, rows.classes)
        except DataError as error:
            # Files for prediction often have a dummy in its place.
            # After a semicolon errors say what to do about training data.
            reason = str(error).split(";")[0]
            tell(f"no score, since the targets are not those of the model: {reason}")
    jit.tell_when_compiling(lambda: tell("compiling kernels, once on this machine ..."))

    def scored():
        for block in predictor.blocks(rows.X, batch_size):
            if score is not None:
                score.add(block)
            yield block

    if out is None:
        predictions.write_csv(sys.stdout, predictor, scored(), options.labels_only)
    else:
        held = predictions.held_bytes(
            predictor, n_rows, out.suffix.lower(), options.labels_only
        )
        memory.require(held, "write .csv, or give --labels-only")
        predictions.write_file(out, predictor, scored(), options.labels_only)
    result = {
        "model": str(file),
        "data": options.data,
        "samples": n_rows,
        "score": None,
        "score_name": None,
        "seconds": time.perf_counter() - started,
        "out": options.out,
    }
    if score is not None:
        value = score.value
        result |= {"score": value, "score_name": score.name}
        if not math.isfinite(value):
            result["score"] = None  # JSON has no NaN
        tell(f"{score.name} {value:.4f} on {n_rows:,} samples")
    return result


def _choose_part(part: str, parts: tuple[str, ...]) -> None:
    if part not in parts:
        raise UsageError(f"--part must be one of {', '.join(parts)}, got {part!r}")


def _training_options(config: str | None) -> dict[str, Any]:
    """Return what splits and batches were in training, or defaults."""
    found: dict[str, Any] = {
        "batch_size": _BATCH_SIZE,
        "test_fraction": 0.2,
        "seed": 0,
    }
    try:
        options = tomllib.loads(config or "")
    except (ValueError, RecursionError):
        return found
    accepted = {
        "batch_size": lambda value: type(value) is int and value >= 1,
        "test_fraction": lambda value: type(value) is float and 0 < value < 1,
        "seed": lambda value: type(value) is int and 0 <= value < 2**32,
    }
    for name, is_valid in accepted.items():
        if name in options and is_valid(options[name]):
            found[name] = options[name]
    return found


if __name__ == "__main__":
    sys.exit(main())
