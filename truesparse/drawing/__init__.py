"""How a net starts: how many connections, in which cells, with which weights."""
