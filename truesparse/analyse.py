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
from truesparse.commands.flags import add_rows_flags
from truesparse.common.checks import check_whole, choose
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
        if out.is_dir() or not out.parent.is_dir():
            raise UsageError(
                f"cannot write {options.out}: it is a folder, or its folder is missing"
            )
        if out.suffix.lower() == ".html":
            from truesparse.plots.display import require_matplotlib

            # Before a large model is analysed in vain.
            require_matplotlib()
    check_whole("--points", options.points, 2)
    for name in ("seeds", "samples"):
        check_whole(f"--{name}", vars(options)[name], 1)
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
    add_rows_flags(parser)
    parser.add_no_verify()
    parser.add_argument(
        "--quiet", action="store_true", help="print only results and errors"
    )
    return parser


def _analyse(options: Any, say: "Callable[[str], None]") -> "Analysis":
    shell.start_engine(options.threads)
    from truesparse import datasets
    from truesparse.commands import analysis_facts, model_rows
    from truesparse.plots.run_records import History
    from truesparse.storage import models, run_folder

    measures: tuple[str, ...] = analysis_facts.MEASURES
    if options.only is not None:
        measures = analysis_facts.as_measures(options.only)
    if options.part is not None:
        choose(options.part, datasets.PARTS, "part")
    file = models.find_model(options.model, verify=options.verify)
    trained = model_rows.training_options(models.load_config(file))
    notes: list[str] = []
    predictor = model_rows.read_predictor(
        options, file, trained["batch_size"], notes.append
    )
    analysis = analysis_facts.Analysis(str(options.model), predictor.model, notes=notes)
    if os.path.isfile(metrics := os.path.join(options.model, run_folder.METRICS)):
        analysis.history = History.read(metrics)
    samples = None
    if options.data is not None and "robustness" in measures:
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
        )
    return analysis


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
            "regression."
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
    from truesparse.commands import analysis_parts

    if out is not None and out.suffix.lower() == ".json":
        from truesparse.commands.report_page import write_page

        write_page(json.dumps(analysis.to_json(), allow_nan=False) + "\n", out)
        return
    parts = analysis_parts.parts_of(analysis)
    if out is None:
        print(analysis_parts.as_text(parts))
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
    sections = analysis_parts.as_sections(parts)
    write_page(render(title, analysis.notes, summary, [], sections), out)


if __name__ == "__main__":
    sys.exit(main())
