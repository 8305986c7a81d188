"""The net as an ONNX file that stays sparse in ONNX Runtime.

Samples are columns, as in our kernels. The neurons of a layer are sorted by fan-in, the
number of their inputs; m neurons of about the same fan-in k form a group, whose weights
are a rectangle (m, k), the condensed layout of layers with constant fan-in::

    Gather:  x (n_in, batch), inputs (m, k)            ->  (m, k, batch)
    MatMul:  weights (m, 1, k), the last               ->  (m, 1, batch)

The hidden neurons stay in that order, and the next layer gathers its inputs by their
new numbers. Neurons with fewer than k inputs are filled up with weights 0 of their last
input; filling up by as much as 1/8 makes groups fewer. Nothing of size n_in x n_out is
in the file or computed, unless a layer is full: then it is one Gemm.

Measured (ONNX Runtime 1.31, AMD EPYC, 2 busy cores, 2026-11-21): a layer of 50,000 x
50,000 with 1 million weights takes 0.3 s and 0.2 GB, batch 128. With ScatterElements it
takes 4 s and 3.7 GB for an index of 8 bytes for each connection and sample.
"""

import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from truesparse.common.checks import check_bools, check_whole, float_type
from truesparse.datasets import Preprocessing
from truesparse.errors import UsageError
from truesparse.export.by_output import LayerByOutput, Net, net_of
from truesparse.export.onnx_files import (
    OnnxFile,
    choose_external,
    open_onnx,
    require_onnx,
)

# The first with Softmax, ReduceSum and Squeeze as they are now. GELU is made of other
# operators, for there is one for it only from 20 on.
_FIRST_OPSET = 13
_MOST_PADDING = 8  # fan-ins are filled up by at most 1 in 8
_LEAST_CHUNK = 1 << 16
# ONNX Runtime opens files in a time that grows faster than the square of their nodes:
# 24 million weights in 250 chunks in 0.6 s, in 1000 in 4.4 s, in 4000 in 235 s.
_MOST_CHUNKS = 256


