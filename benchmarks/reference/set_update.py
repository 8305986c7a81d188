"""SET on the keys of cells: wherever the tensors are, and without dense arrays."""

import torch

from benchmarks.reference.torch_net import Layer


def set_update(layer: Layer, zeta: float, generator: torch.Generator) -> None:
    """Replace the share zeta of the positive weights nearest to 0, and of the negative.

    As many connections grow in uniformly drawn empty cells, with weight 0. Weights that
    are exactly 0 are part of the share, and go first.

    Parameters
    ----------
    layer : Layer
    zeta : float
    generator : torch.Generator
        On the device of the layer.
    """
    keys = layer.keys()
    stays = torch.ones_like(keys, dtype=torch.bool)
    stays[nearest_to_zero(layer.values(layer.weights), zeta)] = False
    n_cells, n_dropped = layer.shape[0] * layer.shape[1], int((~stays).sum())
    grown = draw_absent(keys[stays], n_dropped, n_cells, generator)
    after, order = torch.sort(torch.cat([keys[stays], grown]))

    def move(values: torch.Tensor, is_weights: bool) -> torch.Tensor:
        return torch.cat([values[stays], values.new_zeros(n_dropped)])[order]

    layer.rewire(after, move)


def nearest_to_zero(values: torch.Tensor, zeta: float) -> torch.Tensor:
    """Return the positions of the share of each sign that is nearest to 0."""
    zeros = (values == 0).nonzero()[:, 0]
    left = values.numel() - zeros.numel()
    share = max(zeta * values.numel() - zeros.numel(), 0.0) / max(left, 1)
    parts = [zeros]
    for is_of_sign in (values > 0, values < 0):
        places = is_of_sign.nonzero()[:, 0]
        count = int(share * places.numel())
        smallest = torch.topk(values[places].abs(), count, largest=False).indices
        parts.append(places[smallest])
    return torch.cat(parts)


def draw_absent(
    keys: torch.Tensor, count: int, n_cells: int, generator: torch.Generator
) -> torch.Tensor:
    """Draw distinct cells that are not among the keys, uniformly and ascending.

    Parameters
    ----------
    keys : (k,) int64 tensor
        Ascending.
    count : int
        At most as many as there are.
    n_cells : int
    generator : torch.Generator
    """
    grown = keys[:0]
    while grown.numel() < count:
        # Exactly what is missing, so that no cell is favoured by what is thrown away.
        size = (count - grown.numel(),)
        options = {"generator": generator, "device": keys.device}
        drawn = torch.randint(n_cells, size, **options).unique()
        taken = torch.cat([keys, grown])
        grown = torch.cat([grown, drawn[~torch.isin(drawn, taken)]])
    return grown.sort().values
