"""Tables in Markdown, one function each, from the JSON files of a results folder.

`TABLES`, `METHOD_TABLES` and `README_TABLES` name them, and report.py puts them where a
document asks for them. A function takes `Results` and returns text;
`MissingResultsError` says which program to run. Tables of accuracy are in
tables_accuracy.py, tables_dtypes.py, tables_methods.py, tables_choice.py,
tables_chts.py, tables_estimators.py and tables_defaults.py, those of size in
tables_scale.py and tables_memory.py, those of README.md in tables_readme.py.
"""

from collections.abc import Callable

from .markdown import ABSENT, VERDICTS, count, digits, size, source, table
from .stored import Results
from .tables_accuracy import accuracy, regrow
from .tables_choice import choice
from .tables_chts import methods_chts
from .tables_defaults import readme_wide, regression, wide
from .tables_dtypes import activation_dtypes
from .tables_estimators import estimators
from .tables_memory import digest, estimate
from .tables_methods import claims, methods_fashion, methods_fashion_32, methods_mnist
from .tables_readme import PEER_NAMES, readme_accuracy, readme_scale, readme_speed
from .tables_scale import large, main_job, scale, start, subnormal


def step(results: Results) -> str:
    """Speed of a step beside the fastest peer and torch dense."""
    file = results.one("step")
    rows = []
    for case in file["cases"]:
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
        rounded = case.get("rounded")
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
        if rounded:
            gain = f["ms"] / rounded["ms"]
            times = f["vs_fastest_peer"] and f["vs_fastest_peer"] * gain
            rows.append(
                (
                    "the same, activations in bfloat16",
                    count(case["nnz"]),
                    digits(rounded["ms"]),
                    digits(rounded["ns"]),
                    digits(rounded["gflops"]),
                    f"{rounded['of_sgemm']:.0%}",
                    ABSENT,
                    f"{digits(times)}x" if times else ABSENT,
                    ABSENT if dense is None else f"{digits(dense * gain)}x",
                )
            )
    head = ["net", "weights", "ms a step", "ns per weight and sample"]
    head += ["GFLOP/s", "of the sgemm rate", "of the lower bound"]
    head += ["faster than the fastest peer", "than torch dense"]
    return table(head, rows) + source(file)


def peers(results: Results) -> str:
    """Milliseconds a step of all implementations, with the quartiles of truesparse."""
    file = results.one("step")
    rows = []
    reasons: dict[str, list[str]] = {}
    for case in file["cases"]:
        times = {row["name"]: row for row in case["rows"]}
        ours = times["truesparse"]
        cells = [f"**{digits(ours['ms'])}** ({digits(ours['q1_ms'])} to "]
        cells[0] += f"{digits(ours['q3_ms'])})"
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
    return table(head, rows) + absent + source(file)


def targets(results: Results) -> str:
    """Every target, with the value measured."""
    file = results.one("step")
    rows = [
        (case["title"], t["text"], digits(t["value"]), VERDICTS[t["met"]])
        for case in file["cases"]
        for t in case["targets"]
    ]
    head = ["net", "target", "measured", ""]
    return table(head, rows, n_text=2) + source(file)


def memory(results: Results) -> str:
    """Bytes a weight, peak memory, initialisation, topology update, compilation."""
    file = results.one("step")
    rows = []
    for case in file["cases"]:
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
    return table(head, rows) + note + source(file)


def updates(results: Results) -> str:
    """A topology update of a large net, algorithm by algorithm."""
    file = results.one("updates")
    rows = [
        (
            f"`{row['topology']}`",
            digits(row["seconds"]),
            ABSENT if row["most_seconds"] is None else f"{row['most_seconds']:g}",
            ABSENT
            if row["most_seconds"] is None
            else VERDICTS[row["seconds"] <= row["most_seconds"]],
            count(row["replaced"]),
            f"{row['peak_ratio']:.2f}x",
            VERDICTS[row["peak_ratio"] <= row["most_memory"]],
        )
        for row in file["rows"]
    ]
    head = ("topology", "seconds", "at most", "", "grown", "memory", "at most 1.5x")
    return table(head, rows) + source(file)


