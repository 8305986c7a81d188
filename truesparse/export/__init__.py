"""Trained models for other libraries, sparse in all of them.

`to_scipy` and `to_coo` return the weights; `to_torch`, `to_onnx` and `to_csr` convert
whole nets, with the scales and labels of their training data where they are known.
``python -m truesparse.export RUN --to onnx|torch|csr --out FILE`` does it for a run.
Each takes a SparseMLP or a fitted estimator; `to_torch` and `to_onnx` take a
CondensedMLP, too.

matrices      to_scipy and to_coo
torch_export  to_torch
torch_files   save_torch and load_torch: its module as a file
onnx_export   to_onnx: the graph of a net
onnx_files    how an ONNX file is written, array by array
csr_export    to_csr: matrices of SciPy in one file
by_output     layers by output neuron, from which exports of whole nets start
"""

from typing import TYPE_CHECKING

from truesparse.common.lazy import attach

if TYPE_CHECKING:
    from truesparse.export.csr_export import to_csr
    from truesparse.export.matrices import to_coo, to_scipy
    from truesparse.export.onnx_export import to_onnx
    from truesparse.export.torch_export import to_torch
    from truesparse.export.torch_files import load_torch, save_torch

# Loaded when first used, so that the command answers --help at once.
_HOMES = {
    "load_torch": "torch_files",
    "save_torch": "torch_files",
    "to_coo": "matrices",
    "to_csr": "csr_export",
    "to_onnx": "onnx_export",
    "to_scipy": "matrices",
    "to_torch": "torch_export",
}

__all__ = [
    "load_torch",
    "save_torch",
    "to_coo",
    "to_csr",
    "to_onnx",
    "to_scipy",
    "to_torch",
]

__getattr__, __dir__ = attach(__name__, _HOMES)
