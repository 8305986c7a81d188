"""Command line: predict with a trained model.

    python -m truesparse.predict runs/iris-1 new.csv --out predictions.csv

Rows are scaled as in training. Predictions are labels and probabilities, or values in
the units of the training targets. Without ``--out`` they go to stdout as CSV;
everything for people goes to stderr. A table may include the target column or not:
names or the number of columns decide. If it does, the score is reported.
"""

import json
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from truesparse.commands import shell
from truesparse.commands.flags import add_rows_flags
from truesparse.common.checks import choose
from truesparse.errors import DataError, UsageError

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Iterator

    from truesparse.commands.predictions import Score
    from truesparse.datasets import Rows
    from truesparse.storage.predictor import Block, Predictor


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    return shell.run_command(_main, arguments, stopped="no file was written")


def _main(words: list[str]) -> None:
    options = _make_parser().parse(words)
    if sys.stdout is None and options.out == "-":
        raise UsageError("stdout is closed; give --out FILE")
    if options.json and options.out == "-":
        raise UsageError(
            "--json prints to stdout, and so do predictions without --out; give --out "
            "FILE"
        )
    result = _run(options)
    if options.json:
        print(json.dumps(result, allow_nan=False))


def _make_parser() -> shell.CommandParser:
    parser = shell.CommandParser(
        "truesparse.predict",
        "Predict with a trained model: labels and probabilities, or values.",
        codes=(2, 3, 4, 6, 7),
    )
    parser.add_model()
    parser.add_argument(
        "data",
        metavar="DATA",
        help="data set by name, or file, as for training; a table may lack the target",
    )
    parser.add_argument(
        "--out",
        default="-",
        metavar="FILE",
        help="file to write, ending in .csv, .npz, .npy or .parquet (default: CSV to "
        "stdout)",
    )
    parser.add_argument(
        "--labels-only", action="store_true", help="leave out the probabilities"
    )
    parser.add_argument(
        "--batch-size",
        type=int,
        metavar="N",
        help="rows to predict at once (default: as in training)",
    )
    add_rows_flags(parser)
    parser.add_no_verify()
    parser.add_argument(
        "--json",
        action="store_true",
        help="print the score and the numbers of samples and seconds as JSON",
    )
    parser.add_argument(
        "--quiet", action="store_true", help="print only errors to stderr"
    )
    return parser


def _run(options: Any) -> dict[str, Any]:
    """Predict and write, and return the result as JSON takes it."""
    say = shell.say_nothing if options.quiet else shell.say
    started = time.perf_counter()
    shell.start_engine(options.threads)
    from truesparse import datasets
    from truesparse.commands import model_rows, predictions
    from truesparse.common.tasks import format_score
    from truesparse.storage import models, run_folder

    if options.part is not None:
        choose(options.part, datasets.PARTS, "part")
    file = models.find_model(options.model, verify=options.verify)
    out = None
    if options.out != "-":
        out = predictions.check_out(options.out, (file, options.data))
    trained = model_rows.training_options(models.load_config(file))
    batch_size = options.batch_size
    if batch_size is None:
        batch_size = trained["batch_size"]
    if batch_size < 1:
        raise UsageError(f"--batch-size must be at least 1, got {batch_size}")
    predictor = model_rows.read_predictor(options, file, batch_size, say)
    rows = model_rows.read_rows(options, predictor, trained)
    score = _make_score(predictor, rows, say)
    blocks = _scored(predictor.blocks(rows.X, batch_size), score)
    n_rows = rows.X.shape[0]
    with shell.announcing_compilation(say):
        _write(out, predictor, blocks, n_rows, options.labels_only)
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
        say(f"{score.name} {format_score(score.value)} on {n_rows:,} samples")
        result |= {"score": score.value, "score_name": score.name}
    return run_folder.as_json(result)


def _make_score(
    predictor: "Predictor", rows: "Rows", say: Callable[[str], None]
) -> "Score | None":
    """Return what scores the predictions, if the rows have fitting targets."""
    from truesparse.commands.predictions import Score

    for warning in rows.warnings:
        say(f"warning: {warning}")
    if rows.y is None:
        return None
    try:
        return Score(predictor, rows.y, rows.classes)
    except DataError as error:
        # Files for prediction often have a dummy in its place.
        # After a semicolon errors say what to do about training data.
        reason = str(error).split(";")[0]
        say(f"no score, since the targets do not suit the model: {reason}")
        return None


def _scored(blocks: "Iterator[Block]", score: "Score | None") -> "Iterator[Block]":
    """Pass blocks on, each once it is counted in the score."""
    for block in blocks:
        if score is not None:
            score.add(block)
        yield block


def _write(
    out: "pathlib.Path | None",
    predictor: "Predictor",
    blocks: "Iterator[Block]",
    n_rows: int,
    labels_only: bool,
) -> None:
    """Write predictions to a file, or as CSV to stdout."""
    from truesparse.commands import predictions
    from truesparse.common import memory

    if out is None:
        predictions.write_csv(sys.stdout, predictor, blocks, labels_only)
        return
    ending = out.suffix.lower()
    needed = predictions.held_bytes(predictor, n_rows, ending, labels_only)
    memory.require(needed, "write .csv, or give --labels-only")
    predictions.write_file(out, predictor, blocks, labels_only)


if __name__ == "__main__":
    sys.exit(main())
