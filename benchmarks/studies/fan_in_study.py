"""Constant fan-in with and without ablation of neurons: accuracy, width, latency.

    python -m benchmarks.studies.fan_in_study --data-home DIR --jobs 2
    python -m benchmarks.studies.fan_in_study --data-home DIR --jobs 2 --full

Lasby et al., "Dynamic sparse training with structured sparsity", ICLR 2024, on a
multilayer perceptron: SRigL gives all neurons the same number of inputs, and ablates
those with few salient ones; the claims are that without ablation it falls behind RigL
above 90 % sparsity, and that the condensed layout of the trained net answers 3.4 times
as fast as a dense layer and 2.5 times as fast as CSR (one sample, 90 %).

The nets are trained by `--jobs` processes. Then the latency of one sample is measured
for exactly these nets, in this process alone, as in benchmarks/condensed.py. The same
command measures it again; leave the machine alone meanwhile.
"""

import argparse
import itertools
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.condensed import check_agreement, make_steps
from benchmarks.harness import median_times
from benchmarks.peers.numpy_peers import blas_threads
from truesparse import load
from truesparse.analysis.sweeps import Setting
from truesparse.kernels import jit

from . import frame
from .fan_in_claims import claims
from .training import DENSE

OUT = "benchmarks/results/studies/fan_in"
ROUTINE = {"zeta": 0.3, "decay": "cosine", "decay_end": 0.75}
STRUCTURED = {"init_topology": "constant_fan_in", "method": "srigl"}
METHODS: dict[str, dict[str, Any]] = {
    "SRigL": {**STRUCTURED, "options": ROUTINE},
    "SRigL without ablation": {
        **STRUCTURED,
        "options": {**ROUTINE, "gamma_salience": 0.0},
    },
    "RigL": {"method": "rigl", "options": ROUTINE},
}
MEASURED = ("SRigL", "SRigL without ablation")
PEERS = ("torch_dense", "torch_csr", "scipy_csr", "truesparse_csr")
SIZES: dict[str, dict[str, Any]] = {
    "default": {
        "data": ["fashion_mnist"],
        "hidden": [1000, 1000, 1000],
        "sparsities": [0.9, 0.95, 0.99, 0.995],
        "epochs": 30,
        "seeds": 3,
        "repeats": 15,
        "every": 100,  # steps
    },
    "full": {"epochs": 100, "seeds": 5, "data": ["fashion_mnist", "cifar10"]},
    "smoke": {
        "data": ["digits"],
        "hidden": [40, 40],
        "sparsities": [0.8, 0.9],
        "epochs": 2,
        "seeds": 2,
        "repeats": 2,
        "every": 4,
    },
}


def settings_of(chosen: dict[str, Any]) -> list[Setting]:
    """Return the settings of all runs; a dense net for each data set and seed."""
    shared = {
        "hidden": chosen["hidden"],
        "epochs": chosen["epochs"],
        "lr": 0.05,
        "momentum": 0.9,
        "batch_size": 128,
        "dropout": 0.0,
    }
    settings = []
    for data, seed in itertools.product(chosen["data"], range(chosen["seeds"])):
        where = {"data": data, "seed": seed, **shared}
        plain = {"options": {}, "measures": ["structure"]}
        settings.append({"name": "dense", "method": DENSE, **plain, **where})
        for sparsity, (name, facts) in itertools.product(
            chosen["sparsities"], METHODS.items()
        ):
            setting = {"name": name, **facts, **where, "measures": ["structure"]}
            schedule = {"every": chosen["every"], "unit": "step"}
            setting["options"] = {**facts["options"], "schedule": schedule}
            setting["density"] = round(1.0 - sparsity, 6)
            if name in MEASURED:
                setting["file"] = f"{data}-{name}-{sparsity:g}-{seed}".replace(" ", "-")
            settings.append(setting)
    return settings


def latencies(
    rows: frame.Rows, chosen: dict[str, Any], out: Path
) -> dict[str, dict[str, float]]:
    """Return microseconds for one sample by model file and candidate, one thread."""
    measured: dict[str, dict[str, float]] = {}
    jit.set_threads(1)
    for _, result in rows:
        if "model" not in result:
            continue
        layers = list(load(out / frame.MODELS / result["model"]).layers)
        n_in = layers[0].connections.n_in
        x = np.random.default_rng(1).random((1, n_in), np.float32)
        with blas_threads(1):
            steps, _ = make_steps(layers, x, 1)
            check_agreement(steps, True)
            timings = median_times(steps, chosen["repeats"], 0.02)
        measured[result["model"]] = {
            name: 1e6 * timing.median for name, timing in timings.items()
        }
    return measured


