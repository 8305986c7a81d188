"""Tables on the command line: what is said first, options, models that remember."""

import csv
import io

import numpy as np
import pytest
from support.commands import NET, call
from support.training import hashes_may_wrap

from truesparse import datasets, info, predict
from truesparse.commands.config_files import read_toml
from truesparse.storage import models

pytestmark = hashes_may_wrap

DRAW = np.random.default_rng(0)
N = 60
AGE = np.array([str(age) for age in DRAW.integers(1, 80, N)], object)
AGE[[3, 40]] = ""
SEX = np.array(["male", "female"])[DRAW.integers(0, 2, N)]
SURVIVED = (SEX == "female").astype(int)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def people(tmp_path):
    rows = ["id,survived,name,sex,age"]
    rows += [f'{i},{SURVIVED[i]},"Doe, {i}",{SEX[i]},{AGE[i]}' for i in range(N)]
    path = tmp_path / "people.csv"
    path.write_text("\n".join(rows) + "\n")
    return path


OPTIONS = [
    *("--target", "survived", "--index", "id", "--drop", "name", "--missing", "mean"),
]


def train(capsys, *words):
    got = call(capsys, *words, *NET, "--lr", "0.05")
    assert got.code == 0, got.err
    return got


def predicted(capsys, model, *words):
    """Return the rows of predictions, and what was said."""
    got = call(capsys, model, *words, main=predict.main)
    assert got.code == 0, got.err
    return list(csv.DictReader(io.StringIO(got.out))), got.err


def test_the_first_three_lines_say_what_was_understood(people, capsys):
    lines = train(capsys, "--data", people, *OPTIONS, "--out", "r").err.split("\n")
    assert lines[:3] == [
        "people.csv: 48 samples, 3 features, 2 outputs",
        "target: column 'survived', as you say; classification of whole numbers: 0, 1",
        "categories: 'sex' (2 values); missing values: mean of the training part; "
        "columns left out: 'id', 'name'",
    ]
    lines = train(capsys, "--data", people, "--missing", "drop", "--task", "regression")
    lines = lines.err.split("\n")
    assert lines[1].startswith(
        "target: column 'age', the last one; regression, as you say, of whole numbers "
        "from "
    )
    assert lines[2] == "categories: 'name' (46 values), 'sex' (2 values)"
    assert lines[3] == "warning: 2 of 60 rows lack a value and are left out, as you say"
    assert "'id' counts the rows" in lines[4] or "'id' has the name of one" in lines[4]
    assert "(--index id)" in lines[4]
    assert "(--drop name)" in lines[5]


# Rows are scaled by hand here.
@pytest.mark.filterwarnings("ignore:the model was trained on scaled data")
def test_a_model_predicts_from_tables_as_they_are(people, tmp_path, capsys):
    train(capsys, "--data", people, *OPTIONS, "--out", "r")
    how = models.load_preprocessing("r/model.safetensors")
    assert how.feature_names == ("sex=female", "sex=male", "age")
    whole, said = predicted(capsys, "r", people)
    assert len(whole) == N
    assert "accuracy 1.0000 on 60 samples" in said
    new = tmp_path / "new.csv"
    rows = "".join(f"{age},{sex}\n" for age, sex in zip(AGE, SEX, strict=True))
    new.write_text("age,sex\n" + rows)
    again, said = predicted(capsys, "r", new)
    assert again == whole
    assert "accuracy" not in said
    # The numbers are those of the encoded and scaled rows.
    X = np.column_stack([SEX == "female", SEX == "male", np.zeros(N)]).astype(float)
    X[:, 2] = [how.encoding.columns[1].fill if not age else float(age) for age in AGE]
    outputs = models.load("r/model.safetensors").predict_proba(how.transform(X, "f4"))
    got = [float(row["probability_1"]) for row in whole]
    np.testing.assert_allclose(got, outputs[:, 1], rtol=1e-4)
    # A value that was never seen has no feature; what is missing and cannot be is said.
    new.write_text("age,sex\n3,other\n")
    assert len(predicted(capsys, "r", new)[0]) == 1
    train(
        capsys, "--data", people, "--drop", "age", "--target", "survived", "--out", "q"
    )
    new.write_text("id,name,sex\n7,x,male\n8,y,\n")
    got = call(capsys, "q", new, main=predict.main)
    assert got.code == 4
    assert "column 'sex' holds no value in line 3, and the model has nothing" in got.err


