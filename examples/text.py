"""Text: word weights go in as a SciPy CSR matrix and are never made dense.

Data: the docstrings of SciPy's functions, which any installation has. The task is to
name the subpackage that a docstring comes from.

    python examples/text.py
"""

import importlib
import inspect
import re

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

from truesparse import SparseMLPClassifier

PACKAGES = (
    *("fft", "integrate", "interpolate", "linalg", "ndimage", "optimize"),
    *("signal", "sparse", "spatial", "special", "stats"),
)


def read_docstrings() -> tuple[list[str], list[str]]:
    """Return the docstrings of SciPy's public names and the subpackage of each."""
    texts, labels = {}, {}
    for package in PACKAGES:
        module = importlib.import_module(f"scipy.{package}")
        for name in module.__all__:
            text = inspect.getdoc(getattr(module, name)) or ""
            # The answer must not stand in the text, nor a text in two packages.
            text = re.sub(rf"scipy[.\w]*|\b{package}\b", " ", text)
            if len(text) > 200:
                texts[name], labels[name] = text, package
    return list(texts.values()), list(labels.values())


texts, labels = read_docstrings()
train_texts, test_texts, y_train, y_test = train_test_split(
    texts, labels, test_size=0.3, stratify=labels, random_state=0
)
vectorizer = TfidfVectorizer(token_pattern="[a-z_]{2,}", dtype=np.float32)
X_train = vectorizer.fit_transform(train_texts)  # a csr_matrix
X_test = vectorizer.transform(test_texts)
dense_bytes = 4 * X_train.shape[0] * X_train.shape[1]
print(
    f"{X_train.shape[0]} training texts, {X_train.shape[1]:,} words, "
    f"{X_train.nnz:,} stored values ({dense_bytes / 1e6:.0f} MB if they were dense)"
)

network = SparseMLPClassifier(
    (500, 500),
    epsilon=20,  # connections of a layer: epsilon * (inputs + outputs)
    batch_size=20,
    max_iter=20,
    learning_rate="linear",  # falls to 0 at the last epoch
    learning_rate_init=0.006,
    random_state=0,
)
models = {
    "sparse network": network,
    "logistic regression": LogisticRegression(max_iter=1000, C=10),
}
for name, model in models.items():
    model.fit(X_train, y_train)
    print(f"{name}: accuracy {model.score(X_test, y_test):.3f}")

words = vectorizer.get_feature_names_out()
most_important = np.argsort(network.feature_importances_)[:-11:-1]
print("most important words:", *words[most_important])
