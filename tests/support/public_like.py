"""Files as public repositories and spreadsheets have them, and the whole corpus."""

import bz2
import gzip

from support.made_up import (
    CLASS,
    N_ROWS,
    REAL,
    Case,
    Column,
    amount,
    case,
    number,
    pick,
    real,
    some,
    whole,
)
from support.teaching_sets import BROWNLEE, PLOTLY, SEABORN

UCI = [
    case(
        "winequality.csv",
        CLASS,
        real("fixed acidity"),
        real("pH", 3),
        real("alcohol", 7),
        whole("quality", 4, 3),
        sep=";",
        quotes=True,
    ),
    case(
        "auto-mpg.data",
        REAL,
        whole("1", 5),
        some(real("2"), "?"),
        amount("3"),
        real("y", 5),
        head=False,
        sep=" ",
        options={"missing": "mean"},
    ),
    case(
        "car.data",
        CLASS,
        pick("1", "vhigh", "high", "low"),
        pick("2", "2", "3", "5more"),
        pick("3", "big", "med"),
        pick("y", "unacc", "acc"),
        head=False,
    ),
    case(
        "adult.data",
        CLASS,
        whole("1", 60, 17),
        pick("2", "Private", "State-gov"),
        amount("3"),
        pick("y", "<=50K", ">50K"),
        head=False,
        sep=", ",
    ),
    case(
        "bank-full.csv",
        CLASS,
        whole("age", 60),
        pick("job", "admin.", "student"),
        amount("balance"),
        pick("y", "no", "yes"),
        sep=";",
        quotes=True,
    ),
    case(
        "student-mat.csv",
        REAL,
        pick("school", "GP", "MS"),
        whole("age", 8, 15),
        whole("G1", 20, 0),
        real("G3", 5),
        sep=";",
    ),
    case(
        "AirQualityUCI.csv",
        REAL,
        real("CO(GT)"),
        amount("PT08"),
        real("T", 7),
        sep=";",
        decimal=",",
        after=";;\n" * 3,
    ),
    case(
        "glass.data",
        CLASS,
        number("1", 1),
        real("2"),
        real("3", 7),
        whole("y", 3),
        head=False,
        options={"index": 1},
    ),
    case(
        "yeast.data",
        CLASS,
        Column("1", [f"P{i}_YEAST" for i in range(N_ROWS)], "none"),
        real("2"),
        real("3", 7),
        pick("y", "CYT", "NUC"),
        head=False,
        sep="  ",
        options={"drop": 1},
    ),
    case(
        "haberman.data.gz",
        CLASS,
        whole("1", 50, 30),
        whole("2", 11, 58),
        whole("y", 2),
        head=False,
        encode=lambda text: gzip.compress(text.encode()),
    ),
]

OFFICE = [
    case(
        "werte.csv",
        REAL,
        real("Länge"),
        real("Breite", 7),
        real("Preis", 3),
        sep=";",
        decimal=",",
        encode=lambda text: text.encode("cp1252"),
        options={"encoding": "cp1252"},
    ),
    case(
        "excel.csv",
        CLASS,
        real("a"),
        real("b", 7),
        pick("c", "x", "y"),
        sep=";",
        before="sep=;\n",
        end="\r\n",
    ),
    case(
        "unicode.txt",
        CLASS,
        real("a"),
        pick("b", "é", "ü"),
        pick("c", "x", "y"),
        sep="\t",
        encode=lambda text: text.encode("utf-16"),
    ),
    case(
        "r-rows.csv",
        CLASS,
        number("", 1),
        real("width"),
        pick("kind", "a", "b"),
        quotes=True,
    ),
    case("bars.txt", CLASS, real("a"), real("b", 7), whole("label", 2, 0), sep="|"),
    case(
        "target-first.csv",
        CLASS,
        pick("Class", "good", "bad"),
        real("a"),
        real("b", 7),
        target="Class",
    ),
    case("no-ending", CLASS, real("a"), real("b", 7), pick("c", "x", "y"), sep="\t"),
    case(
        "bools.csv",
        CLASS,
        pick("a", "True", "False", kind="number"),
        real("b"),
        pick("ok", "TRUE", "FALSE", kind="number"),
    ),
    case(
        "gaps.csv",
        CLASS,
        some(real("a"), "NA"),
        some(real("b", 7), "NaN", 9),
        pick("c", "x", "y"),
        options={"missing": "drop"},
        gaps="NA",
    ),
    case(
        "blank-lines.csv",
        CLASS,
        real("a"),
        real("b", 7),
        pick("c", "x", "y"),
        end="\n\n",
        before="\n",
    ),
]

TABLES = SEABORN + BROWNLEE + PLOTLY + UCI + OFFICE

X1, X2 = real("f1", 11, 1), real("f2", 7, 1)


def pairs(label):
    """Return SVMlight text of two features."""
    rows = zip(label.cells, X1.cells, X2.cells, strict=True)
    return "".join(f"{y} 1:{a} 2:{b}\n" for y, a, b in rows)


def arff(label, values):
    rows = zip(X1.cells, X2.cells, label.cells, strict=True)
    head = (
        "% made up\n@RELATION leaves\n\n@ATTRIBUTE 'f 1' REAL\n@ATTRIBUTE f2 NUMERIC\n"
    )
    head += f"@ATTRIBUTE {label.name} {values}\n\n@DATA\n"
    return head + "".join(f"{a}, {b}, {y}\n" for a, b, y in rows)


SIGNS = pick("y", "-1", "+1")
OTHERS = [
    Case("a1a", pairs(SIGNS).encode(), "y", CLASS, [X1, X2, SIGNS]),
    Case("splice.t", pairs(SIGNS).encode(), "y", CLASS, [X1, X2, SIGNS]),
    Case(
        "dna.scale.bz2",
        bz2.compress(pairs(whole("y", 3)).encode()),
        "y",
        CLASS,
        [X1, X2, whole("y", 3)],
    ),
    Case(
        "abalone_scale.txt",
        pairs(real("y", 5)).encode(),
        "y",
        REAL,
        [X1, X2, real("y", 5)],
    ),
    Case(
        "weather.arff",
        arff(pick("class", "no", "yes"), "{no,yes}").encode(),
        "class",
        CLASS,
        [X1, X2, pick("class", "no", "yes")],
    ),
    Case(
        "cpu.arff",
        arff(real("ERP", 5), "real").encode(),
        "ERP",
        REAL,
        [X1, X2, real("ERP", 5)],
    ),
]

CASES = TABLES + OTHERS
