"""S-shaped rectified linear units (SReLU): an activation with trained parameters.

    f(z) = t_right + a_right (z - t_right)    if z >= t_right
           t_left + a_left (z - t_left)       else if z <= t_left
           z                                  else

(Jin et al., Deep Learning with S-shaped Rectified Linear Activation Units, AAAI 2016.)
The parameters are a (4, n) array, with rows t_left, a_left, t_right and a_right. As in
the paper, nothing keeps the thresholds in order; if they cross, the right one counts.

The kernels run between the passes of the layers. Forward turns z, which the layer wrote
as if it were linear, into outputs. Backward turns the gradient of the outputs, which
the layer above wrote, into delta. Each task owns whole neurons.
"""

from truesparse.kernels.activation import drop_row
from truesparse.kernels.bfloat16 import read, write
from truesparse.kernels.jit import inner_kernel, parallel_kernel, prange
from truesparse.kernels.simd import (
    LANES,
    add_scaled,
    columns,
    full,
    load,
    multiply,
    store,
    total,
    where_positive,
)
from truesparse.kernels.subnormal import flush_subnormals, restore_subnormals


@inner_kernel
def forward_rows(parameters, out, out_z, activation, start, stop):
    """Do what `srelu_forward` does, for some neurons."""
    one, width = parameters.dtype.type(1.0), out.shape[1]
    for row in range(start, stop):
        t_left, a_left = parameters[0, row], parameters[1, row]
        t_right, a_right = parameters[2, row], parameters[3, row]
        if out_z.shape[0] > 0:
            for b in range(width):
                out_z[row, b] = out[row, b]
        for k in range(row * width, (row + 1) * width):
            z = read(out, k)
            # No branch, and a NaN comes through.
            is_right = z >= t_right
            is_left = z <= t_left
            t = t_right if is_right else t_left if is_left else z
            a = a_right if is_right else a_left if is_left else one
            write(out, k, t + a * (z - t))
        if activation.drop_below > 0:
            # It keeps no slope: `out_z` stands in for an array that is never written.
            drop_row(activation, out, out_z, row)


@parallel_kernel
def srelu_forward(parameters, out, out_z, activation, task_size):
    """Replace z by f(z), times dropout mask and scale.

    Parameters
    ----------
    parameters : (4, n) float array
    out : (n or more, columns) array
        z on entry, outputs on return; rows beyond n are left alone.
    out_z : (n, columns) array, or (0, 0)
        Receives z.
    activation : Activation
        Only its dropout is used; `keeps_slope` must be False.
    task_size : int
        Neurons a task.
    """
    n = parameters.shape[1]
    for task in prange((n + task_size - 1) // task_size):
        state = flush_subnormals()
        start = task * task_size
        stop = min(start + task_size, n)
        forward_rows(parameters, out, out_z, activation, start, stop)
        restore_subnormals(state)


@inner_kernel
def _backward_row(tile, parameters, z, delta, gradients, row):
    bias_gradient, gradient = gradients
    number = parameters.dtype.type
    one, minus, zero = number(1.0), number(-1.0), full(tile, delta, 0.0)
    t_left, a_left = parameters[0, row], parameters[1, row]
    t_right, a_right = parameters[2, row], parameters[3, row]
    middle = full(tile, delta, one)
    left_slope, right_slope = full(tile, delta, a_left), full(tile, delta, a_right)
    bias, left, right, rise_left, rise_right = zero, zero, zero, zero, zero
    for column in range(0, delta.shape[1], columns(tile)):
        value, g = load(tile, z, row, column), load(tile, delta, row, column)
        beyond_left = add_scaled(value, minus, full(tile, delta, t_left))
        # `where_positive` chooses by what is above 0; on the right, this is not.
        before_right = add_scaled(full(tile, delta, t_right), minus, value)
        g_right = where_positive(before_right, zero, g)
        g_left = where_positive(
            before_right, where_positive(beyond_left, zero, g), zero
        )
        slope = where_positive(beyond_left, middle, left_slope)
        change = multiply(g, where_positive(before_right, slope, right_slope))
        store(delta, row, column, change)
        bias = add_scaled(bias, one, change)
        left = add_scaled(left, one, g_left)
        right = add_scaled(right, one, g_right)
        rise_left = add_scaled(rise_left, one, multiply(g_left, beyond_left))
        rise_right = add_scaled(rise_right, minus, multiply(g_right, before_right))
    bias_gradient[row] = total(bias)
    gradient[0, row] = (one - a_left) * total(left)
    gradient[1, row] = total(rise_left)
    gradient[2, row] = (one - a_right) * total(right)
    gradient[3, row] = total(rise_right)


@inner_kernel
def _backward_rows(parameters, z, delta, activation, gradients, bounds):
    for row in range(bounds[0], bounds[1]):
        if activation.drop_below > 0:
            drop_row(activation, delta, z, row)
        # Tiles of 16 columns where they fit, else of one: 0.5 ns and 9 ns a number on
        # one thread (EPYC, 2026-11), but then there are few columns.
        if delta.shape[1] % LANES == 0:
            _backward_row((0,), parameters, z, delta, gradients, row)
        else:
            _backward_row((0.0,), parameters, z, delta, gradients, row)


@parallel_kernel
def srelu_backward(
    parameters, z, delta, activation, out_bias_gradient, out_gradient, task_size
):
    """Replace the gradient of the outputs by that of z; write that of parameters.

    Parameters
    ----------
    parameters : (4, n) float array
    z : (n, columns) array
        The `out_z` of srelu_forward.
    delta : (n, columns) array
        dL/dy on entry, dL/dz on return; zero in padded columns.
    activation : Activation
        The one of the forward pass: its dropout mask is computed again.
    out_bias_gradient : (n,) float array
        Receives the row sums of delta.
    out_gradient : (4, n) float array
        Receives the gradient of the parameters.
    task_size : int
        Neurons a task.
    """
    n = parameters.shape[1]
    for task in prange((n + task_size - 1) // task_size):
        state = flush_subnormals()
        bounds = (task * task_size, min((task + 1) * task_size, n))
        gradients = (out_bias_gradient, out_gradient)
        _backward_rows(parameters, z, delta, activation, gradients, bounds)
        restore_subnormals(state)
