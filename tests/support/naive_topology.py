"""Dense float64 twins of the topology algorithms: masks, weights, all gradients."""

import numpy as np
from support.naive import set_removed, smallest


def largest(scores, allowed, count):
    """Mark the `count` largest positive scores among allowed cells, last ones first."""
    scores = np.where(allowed & (scores > 0), scores, 0.0).ravel()
    marks = np.zeros(scores.size, bool)
    order = np.argsort(scores, kind="stable")[::-1]
    marks[order[:count]] = True
    return (marks & (scores > 0)).reshape(allowed.shape)


def drop_magnitude(mask, weights, count):
    """Return the mask of the connections of smallest magnitude."""
    dropped = np.zeros(mask.shape, bool)
    dropped[mask] = smallest(np.abs(weights[mask]), count)
    return dropped


def rigl(mask, weights, gradient, fraction):
    """Return the new mask; dropped cells may grow again (Evci et al. 2020)."""
    count = int(fraction * mask.sum())
    remaining = mask & ~drop_magnitude(mask, weights, count)
    return remaining | largest(np.abs(gradient), ~remaining, count)


def gse(mask, weights, gradient, fraction):
    """Return the new mask where every absent cell is a candidate (Heddes et al.)."""
    count = int(fraction * mask.sum())
    remaining = mask & ~drop_magnitude(mask, weights, count)
    return remaining | largest(np.abs(gradient), ~mask, count)


def dst_ee(mask, weights, gradient, visits, fraction, c, epsilon, step):
    """Return the new mask and the counts of all cells (Huang et al. 2023)."""
    visits = visits + mask
    count = int(fraction * mask.sum())
    remaining = mask & ~drop_magnitude(mask, weights, count)
    scores = np.abs(gradient) + c * np.log(step) / (visits + epsilon)
    scores[gradient == 0] = 0
    return remaining | largest(scores, ~remaining, count), visits


def wast(mask, weights, rows, columns, zeta):
    """Return the new mask, without ties (Sokar et al. 2022)."""
    product = np.outer(rows, columns)
    dropped = np.zeros(mask.shape, bool)
    dropped[mask] = set_removed((weights * product)[mask], zeta)
    remaining = mask & ~dropped
    return remaining | largest(product, ~remaining, dropped.sum())


def wast_gains(weights, delta, error_weight):
    """What a batch adds to the importances of the inputs and the outputs of a layer."""
    inputs, outputs = np.abs(weights @ delta).sum(1), np.abs(delta).sum(1)
    rest = 1 - error_weight
    return (
        error_weight * inputs + rest * np.abs(weights).sum(1),
        error_weight * outputs + rest * np.abs(weights).sum(0),
    )


def soft_deepr(theta, lr, l1, temperature, lowest, draw):
    """Move all thetas by a step without gradient (Bellec et al. 2018, Algorithm 2)."""
    noise = np.sqrt(2 * lr * temperature) * draw.standard_normal(theta.size)
    return np.maximum(theta - lr * l1 * (theta > 0) + noise, lowest)


def mest_dropped(mask, weights, gradient, fraction, weight):
    """Return what MEST removes (Yuan et al. 2021)."""
    scores = np.abs(weights) + weight * np.abs(gradient)
    dropped = np.zeros(mask.shape, bool)
    dropped[mask] = smallest(scores[mask], int(fraction * mask.sum()))
    return dropped


def dsr(masks, weights, threshold, target):
    """Return remaining masks, counts to grow before rounding, the next threshold."""
    remaining = [
        m & (np.abs(w) >= threshold) for m, w in zip(masks, weights, strict=True)
    ]
    removed = sum(m.sum() - k.sum() for m, k in zip(masks, remaining, strict=True))
    left = np.array([k.sum() for k in remaining])
    if removed > 1.1 * target:
        threshold /= 2
    elif removed < 0.9 * target:
        threshold *= 2
    return remaining, removed * left / left.sum(), threshold


