"""The configuration of a run: one frozen dataclass behind flags, TOML and JSON.

This module imports nothing heavy, so that ``--help`` answers at once. Therefore it
lists the names that options accept; a test compares them with the registries.
"""

import types
import typing
from dataclasses import dataclass, field
from typing import Any

from truesparse.commands.shell import check_threads
from truesparse.common.checks import choose
from truesparse.errors import UsageError

CHOICES: dict[str, tuple[str, ...]] = {
    "topology": (
        *("accset", "cht", "chts", "chtss", "deepr", "dsr", "dst_ee", "ggr", "granet"),
        *("grasp", "gse", "itop", "lottery", "magnitude", "mest", "nest", "rigl"),
        *("set", "snfs", "snip", "soft_deepr", "srigl", "static", "synflow"),
        *("top_kast", "wast"),
    ),
    "init_topology": (
        *("brf", "bsf", "bsw", "constant_fan_in", "csti", "erdos_renyi", "erk"),
        "uniform",
    ),
    "activation": (
        *("all_relu", "elu", "gelu", "identity", "leaky_relu", "logistic", "relu"),
        *("silu", "srelu", "tanh"),
    ),
    "optimizer": ("adam", "adamw", "nesterov", "rmsprop", "sgd"),
    "decay": ("decoupled", "l2", "set"),
    "lr_schedule": (
        *("adaptive", "constant", "cosine", "exponential", "inverse_scaling"),
        *("linear", "step"),
    ),
    "weight_init": (
        *("he_normal", "he_uniform", "set_normal", "xavier_normal"),
        *("xavier_uniform", "zero"),
    ),
    "removal": ("magnitude", "per_sign"),
    "final": ("none", "prune_only"),
    "update_unit": ("epoch", "step"),
    "dtype": ("float32", "float64"),
    "activation_dtype": ("bfloat16", "float32", "float64"),
    "task": ("auto", "classification", "multilabel", "regression"),
    "scale": ("auto", "maxabs", "none", "range", "standard", "unit"),
    "header": ("auto", "no", "yes"),
    "decimal": (",", "."),
    "missing": ("drop", "error", "mean", "median", "most_frequent"),
    "missing_target": ("drop", "error"),
    "categorical": ("auto", "error", "onehot", "ordinal"),
    "monitor": ("train_loss", "val_loss", "val_score"),
}
CHOICES["regrow_init"] = CHOICES["weight_init"]

KINDS: dict[Any, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a string",
    tuple[int, ...]: "a list of whole numbers",
    tuple[str, ...]: "a list of strings",
    dict: "a table of options",
}

# A flag on the left overrides the option on the right in a file.
_EXCLUDES = (
    ("epsilon", "density"),
    ("density", "epsilon"),
    ("neurons", "hidden"),
    ("depth", "hidden"),
)

_LEAST = {
    **dict.fromkeys(("neurons", "depth", "epochs", "batch_size", "update_every"), 1),
    **{"early_stopping": 1, "checkpoint_every": 0},
}
# Indices of neurons are int32.
_LARGEST_LAYER = 2**31 - 1


def _option(default: Any, text: str, metavar: str | None = None) -> Any:
    return field(default=default, metadata={"help": text, "metavar": metavar})


