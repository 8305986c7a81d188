"""Trained models for other libraries, sparse in all of them.

`to_scipy` and `to_coo` return the weights, `to_torch` and `to_onnx` convert whole nets.
Each takes a SparseMLP or a fitted estimator; the last two take a CondensedMLP, too.

matrices      to_scipy and to_coo
torch_export  to_torch
onnx_export   to_onnx: the graph of a net
onnx_files    how an ONNX file is written, array by array
by_output     layers by output neuron, from which exports of whole nets start
"""

from truesparse.export.matrices import to_coo, to_scipy
from truesparse.export.onnx_export import to_onnx
from truesparse.export.torch_export import to_torch

__all__ = ["to_coo", "to_onnx", "to_scipy", "to_torch"]