def ggr_counts(masks, gradients, total):
    """Return how many of the `total` largest absent gradients each layer has."""
    sizes = [np.where(m, 0, np.abs(g)) for m, g in zip(masks, gradients, strict=True)]
    threshold = np.sort(np.concatenate([s.ravel() for s in sizes]))[-total]
    return [int((s >= threshold).sum()) for s in sizes]


def granet_dropped(masks, weights, surplus, fraction):
    """Return what GraNet prunes from all layers jointly, then from each."""
    pruned = smallest(
        np.abs(np.concatenate([w[m] for m, w in zip(masks, weights, strict=True)])),
        surplus,
    )
    parts = np.split(pruned, np.cumsum([m.sum() for m in masks])[:-1])
    result = []
    for mask, values, part in zip(masks, weights, parts, strict=True):
        dropped = np.zeros(mask.shape, bool)
        dropped[mask] = part
        left = mask & ~dropped
        result.append(
            dropped | drop_magnitude(left, values, int(fraction * left.sum()))
        )
    return result


def chains(masks, evolving):
    """Remove connections that lead nowhere, from above, then those from nowhere."""
    masks = [mask.copy() for mask in masks]
    for k in range(len(masks) - 2, -1, -1):
        if k in evolving:
            masks[k][:, masks[k + 1].sum(1) == 0] = False
    for k in range(1, len(masks)):
        if k in evolving:
            masks[k][masks[k - 1].sum(0) == 0] = False
    return masks


