"""The network: its layers in a row, their buffers, forward and backward."""