def test_info_names_the_categories(people, capsys):
    train(capsys, "--data", people, *OPTIONS, "--out", "r")
    got = call(capsys, "r", main=info.main)
    assert "categories       'sex' (2 values)\n" in got.out
    assert "shifted and divided, 3 names: sex=female, sex=male, age" in got.out


def test_options_are_in_config_toml_and_repeat_the_run(people, capsys):
    first = train(
        capsys,
        "--data",
        people,
        *OPTIONS,
        "--drop",
        "id",
        "--out",
        "r",
        "--json",
        "--scale",
        "range",
        "--task",
        "classification",
    )
    options = read_toml("r/config.toml")
    assert options["drop"] == ("name", "id")
    assert {
        name: options[name] for name in ("target", "index", "missing", "scale")
    } == {
        "target": "survived",
        "index": "id",
        "missing": "mean",
        "scale": "range",
    }
    again = call(capsys, "--config", "r/config.toml", "--out", "s", "--json", "--quiet")
    scores = "test_score", "train_loss", "nnz"
    assert [again.json[name] for name in scores] == [
        first.json[name] for name in scores
    ]
    data = datasets.load(
        people, scale="range", target="survived", missing="mean", drop=["name", "id"]
    )
    how = models.load_preprocessing("s/model.safetensors")
    np.testing.assert_array_equal(how.feature_mean, data.feature_mean)
    assert how.encoding == data.encoding


def test_estimates_follow_the_encoded_width(people, capsys):
    def dry(*words):
        return call(
            capsys,
            "--data",
            people,
            *OPTIONS[:2],
            *words,
            "--missing",
            "mean",
            "--hidden",
            "50",
            "--density",
            "1",
            "--dry-run",
        ).json

    wide, narrow = dry(), dry("--drop", "name")
    # A 0/1 feature and 50 weights of 12 bytes or more for each of 48 names.
    assert wide["total"] - narrow["total"] > 48 * 50 * 12


def test_predict_takes_the_options_of_reading(tmp_path, capsys):
    X = DRAW.standard_normal((N, 2)).round(3)
    label = (X[:, 0] > 0).astype(int)
    rows = [
        f"{y};{a};{b}".replace(".", ",") for y, (a, b) in zip(label, X, strict=True)
    ]
    path = tmp_path / "t.txt"
    path.write_text("\n".join(rows) + "\n", encoding="utf-16")
    train(
        capsys,
        "--data",
        path,
        "--target",
        "1",
        "--header",
        "no",
        "--out",
        "r",
        "--encoding",
        "utf-16",
        "--decimal",
        ",",
        "--delimiter",
        ";",
    )
    whole, said = predicted(capsys, "r", path)
    assert "on 60 samples" in said
    # The same rows in another form.
    new = tmp_path / "new.csv"
    text = "".join(
        f"{i}|{a}|{b}|{y}é\n"
        for i, ((a, b), y) in enumerate(zip(X, label, strict=True))
    )
    new.write_text(text, encoding="latin-1")
    again, said = predicted(
        capsys,
        "r",
        new,
        "--delimiter",
        "|",
        "--encoding",
        "latin-1",
        "--index",
        "1",
        "--drop",
        "4",
    )
    assert again == whole
    assert "accuracy" not in said
    new.write_text(text.replace("é", ""))
    again, said = predicted(
        capsys,
        "r",
        new,
        "--target",
        "4",
        "--index",
        "1",
        "--header",
        "no",
        "--decimal",
        ".",
    )
    assert again == whole
    assert "on 60 samples" in said


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--data", "iris", "--target", "3"], 2, "means nothing for the data set"),
        (["--data", "people.csv", "--target", "sexx"], 2, "(it has 'sex')"),
        (["--data", "people.csv", "--encoding", "klingon"], 2, "unknown encoding"),
        (["--data", "people.csv", "--delimiter", "ab"], 2, "delimiter takes one char"),
        (["--data", "people.csv", "--missing", "zero"], 2, "unknown missing 'zero'"),
        (["--data", "people.csv", "--header", "maybe"], 2, "unknown header 'maybe'"),
        (["--data", "people.csv"], 4, "missing='drop' (--missing drop)"),
        (
            ["--data", "people.csv", "--target", "survived", "--missing", "mean",
             "--scale", "standard", "--categorical", "error"],
            4,
            "categorical='onehot' (--categorical onehot)",
        ),
        (
            ["--data", "people.csv", "--target", "name", "--task", "regression",
             "--drop", "age"],
            4,
            "task='classification' (--task classification)",
        ),
    ],
)  # fmt: skip
def test_what_is_refused_names_the_option(people, words, code, message, capsys):
    got = call(capsys, *words, *NET, "--json")
    assert (got.code, got.out) == (code, "")
    assert message in got.err
    assert got.err.count("\n") == 1


