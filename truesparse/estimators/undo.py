"""Undo a fit that diverges: the network is as it was before.

A fit of an existing network changes it in place. A small network is copied in memory,
in well under a millisecond, where a file takes 20 (2 cores, 2026-11); a large one, for
which there may be no room twice, is saved in a temporary file.
"""

import contextlib
from collections.abc import Callable, Iterator

from truesparse.errors import DivergedError
from truesparse.network.sparse_mlp import SparseMLP
from truesparse.sparse.connections import Connections
from truesparse.training.snapshot import SavedModel, put_back

# Of what is copied: a small part of the memory of any machine that trains.
_MOST_BYTES = 1 << 25


@contextlib.contextmanager
def undoing_divergence(model: SparseMLP) -> Iterator[None]:
    """Put a network back if the body of the ``with`` statement diverges.

    Its optimiser state, which is not finite then, is dropped.

    Raises
    ------
    DivergedError
        The one of the body.
    ModelFileError
        If the network was saved in a file that cannot be read any more.
    """
    with contextlib.ExitStack() as stack:
        if sum(layer.connections.nbytes for layer in model.layers) <= _MOST_BYTES:
            restore = _copy(model)
        else:
            saved = stack.enter_context(SavedModel())
            saved.write(model)
            restore = saved.restore
        try:
            yield
        except DivergedError:
            restore(model)
            raise


def _copy(model: SparseMLP) -> Callable[[SparseMLP], None]:
    """Copy what training changes; return a function that puts it back."""
    step, parts = model.step, []
    for layer in model.layers:
        old = layer.connections
        arrays = (array.copy() for array in (old.indptr, old.indices, old.values))
        connections = Connections.unchecked(old.n_in, old.n_out, *arrays)
        parameters = [array.copy() for array in layer.neuron_parameters()]
        parts.append((connections, parameters))
    return lambda model: put_back(model, parts, step)
