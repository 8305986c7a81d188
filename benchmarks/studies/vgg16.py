"""Sparse layers behind a convolutional network: VGG16-BN on CIFAR-10, three seeds.

    python -m benchmarks.studies.vgg16 --data-home DIR --jobs 2     2 hours
    python -m benchmarks.studies.vgg16 --data-home DIR --width 1 --epochs 30
    python -m benchmarks.studies.vgg16 --smoke                      made-up images

The extractor is torchvision's VGG16 with batch normalisation, of a quarter of the width
by default; behind it stand three layers of 1000 neurons and a dense read-out. Methods:

    dense       dense layers
    rlr         99 % sparse, SET by magnitude: connections regrow at random
    rlr_cr      the same with chain removal
    ch3l3       99 % sparse, CHT by magnitude
    ch3l3_cr    the same with chain removal

All train alike: SGD with Nesterov's momentum, the learning rate falls by a cosine, an
update after every epoch replaces 30 %. The claim to judge: all reach the accuracy of
the dense head. Then all layers but the read-out are perturbed on the features of the
test images, and ranked, see truesparse.analysis; a dense head is first pruned, once, to
the density of the others. The file is written after every run, and a report in Markdown
beside it; a later start takes the runs that are missing. Each of `--jobs` processes has
`--threads` threads.

A file of images has X_train (n, 3072), the pixels of red, then green, then blue, row by
row, y_train, X_test and y_test; benchmarks/README.md decodes one of differences.
"""

import argparse
import concurrent.futures
import itertools
import multiprocessing
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from truesparse.common.workers import end_with_parent
from truesparse.errors import UsageError

from ..options import names, program
from ..stored import git_commit, read_runs, results_file, results_in, write_results
from . import vgg16_report
from .training import pruned
from .vgg16_report import PERTURBATIONS

# Channels of the convolutions, and where the maxima of 2 x 2 pixels are taken.
CONFIGURATION = (
    *(64, 64, "pool", 128, 128, "pool", 256, 256, 256, "pool"),
    *(512, 512, 512, "pool", 512, 512, 512, "pool"),
)
TOPOLOGIES: dict[str, tuple[str, dict[str, Any]]] = {
    "rlr": ("set", {"chain_removal": False}),
    "rlr_cr": ("set", {"chain_removal": True}),
    "ch3l3": ("cht", {"chain_removal": False}),
    "ch3l3_cr": ("cht", {"chain_removal": True}),
}
METHODS = ("dense", *TOPOLOGIES)
SETTINGS = ("width", "epochs", "hidden", "density", "augment", "batch_size", "lr")
N_CLASSES = 10
OUT = "studies/vgg16/report.json"


def make_model(method: str, seed: int, options: argparse.Namespace) -> Any:
    """Return extractor and head as the two parts of a Sequential."""
    import torch
    from torch import nn

    from truesparse.torch import SparseLinear

    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    channels = 3
    for item in CONFIGURATION:
        if item == "pool":
            layers.append(nn.MaxPool2d(2))
            continue
        width = max(1, round(int(item) * options.width))
        convolution = nn.Conv2d(channels, width, 3, padding=1)
        nn.init.kaiming_normal_(convolution.weight, mode="fan_out")
        nn.init.zeros_(convolution.bias)
        layers += [convolution, nn.BatchNorm2d(width), nn.ReLU()]
        channels = width
    head: list[nn.Module] = []
    n_in = channels
    for _ in range(3):
        if method == "dense":
            head.append(nn.Linear(n_in, options.hidden))
        else:
            head.append(SparseLinear(n_in, options.hidden, density=options.density))
        head.append(nn.ReLU())
        n_in = options.hidden
    head.append(nn.Linear(n_in, N_CLASSES))
    extractor = nn.Sequential(*layers, nn.Flatten())
    # Convolutions of narrow layers take a quarter less time with channels last.
    extractor.to(memory_format=torch.channels_last)
    return nn.Sequential(extractor, nn.Sequential(*head))


def augmented(images: Any, generator: Any) -> Any:
    """Return images shifted by up to 4 pixels, half of them mirrored."""
    import torch

    n, _, height, width = images.shape
    padded = torch.nn.functional.pad(images, (4, 4, 4, 4))
    rows, columns = torch.randint(9, (2, n, 1), generator=generator)
    rows, columns = rows + torch.arange(height), columns + torch.arange(width)
    mirrored = torch.rand(n, 1, generator=generator) < 0.5
    columns = torch.where(mirrored, columns.flip(1), columns)
    samples = torch.arange(n)[:, None, None]
    shifted = padded.permute(0, 2, 3, 1)[samples, rows[:, :, None], columns[:, None]]
    return shifted.permute(0, 3, 1, 2).contiguous()


