"""Dense twins of the figures that describe prints of layers."""

import itertools


def describe_layers(model):
    """Return nnz, fan-in and dead neurons of each layer, and unused features."""
    there = [
        layer.connections.to_scipy().astype(bool).toarray() for layer in model.layers
    ]
    described = []
    for mask, following in itertools.zip_longest(there, there[1:]):
        counts = mask.sum(axis=0)
        no_input = counts == 0
        no_output = no_input & False if following is None else ~following.any(axis=1)
        described.append(
            {
                "nnz": int(mask.sum()),
                "fan_in": {
                    "min": int(counts.min()),
                    "mean": float(counts.mean()),
                    "max": int(counts.max()),
                },
                "dead": {
                    "no_input": int(no_input.sum()),
                    "no_output": int(no_output.sum()),
                    "either": int((no_input | no_output).sum()),
                },
            }
        )
    return described, int((~there[0].any(axis=1)).sum())