def to_onnx(
    model: Any,
    path: Any,
    *,
    preprocessing: Preprocessing | None = None,
    opset: int = 17,
    dtype: str | None = None,
    chunk_size: int | None = None,
    external_data: bool | None = None,
) -> pathlib.Path:
    """Write the net to an ONNX file.

    Its input ``x`` is (batch, n_features), for a batch of any size. With a
    preprocessing these are raw rows: the graph scales them, and the predictions of a
    regression are in the units of its targets. Its outputs depend on the loss of the
    net:

    * softmax: ``probabilities`` (batch, n_out) and ``labels`` (batch,), which are the
      classes of the estimator or preprocessing or, without one, their numbers in int64;
    * logistic: ``probabilities`` (batch, n_out) and ``labels`` (batch, n_out), 0 or 1;
      with one output and two classes, as with softmax and two outputs;
    * squared, huber or poisson: ``predictions`` (batch, n_out).

    The metadata of the file are ``task``, and as far as they are known ``classes`` and
    ``feature_names`` (JSON lists) and ``target_name``. ``rows`` says what `x` is: "raw"
    rows; "encoded" ones, where a table had columns of text, which
    ``truesparse.datasets.load_rows`` encodes; or rows "as trained", where nothing is
    known of them.

    Parameters
    ----------
    model : SparseMLP, CondensedMLP or fitted estimator
    path : str or path
        Usually ends in ``.onnx``.
    preprocessing : Preprocessing, optional
        How the training data were scaled and labelled, such as their Dataset; by
        default that of the model, which it has if `truesparse.load` read it.
    opset : int
        Version of ONNX's operators, from 13.
    dtype : {"float32", "float64"}, optional
        Type of weights, input and outputs; that of the model if not given.
    chunk_size : int, optional
        Most connections that are computed at once: a prediction needs memory for about
        ``chunk_size * batch`` numbers besides the outputs of two layers. If not given,
        65,536 or 1/256 of all connections, whichever is more.
    external_data : bool, optional
        Whether arrays go to a second file beside the first, called ``path`` + ".data",
        which a runtime maps into memory instead of reading it. If not given, arrays of
        more than 1 GiB do; a single ONNX file cannot hold 2 GiB.

    Returns
    -------
    path

    Raises
    ------
    UsageError
        If onnx is not installed, a file cannot be written, or the preprocessing does
        not suit the model, and for GELU in float64: ONNX Runtime has its error function
        in float32 only.

    Notes
    -----
    Rows are scaled in float64 and rounded once, as `Preprocessing.transform` does it,
    so that features of large mean and small deviation lose only the digits that an `x`
    of float32 lacks. ``dtype="float64"`` takes it in float64.

    Measured for 784-50,000-50,000-10 with 1.6 million weights in float32 (ONNX Runtime
    1.31, AMD EPYC, 2 cores, 2026-11-21; the machine had other work to do):

    ====================  ==============  ==========================
    .                     this file       a dense one, weights alone
    ====================  ==============  ==========================
    file                  14 MB           10.2 GB
    peak, batch of 1      32 MB, 70 ms    10.2 GB
    peak, batch of 128    317 MB, 0.4 s   10.2 GB
    ====================  ==============  ==========================

    The peak is that of ONNX Runtime beyond its own 46 MB. With
    ``SessionOptions.enable_mem_pattern = False`` it is 176 MB for the batch of 128.
    Arrays in a second file save 5 MB. SparseMLP itself is faster. Writing a file of 280
    million weights, 2.3 GB, took at most twice the memory of the model, and reading it
    the size of the file.

    Examples
    --------
    >>> import os, tempfile
    >>> from truesparse import SparseMLP
    >>> from truesparse.export import to_onnx
    >>> model = SparseMLP([64, 100, 10], epsilon=5)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = to_onnx(model, os.path.join(folder, "digits.onnx"))
    ...     path.name, path.stat().st_size < 20_000
    ('digits.onnx', True)
    """
    net = net_of(model, preprocessing)
    onnx = require_onnx()
    newest = onnx.defs.onnx_opset_version()
    check_whole("opset", opset, _FIRST_OPSET, newest)
    if chunk_size is None:
        chunk_size = max(_LEAST_CHUNK, net.nnz // _MOST_CHUNKS)
    check_whole("chunk_size", chunk_size, 1)
    if external_data is not None:
        check_bools(external_data=external_data)
    number = np.dtype(net.dtype if dtype is None else float_type(dtype))
    _check_activations(net, number)
    n_neurons = sum(layer.bias.size for layer in net.model.layers)
    # Fan-ins are filled up; a bias, and the four numbers of SReLU.
    n_bytes = net.nnz * (number.itemsize + 4) * (_MOST_PADDING + 1) // _MOST_PADDING
    n_bytes += 5 * n_neurons * number.itemsize + 16 * net.n_features
    external = choose_external(external_data, n_bytes)
    with open_onnx(path, opset, external) as file:
        _Graph(file, net, number, chunk_size).build()
    return pathlib.Path(path)


def _check_activations(net: Net, dtype: np.dtype) -> None:
    names = {layer.activation.name for layer in net.model.layers}
    if dtype == np.float64 and "gelu" in names:
        raise UsageError(
            "ONNX Runtime has no GELU in float64; export the net with dtype='float32'"
        )


class _Graph:
    """Builds the nodes of one net."""

    def __init__(self, file: OnnxFile, net: Net, dtype: np.dtype, chunk_size: int):
        self.file, self.net, self.dtype = file, net, dtype
        self.chunk_size = chunk_size
        self.node = file.node

    def build(self) -> None:
        """Add all layers and the outputs."""
        net = self.net
        self.file.value("input", "x", self.dtype, ["batch", net.n_features])
        self.file.describe(net.describe())
        x = self.node("Transpose", "x", perm=[1, 0])
        x = self._affine(x, "Sub", "feature_mean", "Div", "feature_scale")
        positions = np.arange(net.n_features, dtype=np.int32)
        for layer in net.layers():
            x, positions = self._layer(layer, x, positions)
        if (np.diff(positions) < 0).any():
            x = self.node("Gather", x, self.file.constant(positions), axis=0)
        self._outputs(x)

    def constant(self, array: np.ndarray, name: str = "constant") -> str:
        """Add numbers in the dtype of the net."""
        return self.file.constant(np.ascontiguousarray(array, self.dtype), name)

    def _affine(self, x: str, *steps: str) -> str:
        """Add steps of scaling, each an operator and a field of the preprocessing.

        They are computed in float64. Fields that are None are left out.
        """
        fields = vars(self.net.preprocessing)
        pairs = list(zip(steps[::2], steps[1::2], strict=True))
        if all(fields[name] is None for _, name in pairs):
            return x
        onnx = require_onnx()
        out = self.node("Cast", x, to=onnx.TensorProto.DOUBLE)
        for op, name in pairs:
            if fields[name] is not None:
                numbers = self.file.constant(fields[name][:, None], name)
                out = self.node(op, out, numbers)
        number = onnx.helper.np_dtype_to_tensor_dtype(self.dtype)
        return self.node("Cast", out, to=number)

    def _layer(
        self, layer: LayerByOutput, x: str, positions: np.ndarray
    ) -> tuple[str, np.ndarray]:
        """Add a layer; return its output and the row of each neuron in that.

        `positions` holds the row of each input neuron in `x`.
        """
        if layer.n_out == 0:
            # Nothing reads it: the next layer has no inputs.
            return x, positions[:0]
        counts = np.diff(layer.indptr)
        order = np.argsort(counts, kind="stable")
        groups = [
            self._group(layer, order[start:stop], width, x, positions)
            for start, stop, width in _groups(counts[order], self.chunk_size)
        ]
        z = groups[0] if len(groups) == 1 else self.node("Concat", *groups, axis=0)
        z = self.node("Add", z, self.constant(layer.bias[order, None], "bias"))
        rows = np.empty(order.size, np.int32)
        rows[order] = np.arange(order.size)
        srelu = None if layer.srelu is None else layer.srelu[:, order]
        name, parameter = layer.activation.name, layer.activation.parameter
        return self._activate(name, parameter, srelu, z), rows

    def _group(
        self,
        layer: LayerByOutput,
        neurons: np.ndarray,
        width: int,
        x: str,
        positions: np.ndarray,
    ) -> str:
        """Add neurons with up to `width` inputs each; either all have some or none."""
        if width == 0:
            zeros = self.constant(np.zeros((neurons.size, 1)))
            one = self.file.constant(np.ones(1, np.int64))
            # (1, batch), which the zeros are broadcast to.
            shape = self.node("Concat", one, self._batch(), axis=0)
            return self.node("Expand", zeros, shape)
        starts, counts = layer.indptr[neurons], np.diff(layer.indptr)[neurons]
        slots = np.arange(width)
        taken = np.minimum(slots, counts[:, None] - 1) + starts[:, None]
        inputs = positions[layer.inputs[taken]]
        weights = np.where(slots < counts[:, None], layer.weights[taken], 0)
        if counts.min() == layer.n_in:
            full = np.empty_like(weights)
            np.put_along_axis(full, inputs, weights, 1)
            # Not MatMul: ONNX Runtime 1.19 fuses it with a transposition to an operator
            # that it has in float32 only.
            return self.node("Gemm", self.constant(full, "weights"), x)
        gathered = self.node("Gather", x, self.file.constant(inputs, "inputs"), axis=0)
        weights = weights[:, None, :]
        sums = self.node("MatMul", self.constant(weights, "weights"), gathered)
        return self.node("Squeeze", sums, self.file.constant(np.ones(1, np.int64)))

    def _batch(self) -> str:
        shape = self.node("Shape", "x")
        first = self.file.constant(np.zeros(1, np.int64))
        return self.node("Gather", shape, first, axis=0)

    def _activate(
        self, name: str, parameter: float, srelu: np.ndarray | None, z: str
    ) -> str:
        """Add an activation, of operators that ONNX Runtime has in both dtypes."""
        if srelu is not None:
            return self._srelu(srelu, z)
        plain = {"relu": "Relu", "tanh": "Tanh", "logistic": "Sigmoid"}
        if name == "identity":
            return z
        if name in plain:
            return self.node(plain[name], z)
        if name == "silu":
            # Not z * Sigmoid(z), for the same reason as MatMul in `_group`.
            power = self.node("Exp", self.node("Neg", z))
            one = self.constant(np.array(1.0))
            return self.node("Div", z, self.node("Add", power, one))
        if name == "gelu":
            half, one = self.constant(np.array(0.5)), self.constant(np.array(1.0))
            scaled = self.node("Mul", z, self.constant(np.sqrt(0.5)))
            below = self.node("Add", self.node("Erf", scaled), one)
            return self.node("Mul", self.node("Mul", z, half), below)
        # max(z, 0) + parameter g(min(z, 0))
        bends = {"leaky_relu": False, "all_relu": False, "elu": True}[name]
        zero = self.constant(np.array(0.0))
        low = self.node("Min", z, zero)
        if bends:
            one = self.constant(np.array(1.0))
            low = self.node("Sub", self.node("Exp", low), one)
        low = self.node("Mul", low, self.constant(np.array(parameter)))
        return self.node("Add", self.node("Max", z, zero), low)

    def _srelu(self, parameters: np.ndarray, z: str) -> str:
        """Add what kernels/srelu.py computes."""
        rows = parameters[:, :, None]
        t_left, a_left, t_right, a_right = (self.constant(row, "srelu") for row in rows)

        def line(threshold: str, slope: str) -> str:
            beyond = self.node("Sub", z, threshold)
            return self.node("Add", threshold, self.node("Mul", slope, beyond))

        is_left = self.node("LessOrEqual", z, t_left)
        out = self.node("Where", is_left, line(t_left, a_left), z)
        is_right = self.node("GreaterOrEqual", z, t_right)
        return self.node("Where", is_right, line(t_right, a_right), out)

    def _outputs(self, z: str) -> None:
        """Add the outputs of the file, made from those of the net (n_out, batch)."""
        net, loss = self.net, self.net.loss.name
        is_regression = net.loss.task.name == "regression"
        if loss == "poisson":
            z = self.node("Exp", z)
        name = "predictions" if is_regression else None
        z = self._affine(z, "Mul", "target_scale", "Add", "target_mean")
        scores = self.node("Transpose", z, perm=[1, 0], name=name)
        if is_regression:
            self.file.value("output", scores, self.dtype, ["batch", net.n_out])
            return
        n_classes = 0 if net.classes is None else len(net.classes)
        if loss == "softmax":
            self._probabilities(net.n_out, "Softmax", scores, axis=1)
            is_named = n_classes == net.n_out
            self._labels(is_named, "ArgMax", scores, axis=1, keepdims=0)
            return
        zero = self.constant(np.array(0.0))
        is_yes = self.node("Greater", scores, zero)
        number = require_onnx().TensorProto.INT64
        if net.n_out == 1 and n_classes == 2:
            yes = self.node("Sigmoid", scores)
            no = self.node("Sigmoid", self.node("Neg", scores))
            self._probabilities(2, "Concat", no, yes, axis=1)
            axis = self.file.constant(np.ones(1, np.int64))
            flat = self.node("Squeeze", is_yes, axis)
            self._labels(True, "Cast", flat, to=number)
        else:
            self._probabilities(net.n_out, "Sigmoid", scores)
            self.node("Cast", is_yes, to=number, name="labels")
            self.file.value(
                "output", "labels", np.dtype(np.int64), ["batch", net.n_out]
            )

    def _probabilities(self, n_columns: int, op: str, *inputs: str, **how) -> None:
        self.node(op, *inputs, name="probabilities", **how)
        self.file.value("output", "probabilities", self.dtype, ["batch", n_columns])

    def _labels(self, is_named: bool, op: str, source: str, **how) -> None:
        """Add one label for each sample: the number of its class, or its name."""
        dtype = np.dtype(np.int64)
        if is_named:
            names = _class_names(self.net.classes)
            dtype, table = names.dtype, self.file.constant(names, "classes")
            self.node("Gather", table, self.node(op, source, **how), name="labels")
        else:
            self.node(op, source, name="labels", **how)
        self.file.value("output", "labels", dtype, ["batch"])


def _groups(counts: np.ndarray, chunk_size: int) -> Iterator[tuple[int, int, int]]:
    """Yield start, stop and largest fan-in of groups, for ascending fan-ins.

    Fan-ins up to 7 are never mixed; so neurons without inputs form groups themselves.
    """
    start = 0
    while start < counts.size:
        least = int(counts[start])
        most = least + least // _MOST_PADDING
        stop = int(np.searchsorted(counts, most, side="right"))
        width = int(counts[stop - 1])
        room = max(1, chunk_size // max(1, width))
        stop = stop if width == 0 else min(stop, start + room)
        yield start, stop, int(counts[stop - 1])
        start = stop


def _class_names(classes: Any) -> np.ndarray:
    """Return the names of classes as ONNX holds them: text, numbers or bool."""
    kind = classes.dtype.kind
    if kind == "i" or (kind == "u" and classes.max() <= np.iinfo(np.int64).max):
        return classes.astype(np.int64)
    if kind in "ubf":
        return classes
    if all(isinstance(name, str) for name in classes.tolist()):
        return classes.astype(object)
    raise UsageError(
        "ONNX labels can be only numbers and text, not the classes "
        f"{classes.tolist()[:5]}; export the estimator's model_"
    )
