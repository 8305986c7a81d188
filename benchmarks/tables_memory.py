"""Tables of benchmarks.memory and benchmarks.digest: estimates, and checked files."""

from .markdown import VERDICTS, digits, listed, size, source, table
from .memory import CASES, PARTS
from .stored import Results

# The estimate divided by the peak; too little would be paid for with a killed process.
LEAST, MOST = 0.97, 1.1
# The check of a digest, as a share of the load without it.
MOST_CHECK = 0.1
_FITS = {True: "yes", False: "**no**"}


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
        lines.append((*cells, _FITS[fits]))
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


def digest(results: Results) -> str:
    """Return how long a model loads with and without the check of its digest."""
    file = results.one("digest")
    rows = [
        (
            f"from the {row['place']}",
            digits(row["plain_s"]),
            digits(row["checked_s"]),
            f"{row['share']:+.0%}",
            f"at most {MOST_CHECK:.0%}: {VERDICTS[row['share'] <= MOST_CHECK]}",
        )
        for row in file["rows"]
    ]
    head = [f"a file of {size(file['file_bytes'])}", "unchecked, s", "checked, s"]
    head += ["the check", "bound"]
    return table(head, rows) + source(file)
