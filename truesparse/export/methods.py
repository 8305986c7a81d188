"""The exports as methods of a model."""

import pathlib
from typing import Any

import scipy.sparse


class Exports:
    """Methods of a model with layers and a loss; the functions are documented."""

    def to_scipy(self, *, copy: bool = True) -> list[scipy.sparse.csr_array]:
        """Return the weights of every layer, see export.to_scipy."""
        from truesparse.export.matrices import to_scipy

        return to_scipy(self, copy=copy)

    def to_coo(self) -> list[scipy.sparse.coo_array]:
        """Return the weights of every layer as coordinates, see export.to_coo."""
        from truesparse.export.matrices import to_coo

        return to_coo(self)

    def to_torch(self, *, probabilities: bool = False) -> Any:
        """Return the net as a torch.nn.Module, see export.to_torch."""
        from truesparse.export.torch_export import to_torch

        return to_torch(self, probabilities=probabilities)

    def to_onnx(self, path, **options: Any) -> pathlib.Path:
        """Write the net to an ONNX file, see export.to_onnx."""
        from truesparse.export.onnx_export import to_onnx

        return to_onnx(self, path, **options)
