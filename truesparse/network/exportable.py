"""What a net can be turned into: matrices, and models of other libraries."""

import pathlib
from typing import Any

import scipy.sparse

from truesparse import export
from truesparse.common.checks import import_extra


class Exportable:
    """A model whose methods hand it to other libraries."""

    def to_scipy(self, *, copy: bool = True) -> list[scipy.sparse.csr_array]:
        """Return the weights of every layer, see export.to_scipy."""
        return export.to_scipy(self, copy=copy)

    def to_coo(self) -> list[scipy.sparse.coo_array]:
        """Return the weights of every layer as coordinates, see export.to_coo."""
        return export.to_coo(self)

    def to_torch(self, **options: Any) -> Any:
        """Return the net as a torch.nn.Module, see export.to_torch."""
        return export.to_torch(self, **options)

    @classmethod
    def from_torch(cls, module: Any, **options: Any) -> Any:
        """Make a net of a torch.nn.Sequential, see truesparse.torch.conversion."""
        need = "from_torch needs torch"
        conversion = import_extra("truesparse.torch.conversion", need, "torch")
        return conversion.from_sequential(module, **options)

    def to_onnx(self, path, **options: Any) -> pathlib.Path:
        """Write the net to an ONNX file, see export.to_onnx."""
        return export.to_onnx(self, path, **options)
