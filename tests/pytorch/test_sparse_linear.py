"""SparseLinear as a module: what it computes, refuses, stores and is copied to."""

import copy
import pickle
import subprocess
import sys

import pytest
from support.sources import ROOT

torch = pytest.importorskip("torch")

# torch says once that they are in beta state.
pytestmark = pytest.mark.filterwarnings("ignore:Sparse CSR tensor support")

from support.torch_nets import dense, make_batches, make_net, train_step  # noqa: E402
from torch import nn  # noqa: E402

from truesparse.errors import UsageError  # noqa: E402
from truesparse.torch import SparseLinear  # noqa: E402

each_dtype = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])


def make(**options):
    return SparseLinear(9, 6, **({"density": 0.4, "seed": 3} | options))


def linear(layer, x):
    return nn.functional.linear(x, dense(layer), layer.bias)


@each_dtype
@pytest.mark.parametrize("shape", [(9,), (4, 9), (2, 3, 9), (2, 1, 3, 9), (0, 9)])
def test_inputs_have_any_leading_shape(shape, dtype):
    layer = make(dtype=dtype)
    nn.init.normal_(layer.bias)
    x = torch.randn(shape, dtype=dtype, requires_grad=True)
    got, want = layer(x), linear(layer, x)
    assert got.shape == want.shape
    torch.testing.assert_close(got, want)
    loss = [each.square().sum() for each in (got, want)]
    torch.testing.assert_close(*(torch.autograd.grad(each, x) for each in loss))


def test_inputs_may_be_sparse():
    layer = make(dtype=torch.float64)
    x = torch.randn(5, 9, dtype=torch.float64).relu()
    grads = []
    for each in (x, x.to_sparse_csr()):
        layer.zero_grad()
        y = layer(each)
        torch.testing.assert_close(y, linear(layer, x))
        y.square().sum().backward()
        grads.append((layer.weight.grad, layer.bias.grad))
    torch.testing.assert_close(*grads)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (torch.zeros(2, 8), r"of 9 inputs got a tensor of shape \(2, 8\)"),
        (torch.zeros(()), r"shape \(\)"),
        (torch.zeros(2, 9, dtype=torch.float64), "got torch.float64 on cpu"),
        (torch.zeros(2, 9, dtype=torch.float16), "float32 or float64, on the CPU"),
        (torch.zeros(2, 9, device="meta"), "got torch.float32 on meta"),
        (torch.zeros(2, 9).to_sparse_coo(), "sparse CSR tensors, got torch.sparse_coo"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(x, message):
    with pytest.raises(UsageError, match=message):
        make()(x)


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is")
def test_derivatives_in_forward_mode_are_refused():
    layer, x = make(), torch.ones(2, 9)
    message = "no derivatives in forward mode"
    with pytest.raises(UsageError, match=message):
        torch.func.jvp(layer, (x,), (x,))
    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(layer.weight, layer.weight)
        with pytest.raises(UsageError, match=message):
            torch.func.functional_call(layer, {"weight": dual}, x)
    _, got = torch.autograd.functional.jvp(layer, x, x)
    torch.testing.assert_close(got, layer(x) - layer.bias)


def test_sparse_inputs_are_matrices():
    x = torch.ones(2, 3, 9).to_sparse_csr()
    with pytest.raises(UsageError, match=r"\(batch, 9\), got shape \(2, 3, 9\)"):
        make()(x)


def test_sparse_inputs_that_are_not_valid_are_refused():
    layer = make()
    parts = torch.tensor([0, 1]), torch.tensor([9]), torch.ones(1)
    with pytest.raises(UsageError, match="not valid"):
        layer(torch.sparse_csr_tensor(*parts, (1, 9), check_invariants=False))
    x = torch.ones(2, 9).to_sparse_csr().requires_grad_()
    with pytest.raises(UsageError, match="gets no gradient"):
        layer(x)


@pytest.mark.parametrize(
    ("move", "message"),
    [
        (lambda m: m.half(), "cannot become torch.float16.*: convert these back"),
        (lambda m: m.to(torch.bfloat16), "float32 or float64, on the CPU"),
        (lambda m: m.to("cuda"), "float32 or float64, on the CPU"),
        (lambda m: m.to("meta"), "on meta"),
    ],
)
def test_other_devices_and_precisions_are_refused(move, message):
    if torch.cuda.is_available() and "float64" in message:
        message = "cannot become"
    layer = make()
    weight, bias = layer.weight.detach().clone(), layer.bias.dtype
    with pytest.raises(UsageError, match=message):
        move(layer)
    assert torch.equal(layer.weight, weight)
    assert layer.bias.dtype == bias


def test_precision_changes():
    layer = make().double()
    assert layer.weight.dtype == torch.float64
    assert layer.indptr.dtype == torch.int64
    assert layer(torch.ones(2, 9, dtype=torch.float64)).dtype == torch.float64


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"density": None}, "give one of density, epsilon and connectivity, got none"),
        ({"epsilon": 2}, "got density and epsilon"),
        ({"density": 1.5}, "density must be"),
        ({"dtype": torch.float16}, "got dtype torch.float16"),
        ({"bias": "no"}, "bias must be true or false"),
        ({"init_topology": "csti"}, "give them as init_data"),
        ({"weight_init": "he"}, "unknown weight initialiser"),
        ({"density": None, "connectivity": [[0], [9]]}, "input neurons 9 to 9"),
        ({"density": None, "connectivity": [[6], [0]]}, "output neurons 6 to 6"),
        ({"density": None, "connectivity": [0, 1]}, r"integers of shape \(2, nnz\)"),
        ({"density": None, "connectivity": [[], []]}, r"integers of shape"),
        (
            {"density": None, "connectivity": [[2, 2], [1, 1]]},
            "connects output 2 with input 1 more than once",
        ),
        (
            {"density": None, "connectivity": [[2], [1]], "init_topology": "bsf"},
            "leave out init_topology",
        ),
    ],
)
def test_options_that_do_not_fit_are_refused(options, message):
    with pytest.raises(UsageError, match=message):
        make(**options)


