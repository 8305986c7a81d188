"""Tables of benchmarks.accuracy: SET beside static and dense nets, regrown weights."""

from typing import Any

from .markdown import (
    ABSENT,
    VERDICTS,
    count,
    digits,
    listed,
    missing,
    score,
    source,
    table,
)
from .stored import Results

# What SET must reach on each data set, within so many epochs, with such nets.
ACCURACY = {"fashion_mnist": 0.88, "mnist": 0.982}
ACCURACY_EPOCHS = 30
ACCURACY_HIDDEN, ACCURACY_EPSILONS = [1000, 1000, 1000], (13, 20)


def accuracy(results: Results) -> str:
    """Accuracy of SET, static and dense nets, beside what SET must reach."""
    files = results.several("accuracy", "accuracy")
    judged = {
        file["data"]
        for file in files
        for row in file["rows"]
        if accuracy_target(file["data"], file["settings"]["hidden"], row) != ABSENT
    }
    not_judged = [
        f"SET on {data} ({bound:.1%} within {ACCURACY_EPOCHS} epochs)"
        for data, bound in ACCURACY.items()
        if data not in judged
    ]
    note = missing(not_judged)
    return _accuracy(files, has_targets=True) + (f"\n\n{note}" if note else "")


def regrow(results: Results) -> str:
    """Accuracy by the initial weight of regrown connections."""
    program = "accuracy --regrow-init-study"
    return _accuracy(results.several("regrow", program), has_targets=False)


def _accuracy(files: list[dict[str, Any]], has_targets: bool) -> str:
    rows: list[list[str]] = []
    notes = ""
    for file in files:
        s = file["settings"]
        for row in file["rows"]:
            method = row["method"]
            if row["epsilon"] is not None:
                method += f", eps {row['epsilon']:g}"
            cells = [
                file["data"],
                method,
                row["regrow_init"] or ABSENT,
                f"{row['lr']:g}",
                count(row["nnz"]),
                str(row["epochs"]),
                str(row["seeds"]),
                score(row["final_mean"], row["final_sd"]),
            ]
            if has_targets:
                cells.append(accuracy_target(file["data"], s["hidden"], row))
            cells += [f"{row['best_mean']:.2%}", digits(row["seconds_per_epoch"])]
            rows.append(cells)
        threads = listed(sorted({str(run["threads"]) for run in file["runs"]}))
        notes += (
            f"\n\n{file['data']}, {s['epochs']} epochs: hidden "
            f"{'-'.join(map(str, s['hidden']))}, {s['activation']}, batch "
            f"{s['batch_size']}, SGD with momentum {s['momentum']:g}, "
            f"{s['lr_schedule']} learning rate, dropout {s['dropout']:g}, weight decay "
            f"{s['weight_decay']:g}, zeta {s['zeta']:g}; threads: {threads}."
        )
        notes += source(file)
    head = ["data", "method", "regrown weights", "learning rate", "weights", "epochs"]
    head += ["seeds", "test accuracy", *(["at least"] if has_targets else [])]
    head += ["best epoch", "s an epoch"]
    return table(head, rows, n_text=3) + notes


def accuracy_target(data: str, hidden: list[int], row: dict[str, Any]) -> str:
    """Return what a row of the accuracy table must reach and whether it does."""
    is_short = row["epochs"] <= ACCURACY_EPOCHS
    is_target_net = hidden == ACCURACY_HIDDEN and row["epsilon"] in ACCURACY_EPSILONS
    if not (data in ACCURACY and row["method"] == "set" and is_short and is_target_net):
        return ABSENT
    bound = ACCURACY[data]
    return f"{bound:.1%}: {VERDICTS[row['final_mean'] >= bound]}"
