"""Tables of benchmarks.scale: growth with neurons, the main job, the largest nets."""

from .markdown import VERDICTS, count, digits, size, source, table
from .stored import MissingResultsError, Results

# Bounds of the main job.
JOB_SCORE, JOB_SECONDS, JOB_PEAK_MB = 0.97, 180, 3000
# What the largest nets are to take: nanoseconds a weight and sample, bytes at the peak.
LARGE_NS, LARGE_BYTES = {100_000_000: 1.8}, {200_000_000: 24e9}
LARGE_PROGRAM = (
    "python -m benchmarks.scale --parts large --large 10000000,100000000,200000000"
)


def scale(results: Results) -> str:
    """Growth with the number of neurons."""
    file, rows = results.part("scale", "table")
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
    return table(head, cells) + source(file)


def main_job(results: Results) -> str:
    """Report of the main job with nothing compiled before, beside its bounds."""
    file, job = results.part("scale", "main_job")
    command = "`python -m truesparse.train " + " ".join(job["flags"]) + "`"
    score, seconds, peak = job["test_score"], job["wall_s"], job["peak_rss_mb"]
    rows = [
        ("hidden neurons", f"{job['neurons']:,}", "", ""),
        ("weights", count(job["nnz"]), "", ""),
        (
            "test accuracy",
            f"{score:.4f}",
            f"at least {JOB_SCORE:g}",
            VERDICTS[score >= JOB_SCORE],
        ),
        ("epochs", str(job["epochs"]), "", ""),
        ("seconds an epoch", digits(job["seconds_per_epoch"]), "", ""),
        (
            "seconds in all, with compilation",
            digits(seconds),
            f"under {JOB_SECONDS}",
            VERDICTS[seconds < JOB_SECONDS],
        ),
        (
            "peak memory",
            size(peak * 1e6),
            f"under {JOB_PEAK_MB / 1e3:g} GB",
            VERDICTS[peak < JOB_PEAK_MB],
        ),
        ("dense weights and momentum", size(job["dense_mb"] * 1e6), "", ""),
    ]
    return table((command, "", "bound", ""), rows) + source(file)


def start(results: Results) -> str:
    """Compilation, first step, help, beside their bounds."""
    file, times = results.part("scale", "start")
    measured = [
        ("compiling all that a run uses", times["compile_s"], 20),
        ("main job to its first step, kernels compiled", times["first_step_s"], 3),
    ]
    if "help" in file:
        measured.append(("`--help`", file["help"]["median_s"], 0.5))
    if "refusal" in file:
        text = "refusing a net that fits no memory"
        measured.append((text, file["refusal"]["median_s"], 1))
    rows = [
        (text, digits(seconds), f"{bound:g}", VERDICTS[seconds <= bound])
        for text, seconds, bound in measured
    ]
    return table(("start", "seconds", "at most", ""), rows) + source(file)


def large(results: Results) -> str:
    """Training of the largest nets, beside what they are to take."""
    try:
        file = results.one("scale_large")
    except MissingResultsError:
        raise MissingResultsError(LARGE_PROGRAM) from None
    rows = []
    for job in file["large"]:
        peak, speed = 1e6 * job["peak_rss_mb"], job["ns_weight_sample"]
        verdicts = []
        if limit := LARGE_NS.get(job["neurons"]):
            verdicts.append(f"at most {limit:g} ns: {VERDICTS[speed <= limit]}")
        if limit := LARGE_BYTES.get(job["neurons"]):
            verdicts.append(f"at most {limit / 1e9:g} GB: {VERDICTS[peak <= limit]}")
        rows.append(
            (
                f"{job['neurons']:,}",
                count(job["nnz"]),
                digits(job["step_s"]),
                f"{speed:.2f}",
                digits(job["update_s"]),
                f"{job['wall_s']:.0f}",
                size(peak),
                f"{1e6 * job['estimate_mb'] / peak:.2f}",
                "; ".join(verdicts),
            )
        )
    head = ["hidden neurons", "weights", "step, s", "ns a weight and sample"]
    head += [
        "SET update, s",
        "seconds in all",
        "peak memory",
        "estimate / peak",
        "bound",
    ]
    return table(head, rows) + source(file)


def subnormal(results: Results) -> str:
    """A step with subnormal numbers, flushed and kept."""
    file, cases = results.part("scale", "subnormal")
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
    return table(head, rows) + source(file)
