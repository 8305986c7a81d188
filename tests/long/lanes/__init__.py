"""One file a lane, or several of one kind; registry.py says what they look like."""