@dataclass(frozen=True)
class RunConfig:
    """Every option of a training run, with its default."""

    data: str = _option(
        "digits",
        "name of a data set (digits, breast_cancer, wine, iris, diabetes, "
        "synthetic:2000x500, mnist, fashion_mnist, ...) or a file "
        "(.npz, .csv, .parquet, .svm, .libsvm)",
        "NAME|FILE",
    )
    data_home: str | None = _option(None, "folder for downloaded data sets", "DIR")
    fetch: bool = _option(False, "download the data set if it is missing")
    test_fraction: float = _option(
        0.2, "share of the samples held out if the data have no test part", "F"
    )
    task: str = _option("auto", "kind of targets; auto decides by their values")
    scale: str = _option(
        "auto",
        "how features are scaled by the training part: to deviation 1 (standard), to "
        "[0, 1] (range), by the largest value of each (maxabs) or of all (unit); auto "
        "is maxabs for sparse features, unit for grey values, else standard",
    )
    target: str | None = _option(
        None,
        "column of a table with the target (default: the one named y, target, label or "
        "class, else the last)",
        "NAME|NUMBER",
    )
    drop: tuple[str, ...] | None = _option(
        None,
        "column of a table to leave out; may be repeated",
        "NAME|NUMBER",
    )
    index: str | None = _option(
        None,
        "column of a table that names or numbers the rows, which is left out",
        "NAME|NUMBER",
    )
    header: str = _option("auto", "whether the first row of a table holds names")
    delimiter: str | None = _option(
        None,
        "character between cells, tab or space (default: the file shows)",
        "CHAR",
    )
    decimal: str | None = _option(None, "decimal sign (default: the file shows)")
    encoding: str | None = _option(
        None, "encoding of a text table (default: utf-8)", "NAME"
    )
    missing: str = _option(
        "error",
        "what to do with rows that lack a value: refuse or drop them, or fill "
        "features with a statistic of the training part",
    )
    missing_target: str = _option(
        "error", "what to do with rows that lack the target: refuse or drop them"
    )
    categorical: str = _option(
        "auto",
        "what to do with features of text: a 0/1 feature for each value (onehot, "
        "auto), the number of the value (ordinal), or refuse them",
    )
    neurons: int = _option(1_000_000, "total number of hidden neurons", "N")
    depth: int = _option(2, "number of hidden layers that share the neurons", "N")
    hidden: tuple[int, ...] | None = _option(
        None,
        "sizes of the hidden layers, instead of --neurons and --depth",
        "N,N,...",
    )
    epsilon: float | None = _option(
        None, "give each layer E * (n_in + n_out) connections (default: 3)", "E"
    )
    density: float | None = _option(
        None,
        "share of the possible connections that exist, instead of --epsilon",
        "D",
    )
    init_topology: str = _option(
        "erdos_renyi",
        "pattern of the initial connections; erk splits one budget over all layers",
    )
    init_arg: dict[str, Any] | None = field(
        default=None,
        metadata={
            "help": "option of the initial topology (beta for bsw, r and degree for "
            "brf, soft for csti, distribution=erk for all patterns); may be repeated",
            "metavar": "KEY=VALUE",
        },
    )
    topology: str = _option("set", "algorithm that evolves the connections")
    topology_arg: dict[str, Any] | None = field(
        default=None,
        metadata={
            "help": "option of the topology, see --list-topologies; may be repeated",
            "metavar": "KEY=VALUE",
        },
    )
    zeta: float | None = _option(
        None,
        "share of the connections that an update replaces (default: depends on the "
        "topology)",
        "F",
    )
    removal: str | None = _option(
        None, "which connections SET removes (default: per_sign)"
    )
    regrow_init: str | None = _option(
        None, "initial weights of regrown connections (default: zero)"
    )
    evolve_output: bool | None = _option(None, "let the output layer evolve too")
    final: str | None = _option(
        None, "topology update after the last epoch (default: none)"
    )
    update_every: int | None = _option(
        None,
        "epochs or steps between topology updates (default: depends on the topology)",
        "N",
    )
    update_unit: str | None = _option(
        None,
        "unit of --update-every, -start and -end (default: depends on the topology)",
    )
    update_start: int | None = _option(
        None, "first epoch or step with an update (default: --update-every)", "N"
    )
    update_end: int | None = _option(None, "last epoch or step with an update", "N")
    explored: bool = _option(
        False,
        "report the share of possible connections that has existed at any time (ITOP)",
    )
    activation: str = _option("relu", "activation function of the hidden layers")
    activation_parameter: float | None = _option(
        None, "slope of leaky_relu and all_relu, alpha of elu", "F"
    )
    weight_init: str = _option("he_uniform", "distribution of the initial weights")
    optimizer: str | None = _option(
        None, "optimiser of the weights (default: adam for regression, else sgd)"
    )
    lr: float | None = _option(
        None,
        "learning rate (default with sgd and nesterov: 0.0003 for regression, 0.2 for "
        "features scaled to a range, such as grey values and sparse data, and 0.1 for "
        "standardised ones; with adam, adamw and rmsprop: 0.001, for regression 0.01, "
        "or 0.003 in layers of more than 10,000 neurons)",
        "F",
    )
    lr_schedule: str = _option("cosine", "how the learning rate changes during the run")
    lr_cycles: int = _option(
        1, "how often the learning-rate schedule is run through", "N"
    )
    warmup: float = _option(0.0, "epochs in which the learning rate rises from 0", "F")
    fan_in_limit: float = _option(
        1000.0, "layers with more inputs per neuron learn proportionally slower", "F"
    )
    momentum: float = _option(0.9, "momentum of sgd and nesterov", "F")
    weight_decay: float = _option(0.0, "strength of the weight decay", "F")
    decay: str | None = _option(
        None, "kind of weight decay (default: decoupled for adamw, l2 for others)"
    )
    powerprop: float = _option(
        1.0,
        "power of Powerpropagation, which makes large weights learn faster than small "
        "ones; 1 for none, published are 2 to 5",
        "A",
    )
    dropout: float = _option(0.1, "share of hidden outputs set to 0 in training", "F")
    label_smoothing: float | None = _option(
        None,
        "share of the target that is spread evenly over the classes (default: 0.1 for "
        "classification with features scaled to a range, else 0)",
        "F",
    )
    clip_norm: float | None = _option(
        None, "scale gradients down to this norm (default: off)", "F"
    )
    epochs: int | None = _option(
        None,
        "passes over the training data (default: 15, for small data more: as many as "
        "200 steps take, for regression 700)",
        "N",
    )
    early_stopping: int | None = _option(
        None, "stop after N epochs without a better --monitor (default: off)", "N"
    )
    restore_best: bool = _option(
        False,
        "save the model of the epoch with the best --monitor instead of the last one; "
        "if val_loss or val_score chose it, the test score is no longer one on unseen "
        "data",
    )
    monitor: str = _option(
        "val_loss",
        "value that --early-stopping and --restore-best watch; val is the test part",
    )
    batch_size: int = _option(32, "samples per step", "N")
    seed: int = _option(0, "seed of all random numbers", "N")
    threads: int | None = _option(None, "threads (default: all cores)", "N")
    dtype: str = _option("float32", "number type of the weights")
    activation_dtype: str | None = _option(
        None,
        "number type in which outputs and deltas are stored; bfloat16 halves what wide "
        "layers fetch from memory (default: that of --dtype)",
    )
    out: str | None = _option(None, "run folder (default: runs/DATA-N)", "DIR")
    checkpoint_every: int | None = _option(
        None,
        "epochs between checkpoints, which --resume needs; 0 for none (default: as "
        "often as costs a twentieth of the time, and at the end)",
        "N",
    )
    tensorboard: bool = _option(
        False,
        "write TensorBoard curves to the run folder; needs the tensorboard package",
    )

    def __post_init__(self):
        for name, accepted in CHOICES.items():
            value = getattr(self, name)
            if value is not None:
                choose(value, accepted, name.replace("_", " "))
        for name, least in _LEAST.items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise UsageError(f"{flag(name)} must be at least {least}, got {value}")
        check_threads(self.threads)
        for name in ("out", "data_home"):
            if getattr(self, name) == "":
                raise UsageError(f"{flag(name)} must name a folder, got ''")
        if self.hidden is None and self.neurons < self.depth:
            raise UsageError(
                f"--neurons {self.neurons} cannot fill --depth {self.depth} layers; "
                "give at least one neuron a layer"
            )
        if self.hidden is not None and (not self.hidden or min(self.hidden) < 1):
            raise UsageError(
                f"--hidden takes sizes of at least 1, got {list(self.hidden)}"
            )
        largest = max(self.hidden or (-(-self.neurons // self.depth),))
        if largest > _LARGEST_LAYER:
            change = "--hidden" if self.hidden else "--neurons or raise --depth"
            raise UsageError(
                f"a hidden layer takes at most {_LARGEST_LAYER} neurons, got "
                f"{largest}; lower {change}"
            )
        if self.epsilon is not None and self.density is not None:
            raise UsageError("give either --epsilon or --density, not both")
        if not 0.0 < self.test_fraction < 1.0:
            raise UsageError(
                f"--test-fraction must be between 0 and 1, got {self.test_fraction}"
            )

    @property
    def hidden_sizes(self) -> tuple[int, ...]:
        """Neurons of each hidden layer."""
        if self.hidden is not None:
            return self.hidden
        share, rest = divmod(self.neurons, self.depth)
        return tuple(share + (layer < rest) for layer in range(self.depth))


def flag(name: str) -> str:
    """Return the command-line flag of an option."""
    return "--" + name.replace("_", "-")


def merge(file_options: dict[str, Any], flags: dict[str, Any]) -> dict[str, Any]:
    """Combine the options of a file with flags, which win.

    A flag also wins over options that it excludes, such as --density over epsilon.
    """
    if "hidden" in flags and ("neurons" in flags or "depth" in flags):
        raise UsageError("give either --hidden or --neurons and --depth, not both")
    options = {**file_options, **flags}
    for name, options_of in (
        ("topology", "topology_arg"),
        ("init_topology", "init_arg"),
    ):
        in_file, given = file_options.get(options_of), flags.get(options_of)
        if in_file and name in flags and given is None:
            # These options belong to another topology.
            del options[options_of]
        elif in_file and given and name not in flags:
            options[options_of] = in_file | given
    for name, other in _EXCLUDES:
        if name in flags and other not in flags:
            options.pop(other, None)
    return options


def base_type(hint: Any) -> Any:
    """Return what a value other than None is of: one of ``KINDS``.

    Examples
    --------
    >>> from typing import Any
    >>> from truesparse.commands.config import base_type
    >>> base_type(int | None), base_type(tuple[str, ...]), base_type(dict[str, Any])
    (<class 'int'>, tuple[str, ...], <class 'dict'>)
    """
    if not isinstance(hint, types.UnionType):
        return dict if typing.get_origin(hint) is dict else hint
    [kind] = (option for option in typing.get_args(hint) if option is not type(None))
    return base_type(kind)