def train(method: str, seed: int, data: dict, options: argparse.Namespace) -> dict:
    """Train one network and return its curve, and what analysis says of its head."""
    import torch
    from torch import nn

    from truesparse.torch import TopologyUpdater

    model = make_model(method, seed, options)
    images, labels = data["train"]
    n_steps = -(-len(images) // options.batch_size)
    optimizer = torch.optim.SGD(
        model.parameters(), options.lr, momentum=0.9, weight_decay=5e-4, nesterov=True
    )
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(
        optimizer, options.epochs * n_steps
    )
    updater = None
    if method != "dense":
        name, choices = TOPOLOGIES[method]
        choices = {"zeta": 0.3, "removal": "magnitude", "seed": seed, **choices}
        run = {"epochs": options.epochs, "steps_per_epoch": n_steps}
        updater = TopologyUpdater(model, optimizer, name, **run, **choices)
    generator = torch.Generator().manual_seed(seed)
    curve, start = [], time.perf_counter()
    for epoch in range(options.epochs):
        model.train()
        order = torch.randperm(len(images), generator=generator)
        for samples in order.split(options.batch_size):
            batch = images[samples]
            if options.augment:
                batch = augmented(batch, generator)
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(batch), labels[samples]).backward()
            optimizer.step()
            scheduler.step()
            if updater is not None:
                updater.step()
        features = outputs(model.eval()[0], data["test"][0], options.batch_size)
        predicted = outputs(model[1], features, options.batch_size).argmax(1)
        curve.append(float((predicted == data["test"][1]).float().mean()))
        print(
            f"  {method}, seed {seed}, epoch {epoch + 1}: {curve[-1]:.4f}", flush=True
        )
    return {
        "method": method,
        "seed": seed,
        "commit": git_commit(),
        "curve": curve,
        "accuracy": curve[-1],
        "seconds": time.perf_counter() - start,
        "nnz": sum(each.nnz for each in updater.layers.values()) if updater else None,
        **analysed(model[1], features, data["test"][1], options.density),
    }


def outputs(module: Any, inputs: Any, batch_size: int) -> Any:
    """Return what a module in evaluation makes of all inputs."""
    import torch

    with torch.no_grad():
        return torch.cat([module(batch) for batch in inputs.split(batch_size)])


def analysed(head: Any, features: Any, labels: Any, density: float) -> dict[str, Any]:
    """Return areas under robustness curves, and ranks, of all layers but the last.

    A dense head is pruned to `density` before, as the nets of other studies are.
    """
    from truesparse import SparseMLP
    from truesparse.analysis import layer_ranks, robustness

    model = SparseMLP.from_torch(head)
    if model.layers[0].connections.density == 1.0:
        model = pruned(model, density)
    rows, targets = features.numpy(), labels.numpy()
    curves = {
        name: robustness(model, rows, targets, name, fractions=21, seeds=3).to_json()
        for name in PERTURBATIONS
    }
    ranks = [rank._asdict() for rank in layer_ranks(model)]
    accuracy = float(model.evaluate(rows, targets)[1])
    return {"robustness": curves, "ranks": ranks, "analysed_accuracy": accuracy}


def load(options: argparse.Namespace) -> dict[str, tuple[Any, Any]]:
    """Return images (n, 3, 32, 32) and labels of the training and the test part."""
    import torch

    from truesparse import datasets

    if options.smoke:
        draw = np.random.default_rng(0)
        arrays = [
            (draw.random((n, 3072), np.float32), draw.integers(N_CLASSES, size=n))
            for n in (64, 32)
        ]
    else:
        given = datasets.load(options.data, data_home=options.data_home)
        arrays = [(given.X_train, given.y_train), (given.X_test, given.y_test)]
    parts = []
    for x, y in arrays:
        if x.shape[1] != 3072:
            raise UsageError(
                f"images must be 3 x 32 x 32, 3072 features, got {x.shape[1]}"
            )
        images = torch.from_numpy(np.ascontiguousarray(x, np.float32))
        labels = torch.from_numpy(np.asarray(y, np.int64))
        parts.append((images.reshape(-1, 3, 32, 32), labels))
    return {"train": parts[0], "test": parts[1]}


