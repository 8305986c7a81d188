"""Tables of accuracy: SET beside dense nets, all methods, the claims of papers."""

from typing import Any

from .markdown import ABSENT, VERDICTS, count, digits, source, table
from .stored import Results

# What SET must reach by data set, in so many epochs at most, with which net.
ACCURACY = {"fashion_mnist": 0.88, "mnist": 0.982}
ACCURACY_EPOCHS = 30
ACCURACY_HIDDEN, ACCURACY_EPSILONS = [1000, 1000, 1000], (13, 20)


def accuracy(results: Results) -> str:
    """Accuracy of SET, static and dense nets, beside what SET must reach."""
    return _accuracy(results.several("accuracy", "accuracy"), has_targets=True)


def regrow(results: Results) -> str:
    """Accuracy by the initial weight of regrown connections."""
    program = "accuracy --regrow-init-study"
    return _accuracy(results.several("regrow", program), has_targets=False)


def _accuracy(files: list[dict[str, Any]], has_targets: bool) -> str:
    rows, notes = [], ""
    for found in files:
        s = found["settings"]
        for row in found["rows"]:
            spread = row["final_sd"]
            final = f"{row['final_mean']:.2%}"
            method = row["method"]
            if row["epsilon"] is not None:
                method += f", eps {row['epsilon']:g}"
            cells = [
                found["data"],
                method,
                row["regrow_init"] or ABSENT,
                f"{row['lr']:g}",
                count(row["nnz"]),
                str(row["epochs"]),
                str(row["seeds"]),
                final if spread is None else f"{final} ± {spread:.2%}",
            ]
            if has_targets:
                cells.append(accuracy_target(found["data"], s["hidden"], row))
            cells += [f"{row['best_mean']:.2%}", digits(row["seconds_per_epoch"])]
            rows.append(cells)
        threads = " or ".join(sorted({str(run["threads"]) for run in found["runs"]}))
        notes += (
            f"\n\n{found['data']}, {s['epochs']} epochs: hidden "
            f"{'-'.join(map(str, s['hidden']))}, {s['activation']}, batch "
            f"{s['batch_size']}, SGD with momentum {s['momentum']:g}, "
            f"{s['lr_schedule']} learning rate, dropout {s['dropout']:g}, weight decay "
            f"{s['weight_decay']:g}, zeta {s['zeta']:g}; threads: {threads}."
        )
        notes += source(found)
        commits = {run["commit"] or "unknown" for run in found["runs"]}
        if others := commits - {found["commit"] or "unknown"}:
            notes = notes[:-1] + f", some runs {' and '.join(sorted(others))}."
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
