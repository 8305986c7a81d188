"""What ONNX Runtime makes of a file."""

import numpy as np
import onnxruntime

TOLERANCE = {"float32": 1e-5, "float64": 1e-12}


def open_session(path):
    """Open a file with as many threads as a test needs, and no messages."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    return onnxruntime.InferenceSession(str(path), options)


def run(path, x):
    """Return the outputs by name."""
    session = open_session(path)
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {"x": x}), strict=True))


def close(got, expected):
    assert got.dtype == expected.dtype
    scale = max(1.0, np.abs(expected).max(initial=0.0))
    tolerance = scale * TOLERANCE[expected.dtype.name]
    np.testing.assert_allclose(got, expected, rtol=0, atol=tolerance)


def numbers(path):
    """Return the first output, whatever it is called."""
    return lambda x: next(iter(run(path, x).values()))
