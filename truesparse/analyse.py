"""Command line: analyse what training made of a network.

    python -m truesparse.analyse runs/digits-1 --data digits --out analysis.html

Robustness, ranks, structure and graph measures of a model, as tables on stdout, or as
JSON or one HTML file with pictures. Accuracies need data, which are read as by
truesparse.predict.
"""

import json
import os
import pathlib
import sys
from typing import TYPE_CHECKING, Any

from truesparse.commands import shell
from truesparse.commands.flags import add_rows_flags, parse_numbers
from truesparse.common.checks import check_whole, choose
from truesparse.common.writing import check_file
from truesparse.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from truesparse.commands.analysis_facts import Analysis
    from truesparse.storage.predictor import Predictor

_ENDINGS = (".html", ".json")
_CLASSIFIERS = ("softmax", "logistic")


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    return shell.run_command(_main, arguments, stopped="no analysis was written")


def _main(words: list[str]) -> None:
    options = _make_parser().parse(words)
    out = None
    if options.out is not None:
        out = pathlib.Path(options.out)
        choose(out.suffix.lower(), _ENDINGS, "ending", " of --out")
        check_file(out, "analysis")
        if out.suffix.lower() == ".html":
            from truesparse.plots.display import require_matplotlib

            # Before a large model is analysed in vain.
            require_matplotlib()
    check_whole("--points", options.points, 2)
    check_whole("--seeds", options.seeds, 1)
    check_whole("--samples", options.samples, 2)
    check_whole("--seed", options.seed, 0)
    say = shell.say_nothing if options.quiet else shell.say
    analysis = _analyse(options, say)
    _write(analysis, out, say)
    if out is not None and not options.quiet:
        print(options.out)


def _make_parser() -> shell.CommandParser:
    parser = shell.CommandParser(
        "truesparse.analyse",
        "Analyse a trained model: robustness, ranks, structure and graph measures.",
        codes=(2, 3, 4, 6, 7),
    )
    parser.add_model()
    parser.add_argument(
        "--data",
        metavar="NAME|FILE",
        help="data set by name, or file, to measure accuracies on",
    )
    parser.add_argument(
        "--out",
        metavar="FILE",
        help="file to write, ending in .html or .json (default: tables to stdout)",
    )
    parser.add_argument(
        "--only",
        metavar="NAME,NAME,...",
        help="measure only some of structure, ranks, graph and robustness",
    )
    parser.add_argument(
        "--points",
        type=int,
        default=51,
        metavar="N",
        help="points of a robustness curve (default: 51)",
    )
    parser.add_argument(
        "--seeds",
        type=int,
        default=5,
        metavar="N",
        help="seeds of each random perturbation (default: 5)",
    )
    parser.add_argument(
        "--samples",
        type=int,
        default=10_000,
        metavar="N",
        help="rows that accuracies are measured on, at random if there are more "
        "(default: 10000)",
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=0,
        metavar="N",
        help="decides samples and estimates (default: 0)",
    )
    parser.add_argument(
        "--layers",
        type=parse_numbers,
        metavar="N,N,...",
        help="layers that robustness perturbs, from 1 (default: all but the read-out)",
    )
    parser.add_argument(
        "--scope",
        metavar="NAME",
        help="rank the connections of these layers joint, or layer by layer (default: "
        "joint for removal, layer for shuffling and noise)",
    )
    parser.add_argument(
        "--shape",
        type=parse_numbers,
        metavar="H,W[,C]",
        help="features are an image of this shape (default: a square, if their number "
        "is one of 25 or more)",
    )
    parser.add_argument(
        "--compare",
        metavar="MODEL",
        help="model file or run folder whose topology is compared",
    )
    add_rows_flags(parser)
    parser.add_no_verify()
    parser.add_argument(
        "--quiet", action="store_true", help="print only results and errors"
    )
    return parser


