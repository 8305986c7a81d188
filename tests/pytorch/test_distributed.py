"""TopologyUpdater under DistributedDataParallel, with two processes."""

import pytest

torch = pytest.importorskip("torch")

from support.torch_nets import make_batches, make_net, mask_of, sparse_layers  # noqa: E402
from torch import nn  # noqa: E402

from truesparse.errors import UsageError  # noqa: E402
from truesparse.topology import UpdateSchedule  # noqa: E402
from truesparse.torch import TopologyUpdater  # noqa: E402
from truesparse.torch.batches import unwrap  # noqa: E402

N_STEPS = 6


def train(net, model, batches, given=None, **options):
    """Train with an update after every second step; return masks and weights."""
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    run = {"epochs": 1, "steps_per_epoch": N_STEPS + 1, "decay_end": 1.0}
    schedule = UpdateSchedule(2, "step", start=2)
    given = model if given is None else given
    options |= {"schedule": schedule, **run}
    updater = TopologyUpdater(given, optimizer, "rigl", **options)
    n_updates = 0
    for x, labels in batches:
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), labels).backward()
        optimizer.step()
        n_updates += bool(updater.step())
    assert n_updates == N_STEPS // 2
    return [(mask_of(each), each.weight.detach()) for each in sparse_layers(net)]


def run(rank, folder):
    """Train copies of a network in one of two processes, each on half of a batch."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2
    )
    net = make_net()
    model = nn.parallel.DistributedDataParallel(net)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    length = {"epochs": 1, "steps_per_epoch": 9}
    for name in ("granet", "dsr", "nest", "accset"):
        with pytest.raises(UsageError, match="must stand where several processes"):
            TopologyUpdater(model, optimizer, name, **length)
    with pytest.raises(UsageError, match="has 2 processes and the model is in no"):
        TopologyUpdater(net, optimizer, "set", **length)
    with pytest.raises(UsageError, match="process_group must be 'ddp', a ProcessGroup"):
        TopologyUpdater(model, optimizer, "set", process_group="gloo", **length)
    parts = slice(10 * rank, 10 * rank + 10)
    halves = [(x[parts], labels[parts]) for x, labels in make_batches(N_STEPS, 20)]
    results = {"wrapped": train(net, model, halves)}
    net = make_net()
    model = torch.compile(nn.parallel.DistributedDataParallel(net), backend="eager")
    results["compiled"] = train(net, model, halves)
    # The module in DistributedDataParallel is given, and what it is told.
    net = make_net()
    model = nn.parallel.DistributedDataParallel(net)
    everyone = {"process_group": torch.distributed.group.WORLD}
    results["named"] = train(net, model, halves, given=net, **everyone)
    net = make_net()
    results["alone"] = train(net, net, halves, process_group=None)
    torch.save(results, f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


def test_processes_do_together_what_one_does_alone(tmp_path):
    torch.multiprocessing.spawn(run, (str(tmp_path),), nprocs=2)
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in range(2))
    net = make_net()
    want = train(net, net, make_batches(N_STEPS, 20))
    for name in ("wrapped", "compiled", "named"):
        for one, other, expected in zip(first[name], second[name], want, strict=True):
            for got, same in zip(one, other, strict=True):
                assert torch.equal(got, same), name
            assert torch.equal(one[0], expected[0]), name
            torch.testing.assert_close(one[1], expected[1])
    alone = zip(first["alone"], second["alone"], strict=True)
    assert not any(torch.equal(one[0], other[0]) for one, other in alone)


def test_compiled_networks_are_seen_through():
    net = make_net()
    compiled = torch.compile(net, backend="eager")
    assert unwrap(compiled, "ddp") == (net, None)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    updater = TopologyUpdater(compiled, optimizer, "set", epochs=2, steps_per_epoch=1)
    assert [*updater.layers] == ["0", "2"]