def test_connections_are_drawn_as_asked():
    layer = make(density=None, epsilon=2)
    assert (layer.nnz, layer.density) == (30, 30 / 54)
    again = make(density=None, epsilon=2)
    assert torch.equal(layer.indices, again.indices)
    assert torch.equal(layer.weight, again.weight)
    fan_in = make(init_topology="constant_fan_in", density=4 / 9)
    assert fan_in.by_output.diff().tolist() == [4] * 6
    assert make(bias=False).bias is None
    torch.manual_seed(5)
    first = SparseLinear(9, 6, density=0.4)
    second = SparseLinear(9, 6, density=0.4)
    assert not torch.equal(first.weight, second.weight)
    torch.manual_seed(5)
    assert torch.equal(SparseLinear(9, 6, density=0.4).weight, first.weight)


def test_connections_may_be_given():
    pairs = torch.tensor([[5, 0, 5], [8, 2, 0]])
    layer = SparseLinear(9, 6, connectivity=pairs, seed=0)
    want = torch.zeros(6, 9, dtype=torch.bool)
    want[pairs[0], pairs[1]] = True
    assert torch.equal(dense(layer) != 0, want)


GIVEN = {"density": None, "connectivity": [[5, 0, 5], [8, 2, 0]]}


@each_dtype
@pytest.mark.parametrize("given", [{}, GIVEN])
def test_parameters_are_drawn_anew(given, dtype):
    layer = make(weight_init="xavier_normal", dtype=dtype, **given)
    other, parameter = copy.deepcopy(layer), layer.weight
    first = parameter.detach().clone()
    nn.init.constant_(layer.bias, 7.0)
    layer.reset_parameters(seed=8)
    assert layer.weight is parameter
    assert (parameter != first).all()
    assert not layer.bias.any()
    assert torch.equal(layer.indices, other.indices)
    other.reset_parameters(seed=8)
    assert torch.equal(parameter, other.weight)
    torch.manual_seed(5)
    layer.reset_parameters()
    torch.manual_seed(5)
    other.reset_parameters()
    assert torch.equal(parameter, other.weight)
    assert not torch.equal(parameter, first)


@pytest.mark.parametrize("name", ["he_uniform", "xavier_normal"])
def test_parameters_drawn_anew_are_spread_as_at_first(name):
    options = {"density": 0.1, "seed": 1, "weight_init": name}
    layer = SparseLinear(300, 200, **options)
    spread = layer.weight.std().item()
    layer.reset_parameters(seed=2)
    assert layer.weight.std().item() == pytest.approx(spread, rel=0.05)


def test_the_weights_as_a_sparse_tensor():
    layer = make()
    matrix = layer.to_sparse_csr()
    assert matrix.layout == torch.sparse_csr
    assert torch.equal(matrix.to_dense(), dense(layer))
    assert "nnz=22, density=0.407" in str(layer)


