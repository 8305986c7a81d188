"""Training: the loop, the state of a run, its events and its checkpoints."""
