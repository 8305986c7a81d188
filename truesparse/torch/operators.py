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
and strides come out, so that ``torch.compile(fullgraph=True)`` takes them in.
"""

import torch

from truesparse.kernels.arrays import SparseBatch
from truesparse.torch.products import (
    gradients,
    multiply,
    multiply_sparse,
    sparse_gradients,
)
from truesparse.torch.wiring import Wiring

Tensors = list[torch.Tensor]


@torch.library.custom_op("truesparse::linear", mutates_args=())
def linear(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, wiring: Tensors
) -> torch.Tensor:
    """Return x W + bias, see products.multiply."""
    return multiply(x, weight, bias, Wiring(*wiring))


@torch.library.custom_op("truesparse::linear_backward", mutates_args=())
def linear_backward(
    delta: torch.Tensor,
    x: torch.Tensor,
    weight: torch.Tensor,
    wiring: Tensors,
    needs_input: bool,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the gradients of x and W, see products.gradients."""
    return gradients(delta, x, weight, Wiring(*wiring), needs_input)


@torch.library.custom_op("truesparse::sparse_linear", mutates_args=())
def sparse_linear(
    batch: Tensors,
    n_samples: int,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    wiring: Tensors,
) -> torch.Tensor:
    """Return x W + bias for a sparse batch, see products.multiply_sparse."""
    inputs = _sparse_batch(batch)
    return multiply_sparse(inputs, n_samples, weight, bias, Wiring(*wiring))


@torch.library.custom_op("truesparse::sparse_linear_backward", mutates_args=())
def sparse_linear_backward(
    delta: torch.Tensor, batch: Tensors, weight: torch.Tensor, wiring: Tensors
) -> torch.Tensor:
    """Return the gradient of W, see products.sparse_gradients."""
    inputs = _sparse_batch(batch)
    return sparse_gradients(delta, inputs, weight, Wiring(*wiring))


def _sparse_batch(batch: Tensors) -> SparseBatch:
    return SparseBatch(*(part.detach().numpy() for part in batch))


# Shapes and strides --------------------------------------------------------------


@linear.register_fake
def _(x, weight, bias, wiring):
    return x.new_empty((Wiring(*wiring).shape[1], x.shape[0])).t()


@linear_backward.register_fake
def _(delta, x, weight, wiring, needs_input):
    batch, n_in = x.shape
    of_x = x.new_empty((n_in if needs_input else 0, batch)).t()
    return of_x, weight.new_empty(weight.shape)


@sparse_linear.register_fake
def _(batch, n_samples, weight, bias, wiring):
    return weight.new_empty((Wiring(*wiring).shape[1], n_samples)).t()


@sparse_linear_backward.register_fake
def _(delta, batch, weight, wiring):
    return weight.new_empty(weight.shape)


# Derivatives ---------------------------------------------------------------------


def _setup_linear(ctx, inputs, output):
    x, weight, _, wiring = inputs
    ctx.save_for_backward(x, weight, *wiring)


def _linear_gradients(ctx, delta):
    x, weight, *wiring = ctx.saved_tensors
    needs_x, needs_weight, needs_bias, *_ = ctx.needs_input_grad
    of_x = of_weight = None
    if needs_x or needs_weight:
        of_x, of_weight = linear_backward(delta, x, weight, wiring, needs_x)
    of_bias = delta.sum(0) if needs_bias else None
    return of_x if needs_x else None, of_weight, of_bias, [None] * len(wiring)


def _setup_backward(ctx, inputs, output):
    delta, x, weight, wiring, needs_input = inputs
    ctx.save_for_backward(delta, x, weight, *wiring)
    ctx.needs_input = needs_input


def _second_gradients(ctx, u, v):
    delta, x, weight, *wiring = ctx.saved_tensors
    of_delta = linear(x, v, None, wiring)
    of_x, _ = linear_backward(delta, x, v, wiring, True)
    of_weight = None
    if ctx.needs_input:
        of_delta = of_delta + linear(u, weight, None, wiring)
        _, of_weight = linear_backward(delta, u, weight, wiring, False)
    return of_delta, of_x, of_weight, [None] * len(wiring), None


def _setup_sparse(ctx, inputs, output):
    batch, _, weight, _, wiring = inputs
    ctx.save_for_backward(*batch, weight, *wiring)


def _sparse_gradients(ctx, delta):
    *batch, weight = ctx.saved_tensors[:4]
    wiring = list(ctx.saved_tensors[4:])
    of_weight = sparse_linear_backward(delta, batch, weight, wiring)
    of_bias = delta.sum(0) if ctx.needs_input_grad[3] else None
    return [None] * len(batch), None, of_weight, of_bias, [None] * len(wiring)


linear.register_autograd(_linear_gradients, setup_context=_setup_linear)
linear_backward.register_autograd(_second_gradients, setup_context=_setup_backward)
sparse_linear.register_autograd(_sparse_gradients, setup_context=_setup_sparse)