@pytest.mark.parametrize("part", [1 << 22, 20])
def test_the_largest_weights_of_a_dense_layer_stay(part, monkeypatch):
    from truesparse.torch import choosing

    monkeypatch.setattr(choosing, "_PART", part)
    linear = nn.Linear(9, 6)
    linear.weight.requires_grad_(False)
    layer = SparseLinear.from_linear(linear.eval(), density=0.25)
    magnitudes = linear.weight.abs()
    limit = magnitudes.flatten().sort().values[-14]
    want = torch.where(magnitudes >= limit, linear.weight, 0.0)
    assert torch.equal(dense(layer), want)
    assert torch.equal(layer.bias, linear.bias)
    assert layer.bias.data_ptr() != linear.bias.data_ptr()
    assert (layer.weight.requires_grad, layer.bias.requires_grad) == (False, True)
    assert not layer.training


def test_a_dense_layer_may_give_its_shape_alone():
    linear = nn.Linear(9, 6, bias=False, dtype=torch.float64)
    drawn = SparseLinear.from_linear(linear, epsilon=2, weights="drawn", seed=3)
    want = SparseLinear(9, 6, False, epsilon=2, seed=3, dtype=torch.float64)
    assert torch.equal(dense(drawn), dense(want))
    assert drawn.bias is None


@pytest.mark.parametrize(
    ("linear", "options", "message"),
    [
        (nn.Linear(3, 2), {}, "either epsilon or density"),
        (nn.Linear(3, 2), {"density": 0.5, "seed": 1}, "seed are for weights='drawn'"),
        (nn.Linear(3, 2), {"density": 0.5, "weights": "all"}, "unknown choice"),
        (nn.Conv2d(1, 1, 1), {"density": 0.5}, "got Conv2d"),
        (nn.Linear(3, 2).half(), {"density": 0.5}, "got dtype torch.float16"),
        (nn.Linear(3, 2, device="meta"), {"density": 0.5}, "a layer on meta"),
    ],
)
def test_dense_layers_that_do_not_fit_are_refused(linear, options, message):
    with pytest.raises(UsageError, match=message):
        SparseLinear.from_linear(linear, **options)


# Storage -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "copied",
    [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))],
    ids=["deepcopy", "pickle"],
)
def test_copies_are_apart(copied):
    net = make_net()
    [(x, labels)] = make_batches(1)
    other = copied(net)
    want = net(x)
    assert torch.equal(other(x), want)
    optimizer = torch.optim.SGD(other.parameters(), lr=0.5)
    train_step(other, optimizer, x, labels)
    assert torch.equal(net(x), want)
    assert not torch.equal(other(x), want)


# Compilers ---------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch, at its own
@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
def test_a_network_compiles_as_one_graph(backend):
    torch._dynamo.reset()
    net = make_net(torch.float32)
    compiled = torch.compile(copy.deepcopy(net), fullgraph=True, backend=backend)
    optimizers = [
        torch.optim.Adam(each.parameters(), lr=0.01) for each in (net, compiled)
    ]
    for x, labels in make_batches(3, 16, torch.float32):
        losses = [
            train_step(each, optimizer, x, labels)
            for each, optimizer in zip((net, compiled), optimizers, strict=True)
        ]
        torch.testing.assert_close(*losses)
    for each, other in zip(net.parameters(), compiled.parameters(), strict=True):
        torch.testing.assert_close(each, other, atol=1e-5, rtol=1e-5)


def test_a_network_is_exported():
    net = make_net(torch.float32).eval()
    x = torch.randn(16, 12)
    program = torch.export.export(net, (x,))
    torch.testing.assert_close(program.module()(x), net(x))


# Size --------------------------------------------------------------------------------

LARGE = """
import resource, torch
from truesparse.torch import SparseLinear, TopologyUpdater
layer = SparseLinear(1_000_000, 1_000_000, density=1e-6, seed=0)
optimizer = torch.optim.SGD(layer.parameters(), lr=0.1, momentum=0.9)
options = {"epochs": 2, "steps_per_epoch": 1, "candidates": "sampled"}
from truesparse.topology import UpdateSchedule
schedule = UpdateSchedule(1, "step")
updater = TopologyUpdater(layer, optimizer, "rigl", schedule=schedule, **options)
before = layer.indices.clone()
for _ in range(2):
    optimizer.zero_grad()
    layer(torch.ones(2, 1_000_000)).square().mean().backward()
    optimizer.step()
    changes = updater.step()
    print(layer.nnz, sum(each.grown for each in changes))
assert not torch.equal(layer.indices, before)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def test_a_million_neurons_on_each_side_take_less_than_two_gigabytes():
    done = subprocess.run(
        [sys.executable, "-c", LARGE], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    first, _, megabytes = done.stdout.splitlines()
    nnz, grown = first.split()
    assert int(nnz) == 1_000_000
    assert int(grown) > 0
    assert int(megabytes) < 2000
