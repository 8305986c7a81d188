"""One layer: its connections, and what is computed with them."""
