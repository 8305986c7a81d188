"""TopologyUpdater under DistributedDataParallel, with two processes."""

import pytest

torch = pytest.importorskip("torch")

from support.torch_nets import make_batches, make_net, mask_of, sparse_layers  # noqa: E402
from torch import nn  # noqa: E402

from truesparse.errors import UsageError  # noqa: E402
from truesparse.topology import UpdateSchedule  # noqa: E402
from truesparse.torch import TopologyUpdater  # noqa: E402

N_STEPS = 6


def train(net, model, batches):
    """Train with an update after every second step; return masks and weights."""
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    run = {"epochs": 1, "steps_per_epoch": N_STEPS + 1, "decay_end": 1.0}
    schedule = UpdateSchedule(2, "step", start=2)
    updater = TopologyUpdater(model, optimizer, "rigl", schedule=schedule, **run)
    n_updates = 0
    for x, labels in batches:
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), labels).backward()
        optimizer.step()
        n_updates += bool(updater.step())
    assert n_updates == N_STEPS // 2
    return [(mask_of(each), each.weight.detach()) for each in sparse_layers(net)]


def run(rank, folder):
    """Train one of two copies, each on half of every batch."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2
    )
    net = make_net()
    model = nn.parallel.DistributedDataParallel(net)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    for name in ("granet", "dsr", "nest", "accset"):
        with pytest.raises(UsageError, match="must stand under Distributed"):
            TopologyUpdater(model, optimizer, name, epochs=1, steps_per_epoch=9)
    parts = slice(10 * rank, 10 * rank + 10)
    halves = [(x[parts], labels[parts]) for x, labels in make_batches(N_STEPS, 20)]
    torch.save(train(net, model, halves), f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


def test_processes_do_together_what_one_does_alone(tmp_path):
    torch.multiprocessing.spawn(run, (str(tmp_path),), nprocs=2)
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in range(2))
    net = make_net()
    alone = train(net, net, make_batches(N_STEPS, 20))
    for (mask, weight), other, (want, want_weight) in zip(
        first, second, alone, strict=True
    ):
        assert torch.equal(mask, other[0])
        assert torch.equal(weight, other[1])
        assert torch.equal(mask, want)
        torch.testing.assert_close(weight, want_weight)
