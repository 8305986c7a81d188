"""Kernels are compiled again when any of their sources changes."""

import os

from truesparse.kernels import jit


def test_binaries_go_by_all_sources_of_kernels():
    folder = os.path.dirname(jit.__file__)
    names = [name for name in os.listdir(folder) if name.endswith(".py")]
    stats = [os.stat(os.path.join(folder, name)) for name in names]
    assert {"forward.py", "jit.py", "aligned.py"} <= set(names)
    want = max(s.st_mtime for s in stats), sum(s.st_size for s in stats)
    assert jit._package_stamp() == want
