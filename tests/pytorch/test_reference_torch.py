"""The two implementations in torch compute what the one in NumPy does."""

import numpy as np
import pytest
from support.reference_runs import (
    CASES,
    GOLDEN_KIT,
    draw_batch,
    draw_update,
    make_state,
)

torch = pytest.importorskip("torch")

from support import pretended_gpu  # noqa: E402

from benchmarks import gpu  # noqa: E402
from benchmarks.reference import (  # noqa: E402
    numpy_dense,
    torch_csr,
    torch_masked,
)
from benchmarks.reference.set_update import (  # noqa: E402
    draw_absent,
    nearest_to_zero,
    set_update,
)
from truesparse.reference import check  # noqa: E402
from truesparse.reference.baseline import (  # noqa: E402
    compare,
    times_file,
    timing,
)
from truesparse.reference.baseline.timed_nets import NETS  # noqa: E402

MODULES = (torch_masked, torch_csr)


def assert_close(got, want, tolerance):
    assert got.keys() == want.keys()
    for key, array in want.items():
        assert got[key].dtype == array.dtype or key == "loss"
        np.testing.assert_allclose(got[key], array, tolerance, tolerance, err_msg=key)


@pytest.mark.parametrize("module", MODULES)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [("float64", 1e-12), ("float32", 2e-5)]
)
def test_steps_and_updates(module, case, dtype, tolerance):
    case = case | {"dtype": dtype}
    net, twin = module.factory(case), numpy_dense.factory(case)
    for each in (net, twin):
        each.load(make_state(case))
    if case["topology"] == "snip":
        update = draw_update(case, twin, 0)
        assert_close(net.update_topology(update), twin.update_topology(update), 0)
    for step in range(6):
        batch = draw_batch(case, step)
        assert_close(
            {key: each.astype(dtype) for key, each in net.step(batch).items()},
            {key: np.asarray(each, dtype) for key, each in twin.step(batch).items()},
            tolerance,
        )
        # As the checker does, so that float32 does not drift.
        net.load(twin.state())
        if step % 2 and case["topology"] != "snip":
            update = draw_update(case, twin, step + 1)
            assert_close(net.update_topology(update), twin.update_topology(update), 0)
            assert_close(net.state(), twin.state(), 0)


@pytest.mark.parametrize("module", MODULES)
def test_predictions_have_no_dropout(module):
    case = CASES[0] | {"dropout": 0.5, "dtype": "float64"}
    net, twin = module.factory(case), numpy_dense.factory(case | {"dropout": 0.0})
    for each in (net, twin):
        each.load(make_state(case))
    batch = draw_batch(case, 0)
    got = net.evaluate(batch.inputs, batch.targets)
    want = twin.step(batch)["layer.1.output"]
    np.testing.assert_allclose(got["output"], want, atol=1e-12)
    assert got["accuracy"] == np.mean(want.argmax(axis=1) == batch.targets)


def test_a_masked_net_has_no_weight_outside_its_mask():
    case = next(case for case in CASES if case["optimizer"] == "adamw")
    net = torch_masked.factory(case | {"dtype": "float32"})
    net.load(make_state(case))
    net.step(draw_batch(case, 0))
    for layer in net.net.layers:
        assert not layer.weights[~layer.mask].any()


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_check_is_passed(module, dtype):
    words = [f"--dtype={dtype}", "--implementation", f"{module.__name__}:factory"]
    assert check.main([GOLDEN_KIT, *words]) == 0


# A GPU --------------------------------------------------------------------------------


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_nothing_but_explicit_copies_is_done_on_the_host(module):
    def factory(case):
        return Entered(module.factory(case, pretended_gpu.DEVICE))

    result = check.check(GOLDEN_KIT, factory, dtype="float32")
    assert result["verdict"] == "passes", result


class Entered:
    """An implementation whose methods are called with a pretended GPU.

    The checker calls them in a thread of its own, and a mode is one of a thread.
    """

    def __init__(self, implementation):
        self.implementation = implementation

    def __getattr__(self, method):
        def call(*arguments):
            with pretended_gpu.PretendedGpu():
                return getattr(self.implementation, method)(*arguments)

        return call


@pytest.mark.parametrize("module", MODULES)
def test_set_is_done_on_the_device(module):
    case = CASES[0] | {"dtype": "float32"}
    with pretended_gpu.PretendedGpu():
        net = module.factory(case, pretended_gpu.DEVICE)
        net.load(make_state(case))
        n_connections = net.keys(0).size
        set_update(net.net.layers[0], 0.3, torch.Generator().manual_seed(0))
        assert net.keys(0).size == n_connections
        assert (net.weights(0) == 0).sum() > 0