@pytest.mark.parametrize("kinds", ["5,6", "a,b"])
def test_targets_are_named_by_their_column(kinds, tmp_path, capsys):
    path, (first, second) = tmp_path / "wear.csv", kinds.split(",")
    path.write_text("speed,kind,wear\n" + f"1,{first},0.5\n2,{second},1\n" * 20)
    got = call(capsys, "--data", path, "--task", "classification", *NET)
    assert "target 'wear' has real values such as 0.5" in got.err
    path.write_text("speed,kind,wear\n" + f"1,{first},x\n2,{second},x\n" * 20)
    got = call(capsys, "--data", path, *NET)
    assert "target 'wear' holds one class only, 'x'" in got.err


def test_range_is_refused_for_sparse_features(tmp_path, capsys):
    (tmp_path / "t.svm").write_text("0 1:1\n1 2:1\n0 3:1\n1 1:2\n" * 5)
    got = call(capsys, "--data", "t.svm", "--scale", "range", *NET)
    assert got.code == 2
    assert "scale 'range' would fill in the zeros of sparse features" in got.err


def test_rates_suit_the_scale(tmp_path):
    from truesparse.commands import build
    from truesparse.commands.config import RunConfig

    for scale, lr in (
        ("standard", 0.1),
        ("none", 0.1),
        ("range", 0.2),
        ("maxabs", 0.2),
    ):
        data = datasets.load("iris", scale=scale)
        config = build.resolve(RunConfig(data="iris", scale=scale), data)
        assert config.lr == lr


def test_rows_without_a_target_are_left_out_by_flag_and_by_file(tmp_path, capsys):
    rows = [f"{i % 7}.5,{i % 3},{'' if i == 4 else i % 2}" for i in range(30)]
    rows[2] = ",1,0"
    (tmp_path / "t.csv").write_text("\n".join(["a,b,y", *rows]) + "\n")
    asked = ("--data", "t.csv", "--missing", "mean")
    refused = call(capsys, *asked, *NET)
    assert refused.code == 4
    assert "leave out these rows with missing_target='drop'" in refused.err
    lines = train(capsys, *asked, "--missing-target", "drop", "--out", "r").err
    said = "warning: 1 of 30 rows lack a target and are left out, as you say"
    assert said in lines.split("\n")
    assert 'missing_target = "drop"' in (tmp_path / "r" / "config.toml").read_text()
    (tmp_path / "r" / "config.toml").rename(tmp_path / "c.toml")
    again = train(capsys, "--config", "c.toml", "--out", "again").err
    assert said in again.split("\n")
