"""Networks of torch with sparse layers, and what tests compare them with."""

import numpy as np
import torch
from torch import nn

from truesparse.topology import UpdateSchedule
from truesparse.torch import SparseLinear, TopologyUpdater

SIZES = (12, 20, 15, 4)
# Of the results of a few hundred steps.
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-12}


def make_net(dtype=torch.float64, seed=0, density=0.3):
    """Return two sparse layers and a dense one, with ReLU between."""
    torch.manual_seed(seed)
    first, second, third, last = SIZES
    return nn.Sequential(
        SparseLinear(first, second, density=density, dtype=dtype),
        nn.ReLU(),
        SparseLinear(second, third, density=density, dtype=dtype),
        nn.ReLU(),
        nn.Linear(third, last, dtype=dtype),
    )


def make_batches(n, size=10, dtype=torch.float64, seed=1):
    """Return `n` batches of inputs and labels."""
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(n, size, SIZES[0], generator=draw, dtype=dtype)
    labels = torch.randint(SIZES[-1], (n, size), generator=draw)
    return list(zip(x, labels, strict=True))


def sparse_layers(net):
    return [each for each in net.modules() if isinstance(each, SparseLinear)]


def dense(layer, values=None):
    """Return values of the connections, by default weights, as (n_out, n_in)."""
    values = layer.weight if values is None else values
    matrix = values.new_zeros(layer.out_features, layer.in_features)
    rows = torch.repeat_interleave(torch.arange(layer.in_features), layer.indptr.diff())
    matrix[layer.indices.long(), rows] = values.detach()
    return matrix


def mask_of(layer):
    return dense(layer, torch.ones_like(layer.weight)) > 0


class MaskedLinear(nn.Linear):
    """The dense twin of a sparse layer: as many weights, most of them masked."""

    def __init__(self, layer):
        super().__init__(
            layer.in_features, layer.out_features, dtype=layer.weight.dtype
        )
        with torch.no_grad():
            self.weight.copy_(dense(layer))
            self.bias.copy_(layer.bias)
        self.mask = mask_of(layer)

    def forward(self, x):
        return nn.functional.linear(x, self.weight * self.mask, self.bias)

    def rewire(self, layer, optimizer):
        """Do what happened to the connections of `layer` to mask, weights and state."""
        mask, values = mask_of(layer), dense(layer)
        is_new = mask & ~self.mask
        with torch.no_grad():
            self.weight[~mask] = 0.0
            self.weight[is_new] = values[is_new]
        for each in optimizer.state[self.weight].values():
            if each.ndim:
                each[is_new | ~mask] = 0.0
        self.mask = mask


def make_twin(net):
    """Return the network with dense, masked layers in place of sparse ones."""
    twin = []
    for module in net:
        if isinstance(module, SparseLinear):
            twin.append(MaskedLinear(module))
        elif isinstance(module, nn.Linear):
            copied = nn.Linear(
                module.in_features, module.out_features, dtype=module.weight.dtype
            )
            copied.load_state_dict(module.state_dict())
            twin.append(copied)
        else:
            twin.append(module)
    return nn.Sequential(*twin)


def train_step(net, optimizer, x, labels):
    """Take a step and return the loss."""
    optimizer.zero_grad()
    loss = nn.functional.cross_entropy(net(x), labels)
    loss.backward()
    optimizer.step()
    return loss


def assert_close(got, want):
    np.testing.assert_allclose(
        got.detach().numpy(), want.detach().numpy(), atol=TOLERANCE[got.dtype]
    )


OFTEN = UpdateSchedule(1, "step")
OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, weight_decay=1e-3),
    "nesterov": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True),
    "adam": lambda p: torch.optim.Adam(p, lr=0.01),
    "amsgrad": lambda p: torch.optim.Adam(p, lr=0.01, amsgrad=True),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.01),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.002, momentum=0.5, centered=True),
}


def make_updater(
    net, name="set", optimizer="sgd", epochs=4, steps_per_epoch=5, **options
):
    """Return an optimiser and an updater."""
    made = OPTIMIZERS[optimizer](net.parameters())
    run = {"epochs": epochs, "steps_per_epoch": steps_per_epoch}
    return made, TopologyUpdater(net, made, name, **run, **options)


def train(net, optimizer, updater, batches):
    """Train and return the changes of each step."""
    changes = []
    for x, labels in batches:
        train_step(net, optimizer, x, labels)
        changes.append(updater.step())
    return changes
