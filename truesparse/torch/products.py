"""Products with the weights of a sparse layer, by the kernels, on tensors.

Memory is feature-major, a row for each neuron, as the kernels want it; tensors are
(batch, n). A tensor that is the transposed view of feature-major memory is read where
it is, and results are such views, so that layers with elementwise functions between
them pass on their memory without a copy.
"""

import contextlib

import numpy as np
import torch

from truesparse.activations import LayerActivation
from truesparse.errors import UsageError
from truesparse.kernels import jit
from truesparse.kernels.activation import IDENTITY, NO_GRADIENT
from truesparse.kernels.arrays import Above, Csr, Head, Moments, Source, SparseBatch
from truesparse.kernels.backward import backward
from truesparse.kernels.batch import gather_csr
from truesparse.kernels.forward import combine, forward_gather, scatter
from truesparse.kernels.simd import make_tile
from truesparse.kernels.sparse_input import backward_sparse, forward_sparse
from truesparse.kernels.update import STORE
from truesparse.network.buffers import padded_columns
from truesparse.sparse.balance import rows_per_task
from truesparse.sparse.layer import scatters, sums_shape
from truesparse.torch.observing import note
from truesparse.torch.wiring import Wiring

_LINEAR = LayerActivation("identity").for_inference()


def multiply(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, wiring: Wiring
) -> torch.Tensor:
    """Return x W + bias.

    Parameters
    ----------
    x : (batch, in_features) tensor
    weight : (nnz,) tensor
    bias : (out_features,) tensor, optional
    wiring : Wiring

    Returns
    -------
    (batch, out_features) tensor
        A view of feature-major memory.
    """
    (n_in, n_out), batch = wiring.shape, x.shape[0]
    if batch == 0:
        return x.new_empty((n_out, 0)).t()
    columns, tile_columns = padded_columns(batch, _dtype(x))
    tile, values = make_tile(tile_columns), _array(weight)
    inputs, out = feature_major(x, columns), x.new_empty((n_out, columns))
    head = _head(bias, out)
    with _threads_of_torch():
        if scatters(n_in, n_out, columns, x.itemsize):
            tasks = wiring.scatter_tasks.numpy()
            partial = np.empty(((tasks.size - 1) * n_out, columns), inputs.dtype)
            scatter(tile, tasks, wiring.csr(values), inputs, partial)
            combine(tile, partial, head, _LINEAR, rows_per_task(columns))
        else:
            tasks = wiring.output_tasks.numpy()
            forward_gather(tile, tasks, wiring.csc(), values, inputs, head, _LINEAR)
    return _sample_major(out, batch)


