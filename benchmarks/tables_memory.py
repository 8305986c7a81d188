"""The table of benchmarks.memory: what estimates say and what runs take."""

from .markdown import listed, size, source, table
from .memory import CASES, PARTS
from .stored import Results

# The estimate divided by the peak; too little would be paid for with a killed process.
LEAST, MOST = 0.97, 1.1
_VERDICTS = {True: "yes", False: "**no**"}


def estimate(results: Results) -> str:
    """Return estimate, peak and ratio of each case, with and without kernels."""
    file = results.one("memory")
    by_case = {run["case"]: run for run in file["runs"]}
    lines = []
    for name in CASES:
        if name not in by_case:
            continue
        run = by_case[name]
        cells = [f"{run['neurons']:,}", f"`--data {run['data']} {run['flags']}".strip()]
        cells[-1] += "`"
        for part in PARTS:
            got = run[part]
            cells += [size(got["estimate"]), size(got["peak"]), f"{got['ratio']:.2f}"]
        fits = all(LEAST <= run[part]["ratio"] <= MOST for part in PARTS)
        lines.append((*cells, _VERDICTS[fits]))
    head = ["hidden neurons", "options"]
    for part in ("compiled", "to be compiled"):
        head += [f"estimate, kernels {part}", "peak", "ratio"]
    head.append(f"{LEAST} to {MOST}")
    left_out = [name for name in CASES if name not in by_case]
    note = (
        "\n\n`dense` are 20,000 samples of 1000 features, `csr` 5,000 of 50,000 with a "
        "hundred values each."
    )
    if left_out:
        note += f" Not measured: {listed(left_out)}."
    return table(head, lines, 2) + note + source(file)
