"""The network: a row of layers, their buffers, forward and backward passes."""
