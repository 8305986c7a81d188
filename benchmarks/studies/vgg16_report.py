"""The report of vgg16.py: accuracies, robustness, ranks, and the claim's verdict."""

import statistics
from pathlib import Path
from typing import Any

from truesparse.analysis.displays.accuracy_curves import LABELS
from truesparse.analysis.spectra import LayerRank, total

from ..markdown import source
from . import frame
from .claims import Claim, Measure, claims_table
from .robustness_claims import REACHED, area
from .robustness_figures import draw_convergence, draw_robustness, file_of

DENSE = "dense"
PERTURBATIONS = ("weight_order", "reverse_order", "random", "shuffled", "noise")


def _accuracy(result: dict[str, Any]) -> float:
    return result["accuracy"]


def _rank(kind: str) -> Measure:
    """Return the measure of a rank, summed over the layers before the read-out."""
    return lambda result: getattr(total(LayerRank(**r) for r in result["ranks"]), kind)


MEASURES: list[tuple[str, Measure, int]] = [
    ("accuracy", _accuracy, 4),
    ("accuracy as analysed", lambda result: result["analysed_accuracy"], 4),
    *((LABELS[name], area(name), 3) for name in PERTURBATIONS),
    ("effective rank", _rank("effective"), 1),
    ("stable rank", _rank("stable"), 1),
]


def rows_of(runs: list[dict[str, Any]], data: str) -> frame.Rows:
    """Return the runs of a results file as rows of a study."""
    return [
        (
            {"name": run["method"], "data": data, "seed": run["seed"]},
            {**run, "curves": [*run["robustness"].values()]},
        )
        for run in runs
    ]


def claims_of(methods: list[str]) -> list[Claim]:
    """Return the claim that each method reaches the accuracy of the dense head."""
    text, unit = "all reach the dense head's accuracy", "accuracy after training"
    return [
        Claim(text, unit, _accuracy, name, DENSE, margin=-REACHED)
        for name in methods
        if name != DENSE
    ]


def report(rows: frame.Rows, data: str, settings: dict[str, Any]) -> str:
    """Return the report as Markdown."""
    methods = list(dict.fromkeys(setting["name"] for setting, _ in rows))
    lines, curves = [], []
    for name in methods:
        runs = [result for setting, result in rows if setting["name"] == name]
        values = [
            frame.mean_text([measure(run) for run in runs], digits)
            for _, measure, digits in MEASURES
        ]
        lines.append([name, str(len(runs)), *values])
        means = map(statistics.mean, zip(*(r["curve"] for r in runs), strict=True))
        curves.append([name, *(f"{mean:.3f}" for mean in means)])
    table = frame.table(["method", "seeds", *(name for name, _, _ in MEASURES)], lines)
    epochs = [str(epoch + 1) for epoch in range(settings["epochs"])]
    facts = ", ".join(f"{key} {value}" for key, value in settings.items())
    pictures = [
        f"![{what}]({file_of(kind, data)})\n"
        for kind, what in (("convergence", "Convergence"), ("robustness", "Robustness"))
    ]
    return (
        f"# VGG16-BN with sparse layers on {data}\n\n"
        f"Settings: {facts}. Areas under accuracy, and ranks summed over layers, are "
        "of the three layers before the read-out, on the features of the test images; "
        "means, with standard deviations over seeds. The dense head is pruned to the "
        "density of the others, once, before it is analysed.\n\n"
        f"{table}\n{pictures[0]}\n{pictures[1]}\n"
        "## Test accuracy after each epoch\n\n"
        f"{frame.table(['method', *epochs], curves)}\n"
        "## Claim\n\nThe claim holds for a method if the mean difference over seeds is "
        f"more than two standard errors above -{REACHED:g}, and does not hold if it is "
        "as far below.\n\n"
        f"{claims_table(claims_of(methods), rows)}"
    )


def write(path: Path, written: dict[str, Any]) -> Path:
    """Write report and pictures beside a results file, and return the report's path."""
    data, settings = written["data"], written["settings"]
    rows = rows_of(written["runs"], data)
    results: dict[str, list[dict[str, Any]]] = {}
    for setting, result in rows:
        run = {**result, "accuracies": result["curve"]}
        results.setdefault(setting["name"], []).append(run)
    import matplotlib

    matplotlib.use("Agg")
    draw_convergence(results, data, path.parent / file_of("convergence", data))
    draw_robustness(results, data, path.parent / file_of("robustness", data))
    out = path.with_suffix(".md")
    out.write_text(report(rows, data, settings).rstrip() + source(written) + "\n")
    return out