def srigl(mask, weights, gradient, fraction, gamma_salience):
    """Return a hidden layer's new mask, as the authors' code does (Lasby et al.)."""
    n_in, n_out = mask.shape
    nnz = int(mask.sum())
    count = max(int(fraction * nnz), int((weights[mask] == 0).sum()))
    remaining = mask & ~drop_magnitude(mask, weights, count)
    sizes = np.abs(gradient)
    salient = (remaining | largest(sizes, np.ones(mask.shape, bool), count)).sum(0)
    limit = gamma_salience
    if limit < 1:
        limit = max(1, int(limit * (nnz // n_out))) if limit else 0
    limit = min(limit, np.sort(salient)[::-1][min(nnz // n_in, n_out - 1)])
    active = salient >= limit
    fan_in = min(nnz // active.sum(), n_in)
    left = mask & active
    remaining = left & ~drop_magnitude(left, weights, max(left.sum() - nnz + count, 0))
    new = np.zeros(mask.shape, bool)
    for j in np.flatnonzero(active):
        order = np.argsort(np.where(remaining[:, j], -np.abs(weights[:, j]), 0))
        new[order[: min(fan_in, remaining[:, j].sum())], j] = True
        order = np.argsort(-np.where(new[:, j], -1.0, sizes[:, j]), kind="stable")
        new[order[: fan_in - new[:, j].sum()], j] = True
    return new


def top_kast_exchange(x, y, width, density, extra, lr=0.1, penalty=1e-4, batch=50):
    """Share of a hidden layer that Top-KAST exchanges at steps 100, 200 and 300.

    All weights are held and drawn as (Jayakumar et al. 2020) have it; the output layer
    is dense.
    """
    draw = np.random.default_rng(0)
    n_in, n_classes = x.shape[1], y.max() + 1
    first = draw.standard_normal((n_in, width))
    second = draw.standard_normal((width, n_classes)) / np.sqrt(width)
    biases, n_used = [np.zeros(width), np.zeros(n_classes)], int(density * first.size)

    def used(count):
        return abs(first) >= np.sort(abs(first), axis=None)[-count]

    forward, both = used(n_used), used(int((1 + extra) * n_used))
    # The variance of he_uniform with the fan-in of what is used.
    first *= np.sqrt(2 / (density * n_in * np.mean(first[forward] ** 2)))
    shares = []
    for step in range(1, 301):
        chosen = draw.integers(0, len(x), batch)
        z = x[chosen] @ (first * forward) + biases[0]
        logits = np.maximum(z, 0) @ second + biases[1]
        delta = np.exp(logits - logits.max(1, keepdims=True))
        delta /= delta.sum(1, keepdims=True)
        delta[np.arange(batch), y[chosen]] -= 1
        delta /= batch
        hidden = delta @ second.T * (z > 0)
        decay = penalty * (forward + (both & ~forward) / density) * first
        second -= lr * np.maximum(z, 0).T @ delta
        first -= lr * (x[chosen].T @ hidden * both + decay)
        biases[0] -= lr * hidden.sum(0)
        biases[1] -= lr * delta.sum(0)
        if step % 100 == 0:
            new = used(n_used)
            shares.append((new & ~forward).sum() / n_used)
            forward, both = new, used(int((1 + extra) * n_used))
    return shares


# Pruning -----------------------------------------------------------------------------


def largest_remaining(weights, share, scope):
    """Masks of the largest magnitudes of full layers: of all together or of each."""
    groups = (
        [range(len(weights))]
        if scope == "global"
        else [[i] for i in range(len(weights))]
    )
    masks = []
    for group in groups:
        sizes = np.concatenate([abs(weights[i]).ravel() for i in group])
        count = sum(round(share * weights[i].size) for i in group)
        limit = np.sort(sizes)[::-1][count - 1]
        masks += [abs(weights[i]) >= limit for i in group]
    return masks


def most_sensitive(weights, gradients, count):
    """Masks of the largest |w g| of all layers, without ties."""
    scores = [abs(w * g) for w, g in zip(weights, gradients, strict=True)]
    limit = np.sort(np.concatenate([s.ravel() for s in scores]))[::-1][count - 1]
    return [s >= limit for s in scores]


def important(weights, share):
    """Neurons that stay: those above the percentile, or all where that is none."""
    sums = abs(weights).sum(axis=0)
    stays = sums > np.percentile(sums, 100 * share)
    return stays if stays.any() else ~stays


def relative_importance(weights):
    """Shares of |w| in the sums of its row and its column (Zhang et al. 2025)."""
    sizes = abs(weights)
    rows, columns = sizes.sum(1, keepdims=True), sizes.sum(0, keepdims=True)
    return sizes / np.maximum(rows, 1e-300) + sizes / np.maximum(columns, 1e-300)


def taylor_dropped(mask, weights, gradient, fraction):
    """Return what goes by the product of weight and gradient (Molchanov et al.)."""
    dropped = np.zeros(mask.shape, bool)
    scores = abs(weights * gradient)[mask]
    dropped[mask] = smallest(scores, int(fraction * mask.sum()))
    return dropped


def neuron_growth(mask, sizes, count):
    """Each neuron's largest cells, by its share; then the layer's (Dettmers et al.)."""
    shares = np.floor(count * sizes.mean(0) / sizes.mean(0).sum()).astype(int)
    grown = np.zeros(mask.shape, bool)
    for j, share in enumerate(shares):
        grown[:, j : j + 1] = largest(sizes[:, j : j + 1], ~mask[:, j : j + 1], share)
    return grown | largest(sizes, ~mask & ~grown, count - grown.sum())


def synflow(masks, weights, count, rounds):
    """Masks of what rounds of pruning by flow leave (Tanaka et al. 2020)."""
    weights = [abs(w) * m for w, m in zip(weights, masks, strict=True)]
    n = sum(m.sum() for m in masks)
    for number in range(1, rounds + 1):
        scores = []
        for k, w in enumerate(weights):
            below, above = np.ones(len(weights[0])), np.ones(weights[-1].shape[1])
            for other in weights[:k]:
                below = below @ other
            for other in weights[:k:-1]:
                above = other @ above
            scores.append(below[:, None] * w * above)
        left = round((count / n) ** (number / rounds) * n)
        limit = np.sort(np.concatenate([s.ravel() for s in scores]))[-left]
        weights = [w * (s >= limit) for w, s in zip(weights, scores, strict=True)]
    return [w > 0 for w in weights]
