"""ONNX files, written array by array; arrays of large nets go to a second file.

An ONNX file is one protobuf message, which cannot be longer than 2 GiB. Beyond a limit,
each array is written to a second file as soon as it is made (the "external data" of the
ONNX specification).
"""

import contextlib
import json
import pathlib
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np

from truesparse.common.checks import import_extra
from truesparse.common.writing import replacing
from truesparse.errors import UsageError

# Reading a file takes as much memory again as its arrays; a protobuf ends at 2 GiB.
_MOST_INLINE = 1 << 30
_MOST_PROTOBUF = (2 << 30) - (1 << 20)
# Shapes and axes must be in the first file, where the checker of ONNX looks for them.
_LEAST_EXTERNAL = 1 << 10
# Arrays start at pages, as the specification asks, so that they can be mapped.
_PAGE = 4096


def require_onnx() -> Any:
    """Return the onnx package, or raise UsageError."""
    return import_extra("onnx", "to_onnx needs onnx", "onnx")


class OnnxFile:
    """A model that grows node by node, and the file for its arrays.

    Parameters
    ----------
    model : onnx.ModelProto
    data : binary file or None
        Receives the arrays; without it, they stay in the model.
    location : str
        Future name of that file.
    """

    def __init__(self, model: Any, data: BinaryIO | None, location: str):
        self.model, self._data, self._location = model, data, location
        self._count = 0

    def node(self, op: str, *inputs: str, name: str | None = None, **attributes) -> str:
        """Add a node and return the name of its output."""
        helper = require_onnx().helper
        self._count += 1
        out = name or f"{op}_{self._count}"
        self.model.graph.node.append(
            helper.make_node(
                op, list(inputs), [out], f"{op}_{self._count}", **attributes
            )
        )
        return out

    def constant(self, array: np.ndarray, name: str = "constant") -> str:
        """Add an array and return its name."""
        onnx = require_onnx()
        self._count += 1
        name = f"{name}_{self._count}"
        # Filled in place: append would copy.
        tensor = self.model.graph.initializer.add()
        # Text has no place in a second file.
        is_text = array.dtype == object
        if self._data is None or is_text or array.nbytes < _LEAST_EXTERNAL:
            tensor.CopyFrom(onnx.numpy_helper.from_array(array, name))
            return name
        tensor.name = name
        tensor.dims.extend(array.shape)
        tensor.data_type = onnx.helper.np_dtype_to_tensor_dtype(array.dtype)
        tensor.data_location = onnx.TensorProto.EXTERNAL
        offset = -(-self._data.tell() // _PAGE) * _PAGE
        self._data.seek(offset)
        little = array.dtype.newbyteorder("<")
        self._data.write(np.ascontiguousarray(array, little).data)
        entries = {"location": self._location, "offset": offset, "length": array.nbytes}
        for key, value in entries.items():
            entry = tensor.external_data.add()
            entry.key, entry.value = key, str(value)
        return name

    def value(self, kind: str, name: str, dtype: np.dtype, shape: list) -> None:
        """Declare an "input" or "output" of the model."""
        helper = require_onnx().helper
        number = helper.np_dtype_to_tensor_dtype(dtype)
        declared = helper.make_tensor_value_info(name, number, shape)
        getattr(self.model.graph, kind).append(declared)

    def describe(self, facts: dict[str, Any]) -> None:
        """Add metadata: text as it is, anything else as JSON; None is left out."""
        props = {
            key: value if isinstance(value, str) else json.dumps(value, default=str)
            for key, value in facts.items()
            if value is not None
        }
        require_onnx().helper.set_model_props(self.model, props)


def choose_external(external_data: bool | None, n_bytes: int) -> bool:
    """Return whether arrays of `n_bytes` go to a second file.

    Raises
    ------
    UsageError
        If they should not, but do not fit into one.
    """
    if external_data is None:
        return n_bytes > _MOST_INLINE
    if not external_data and n_bytes > _MOST_PROTOBUF:
        raise UsageError(
            f"external_data=False: one ONNX file holds less than 2 GiB, but the arrays "
            f"have {n_bytes / 2**30:.1f}; leave external_data out"
        )
    return external_data


@contextlib.contextmanager
def open_onnx(path: Any, opset: int, external: bool) -> Iterator[OnnxFile]:
    """Yield an empty model, and write it at the end of the ``with`` statement.

    Existing files are replaced when the new ones are complete.

    Raises
    ------
    UsageError
        If a file cannot be written.
    """
    onnx = require_onnx()
    import truesparse

    opsets = [onnx.helper.make_opsetid("", opset)]
    model = onnx.helper.make_model(
        onnx.helper.make_graph([], "truesparse", [], []),
        opset_imports=opsets,
        # The library's default may be newer than what a runtime reads.
        ir_version=onnx.helper.find_min_ir_version_for(opsets),
        producer_name="truesparse",
        producer_version=truesparse.__version__,
    )
    with replacing(path, "ONNX model") as partial:
        target = pathlib.Path(path)
        data = target.with_name(f"{target.name}.data")
        with contextlib.ExitStack() as stack:
            file = None
            if external:
                arrays = stack.enter_context(replacing(data, "arrays of ONNX model"))
                file = stack.enter_context(open(arrays, "xb"))
            # Opened before the work, which would be lost if it cannot be written.
            whole = stack.enter_context(open(partial, "xb"))
            yield OnnxFile(model, file, data.name)
            whole.write(model.SerializeToString())
        onnx.checker.check_model(str(partial))