def analyses(results: Results) -> str:
    """Seconds of the analyses of trained networks."""
    file = results.one("analyses")
    rows = [
        (
            row["part"],
            count(row["neurons"]),
            row["analysis"].replace("_", " "),
            digits(row["seconds"]),
            *(
                (ABSENT, ABSENT)
                if row["most_seconds"] is None
                else (
                    f"{row['most_seconds']:g}",
                    VERDICTS[row["seconds"] <= row["most_seconds"]],
                )
            ),
        )
        for row in file["rows"]
    ]
    head = ("network", "neurons of a layer", "analysis", "seconds", "at most", "")
    return table(head, rows) + source(file)


def roofline(results: Results) -> str:
    """Kernels of a step against what the machine allows, layer by layer."""
    file = results.one("roofline")
    rows = [
        (
            row["net"],
            row["pass"],
            row.get("layer", ABSENT),
            digits(row["ms"]),
            *(
                (ABSENT,) * 6
                if row["pass"] == "rest"
                else (
                    digits(row["gflops"]),
                    size(row["fetched_bytes"]),
                    size(row["set_bytes"]),
                    f"{digits(row['gbs'])} of {digits(row['row_gbs'])}",
                    row["bound_by"],
                    f"{row['of_bound']:.0%}",
                )
            ),
        )
        for row in file["rows"]
    ]
    head = ["net", "pass", "layer", "ms", "GFLOP/s", "fetched", "from a set of"]
    head += ["GB/s", "bound by", "of the bound"]
    return table(head, rows, n_text=3) + source(file)


def condensed(results: Results) -> str:
    """Latency of the condensed layout at batch 1 beside torch and the CSR layout."""
    file = results.one("condensed")
    targets, rows = file["targets"], []
    for row in file["rows"]:
        verdict = ABSENT
        if "target_dense_met" in row:
            met = row["target_dense_met"], row["target_csr_met"]
            verdict = ", ".join(VERDICTS[each] for each in met)
        if "target_varying_met" in row:
            verdict = VERDICTS[row["target_varying_met"]] + " (1.5x, predict)"
        times = row["timings"]
        is_constant = row.get("fan_in", "constant") == "constant"
        rows.append(
            (
                row["shape"] + ("" if is_constant else ", varying fan-in"),
                f"{row['sparsity']:g} %",
                f"{row['threads']}",
                digits(times["condensed"]["median"] * 1e6),
                digits(times["truesparse_csr"]["median"] * 1e6),
                ratio(row.get("vs_torch_dense")),
                f"{row['vs_fastest_csr']:.2f}x ({row['fastest_csr']})",
                verdict,
            )
        )
    bounds = f"{targets['dense']:g}x, {targets['csr']:g}x"
    head = ["layers", "sparsity", "threads", "condensed, us", "as CSR, us"]
    head += ["faster than torch dense", "than the fastest CSR", f"at least {bounds}"]
    return table(head, rows) + source(file)


def ratio(value: float | None) -> str:
    """Return how many times faster something is."""
    return ABSENT if value is None else f"{value:.2f}x"


# All figures, for RESULTS.md.
TABLES: dict[str, Callable[[Results], str]] = {
    "step": step,
    "peers": peers,
    "targets": targets,
    "memory": memory,
    "estimate": estimate,
    "digest": digest,
    "scale": scale,
    "main_job": main_job,
    "start": start,
    "large": large,
    "subnormal": subnormal,
    "roofline": roofline,
    "updates": updates,
    "analyses": analyses,
    "condensed": condensed,
    "accuracy": accuracy,
    "regrow": regrow,
    "activation_dtypes": activation_dtypes,
    "methods_mnist": methods_mnist,
    "methods_fashion": methods_fashion,
    "methods_fashion_32": methods_fashion_32,
    "methods_chts": methods_chts,
    "claims": claims,
    "estimators": estimators,
    "wide": wide,
    "regression": regression,
}

# Of METHODS.md.
METHOD_TABLES: dict[str, Callable[[Results], str]] = {"choice": choice}

# A few figures in three columns, for README.md.
README_TABLES: dict[str, Callable[[Results], str]] = {
    "readme_speed": readme_speed,
    "readme_scale": readme_scale,
    "readme_accuracy": readme_accuracy,
    "readme_wide": readme_wide,
}
