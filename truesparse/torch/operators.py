"""The operators of torch that sparse layers are made of, with their derivatives.

    truesparse::linear                  y = x W + bias
    truesparse::linear_backward         gradients of x and W, for the connections alone
    truesparse::sparse_linear           y = x W + bias for a sparse batch x
    truesparse::sparse_linear_backward  gradient of W

The first two are closed under differentiation. With F the product, B its gradients and
u, v what comes down to the gradients of x and W, the gradients of the second one are

    of delta    F(u, W) + F(x, v)
    of x        B(delta, W = v)
    of W        B(delta, x = u)

Operators depend on their arguments alone. They have fake kernels, which say what shapes
and strides come out, so that ``torch.compile(fullgraph=True)`` takes them in. Tensors
of a wiring are single arguments, for torch takes lists apart in Python, twice a call.
"""

from typing import Any

import torch

from truesparse.kernels.arrays import SparseBatch
from truesparse.torch.products import (
    gradients,
    multiply,
    multiply_sparse,
    sparse_gradients,
)
from truesparse.torch.wiring import Wiring

Tensors = tuple[torch.Tensor, ...]
_WIRING = ", ".join(f"Tensor {name}" for name in Wiring._fields)
_BATCH = "Tensor batch_indptr, Tensor batch_positions, Tensor batch_values"
_N_BATCH, _N_WIRING = len(SparseBatch._fields), len(Wiring._fields)


def _operator(name: str, schema: str) -> Any:
    """Return a decorator that makes a function the operator of that name."""
    return torch.library.custom_op(
        f"truesparse::{name}", mutates_args=(), schema=schema
    )


@_operator("linear", f"(Tensor x, Tensor weight, Tensor? bias, {_WIRING}) -> Tensor")
def linear(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, *wiring: Any
) -> torch.Tensor:
    """Return x W + bias, see products.multiply."""
    return multiply(x, weight, bias, Wiring(*wiring))


@_operator(
    "linear_backward",
    f"(Tensor delta, Tensor x, Tensor weight, bool needs_input, {_WIRING}) "
    "-> (Tensor, Tensor)",
)
def linear_backward(
    delta: torch.Tensor,
    x: torch.Tensor,
    weight: torch.Tensor,
    needs_input: bool,
    *wiring: Any,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the gradients of x and W, see products.gradients."""
    return gradients(delta, x, weight, Wiring(*wiring), needs_input)


@_operator(
    "sparse_linear",
    f"({_BATCH}, SymInt n_samples, Tensor weight, Tensor? bias, {_WIRING}) -> Tensor",
)
def sparse_linear(*arguments: Any) -> torch.Tensor:
    """Return x W + bias for a sparse batch, see products.multiply_sparse."""
    batch, (n_samples, weight, bias, *wiring) = _split(arguments)
    return multiply_sparse(batch, n_samples, weight, bias, Wiring(*wiring))


@_operator(
    "sparse_linear_backward",
    f"({_BATCH}, Tensor delta, Tensor weight, {_WIRING}) -> Tensor",
)
def sparse_linear_backward(*arguments: Any) -> torch.Tensor:
    """Return the gradient of W, see products.sparse_gradients."""
    batch, (delta, weight, *wiring) = _split(arguments)
    return sparse_gradients(delta, batch, weight, Wiring(*wiring))


def _split(arguments: tuple[Any, ...]) -> tuple[SparseBatch, tuple[Any, ...]]:
    """Return the sparse batch that arguments begin with, and the others."""
    parts = (part.detach().numpy() for part in arguments[:_N_BATCH])
    return SparseBatch(*parts), arguments[_N_BATCH:]


# Shapes and strides --------------------------------------------------------------


@linear.register_fake
def _(x, weight, bias, *wiring):
    return x.new_empty((Wiring(*wiring).shape[1], x.shape[0])).t()


@linear_backward.register_fake
def _(delta, x, weight, needs_input, *wiring):
    batch, n_in = x.shape
    of_x = x.new_empty((n_in if needs_input else 0, batch)).t()
    return of_x, weight.new_empty(weight.shape)


@sparse_linear.register_fake
def _(*arguments):
    n_samples, weight, _, *wiring = arguments[_N_BATCH:]
    return weight.new_empty((Wiring(*wiring).shape[1], n_samples)).t()


@sparse_linear_backward.register_fake
def _(*arguments):
    _, weight, *_ = arguments[_N_BATCH:]
    return weight.new_empty(weight.shape)


# Derivatives ---------------------------------------------------------------------


def _setup_linear(ctx, inputs, output):
    x, weight, _, *wiring = inputs
    ctx.save_for_backward(x, weight, *wiring)


def _linear_gradients(ctx, delta):
    x, weight, *wiring = ctx.saved_tensors
    needs_x, needs_weight, needs_bias, *_ = ctx.needs_input_grad
    of_x = of_weight = None
    if needs_x or needs_weight:
        of_x, of_weight = linear_backward(delta, x, weight, needs_x, *wiring)
    of_bias = delta.sum(0) if needs_bias else None
    return of_x if needs_x else None, of_weight, of_bias, *_none(_N_WIRING)


def _setup_backward(ctx, inputs, output):
    delta, x, weight, needs_input, *wiring = inputs
    ctx.save_for_backward(delta, x, weight, *wiring)
    ctx.needs_input = needs_input


def _second_gradients(ctx, u, v):
    delta, x, weight, *wiring = ctx.saved_tensors
    of_delta = linear(x, v, None, *wiring)
    of_x, _ = linear_backward(delta, x, v, True, *wiring)
    of_weight = None
    if ctx.needs_input:
        of_delta = of_delta + linear(u, weight, None, *wiring)
        _, of_weight = linear_backward(delta, u, weight, False, *wiring)
    return of_delta, of_x, of_weight, *_none(1 + _N_WIRING)


def _setup_sparse(ctx, inputs, output):
    batch, (_, weight, _, *wiring) = inputs[:_N_BATCH], inputs[_N_BATCH:]
    ctx.save_for_backward(*batch, weight, *wiring)


def _sparse_gradients(ctx, delta):
    batch, rest = ctx.saved_tensors[:_N_BATCH], ctx.saved_tensors[_N_BATCH:]
    needs_weight, needs_bias = ctx.needs_input_grad[_N_BATCH + 1 : _N_BATCH + 3]
    of_weight = sparse_linear_backward(*batch, delta, *rest) if needs_weight else None
    of_bias = delta.sum(0) if needs_bias else None
    return *_none(_N_BATCH + 1), of_weight, of_bias, *_none(_N_WIRING)


def _none(count: int) -> list[None]:
    """Return the gradients of arguments that have none."""
    return [None] * count


linear.register_autograd(_linear_gradients, setup_context=_setup_linear)
linear_backward.register_autograd(_second_gradients, setup_context=_setup_backward)
sparse_linear.register_autograd(_sparse_gradients, setup_context=_setup_sparse)
