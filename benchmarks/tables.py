"""Tables in Markdown, one function each, from the JSON in a results folder.

`TABLES` names them; report.py puts them where a document asks for them. A function gets
`Results` and returns text; `MissingResultsError` says which program to run.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from truesparse.errors import DataError

PEER_NAMES = {
    "torch_csr": "torch CSR",
    "sparseprop": "SparseProp",
    "scipy_csr": "SciPy",
    "set_numba": "SET in Numba",
    "torch_dense": "torch dense",
    "torch_masked": "torch masked",
    "sklearn_mlp": "scikit-learn",
}
ABSENT = "-"


class MissingResultsError(Exception):
    """There are no results for a table; the message is the program to run."""


class Results:
    """The files of a results folder.

    Parameters
    ----------
    folder : Path
        With step.json, scale.json, accuracy-NAME.json and regrow-NAME.json, as far as
        they exist.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def one(self, name: str) -> dict[str, Any]:
        """Return NAME.json.

        Raises
        ------
        MissingResultsError
            If there is none.
        DataError
            If it is no JSON.
        """
        path = self.folder / f"{name}.json"
        if not path.is_file():
            raise MissingResultsError(f"python -m benchmarks.{name}")
        return _read(path)

    def part(self, name: str, key: str) -> tuple[dict[str, Any], Any]:
        """Return NAME.json and its entry `key`, which not every run has."""
        results = self.one(name)
        if key not in results:
            raise MissingResultsError(f"python -m benchmarks.{name}")
        return results, results[key]

    def several(self, name: str, program: str) -> list[dict[str, Any]]:
        """Return all NAME-*.json in order of their names."""
        paths = sorted(self.folder.glob(f"{name}-*.json"))
        if not paths:
            raise MissingResultsError(f"python -m benchmarks.{program}")
        return [_read(path) for path in paths]


