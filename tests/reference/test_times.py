"""Times are measured on the nets of the benchmarks, and written as TIMES.md says."""

import json
import pathlib

import pytest
from support.sources import ROOT

from benchmarks import nets, scale, updates
from truesparse.reference.baseline import (
    compare,
    machine_record,
    times,
    times_file,
    timing,
)
from truesparse.reference.baseline.timed_nets import NETS


class Clockwork:
    """A runner whose calls take no time, and that writes down what was called."""

    n_connections = 7
    methods = None
    activation_dtypes = ("float32",)

    def __init__(self, net, calls):
        self.net, self.calls = net, calls

    def implementation(self):
        return {"name": "clockwork"}

    def peak_bytes(self):
        return 100

    def __getattr__(self, name):
        return lambda *words: self.calls.append((name, *words))


@pytest.fixture(scope="session")
def measured(tmp_path_factory):
    """Return the file of times of the smallest net."""
    path = tmp_path_factory.mktemp("times") / "times.json"
    words = ["--nets=tiny", "--seconds=0.001", "--threads=1", "--limit=900"]
    assert times.main([*words, "--out", str(path)]) == 0
    return path


def test_nets_are_those_of_the_benchmarks():
    for key, case in nets.CASES.items():
        name = key.replace("b2", "-batch2")
        net = NETS[f"step-{name}"]
        assert (net.sizes, net.epsilon) == (case.net.sizes, case.net.epsilon)
        assert net.batch == case.batch
        assert net.n_connections == case.net.nnz
    options = scale.parse([])
    for neurons in options.neurons:
        for epsilon in options.epsilons:
            net = NETS[f"scale-{neurons}-eps{epsilon:g}"]
            sizes = (scale.FEATURES, neurons // 2, neurons // 2, scale.CLASSES)
            assert (net.sizes, net.epsilon, net.batch) == (sizes, epsilon, scale.BATCH)
    defaults = updates.parse([])
    net = NETS[f"scale-{defaults.neurons}-eps{defaults.epsilon:g}"]
    assert net.batch == updates.BATCH
    # All with a limit of a few seconds.
    limits = {name for name, most in updates.LIMITS.items() if most <= 3}
    assert {*net.updates, *NETS["updates-fan-in"].updates} == limits | {"rigl"}


@pytest.mark.compiled
def test_every_operation_is_measured(measured):
    content = times_file.read(measured)
    keys = [times_file.key_of(row) for row in content["rows"]]
    assert keys == [
        ("tiny", "initialise", None, None, "float32"),
        ("tiny", "predict", None, 1, "float32"),
        ("tiny", "predict", None, 256, "float32"),
        ("tiny", "train", None, 32, "float32"),
        ("tiny", "predict", None, 1, "bfloat16"),
        ("tiny", "predict", None, 256, "bfloat16"),
        ("tiny", "train", None, 32, "bfloat16"),
        ("tiny", "update+train", "set", 32, "float32"),
    ]
    assert all(row["connections"] == 2370 for row in content["rows"])
    assert content["implementation"]["name"] == "truesparse"
    assert content["implementation"]["threads"] == 1
    assert content["not_measured"] == []
    net = {"sizes": [64, 100, 100, 10], "epsilon": 5.0, "batch": 32}
    assert content["nets"] == {"tiny": net | {"pattern": "erdos_renyi"}}


def test_every_entry_of_a_file_is_documented(measured):
    text = (pathlib.Path(times.__file__).parents[1] / "TIMES.md").read_text()
    content = json.loads(measured.read_text())
    objects = content["implementation"], content["settings"], content["nets"]["tiny"]
    for part in (content, content["rows"][0], content["machine"], *objects[1:]):
        for key in part:
            assert f"`{key}`" in text, key


def test_all_is_done_on_a_small_net_first_and_updates_start_anew():
    calls: list = []
    net = NETS["scale-1000000-eps5"]
    made = []

    def make(net):
        made.append(net.sizes)
        return Clockwork(net, calls)

    implementation, *rows = timing.measure(net, make, 0.0)
    assert implementation == {"name": "clockwork"}
    assert made == [(24, 60, 60, 10), net.sizes]
    methods = [row["method"] for row in rows if row["operation"] == "update+train"]
    assert methods == list(net.updates)
    # Each method has a net of its own, built while no other is held.
    builds = [number for number, call in enumerate(calls) if call[0] == "build"]
    assert {calls[number][1] for number in builds} == set(net.updates)
    before = [calls[number - 1][0] for number in builds]
    assert set(before) <= {"clear", "finish"}
    assert all(row["runs"] == 3 for row in rows)
    # 100 bytes were held before there was a net.
    assert all(row["peak_bytes"] == 0 for row in rows)


def test_a_run_ends_when_the_device_has_finished():
    calls: list = []
    runner = Clockwork(NETS["tiny"], calls)
    list(timing.measure(NETS["tiny"], lambda net: runner, 0.0))
    names = [call[0] for call in calls]
    at = names.index("train")
    # The first is not timed; each of the others has a finish before and after it.
    assert (
        names[at + 1 : at + 10]
        == [
            *("finish", "reset_peak"),
            *("finish", "finish", "train", "finish") * 2,
        ][:9]
    )


def test_a_limit_leaves_what_was_done(tmp_path, monkeypatch, capfd):
    path = tmp_path / "times.json"

    run_git = times.subprocess.run

    def run(command, **options):
        if command[0] == "git":
            return run_git(command, **options)
        timeout = options["timeout"]
        printed = b'{"name": "slow"}\n{"net": "tiny", "oper'
        raise times.subprocess.TimeoutExpired(command, timeout, printed)

    monkeypatch.setattr(times.subprocess, "run", run)
    assert times.main(["--nets=tiny", "--limit=9", f"--out={path}"]) == 2
    content = times_file.read(path)
    reason = "the limit of 9 s was reached"
    assert content["not_measured"] == [{"net": "tiny", "reason": reason}]
    assert content["implementation"] == {"name": "slow"}
    assert "nothing could be measured" in capfd.readouterr().err


def test_a_process_that_fails_is_named(tmp_path, capfd):
    path = tmp_path / "times.json"
    options = times.read_options(times.make_parser("x", "y"), ["--nets=tiny"])
    with pytest.raises(times.UsageError, match="nothing could be measured"):
        times.collect(str(path), "truesparse.errors:Missing", options)
    (entry,) = times_file.read(path)["not_measured"]
    assert "exit code 2" in entry["reason"]
    assert "cannot import the runner" in entry["reason"]


def test_quick_takes_small_nets():
    parser = times.make_parser("x", "y")
    options = times.read_options(parser, ["--quick"])
    assert [net.name for net in options.nets] == [
        *("tiny", "step-1000", "step-4000", "scale-10000-eps5"),
        "scale-10000-eps10",
    ]
    assert options.seconds == 0.1
    assert len(times.read_options(parser, []).nets) == len(NETS)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--nets", "large"], "net"),
        (["--seconds", "0"], "seconds"),
        (["--limit", "-1"], "limit"),
        (["--threads", "0"], "--threads"),
    ],
)
def test_options_are_checked(words, text, tmp_path, capfd):
    assert times.main([*words, f"--out={tmp_path / 'times.json'}"]) == 2
    assert text in capfd.readouterr().err


