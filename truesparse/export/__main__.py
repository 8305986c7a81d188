"""Command line: export a trained model for other libraries.

    python -m truesparse.export runs/iris-1 --to onnx --out iris.onnx

The export takes raw rows, as ``python -m truesparse.predict`` does: it scales them as
in training, and holds the labels and the names of the features.
"""

import contextlib
import os
import pathlib
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from truesparse.commands import shell
from truesparse.common.checks import choose
from truesparse.errors import UsageError

if TYPE_CHECKING:
    from truesparse.datasets import Preprocessing
    from truesparse.network.sparse_mlp import SparseMLP

# In deviations of a feature: what an ordinary measurement does not tell apart.
_MOST_ROUNDING = 1e-2
# Each format, and what it is good for.
_FORMATS = {
    "onnx": "a graph for ONNX Runtime; needs the extra onnx",
    "torch": "a file for truesparse.export.load_torch, or torch.load with "
    "weights_only=True; needs the extra torch",
    "csr": "an .npz file of CSR matrices, for NumPy and SciPy",
}
# Endings that a file of another format must not have; .csv is too near to csr.
_ENDINGS = {".onnx": "onnx", ".pt": "torch", ".pth": "torch", ".npz": "csr", ".csv": ""}
_DTYPES = ("float32", "float64")
# What rows an export takes, see by_output.Net.
_TAKES = {
    "raw": "takes raw rows and scales them as in training",
    "encoded": "takes rows whose columns of text are encoded already, as "
    "truesparse.datasets.load_rows returns them, and scales them as in training",
    "as trained": "takes rows as the model was trained on: its file does not say how "
    "those were scaled",
}


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    return shell.run_command(_main, arguments, stopped="no file was written")


def _main(words: list[str]) -> None:
    options = _make_parser().parse(words)
    choose(options.to, tuple(_FORMATS), "format", " of --to")
    if options.dtype is not None:
        choose(options.dtype, _DTYPES, "dtype")
        if options.to != "onnx":
            raise UsageError(
                f"--dtype is for --to onnx; a file for {options.to} has the model's, "
                "and takes rows of any"
            )
    ending = os.path.splitext(options.out)[1].lower()
    if _ENDINGS.get(ending, options.to) != options.to:
        fitting = " or ".join(e for e, to in _ENDINGS.items() if to == options.to)
        raise UsageError(
            f"--out {options.out} does not suit --to {options.to}, whose files end in "
            f"{fitting}"
        )
    if os.path.lexists(options.out):
        raise UsageError(
            f"--out {options.out} exists already; choose another name, or remove it"
        )
    if options.shrink and os.path.lexists(file := _neurons_of(options.out)):
        raise UsageError(f"{file} exists already; choose another --out, or remove it")
    _run(options)


def _make_parser() -> shell.CommandParser:
    parser = shell.CommandParser(
        "truesparse.export",
        "Export a trained model, with the scales and labels of its training data.",
        codes=(2, 3, 6, 7),
    )
    parser.add_model()
    formats = "; ".join(f"{name}: {text}" for name, text in _FORMATS.items())
    parser.add_argument("--to", required=True, metavar="|".join(_FORMATS), help=formats)
    parser.add_argument("--out", required=True, metavar="FILE", help="file to write")
    parser.add_argument(
        "--dtype",
        metavar="|".join(_DTYPES),
        help="type of weights and rows in an ONNX graph (default: that of the model)",
    )
    parser.add_no_verify()
    parser.add_argument(
        "--shrink",
        action="store_true",
        help="leave out neurons and features that have no part in any prediction; "
        "FILE.neurons.npz says which are left",
    )
    parser.add_argument(
        "--quiet", action="store_true", help="print only errors to stderr"
    )
    return parser


def _run(options: Any) -> None:
    """Read the model and write it."""
    say = shell.say_nothing if options.quiet else shell.say
    shell.start_engine(None)
    from truesparse.commands import describe
    from truesparse.common import memory
    from truesparse.common.writing import replacing
    from truesparse.export import save_torch, to_csr, to_onnx
    from truesparse.export.by_output import net_of
    from truesparse.export.onnx_files import require_onnx
    from truesparse.export.torch_export import require_torch
    from truesparse.storage import models

    if options.to == "onnx":
        require_onnx()
    elif options.to == "torch":
        require_torch("--to torch")
    file = models.find_model(options.model, verify=options.verify)
    # The model, and once more in the other library's form.
    memory.require(
        2 * describe.prediction_bytes(file, 1), "export it on a machine with more"
    )
    model = models.load(file, verify=options.verify)
    for note in models.notes_on(options.model, file, model):
        say(note)
    with contextlib.ExitStack() as stack:
        if options.shrink:
            # Moved to its place once the model is written.
            neurons = replacing(_neurons_of(options.out), "numbers of neurons")
            partial = stack.enter_context(neurons)
            model = _shrink(model, options.out, partial, say)
        if options.to == "onnx":
            to_onnx(model, options.out, dtype=options.dtype)
            if (options.dtype or model.dtype.name) == "float32":
                _warn_of_digits(model.preprocessing, say)
        elif options.to == "torch":
            save_torch(model, options.out, probabilities=True)
        else:
            to_csr(model, options.out)
    say(f"wrote {options.out}: {_TAKES[net_of(model).rows]}")


def _neurons_of(out: str) -> str:
    """Return the file that says which neurons a smaller net has."""
    return f"{out}.neurons.npz"


def _shrink(
    model: "SparseMLP", out: str, partial: pathlib.Path, say: Callable[[str], None]
) -> "SparseMLP":
    """Return a smaller model, and write which of the neurons it has."""
    import numpy as np

    from truesparse.analysis import shrink

    how = model.preprocessing
    # Columns of text become several features each, all of which rows have to bring.
    takes_columns = how is not None and how.encoding is not None
    small, neurons = shrink(model, features=not takes_columns)
    names = [f"layer_{index}" for index in range(len(neurons))]
    names[0], names[-1] = "features", "outputs"
    arrays: dict[str, Any] = dict(zip(names, neurons, strict=True))
    with partial.open("xb") as file:
        np.savez(file, **arrays)
    sizes = (" - ".join(f"{n:,}" for n in m.layer_sizes) for m in (model, small))
    say(f"shrunk from {' to '.join(sizes)}: {_neurons_of(out)} says what is left")
    if small.layer_sizes[0] < model.layer_sizes[0]:
        say(f"rows must hold those {small.layer_sizes[0]:,} features alone")
    return small


def _warn_of_digits(
    preprocessing: "Preprocessing | None", say: Callable[[str], None]
) -> None:
    """Name the feature that loses most digits in rows of float32, if it is many."""
    mean = scale = names = None
    if preprocessing is not None:
        mean, scale = preprocessing.feature_mean, preprocessing.feature_scale
        names = preprocessing.feature_names
    if mean is None or scale is None:
        return
    # By how much rounding moves a value near the mean, in deviations.
    moves = abs(mean) * 2.0**-24 / scale
    worst = int(moves.argmax())
    if moves[worst] > _MOST_ROUNDING:
        feature = repr(names[worst]) if names else str(worst + 1)
        say(
            f"feature {feature} has a mean of {mean[worst]:.3g}: rows of float32 round "
            f"it by up to {moves[worst]:.2g} of its deviation; --dtype float64 does not"
        )


if __name__ == "__main__":
    sys.exit(main())
