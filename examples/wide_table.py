"""A wide genomics table: few samples, thousands of genes.

Data: 100 synthetic samples of 5,000 expression values. Thirty genes are shifted
between the two classes, the others are noise. Cross-validation compares three models on
the same folds: a sparse network whose connections evolve (SET), the same network with
fixed connections, and logistic regression. Where each gene adds its share, as here, a
linear model is hard to beat: always run one, too.

    python examples/wide_table.py
"""

import time

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from truesparse import SparseMLPClassifier

N_SAMPLES, N_GENES, N_SHIFTED = 100, 5_000, 30

draw = np.random.default_rng(0)
y = np.arange(N_SAMPLES) % 2
X = draw.standard_normal((N_SAMPLES, N_GENES)).astype(np.float32)
shifted = draw.choice(N_GENES, N_SHIFTED, replace=False)
X[:, shifted] += 0.8 * (2 * y[:, None] - 1) * draw.choice([-1, 1], N_SHIFTED)


def make_network(topology: str) -> SparseMLPClassifier:
    """Return a network with one hidden layer and about 2 % of its cells connected."""
    return SparseMLPClassifier(
        (500,),
        epsilon=10,  # connections of a layer: epsilon * (inputs + outputs)
        topology=topology,
        max_iter=60,
        batch_size=10,
        learning_rate="linear",  # falls to 0 at the last epoch
        learning_rate_init=0.004,
        random_state=0,
    )


models = {
    "evolving network": make_network("set"),
    "static network": make_network("static"),
    "logistic regression": LogisticRegression(max_iter=1000),
}
folds = StratifiedKFold(5, shuffle=True, random_state=0)
for name, model in models.items():
    start = time.perf_counter()
    # Scaling is part of the pipeline, so that it never sees the held-out fold.
    scores = cross_val_score(make_pipeline(StandardScaler(), model), X, y, cv=folds)
    seconds = time.perf_counter() - start
    print(
        f"{name}: accuracy {scores.mean():.2f}, folds {scores.min():.2f} to "
        f"{scores.max():.2f}, {seconds:.1f} s"
    )

network = make_network("set").fit(StandardScaler().fit_transform(X), y)
dense = N_GENES * 500 + 500
print(f"connections: {network.model_.nnz:,}; a dense network has {dense:,}")
most_important = np.argsort(network.feature_importances_)[-N_SHIFTED:]
n_recovered = len(set(most_important) & set(shifted))
print(
    f"of the {N_SHIFTED} most important genes, {n_recovered} are shifted ones "
    f"(by chance {N_SHIFTED**2 / N_GENES:.1f})"
)