def test_no_file_is_overwritten(measured, capfd):
    before = measured.read_text()
    assert times.main(["--nets=tiny", f"--out={measured}"]) == 2
    assert "exists already" in capfd.readouterr().err
    assert measured.read_text() == before


# The machine --------------------------------------------------------------------------


def test_energy_is_of_all_processors_and_counters_start_again(tmp_path, monkeypatch):
    for number, (value, most) in enumerate([(900, 1000), (50, 1000)]):
        zone = tmp_path / f"intel-rapl:{number}"
        zone.mkdir()
        (zone / "energy_uj").write_text(f"{value}\n")
        (zone / "max_energy_range_uj").write_text(f"{most}\n")
    (tmp_path / "intel-rapl:0:0").mkdir()  # a part of the first
    (tmp_path / "intel-rapl").mkdir()
    monkeypatch.setattr(machine_record, "_POWERCAP", tmp_path)
    counter = machine_record.EnergyCounter()
    before = counter.read()
    assert before == [900, 50]
    assert counter.joules(before, [100, 80]) == pytest.approx(230e-6)
    (tmp_path / "intel-rapl:0" / "energy_uj").unlink()
    assert counter.read() is None
    assert counter.joules(before, None) is None


def test_caches_and_cores_are_read(tmp_path, monkeypatch):
    folder = tmp_path / "index0"
    folder.mkdir()
    texts = {"size": "512K", "level": "2", "type": "Unified"}
    for name, text in (texts | {"shared_cpu_list": "0-1,8"}).items():
        (folder / name).write_text(text + "\n")
    info = tmp_path / "cpuinfo"
    places = ["0\ncore id : 0", "0\ncore id : 1", "0\ncore id : 0", "1\ncore id : 0"]
    info.write_text("".join(f"physical id : {place}\n\n" for place in places))
    monkeypatch.setattr(machine_record, "_CACHES", tmp_path)
    monkeypatch.setattr(machine_record, "_CPU_INFO", info)
    record = machine_record.machine_record()
    assert record["physical_cores"] == 3
    assert record["caches"] == [
        {
            "level": 2,
            "type": "unified",
            "bytes": 512 * 1024,
            "shared_by_logical_cores": 3,
        }
    ]
    monkeypatch.setattr(machine_record, "_CACHES", tmp_path / "none")
    assert machine_record.machine_record()["caches"] is None


