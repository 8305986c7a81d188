"""The three small tables of README.md; RESULTS.md has all columns and rows."""

from .estimator_data import SETS
from .markdown import count, digits, score, size, source, table
from .stored import Results

PEER_NAMES = {
    "torch_csr": "torch CSR",
    "sparseprop": "SparseProp",
    "scipy_csr": "SciPy",
    "set_numba": "SET in Numba",
    "torch_dense": "torch dense",
    "torch_masked": "torch masked",
    "sklearn_mlp": "scikit-learn",
}
# Cases of the step benchmark, and the epsilon of growth, that the README shows.
NETS = ("1000", "4000", "30000", "300000b2")
EPSILON = 10
DATA = ("mnist", "fashion_mnist", "20news")


def readme_speed(results: Results) -> str:
    """Milliseconds of a step, beside the fastest of the other implementations."""
    file = results.one("step")
    rows = []
    for case in file["cases"]:
        peers = [row for row in case["rows"] if row["name"] != "truesparse"]
        if case["key"] not in NETS or not peers:
            continue
        fastest = min(peers, key=lambda row: row["ms"])
        rows.append(
            (
                f"{case['title']} ({count(case['nnz'])} weights)",
                f"{digits(case['figures']['ms'])} ms",
                f"{digits(fastest['ms'])} ms ({PEER_NAMES[fastest['name']]})",
            )
        )
    head = ["network", "a step of truesparse", "of the fastest other library"]
    note = (
        "\n\n784-1000x3-10 is a network of 784 inputs, three hidden layers of 1000 "
        "neurons and 10 outputs. A layer of n_in inputs and n_out outputs has "
        "eps (n_in + n_out) weights."
    )
    return table(head, rows) + note + source(file)


def readme_scale(results: Results) -> str:
    """Time and memory by the number of hidden neurons."""
    file, all_rows = results.part("scale", "table")
    rows = [
        (
            f"{row['neurons']:,} ({count(row['nnz'])} weights)",
            f"{digits(row['step_s'] * 1e3)} ms",
            f"{size((row['peak_update_mb'] or 0) * 1e6)} "
            f"(dense weights and momentum: {size(row['dense_bytes'])})",
        )
        for row in all_rows
        if row["epsilon"] == EPSILON
    ]
    batch = all_rows[0]["batch"]
    head = ["hidden neurons", f"a step of {batch} samples", "memory of the process"]
    return table(head, rows) + f"\n\nTwo hidden layers, eps {EPSILON}." + source(file)


def readme_accuracy(results: Results) -> str:
    """Test accuracy and time of a fit, beside the dense MLPClassifier."""
    file = results.one("estimators")
    cells = {
        (row["data"], row["method"]): (
            f"{score(row['accuracy_mean'], row['accuracy_sd'])} "
            f"in {digits(row['fit_s'])} s"
        )
        for row in file["rows"]
    }
    rows = [
        (SETS[name].title, cells[name, "sparse"], cells[name, "mlp"])
        for name in DATA
        if {(name, "sparse"), (name, "mlp")} <= cells.keys()
    ]
    head = ["data", "SparseMLPClassifier", "MLPClassifier (dense)"]
    note = (
        "\n\nTest accuracy, mean and deviation over seeds, and seconds of a fit of "
        f"{SETS[DATA[0]].epochs} epochs; the same hidden layers and epochs for both."
    )
    return table(head, rows) + note + source(file)
