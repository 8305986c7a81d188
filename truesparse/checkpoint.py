"""Checkpoints of runs: `read` returns one, `write` writes one.

>>> from truesparse import checkpoint
>>> checkpoint.read.__module__
'truesparse.training.checkpoints'
"""

from truesparse.training.checkpoints import Saved, read, size, versions, write

__all__ = ["Saved", "read", "size", "versions", "write"]