def test_a_folder_within_a_checkout_has_no_commit(tmp_path):
    assert machine_record.code_state(tmp_path, ["."]) == (None, None)
    assert machine_record.code_state(ROOT / "truesparse", ["."]) == (None, None)


# Comparison ---------------------------------------------------------------------------


def changed(content, number, **entries):
    """Return a copy with other entries in one row."""
    rows = [dict(row) for row in content["rows"]]
    rows[number] |= entries
    return content | {"rows": rows}


SECONDS = ("minimum_s", "q1_s", "median_s", "q3_s")


def test_ratios_are_first_over_second(measured):
    first = times_file.read(measured)
    first = changed(first, 3, **dict.fromkeys(SECONDS, 0.006), peak_bytes=50)
    first = changed(first, 3, energy_j=1.5)
    second = changed(first, 3, **dict.fromkeys(SECONDS, 0.002), peak_bytes=200)
    second = changed(second, 3, energy_j=0.5)
    row = compare.compare(first, second)["rows"][3]
    assert (row["speed"], row["memory"], row["energy"]) == (3.0, 0.25, 3.0)
    assert row["is_clear"]
    other = changed(second, 3, peak_bytes=0, energy_j=None)
    row = compare.compare(first, other)["rows"][3]
    assert (row["memory"], row["energy"]) == (None, None)
    # Quartiles that overlap.
    row = compare.compare(first, changed(second, 3, q3_s=0.006))["rows"][3]
    assert not row["is_clear"]


def test_the_table_shows_both_and_names_what_one_lacks(measured, tmp_path, capfd):
    first = times_file.read(measured)
    first["rows"] = first["rows"][:4]
    second = times_file.read(measured)
    second["rows"] = [*second["rows"][1:4], second["rows"][-1]]
    second["implementation"] = {"name": "other", "device_name": "GPU 9000"}
    second["not_measured"] = [{"net": "step-1000", "reason": "no room"}]
    paths = [str(tmp_path / name) for name in ("a.json", "b.json")]
    for path, content in zip(paths, (first, second), strict=True):
        times_file.write(path, content)
    assert compare.main(paths) == 0
    text = capfd.readouterr().out
    assert "B: other, GPU 9000" in text
    assert "only A: tiny, initialise, float32" in text
    assert "only B: tiny, update+train by set, batch 32, float32" in text
    assert "not measured in B: step-1000: no room" in text
    (line,) = (
        line for line in text.splitlines() if "  predict" in line and " 256" in line
    )
    assert line.split()[-3].strip("~") == "1.00"
    assert compare.main([*paths, "--json"]) == 0
    result = json.loads(capfd.readouterr().out)
    assert len(result["rows"]) == 3


def test_other_versions_and_nets_are_refused(measured, tmp_path, capfd):
    content = json.loads(measured.read_text())
    other = tmp_path / "other.json"

    def complaint(**entries):
        other.write_text(json.dumps(content | entries))
        assert compare.main([str(measured), str(other)]) == 4
        return capfd.readouterr().err

    assert "version 2 of the format" in complaint(version=2)
    assert "holds no times" in complaint(format="golden")
    nets = {"tiny": content["nets"]["tiny"] | {"epsilon": 6.0}}
    assert "epsilon 5.0 and 6.0" in complaint(nets=nets)
    rows = content["rows"]
    assert "repeats an earlier one: tiny, predict" in complaint(rows=[*rows, rows[1]])
    assert "row 1: median_s must be" in complaint(rows=[rows[0] | {"median_s": "1"}])
    assert "runs must be int, got True" in complaint(rows=[rows[0] | {"runs": True}])
    assert "in the order" in complaint(rows=[rows[0] | {"q1_s": 1e9}])
    assert "which nets lacks" in complaint(rows=[rows[0] | {"net": "huge"}])
    other.write_text("{")
    assert compare.main([str(measured), str(other)]) == 4
    assert "cannot read times" in capfd.readouterr().err


def test_quartiles_are_of_the_runs(monkeypatch):
    class Clock(Clockwork):
        """Steps take 1, 2, 3 ... seconds."""

        now, steps = 0.0, 0

        def perf_counter(self):
            return self.now

        def train(self):
            self.steps += 1
            self.now += self.steps

        def build(self, method, activation_dtype):
            self.now += 100

        def predict(self, batch):
            self.now += 100

        def update(self):
            self.now += 100

    clock = Clock(NETS["tiny"], [])
    monkeypatch.setattr(timing, "time", clock)
    rows = timing._rows(NETS["tiny"], clock, 12.0, 40)
    row = next(row for row in rows if row["operation"] == "train")
    # The first is not timed; 2 + 3 + 4 is less than 12.
    assert row["runs"] == 4
    seconds = [row[name] for name in SECONDS]
    assert seconds == [2.0, 2.75, 3.5, 4.25]
    assert row["peak_bytes"] == 60
