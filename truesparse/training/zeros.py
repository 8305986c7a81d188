"""Weights of 0, or as good as 0, which Powerpropagation does not move."""

from truesparse.errors import UsageError
from truesparse.network.sparse_mlp import SparseMLP
from truesparse.topology import TopologyAlgorithm

# Smaller first weights stay: a step of w = theta |theta|^(alpha - 1) is proportional to
# a power of |w|.
_LEAST = 1e-6


def check_zeros(model: SparseMLP, topology: TopologyAlgorithm) -> None:
    """Refuse to train weights that start at 0 and would stay there.

    Raises
    ------
    UsageError
        If all weights of a layer are 0, or new connections start at 0 or next to it.
    """
    for index, layer in enumerate(model.layers):
        values = layer.connections.values
        if values.size and not values.any():
            raise UsageError(
                f"all weights of layer {index} are 0, where powerprop leaves them: "
                "draw the model with another weight_init"
            )
    if "regrow_init" in topology.options() and topology.regrow_init == "zero":
        raise UsageError(
            "powerprop leaves a weight of 0 at 0, and new connections of topology "
            f"{topology.name!r} start there; give it another regrow_init, such as "
            "'he_uniform'"
        )
    start = getattr(topology, "new_weight", 1.0)
    if abs(start) < _LEAST:
        raise UsageError(
            f"powerprop hardly moves a weight of {start:g}, where new connections of "
            f"topology {topology.name!r} start; use another topology, such as 'rigl' "
            "with regrow_init 'he_uniform'"
        )