def summarise(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the mean accuracy of each method and its deviation over the seeds."""
    rows = []
    for method in METHODS:
        trained = [run for run in runs if run["method"] == method]
        scores = [run["accuracy"] for run in trained]
        if scores:
            spread = statistics.stdev(scores) if len(scores) > 1 else 0.0
            mean = statistics.fmean(scores)
            rows.append({"method": method, "accuracy": mean, "deviation": spread})
    return rows


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.studies.vgg16",
        description="Train VGG16-BN with a sparse or dense head on CIFAR-10.",
    )
    parser.add_argument("--data", default="cifar10", help="name or file of the images")
    parser.add_argument("--data-home", metavar="DIR", help="folder of data sets")
    parser.add_argument("--methods", help=f"some of {', '.join(METHODS)}")
    parser.add_argument("--seeds", type=int, default=3, help="how many, from 0 on")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--width", type=float, default=0.25, help="share of VGG16's")
    parser.add_argument("--hidden", type=int, default=1000, help="neurons a layer")
    parser.add_argument("--density", type=float, default=0.01)
    parser.add_argument("--augment", action="store_true", help="shift and mirror")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--lr", type=float, default=0.05)
    parser.add_argument("--jobs", type=int, default=1, help="processes (1)")
    parser.add_argument("--threads", type=int, default=1, help="of each process (1)")
    parser.add_argument("--smoke", action="store_true", help="tiny, made-up images")
    out_help = "results file; report and pictures go beside it"
    parser.add_argument("--out", type=Path, metavar="FILE", help=out_help)
    options = parser.parse_args(arguments)
    options.methods = names(options.methods, METHODS, "method")
    if min(options.seeds, options.jobs, options.threads) < 1:
        raise UsageError("--seeds, --jobs and --threads must be at least 1")
    if options.smoke:
        options.width, options.epochs, options.seeds = 1 / 32, 2, 1
        options.hidden, options.density, options.batch_size = 40, 0.2, 16
    is_published = not options.smoke
    options.out = results_file(options.out, OUT, is_published=is_published)
    return options


class Worker:
    """A process that takes runs and loads the data once."""

    options: argparse.Namespace
    data: dict[str, tuple[Any, Any]]

    @classmethod
    def start(cls, options: argparse.Namespace) -> None:
        """Load the data, and end when the study is killed."""
        import torch

        end_with_parent()
        torch.set_num_threads(options.threads)
        cls.options, cls.data = options, load(options)

    @classmethod
    def train(cls, method: str, seed: int) -> dict[str, Any]:
        """Take one run and return its record."""
        return train(method, seed, cls.data, cls.options)


def run(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Take the runs that are missing and write the results after each."""
    settings = {key: getattr(options, key) for key in SETTINGS}
    # A file by its name alone, for it may lie elsewhere when the study is resumed.
    images = "made-up-images" if options.smoke else Path(options.data).stem
    keys = ("method", "seed", "commit", "accuracy", "analysed_accuracy")
    runs = read_runs(options.out, {"data": images, **settings}, keys)["runs"]
    wanted = itertools.product(range(options.seeds), options.methods)
    done = {(each["seed"], each["method"]) for each in runs}
    todo = [each for each in wanted if each not in done]
    load(options)  # What is wrong with it is said before a process starts.
    with concurrent.futures.ProcessPoolExecutor(
        options.jobs, multiprocessing.get_context("spawn"), Worker.start, (options,)
    ) as pool:
        futures = [pool.submit(Worker.train, method, seed) for seed, method in todo]
        for future in concurrent.futures.as_completed(futures):
            try:
                runs.append(future.result())
            except BaseException:
                # Runs that wait would take hours, and their results be lost.
                pool.shutdown(wait=False, cancel_futures=True)
                raise
            runs.sort(key=lambda run: (run["seed"], METHODS.index(run["method"])))
            facts = {"data": images, "settings": settings}
            rows = {"rows": summarise(runs), "runs": runs}
            written = write_results(options.out, {**facts, **rows})
            if options.out is not None:
                vgg16_report.write(options.out, written)
    return runs


@program
def main(arguments: list[str] | None = None) -> None:
    """Run the study and print the accuracy of each method."""
    options = parse(arguments)
    with results_in(options.out):
        for row in summarise(run(options)):
            accuracy = f"{row['accuracy']:.4f} +- {row['deviation']:.4f}"
            print(f"{row['method']:<10} {accuracy}")


if __name__ == "__main__":
    sys.exit(main())
