"""One layer: its connections, how they are drawn, and its forward and backward."""
