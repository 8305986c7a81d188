"""The net as matrices of SciPy in one .npz file, for code without truesparse.

    layers.N.data, indices, indptr, shape    the weights W of layer N, (n_in, n_out)
    layers.N.bias                            (n_out,)
    layers.N.srelu                           (4, n_out), for that activation only: rows
                                             t_left, a_left, t_right and a_right
    feature_mean, feature_scale              (n_features,) float64, if rows are scaled
    target_mean, target_scale                (n_out,) float64, if targets were scaled
    description                              JSON, the rest

The description holds ``format`` (1), ``layers`` (activation and its parameter of every
layer), ``loss``, whose name says what follows the last layer, and ``task``,
``classes``, ``feature_names``, ``target_name`` and ``rows`` as `to_onnx` has them.
"""

import json
import pathlib
from typing import Any

import numpy as np

from truesparse.common.writing import replacing
from truesparse.datasets import Preprocessing
from truesparse.datasets.dataset import SCALE_NAMES
from truesparse.export.by_output import net_of
from truesparse.export.matrices import to_scipy

FORMAT = 1


def to_csr(
    model: Any, path: Any, *, preprocessing: Preprocessing | None = None
) -> pathlib.Path:
    """Write the net to an .npz file of CSR matrices, biases and scales.

    The arrays are named as `scipy.sparse.csr_array` takes them; the module's docstring
    lists them.

    Parameters
    ----------
    model : SparseMLP or fitted estimator
    path : str or path
        Usually ends in ``.npz``.
    preprocessing : Preprocessing, optional
        How the training data were scaled and labelled, such as their Dataset; by
        default that of the model, which it has if `truesparse.load` read it.

    Returns
    -------
    path

    Raises
    ------
    UsageError
        For a CondensedMLP, if the preprocessing does not suit the model, or if the file
        cannot be written.

    Examples
    --------
    A prediction with NumPy and SciPy alone:

    >>> import json, os, tempfile
    >>> import numpy as np
    >>> from scipy.sparse import csr_array
    >>> from truesparse import SparseMLP, datasets
    >>> from truesparse.export import to_csr
    >>> iris = datasets.load("iris")
    >>> model = SparseMLP([4, 30, 3], density=0.5)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = to_csr(model, os.path.join(folder, "iris.npz"), preprocessing=iris)
    ...     with np.load(path) as file:
    ...         arrays = dict(file)
    >>> description = json.loads(str(arrays["description"]))
    >>> description["classes"], [layer["activation"] for layer in description["layers"]]
    ([0, 1, 2], ['relu', 'identity'])
    >>> x = np.array([[5.1, 3.5, 1.4, 0.2]]) - arrays["feature_mean"]
    >>> x = (x / arrays["feature_scale"]).astype(np.float32)
    >>> for n in range(len(description["layers"])):
    ...     data, indices, indptr, shape, bias = (
    ...         arrays[f"layers.{n}.{name}"]
    ...         for name in ("data", "indices", "indptr", "shape", "bias")
    ...     )
    ...     z = x @ csr_array((data, indices, indptr), shape) + bias
    ...     x = np.maximum(z, 0)
    >>> scaled = iris.transform([[5.1, 3.5, 1.4, 0.2]])
    >>> bool(np.allclose(z, model.decision_function(scaled), atol=1e-5))
    True
    """
    matrices = to_scipy(model, copy=False)
    net = net_of(model, preprocessing)
    arrays: dict[str, Any] = {}
    for index, layer in enumerate(net.model.layers):
        matrix = matrices[index]
        values = {
            "data": matrix.data,
            "indices": matrix.indices,
            "indptr": matrix.indptr,
            "shape": matrix.shape,
            "bias": layer.bias,
            "srelu": None if layer.srelu is None else layer.srelu.values,
        }
        arrays |= {f"layers.{index}.{name}": values[name] for name in values}
    arrays |= {name: getattr(net.preprocessing, name) for name in SCALE_NAMES}
    description = {
        "format": FORMAT,
        "layers": [
            {"activation": each.activation.name, "parameter": each.activation.parameter}
            for each in net.model.layers
        ],
        "loss": net.loss.to_json(),
        **net.describe(),
    }
    arrays["description"] = json.dumps(description, default=str)
    arrays = {name: array for name, array in arrays.items() if array is not None}
    with replacing(path, "CSR matrices") as partial, partial.open("xb") as file:
        np.savez(file, **arrays)
    return pathlib.Path(path)