def _read(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read results {path}: {error}") from error


def digits(value: float | None) -> str:
    """Return a number with three digits and no exponent.

    Examples
    --------
    >>> from benchmarks.tables import digits
    >>> digits(1234.5), digits(12.345), digits(1.2), digits(0.012345)
    ('1,234', '12.3', '1.20', '0.0123')
    """
    if value is None:
        return ABSENT
    if value >= 100 or value == 0:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:#.3g}"


def size(n_bytes: float) -> str:
    """Return a size in decimal units."""
    for unit in ("B", "kB", "MB", "GB"):
        if n_bytes < 1000:
            return f"{digits(n_bytes)} {unit}"
        n_bytes /= 1000
    return f"{digits(n_bytes)} TB"


def count(number: int) -> str:
    """Return a count with thousands, millions as such.

    Examples
    --------
    >>> from benchmarks.tables import count
    >>> count(85192), count(16533120)
    ('85,192', '16.5 million')
    """
    return f"{number:,}" if number < 10**6 else f"{digits(number / 1e6)} million"


def markdown(
    head: Sequence[str], rows: Iterable[Sequence[str]], n_text: int = 1
) -> str:
    """Return a table whose first `n_text` columns are text, the others numbers."""
    rule = ["---"] * n_text + ["---:"] * (len(head) - n_text)
    lines = [head, rule, *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def source(results: dict[str, Any]) -> str:
    """Return where, when and of which commit results are, as a sentence."""
    machine = results["machine"]
    extras = ""
    if "rates" in results:
        rates = results["rates"]
        extras = (
            f"; sgemm {rates['sgemm_gflops']:.0f} GFLOP/s, memory "
            f"{max(rates['stream_gbs'].values()):.0f} GB/s in the same run"
        )
    settings = results.get("settings", results)
    if settings.get("smoke"):
        extras += "; a smoke run, whose figures mean nothing"
    return (
        f"\n\n{machine['cpu']}, {machine['usable_cores']} cores{extras}; "
        f"{results['date'][:10]}, commit {results['commit'] or 'unknown'}."
    )


def step(results: Results) -> str:
    """Speed of a step beside the fastest peer and torch dense."""
    found = results.one("step")
    rows = []
    for case in found["cases"]:
        f = case["figures"]
        peers = [row for row in case["rows"] if row["name"] != "truesparse"]
        fastest = ABSENT
        if peers:
            best = min(peers, key=lambda row: row["ms"])
            fastest = (
                f"{digits(f['vs_fastest_peer'])}x "
                f"({PEER_NAMES[best['name']]}, {digits(best['ms'])} ms)"
            )
        dense = f.get("vs_torch_dense")
        rows.append(
            (
                case["title"],
                count(case["nnz"]),
                digits(f["ms"]),
                digits(f["ns"]),
                digits(f["gflops"]),
                f"{f['of_sgemm']:.0%}",
                f"{f['of_bound']:.0%}",
                fastest,
                "no memory" if dense is None else f"{digits(dense)}x",
            )
        )
    head = ["net", "weights", "ms a step", "ns/(w s)", "GFLOP/s", "of sgemm"]
    head += ["of the lower bound", "faster than the fastest peer", "than torch dense"]
    return markdown(head, rows) + source(found)


def peers(results: Results) -> str:
    """Milliseconds a step of everybody, with the quartiles of truesparse."""
    found = results.one("step")
    rows = []
    reasons: dict[str, list[str]] = {}
    for case in found["cases"]:
        times = {row["name"]: row for row in case["rows"]}
        own = times["truesparse"]
        cells = [f"**{digits(own['ms'])}** ({digits(own['q1_ms'])} to "]
        cells[0] += f"{digits(own['q3_ms'])})"
        for name in PEER_NAMES:
            cells.append(digits(times[name]["ms"]) if name in times else ABSENT)
        rows.append((case["title"], *cells))
        for name, reason in case["refused"].items():
            reasons.setdefault(f"{PEER_NAMES[name]}: {reason}", []).append(case["key"])
    head = ["ms a step", "truesparse (quartiles)", *PEER_NAMES.values()]
    notes = "".join(
        f"\n* {', '.join(keys)}: {reason}" for reason, keys in reasons.items()
    )
    absent = f"\n\nNot run:\n{notes}" if notes else ""
    return markdown(head, rows) + absent + source(found)


def targets(results: Results) -> str:
    """Every target with the value found."""
    found = results.one("step")
    words = {True: "met", False: "**missed**", None: "not measured"}
    rows = [
        (case["title"], t["text"], digits(t["value"]), words[t["met"]])
        for case in found["cases"]
        for t in case["targets"]
    ]
    head = ["net", "target", "measured", ""]
    return markdown(head, rows, n_text=2) + source(found)


def memory(results: Results) -> str:
    """Bytes a weight, peak memory, initialisation, topology update, compilation."""
    found = results.one("step")
    rows = []
    for case in found["cases"]:
        f = case["figures"]
        rows.append(
            (
                case["title"],
                f"{f['bytes_sgd']:.1f} ({f['bytes_sgd_all']:.1f})",
                f"{f['bytes_adam']:.1f} ({f['bytes_adam_all']:.1f})",
                size((f["peak_update_mb"] or 0) * 1e6),
                size(case["own"]["dense_bytes"]),
                digits(f["init_s"]),
                digits(f["update_s"]),
                digits(f["cold_s"]),
                digits(f["warm_s"]),
            )
        )
    head = ["net", "bytes a weight, momentum", "Adam", "peak memory"]
    head += ["dense weights and momentum", "initialisation, s", "SET update, s"]
    head += ["first step, s", "kernels compiled before, s"]
    note = (
        "\n\nBytes of all arrays with an entry a weight; in brackets with the row "
        "pointers, 8 bytes a neuron and direction. Small batches need no column view."
    )
    return markdown(head, rows) + note + source(found)


def scale(results: Results) -> str:
    """Growth with the number of neurons."""
    found, rows = results.part("scale", "table")
    head = ["hidden neurons", "eps", "weights", "initialisation, s", "step, ms"]
    head += ["SET update, s", "peak memory", "bytes a weight"]
    head += ["dense weights and momentum"]
    cells = [
        (
            f"{row['neurons']:,}",
            f"{row['epsilon']:g}",
            count(row["nnz"]),
            digits(row["init_s"]),
            digits(row["step_s"] * 1e3),
            digits(row["update_s"]),
            size((row["peak_update_mb"] or 0) * 1e6),
            f"{row['bytes_sgd_all']:.1f}",
            size(row["dense_bytes"]),
        )
        for row in rows
    ]
    return markdown(head, cells) + source(found)


def main_job(results: Results) -> str:
    """What the main job reports on a fresh machine."""
    found, job = results.part("scale", "main_job")
    command = "`python -m truesparse.train " + " ".join(job["flags"]) + "`"
    rows = [
        ("hidden neurons", f"{job['neurons']:,}"),
        ("weights", count(job["nnz"])),
        ("test accuracy", f"{job['test_score']:.4f}"),
        ("epochs", str(job["epochs"])),
        ("seconds an epoch", digits(job["seconds_per_epoch"])),
        ("seconds in all, with compilation", digits(job["wall_s"])),
        ("peak memory", size(job["peak_rss_mb"] * 1e6)),
        ("dense weights and momentum", size(job["dense_mb"] * 1e6)),
    ]
    return markdown((command, ""), rows) + source(found)


def start(results: Results) -> str:
    """Compilation, first step, help."""
    found, times = results.part("scale", "start")
    rows = [
        ("compiling all that a run uses", digits(times["compile_s"]), "20"),
        (
            "main job to its first step, kernels compiled",
            digits(times["first_step_s"]),
            "3",
        ),
    ]
    if "help" in found:
        rows.append(("`--help`", digits(found["help"]["median_s"]), "0.5"))
    return markdown(("start", "seconds", "at most"), rows) + source(found)


def subnormal(results: Results) -> str:
    """A step with subnormal numbers, flushed and kept."""
    found, cases = results.part("scale", "subnormal")
    names = {
        "normal": "none",
        "deltas": "deltas, gradients, momentum",
        "weights": "half the weights and their momentum",
        "both": "both",
    }
    rows = [
        (
            names[case],
            digits(row["flushed_ms"]),
            digits(row["kept_ms"]),
            f"{row['slowdown']:.2f}x",
        )
        for case, row in cases.items()
    ]
    head = ["subnormal", "flushed, ms a step", "kept, ms a step", "kept is slower by"]
    return markdown(head, rows) + source(found)


def accuracy(results: Results) -> str:
    """Accuracy of SET, static and dense nets."""
    return _accuracy(results.several("accuracy", "accuracy"))


def regrow(results: Results) -> str:
    """Accuracy by the initial weight of regrown connections."""
    program = "accuracy --regrow-init-study"
    return _accuracy(results.several("regrow", program))


def _accuracy(files: list[dict[str, Any]]) -> str:
    rows, notes = [], ""
    for found in files:
        for row in found["rows"]:
            spread = row["final_sd"]
            final = f"{row['final_mean']:.2%}"
            method = row["method"]
            if row["epsilon"] is not None:
                method += f", eps {row['epsilon']:g}"
            rows.append(
                (
                    found["data"],
                    method,
                    row["regrow_init"] or ABSENT,
                    f"{row['lr']:g}",
                    count(row["nnz"]),
                    final if spread is None else f"{final} ± {spread:.2%}",
                    f"{row['best_mean']:.2%}",
                    f"{row['epochs']}, {row['seeds']}",
                    digits(row["seconds_per_epoch"]),
                )
            )
        s = found["settings"]
        notes += (
            f"\n\n{found['data']}: hidden {'-'.join(map(str, s['hidden']))}, "
            f"{s['activation']}, batch {s['batch_size']}, SGD with momentum "
            f"{s['momentum']:g}, {s['lr_schedule']} learning rate, dropout "
            f"{s['dropout']:g}, weight decay {s['weight_decay']:g}, zeta {s['zeta']:g}."
        )
        notes += source(found)
    head = ["data", "method", "regrown weights", "learning rate", "weights"]
    head += ["test accuracy", "best epoch", "epochs, seeds", "s an epoch"]
    return markdown(head, rows, n_text=3) + notes


TABLES: dict[str, Callable[[Results], str]] = {
    "step": step,
    "peers": peers,
    "targets": targets,
    "memory": memory,
    "scale": scale,
    "main_job": main_job,
    "start": start,
    "subnormal": subnormal,
    "accuracy": accuracy,
    "regrow": regrow,
}