def gradients(
    delta: torch.Tensor,
    x: torch.Tensor,
    weight: torch.Tensor,
    wiring: Wiring,
    needs_input: bool,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the gradients of the inputs and the weights.

    Parameters
    ----------
    delta : (batch, out_features) tensor
        Gradient of the outputs.
    x, weight, wiring
        As `multiply` took them.
    needs_input : bool
        Whether the inputs need a gradient; without it, theirs has no elements.

    Returns
    -------
    of_x : (batch, in_features) tensor
    of_weight : (nnz,) tensor
    """
    batch, n_in = x.shape
    of_weight = weight.new_zeros(weight.shape)
    if batch == 0:
        return x.new_empty((n_in if needs_input else 0, 0)).t(), of_weight
    columns, tile_columns = padded_columns(batch, _dtype(x))
    deltas = feature_major(delta, columns)
    # The kernel overwrites inputs that need a gradient by it.
    inputs = feature_major(x, columns, copy=needs_input)
    note(wiring.indptr, weight, inputs[:, :batch], deltas[:, :batch])
    # There are no biases below, but the kernel writes their gradients.
    none, sums = inputs[0, :0], np.empty(n_in if needs_input else 0, inputs.dtype)
    source = Source(
        inputs,
        inputs[:0, :0],
        none,
        sums,
        sums,
        none,
        IDENTITY if needs_input else NO_GRADIENT,
        0.0,
        1.0,
    )
    csr = wiring.csr(_array(weight))
    # Gradients of a row add up in a scratch where it takes several tiles.
    room = int(np.diff(csr.indptr).max()) if columns > tile_columns else 0
    scratch = np.empty((jit.most_threads(), room), inputs.dtype)
    moments = Moments(of_weight.numpy(), csr.values[:0])
    tile, tasks = make_tile(tile_columns), wiring.input_tasks.numpy()
    above = Above(deltas, scratch)
    with _threads_of_torch():
        backward(tile, tasks, csr, moments, STORE, source, STORE, above)
    of_x = torch.from_numpy(inputs) if needs_input else x.new_empty((0, batch))
    return _sample_major(of_x, batch), of_weight


def multiply_sparse(
    batch: SparseBatch,
    n_samples: int,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    wiring: Wiring,
) -> torch.Tensor:
    """Return x W + bias for a sparse batch x of so many samples."""
    out = weight.new_empty((wiring.shape[1], n_samples))
    head, tasks = _head(bias, out), wiring.output_tasks.numpy()
    sums = np.empty(sums_shape(n_samples), head.out.dtype)
    values = _array(weight)
    with _threads_of_torch():
        forward_sparse(tasks, wiring.csc(), values, batch, head, _LINEAR, sums)
    return out.t()


def sparse_gradients(
    delta: torch.Tensor, batch: SparseBatch, weight: torch.Tensor, wiring: Wiring
) -> torch.Tensor:
    """Return the gradient of the weights for a sparse batch of inputs."""
    of_weight = weight.new_zeros(weight.shape)
    deltas = feature_major(delta, delta.shape[0])
    note(wiring.indptr, weight, batch, deltas)
    csr = wiring.csr(_array(weight))
    moments = Moments(of_weight.numpy(), csr.values[:0])
    tasks = wiring.input_tasks.numpy()
    with _threads_of_torch():
        backward_sparse(tasks, csr, moments, STORE, batch, deltas)
    return of_weight


def feature_major(x: torch.Tensor, columns: int, copy: bool = False) -> np.ndarray:
    """Return x^T as (n, columns) rows in memory, 0 beyond the batch.

    Unless `copy` is True, the memory is that of a tensor where it has this form.
    """
    batch, n = x.shape
    rows = x.detach().t()
    if batch == columns:
        if copy or not rows.is_contiguous():
            rows = rows.clone(memory_format=torch.contiguous_format)
        return rows.numpy()
    padded = x.new_zeros((n, columns))
    padded[:, :batch] = rows
    return padded.numpy()


def feature_major_batch(x: torch.Tensor) -> SparseBatch:
    """Return a sparse CSR tensor (batch, n) feature by feature.

    Raises
    ------
    UsageError
        If its indices are not valid; torch does not check them by default.
    """
    n_samples, n = x.shape
    indptr = x.crow_indices().to(torch.int64).numpy()
    indices, values = x.col_indices().numpy(), x.values().detach().numpy()
    is_valid = indptr[0] == 0 and indptr[-1] == indices.size == values.size
    is_valid = is_valid and not (np.diff(indptr) < 0).any()
    is_valid = is_valid and not (indices.size and indices.min() < 0)
    if not is_valid or (indices.size and indices.max() >= n):
        raise UsageError("the sparse CSR tensor is not valid; see check_invariants")
    out = SparseBatch(
        np.empty(n + 1, np.int64),
        np.empty(indices.size, np.int32),
        np.empty(indices.size, values.dtype),
    )
    data = Csr(indptr, indices.astype(np.int32), values)
    gather_csr(data, np.arange(n_samples), out)
    return out


def _sample_major(rows: torch.Tensor, batch: int) -> torch.Tensor:
    """Return (batch, n), a view of memory that holds the columns of the batch alone."""
    if rows.shape[1] > batch:
        rows = rows[:, :batch].clone(memory_format=torch.contiguous_format)
    return rows.t()


def _head(bias: torch.Tensor | None, out: torch.Tensor) -> Head:
    array = out.numpy()
    of_none = np.zeros(array.shape[0], array.dtype) if bias is None else _array(bias)
    return Head(of_none, array, array[:0, :0])


def _array(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().contiguous().numpy()


def _dtype(x: torch.Tensor) -> type:
    return np.float32 if x.dtype == torch.float32 else np.float64


def _threads_of_torch() -> contextlib.AbstractContextManager[None]:
    """Let the kernels use as many threads as torch does, within a ``with``."""
    wanted = min(torch.get_num_threads(), jit.most_threads())
    if wanted == jit.thread_count():
        return contextlib.nullcontext()
    return jit.threads(wanted)
