"""replace_linear: which modules of a network become sparse, and which are refused."""

import pytest

torch = pytest.importorskip("torch")

from support.torch_nets import dense  # noqa: E402
from torch import nn  # noqa: E402

from truesparse.errors import UsageError  # noqa: E402
from truesparse.torch import SparseLinear, replace_linear  # noqa: E402


class Cnn(nn.Module):
    """A small convolutional network with a classifier of three layers."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten())
        self.classifier = nn.Sequential(
            *(nn.Linear(72, 30), nn.ReLU(), nn.Linear(30, 20), nn.ReLU()),
            nn.Linear(20, 10),
        )

    def forward(self, x):
        return self.classifier(self.features(x))


def kinds(model):
    return [type(each).__name__ for each in model.classifier if each is not None]


def test_linear_modules_are_replaced_in_place():
    model = Cnn()
    weight = model.classifier[0].weight.detach().clone()
    assert replace_linear(model, density=0.2) is model
    assert kinds(model) == ["SparseLinear", "ReLU"] * 2 + ["SparseLinear"]
    layer = model.classifier[0]
    assert layer.nnz == 0.2 * weight.numel()
    values = dense(layer)
    assert torch.equal(values[values != 0], weight[values != 0])
    model(torch.randn(2, 1, 8, 8)).sum().backward()
    assert layer.weight.grad.shape == layer.weight.shape


@pytest.mark.parametrize(
    ("skip", "sparse"),
    [("classifier.4", 2), (["classifier.0", "classifier.4"], 1), (["features"], 3)],
)
def test_modules_may_be_skipped(skip, sparse):
    model = replace_linear(Cnn(), epsilon=2, skip=skip)
    assert kinds(model).count("SparseLinear") == sparse


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"skip": ["head"]}, r"skip names 'head', .* it has features, features\.0"),
        ({"skip": ["classifier"]}, "no torch.nn.Linear to replace"),
        ({"density": None}, "either epsilon or density"),
        ({"weights": "random"}, "unknown choice of weights"),
        ({"seed": 3}, "seed are for weights='drawn'"),
    ],
)
def test_what_does_not_fit_is_refused(options, message):
    model = Cnn()
    with pytest.raises(UsageError, match=message):
        replace_linear(model, **({"density": 0.1} | options))
    assert kinds(model).count("Linear") == 3


def test_a_model_may_be_a_linear_module():
    layer = replace_linear(nn.Linear(9, 6), density=0.5)
    assert isinstance(layer, SparseLinear)


def test_a_module_in_several_places_stays_one():
    shared = nn.Linear(5, 5)
    model = replace_linear(nn.Sequential(shared, nn.ReLU(), shared), density=0.4)
    assert model[0] is model[2]
    assert isinstance(model[0], SparseLinear)


def test_shared_weights_are_refused():
    model = nn.Sequential(nn.Embedding(7, 5), nn.Linear(5, 7))
    model[1].weight = model[0].weight
    with pytest.raises(UsageError, match="module '1' shares its weights"):
        replace_linear(model, density=0.5)


def test_modules_that_read_the_weights_stay():
    model = nn.ModuleList([nn.MultiheadAttention(4, 2), nn.Linear(4, 4)])
    replace_linear(model, density=0.5)
    assert isinstance(model[0].out_proj, nn.Linear)
    assert isinstance(model[1], SparseLinear)


def test_seeds_determine_what_is_drawn():
    options = {"density": 0.2, "weights": "drawn", "init_topology": "constant_fan_in"}
    first, second = (replace_linear(Cnn(), seed=4, **options) for _ in range(2))
    for index, shape in ((0, (72, 30)), (2, (30, 20))):
        got, other = first.classifier[index], second.classifier[index]
        assert torch.equal(dense(got), dense(other))
        want = SparseLinear(
            *shape, density=0.2, seed=4 + index // 2, init_topology="constant_fan_in"
        )
        assert torch.equal(dense(got), dense(want))
