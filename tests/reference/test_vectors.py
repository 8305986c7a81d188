"""Kits of machines with other vectors: sums in another order, within the tolerances."""

import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from truesparse.kernels import jit
from truesparse.reference import kit
from truesparse.reference.bounds import bounds
from truesparse.reference.cases import choose_cases
from truesparse.reference.protocol import cast
from truesparse.reference.reasons import ratio
from truesparse.reference.replay import replay
from truesparse.reference.write import write_kit

ROOT = pathlib.Path(__file__).parents[2]
AVX2 = "+sse,+sse2,+sse3,+ssse3,+sse4.1,+sse4.2,+popcnt,+avx,+avx2,+fma,+bmi,+bmi2"
N_STEPS = 4


def write_with_avx2(folder, cache):
    """Write a kit in a process that knows no wider vectors, and compiles anew."""
    settings = {
        "NUMBA_CPU_NAME": "haswell",
        "NUMBA_CPU_FEATURES": AVX2,
        "NUMBA_CACHE_DIR": str(cache),
        "NUMBA_NUM_THREADS": "1",
        "PYTHONPATH": str(ROOT),
    }
    # One case: more need more kernels.
    words = [str(folder), "--case=set", f"--steps={N_STEPS}"]
    subprocess.run(
        [sys.executable, "-m", "truesparse.reference", "write", *words],
        env=os.environ | settings,
        check=True,
        timeout=300,
    )
    return kit.Kit(folder).case("set")


@pytest.mark.compiled
@pytest.mark.skipif("avx512f" not in jit.host()[1], reason="there is no AVX-512")
def test_kits_of_avx2_and_avx512_differ_within_the_tolerances(tmp_path):
    narrow = write_with_avx2(tmp_path / "narrow", tmp_path / "cache")
    write_kit(tmp_path / "wide", choose_cases(["set"], "small", N_STEPS))
    wide = kit.Kit(tmp_path / "wide").case("set")
    differing = set()
    for dtype in kit.DTYPES:
        for step in range(N_STEPS):
            known = wide.description, cast(wide.before(step), dtype), wide.batch(step)
            limits = bounds(*known, replay(*known), dtype)
            one, other = (
                {**each.observed(step, dtype), **each.after(step, dtype)}
                for each in (wide, narrow)
            )
            for key, limit in limits.items():
                assert ratio(other[key], one[key], limit) <= 1.0, (dtype, step, key)
                if not np.array_equal(other[key], one[key]):
                    differing.add(key.rpartition(".")[2])
    # The order of sums over samples, which only gradients are, and what follows them.
    assert "gradient" in differing