def _analyse(options: Any, say: "Callable[[str], None]") -> "Analysis":
    shell.start_engine(options.threads)
    from truesparse import datasets
    from truesparse.analysis.robustness_curve import SCOPES
    from truesparse.commands import analysis_facts, model_rows
    from truesparse.plots.run_records import History
    from truesparse.storage import models, run_folder

    measures: tuple[str, ...] = analysis_facts.MEASURES
    if options.only is not None:
        measures = analysis_facts.as_measures(options.only)
    if options.part is not None:
        choose(options.part, datasets.PARTS, "part")
    if options.scope is not None:
        choose(options.scope, SCOPES, "scope")
    file = models.find_model(options.model, verify=options.verify)
    trained = model_rows.training_options(models.load_config(file))
    notes: list[str] = []
    predictor = model_rows.read_predictor(
        options, file, trained["batch_size"], notes.append
    )
    model = predictor.model
    analysis = analysis_facts.Analysis(str(options.model), model, notes=notes)
    layers = image_shape = None
    if options.layers is not None:
        layers = analysis_facts.perturbed_layers(options.layers, model)
    if options.shape is not None:
        n_features = model.layer_sizes[0]
        image_shape = analysis_facts.as_image_shape(options.shape, n_features)
    if options.compare is not None:
        _compare(options, analysis, trained["batch_size"])
    metrics = os.path.join(options.model, run_folder.METRICS)
    if "structure" in measures and os.path.isfile(metrics):
        analysis.history = History.read(metrics)
    samples = None
    if options.data is not None and "robustness" not in measures:
        notes.append(f"{options.data} was not read: only robustness needs data.")
    elif options.data is not None:
        samples = _read_samples(options, predictor, trained, analysis, say)
        if samples is None:
            measures = tuple(name for name in measures if name != "robustness")
    with shell.announcing_compilation(say):
        analysis_facts.measure(
            analysis,
            measures,
            samples,
            say,
            n_points=options.points,
            n_seeds=options.seeds,
            seed=options.seed,
            layers=layers,
            scope=options.scope,
            image_shape=image_shape,
        )
    return analysis


def _compare(options: Any, analysis: "Analysis", batch_size: int) -> None:
    """Add the overlap with the topology of another model."""
    from truesparse.analysis.displays import OverlapDisplay
    from truesparse.commands import describe
    from truesparse.common import memory
    from truesparse.storage import models

    file = models.find_model(options.compare, verify=options.verify)
    memory.require(describe.prediction_bytes(file, batch_size), "leave out --compare")
    other = models.load(file, verify=options.verify)
    note = models.note_if_unfinished(options.compare, file, other)
    if note is not None:
        analysis.notes.append(note)
    analysis.other = str(options.compare)
    analysis.overlap = OverlapDisplay.from_models(analysis.model, other)


def _read_samples(
    options: Any,
    predictor: "Predictor",
    trained: dict[str, Any],
    analysis: "Analysis",
    say: "Callable[[str], None]",
) -> tuple[Any, Any] | None:
    """Return scaled samples and targets; None, with a note, for a regression."""
    from truesparse.commands import analysis_facts, model_rows, predictions

    model = predictor.model
    if model.loss.name not in _CLASSIFIERS:
        analysis.notes.append(
            "There are no robustness curves: they show accuracies, and the model is a "
            f"regression. {options.data} was not read."
        )
        return None
    rows = model_rows.read_rows(options, predictor, trained)
    for warning in rows.warnings:
        say(f"warning: {warning}")
    if rows.y is None:
        raise UsageError(
            f"{options.data} has no targets, without which there is no accuracy; give "
            "labelled rows, or leave out --data"
        )
    targets = predictions.Score(predictor, rows.y, rows.classes).targets
    chosen, wanted = analysis_facts.take_samples(
        rows.X, targets, options.samples, options.seed
    )
    analysis.data = f"{options.data}, {len(wanted):,} samples"
    return predictor.preprocessing.transform(chosen, model.dtype), wanted


def _write(
    analysis: "Analysis", out: pathlib.Path | None, say: "Callable[[str], None]"
) -> None:
    from truesparse.commands import analysis_output

    if out is not None and out.suffix.lower() == ".json":
        from truesparse.commands.report_page import write_page

        write_page(json.dumps(analysis.to_json(), allow_nan=False) + "\n", out)
        return
    parts = analysis_output.parts_of(analysis)
    if out is None:
        print(analysis_output.as_text(parts))
        for note in analysis.notes:
            say(f"note: {note}")
        return
    from truesparse.commands.report_page import render, write_page

    model = analysis.model
    summary = [
        ("Net", " - ".join(f"{size:,}" for size in model.layer_sizes)),
        ("Connections", f"{model.nnz:,}, density {model.density:.3g}"),
        ("Steps", f"{model.step:,}"),
    ]
    title = f"Analysis of {pathlib.Path(analysis.source).resolve().name}"
    sections = analysis_output.as_sections(parts)
    write_page(render(title, analysis.notes, summary, [], sections), out)


if __name__ == "__main__":
    sys.exit(main())
