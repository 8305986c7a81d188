"""The table of benchmarks.activation_dtypes: accuracy in float32 and bfloat16."""

from .activation_dtypes import DTYPES, METHODS, SETS
from .markdown import ABSENT, score, source, table
from .stored import Results

_TITLES = {"set": "SET", "rigl": "RigL"}
_VERDICTS = {True: "yes", False: "**no**", None: ABSENT}


def activation_dtypes(results: Results) -> str:
    """Test accuracy with both dtypes, their difference and its deviation."""
    file = results.one("activation_dtypes")
    by_key = {(row["data"], row["method"]): row for row in file["rows"]}
    rows = [
        by_key[data, method]
        for data in SETS
        for method in METHODS
        if (data, method) in by_key
    ]
    lines = []
    for row in rows:
        spread = row["difference_sd"]
        lines.append(
            (
                SETS[row["data"]].title,
                _TITLES[row["method"]],
                *(score(row[f"{name}_mean"], row[f"{name}_sd"]) for name in DTYPES),
                f"{100 * row['difference']:+.2f}",
                ABSENT if spread is None else f"{100 * spread:.2f}",
                _VERDICTS[row["equal"]],
                str(row["seeds"]),
            )
        )
    head = ["data", "method", *DTYPES, "difference in points"]
    head += ["its deviation over seeds", "equal within it", "seeds"]
    s = file["settings"]
    sets = [SETS[name] for name in dict.fromkeys(row["data"] for row in rows)]
    epochs = ", ".join(f"{s['epochs'] or each.epochs} ({each.title})" for each in sets)
    note = (
        f"\n\nHidden {'-'.join(map(str, s['hidden']))}, eps {s['epsilon']:g}, batch "
        f"{s['batch_size']}, SGD with momentum {s['momentum']:g}, learning rate "
        f"{s['lr']:g} that falls to 0, dropout {s['dropout']:g}. Epochs: {epochs}."
    )
    return table(head, lines, 2) + note + source(file)
