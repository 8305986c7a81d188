"""The benchmark of sparse layers and the study with VGG16 compute what they say."""

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from benchmarks import step, torch_layers  # noqa: E402
from benchmarks.peers import NetSpec, Task  # noqa: E402
from benchmarks.peers.torch_peers import SparseLayers  # noqa: E402
from benchmarks.peers.truesparse_step import Truesparse  # noqa: E402
from benchmarks.studies import vgg16, vgg16_report  # noqa: E402


@pytest.mark.parametrize("batch", [1, 16, 21])
def test_sparse_layers_train_as_truesparse_does(batch):
    task = Task(NetSpec((20, 30, 25, 5), 5), batch, 7)
    ours, peer = Truesparse(task), SparseLayers(task)
    assert peer.nnz == ours.nnz
    # The last layer is fully connected.
    kinds = [type(each).__name__ for each in peer._model]
    assert kinds == ["SparseLinear", "ReLU", "SparseLinear", "ReLU", "Linear"]
    losses = [(peer.step(), ours.step()) for _ in range(5)]
    np.testing.assert_allclose(*zip(*losses, strict=True), rtol=1e-4)


def test_cases_have_the_sparsity_that_they_are_named_after():
    for case in torch_layers.LAYERS:
        n, sparsity = map(int, case.key.split("-"))
        assert case.net.layer_nnz[1] / n**2 == pytest.approx(1 - sparsity / 100)


def test_targets_are_judged():
    times = {"sparse_linear": 2.4, "torch_dense": 13.3, "sparseprop": 5.0}
    times |= {"torch_csr": 2.3, "sparse_linear_compiled": 2.2}
    values = torch_layers.figures(times)
    verdicts = [
        step.judge(target, values)["met"] for target in torch_layers.HEAD.targets
    ]
    assert verdicts == [False, True, True, False, True, True]
    values = torch_layers.figures({"sparse_linear": 2.3, "sparseprop": 2.0})
    verdicts = [
        step.judge(target, values)["met"] for target in torch_layers.HEAD.targets
    ]
    assert verdicts == [True, None, False, None, None, None]


def test_the_extractor_is_that_of_torchvision():
    options = vgg16.parse(["--width", "1"])
    extractor, head = vgg16.make_model("rlr", 0, options)
    # The features of torchvision.models.vgg16_bn.
    assert sum(each.numel() for each in extractor.parameters()) == 14_723_136
    assert [each.nnz for each in head[:-1:2]] == [5120, 10_000, 10_000]


def test_images_are_shifted_and_mirrored():
    images = torch.rand(40, 3, 8, 8)
    got = vgg16.augmented(images, torch.Generator().manual_seed(0))
    padded = torch.nn.functional.pad(images, (4, 4, 4, 4))
    mirrored = 0
    for image, source in zip(got, padded, strict=True):
        windows = [
            (source[:, i : i + 8, j : j + 8], i, j) for i in range(9) for j in range(9)
        ]
        plain = any(torch.equal(image, window) for window, *_ in windows)
        flipped = any(torch.equal(image, window.flip(2)) for window, *_ in windows)
        assert plain or flipped
        mirrored += flipped and not plain
    assert 5 < mirrored < 35


def test_the_study_resumes(tmp_path, capfd):
    path = tmp_path / "vgg16.json"
    words = ["--smoke", "--out", str(path), "--methods"]
    assert vgg16.main([*words, "ch3l3_cr"]) == 0
    assert vgg16.main([*words, "dense,ch3l3_cr", "--jobs", "2"]) == 0
    printed = capfd.readouterr().out
    assert printed.count("ch3l3_cr, seed 0, epoch 1") == 1
    results = json.loads(path.read_text())
    dense, sparse = results["runs"]
    assert [len(each["curve"]) for each in (sparse, dense)] == [2, 2]
    assert sparse["nnz"] > 0
    assert set(sparse["robustness"]) == set(vgg16.PERTURBATIONS)
    assert [rank["layer"] for rank in dense["ranks"]] == [0, 1, 2]
    assert dense["nnz"] is None
    assert [row["method"] for row in results["rows"]] == ["dense", "ch3l3_cr"]
    text = (tmp_path / "vgg16.md").read_text()
    for run in (sparse, dense):
        line = f"| {run['method']} | 1 | {run['accuracy']:.4f} | "
        line += f"{run['analysed_accuracy']:.4f} | "
        assert line + f"{run['robustness']['weight_order']['area']:.3f} | " in text
    assert "| all reach the dense head's accuracy | accuracy after training | " in text
    for kind in ("convergence", "robustness"):
        name = f"{kind}-made-up-images.png"
        assert name in text
        assert (tmp_path / name).exists()
    # Other images are other runs.
    assert results["data"] == "made-up-images"
    path.write_text(path.read_text().replace("made-up-images", "cifar10"))
    assert vgg16.main([*words, "dense"]) == 2
    path.write_text(path.read_text().replace("cifar10", "made-up-images"))
    assert vgg16.main([*words, "dense", "--lr", "0.1"]) == 2


def test_a_dense_head_is_pruned_once_before_it_is_analysed():
    torch.manual_seed(0)
    head = torch.nn.Sequential(
        torch.nn.Linear(12, 30), torch.nn.ReLU(), torch.nn.Linear(30, 4)
    )
    x = torch.randn(200, 12)
    labels = head(x).argmax(1)
    got = vgg16.analysed(head, x, labels, 0.2)["analysed_accuracy"]
    with torch.no_grad():
        weight = head[0].weight
        weight[weight.abs() < weight.abs().flatten().sort().values[-72]] = 0.0
        assert weight.count_nonzero() == 72
        want = (head(x).argmax(1) == labels).float().mean()
    assert got == pytest.approx(float(want))
    assert got < 1.0


def test_claims_about_the_dense_head_have_verdicts():
    curve = {"fractions": [0.0, 1.0], "accuracies": [[0.9, 0.1]], "area": 0.5}
    curves = {name: {"perturbation": name, **curve} for name in vgg16.PERTURBATIONS}
    runs = [
        {"method": method, "seed": seed, "accuracy": accuracy + 0.001 * seed}
        | {"curve": [0.5, accuracy], "robustness": curves, "analysed_accuracy": 0.7}
        | {"ranks": []}
        for method, accuracy in (("dense", 0.8), ("rlr", 0.8), ("ch3l3", 0.7))
        for seed in range(2)
    ]
    rows = vgg16_report.rows_of(runs, "images")
    text = vgg16_report.report(rows, "images", {"epochs": 2})
    verdicts = [line.split(" | ") for line in text.splitlines() if " - dense" in line]
    assert [line[-1] for line in verdicts] == ["holds |", "does not hold |"]
    assert "| rlr | 0.500 | 0.800 |" in text
    assert "![Convergence](convergence-images.png)" in text