def report(
    rows: frame.Rows, chosen: dict[str, Any], times: dict[str, dict[str, float]]
) -> str:
    """Return the report as Markdown."""
    text = (
        "# Constant fan-in, with and without ablation of neurons\n\n"
        f"Size {chosen['size']}: hidden layers "
        f"{', '.join(map(str, chosen['hidden']))}, a dense read-out, "
        f"{chosen['epochs']} epochs, {chosen['seeds']} seeds, with standard deviations."
        " Active neurons of a layer are those with connections. Latencies are of one "
        "sample through the whole trained net on one thread.\n"
    )
    for data in chosen["data"]:
        groups: dict[tuple[str, float], list[dict[str, Any]]] = {}
        for setting, result in rows:
            if setting["data"] == data and result["accuracy"] is not None:
                key = setting["name"], round(1.0 - setting.get("density", 1.0), 6)
                groups.setdefault(key, []).append(result)
        accuracy_lines, latency_lines = [], []
        for (name, sparsity), results in groups.items():
            line = [name, f"{100 * sparsity:g} %"]
            accuracy = [100 * result["accuracy"] for result in results]
            active = [
                frame.mean_text(
                    [100 * (1.0 - r["empty_neurons"][layer]) for r in results], 1
                )
                for layer in range(len(chosen["hidden"]))
            ]
            accuracy_lines.append([*line, frame.mean_text(accuracy, 2), *active])
            known = [times[r["model"]] for r in results if r.get("model") in times]
            if known:
                latency_lines.append([*line, *_latency_cells(known)])
        hidden = range(1, len(chosen["hidden"]) + 1)
        head = ["method", "sparsity", "test accuracy, %"]
        head += [f"active neurons of layer {index}, %" for index in hidden]
        text += f"\n## {data}\n\n{frame.table(head, accuracy_lines)}"
        head = ["method", "sparsity", "condensed, us"]
        head += [f"{peer}, times as long" for peer in PEERS]
        text += f"\n{frame.table(head, latency_lines)}"
        text += f"\n![Accuracy and active neurons](fan_in-{data}.png)\n"
    return f"{text}\n## Claims\n\n{claims(rows, times)}"


def _latency_cells(known: list[dict[str, float]]) -> list[str]:
    cells = [frame.mean_text([each["condensed"] for each in known], 1)]
    for peer in PEERS:
        ratios = [each[peer] / each["condensed"] for each in known if peer in each]
        cells.append(frame.mean_text(ratios, 2))
    return cells


def draw(rows: frame.Rows, chosen: dict[str, Any], out: Path) -> None:
    """Draw accuracy and active neurons against the sparsity, for each data set."""
    import matplotlib

    matplotlib.use("Agg")
    for data in chosen["data"]:
        _draw(rows, data, chosen, out / f"fan_in-{data}.png")


def _draw(rows: frame.Rows, data: str, chosen: dict[str, Any], path: Path) -> None:
    from matplotlib import pyplot

    from truesparse.plots import display

    sparsities = chosen["sparsities"]
    figure, (left, right) = pyplot.subplots(
        1, 2, figsize=(9.6, 4.0), layout="constrained"
    )
    places = np.arange(len(sparsities))
    for index, name in enumerate(METHODS):
        accuracy, active = [], []
        for sparsity in sparsities:
            results = [
                result
                for setting, result in rows
                if (setting["data"], setting["name"]) == (data, name)
                and setting["density"] == round(1.0 - sparsity, 6)
                and result["accuracy"] is not None
            ]
            n_hidden = len(chosen["hidden"])
            accuracy.append([100 * r["accuracy"] for r in results])
            active.append(
                [100 * (1.0 - np.mean(r["empty_neurons"][:n_hidden])) for r in results]
            )
        look = display.style(index)
        for ax, values in ((left, accuracy), (right, active)):
            means = [np.mean(v) if v else np.nan for v in values]
            spread = [np.std(v, ddof=1) if len(v) > 1 else 0.0 for v in values]
            ax.errorbar(
                places, means, spread, label=name, capsize=3, marker="o", **look
            )
    dense = [
        100 * result["accuracy"]
        for setting, result in rows
        if (setting["data"], setting["name"]) == (data, "dense")
        and result["accuracy"] is not None
    ]
    if dense:
        left.axhline(np.mean(dense), color=display.GREY, lw=1, label="dense")
    for ax in (left, right):
        ax.set_xticks(places, [f"{100 * sparsity:g}" for sparsity in sparsities])
        ax.set_xlabel("sparsity of the hidden layers, %")
    left.set_ylabel(f"test accuracy, %, {data}")
    right.set_ylabel("active hidden neurons, %")
    display.legend_above(left, 2)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def main(arguments: list[str] | None = None) -> int:
    """Run the study and write its report."""
    options = make_parser().parse_args(arguments)
    chosen = frame.with_size(options, SIZES)
    rows = frame.run(
        settings_of(chosen),
        options,
        lambda s: (
            f"{s['name']} on {s['data']}, density {s.get('density', 1.0):g}, "
            f"seed {s['seed']}"
        ),
    )
    draw(rows, chosen, options.out)
    times = latencies(rows, chosen, options.out)
    text = report(rows, chosen, times)
    frame.write_report(options.out, text, chosen, rows, latencies_us=times)
    return 0


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the flags."""
    return frame.make_parser("Constant fan-in and ablation of neurons.", OUT)


if __name__ == "__main__":
    frame.call(main)
