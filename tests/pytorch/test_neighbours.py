"""Chain removal across sparse layers that feed each other."""

import pytest

torch = pytest.importorskip("torch")

from support.torch_nets import (  # noqa: E402
    OFTEN,
)
from torch import nn  # noqa: E402

from truesparse.errors import UsageError  # noqa: E402
from truesparse.torch import SparseLinear, TopologyUpdater  # noqa: E402


def chain():
    """Return a network in which removing one connection cuts off another."""
    first = SparseLinear(2, 3, connectivity=[[0, 1, 2], [0, 0, 1]], seed=0)
    second = SparseLinear(3, 2, connectivity=[[0, 1, 0], [0, 1, 2]], seed=0)
    with torch.no_grad():
        first.weight.copy_(torch.tensor([9.0, 3.0, 4.0]))
        second.weight.copy_(torch.tensor([0.01, 5.0, 6.0]))
    return first, second


@pytest.mark.parametrize("chain_removal", [False, True])
@pytest.mark.parametrize("between", [[], [nn.ReLU(), nn.Dropout(0.5)]])
@pytest.mark.parametrize("nested", [False, True])
def test_connections_that_a_removal_cuts_off_go_too(chain_removal, between, nested):
    first, second = chain()
    inner = [nn.Sequential(first, *between)] if nested else [first, *between]
    net = nn.Sequential(*inner, second)
    options = {"removal": "magnitude", "chain_removal": chain_removal, "zeta": 0.34}
    optimizer = torch.optim.SGD(net.parameters(), lr=0.0)
    run = {"epochs": 2, "steps_per_epoch": 1, "schedule": OFTEN, "layers": [0, 1]}
    updater = TopologyUpdater(net, optimizer, "set", **run, **options)
    net(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    # The weights 3.0 and 0.01 go in any case; they cut off those of 5.0 and 9.0.
    assert [each.removed for each in updater.step()] == [1 + chain_removal] * 2


def test_neighbours_are_found_in_sequences_alone():
    first, second = chain()
    third = SparseLinear(2, 2, density=1.0)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(first, nn.Linear(3, 3), nn.ReLU(), second)
            self.head = third

        def forward(self, x):
            return self.head(self.body(x))

    net = Net()
    run = {"epochs": 2, "steps_per_epoch": 1, "chain_removal": True}
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    with pytest.raises(UsageError, match="name them as neighbours"):
        TopologyUpdater(net, optimizer, "set", **run)
    pairs = [("body.3", "head")]
    updater = TopologyUpdater(net, optimizer, "set", neighbours=pairs, **run)
    assert updater._neighbours == [(1, 2)]
    with pytest.raises(UsageError, match="'head' has 2 outputs and cannot feed"):
        TopologyUpdater(net, optimizer, neighbours=[("head", "body.3")], **run)
    with pytest.raises(UsageError, match=r"'body\.1', which is no sparse layer"):
        TopologyUpdater(net, optimizer, neighbours=[("body.0", "body.1")], **run)