def test_the_pretended_gpu_refuses_what_a_gpu_does():
    with pretended_gpu.PretendedGpu():
        there = torch.tensor(np.arange(3.0), device=pretended_gpu.DEVICE)
        here = torch.ones(3)
        assert (there * 2.0).cpu().tolist() == [0.0, 2.0, 4.0]
        with pytest.raises(pretended_gpu.MixedDevicesError):
            there + here
        with pytest.raises(RuntimeError, match=r"numpy\(\) is not supported"):
            there.numpy()


# SET ----------------------------------------------------------------------------------


def test_nearest_to_zero_is_per_sign_and_zeros_go_first():
    values = torch.tensor([-3.0, 0.0, -1.0, 0.0, 0.5, 2.0, 4.0, 0.0, 5.0, -4.0])
    assert sorted(nearest_to_zero(values, 0.3).tolist()) == [1, 3, 7]
    values = torch.tensor([-3.0, 1.0, -1.0, 0.1, 0.5, 2.0, -0.2, 3.0])
    # A half of 5 positive ones, rounded down, and of 3 negative ones.
    assert sorted(nearest_to_zero(values, 0.5).tolist()) == [3, 4, 6]


def test_cells_are_drawn_uniformly_from_the_empty_ones():
    generator = torch.Generator().manual_seed(0)
    keys = torch.tensor([0, 3, 4, 9])
    counts = np.zeros(10)
    for _ in range(500):
        drawn = draw_absent(keys, 3, 10, generator)
        assert drawn.unique().tolist() == drawn.tolist()
        counts[drawn] += 1
    assert not counts[keys].any()
    # 3 of 6 cells: each with probability one half, to 4 deviations.
    others = np.setdiff1d(np.arange(10), keys)
    assert np.abs(counts[others] - 250).max() < 4 * np.sqrt(500 / 4)
    np.testing.assert_array_equal(draw_absent(keys, 6, 10, generator), others)


@pytest.mark.parametrize("module", MODULES)
def test_set_replaces_as_many_as_it_drops(module):
    case = CASES[0] | {"dtype": "float64"}
    net = module.factory(case)
    net.load(make_state(case))
    net.step(draw_batch(case, 0))
    layer, before = net.net.layers[0], net.state()
    keys = layer.keys().clone()
    set_update(layer, 0.3, torch.Generator().manual_seed(0))
    after, weights = layer.keys(), layer.values(layer.weights)
    assert after.numel() == keys.numel()
    old = torch.from_numpy(before["layer.0.weights"])
    signs = [int((old > 0).sum()), int((old < 0).sum())]
    is_old = weights != 0
    assert int((~is_old).sum()) == sum(int(0.3 * count) for count in signs)
    places = torch.searchsorted(keys, after[is_old])
    torch.testing.assert_close(weights[is_old], old[places])
    moments = torch.from_numpy(before["layer.0.first"])[places]
    torch.testing.assert_close(layer.values(layer.moments[0])[is_old], moments)
    assert np.isfinite(net.step(draw_batch(case, 1))["loss"])


# Times --------------------------------------------------------------------------------


@pytest.mark.parametrize("runner", gpu.RUNNERS.values())
def test_runners_train_the_nets_of_the_engine(runner):
    implementation, *rows = timing.measure(
        NETS["tiny"], lambda net: runner(net, 1, "cpu"), seconds=0.0
    )
    assert implementation["name"] == runner.name
    assert implementation["memory_of"] == "host"
    operations = [row["operation"] for row in rows]
    assert operations == ["initialise", "predict", "predict", "train", "update+train"]
    assert {row["connections"] for row in rows} == {2370}


def test_updates_that_torch_lacks_are_left_out():
    net = NETS["updates-fan-in"].shrunk()
    _, *rows = timing.measure(net, lambda net: gpu.Csr(net, 1, "cpu"), seconds=0.0)
    assert [row["method"] for row in rows] == [None] * 4


def test_files_can_be_compared(tmp_path, capfd):
    words = ["--device=cpu", "--nets=tiny", "--seconds=0.001", "--threads=1"]
    assert gpu.main([*words, f"--out={tmp_path}"]) == 0
    paths = [tmp_path / f"{name}-cpu.json" for name in gpu.RUNNERS]
    first, second = map(times_file.read, paths)
    assert len(compare.compare(first, second)["rows"]) == 5
    assert second["implementation"]["device"] == "cpu"
    assert gpu.main([*words, f"--out={tmp_path}"]) == 2
    assert "exists already" in capfd.readouterr().err


def test_dense_arrays_that_do_not_fit_are_refused():
    with pytest.raises(gpu.MemoryLimitError, match=r"cells need 2\.\d+ TB"):
        gpu.Masked(NETS["step-300000-batch2"], 1, "cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_missing_gpu_is_named(tmp_path, capfd):
    assert gpu.main(["--out", str(tmp_path), "--nets", "tiny"]) == 2
    assert "sees no GPU here; --device cpu" in capfd.readouterr().err
