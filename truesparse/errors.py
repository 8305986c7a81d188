"""All errors that a user can cause, each with its exit code on the command line."""


class TruesparseError(Exception):
    """Base of all errors that are not bugs; commands return their ``exit_code``."""

    exit_code = 1


class UsageError(TruesparseError, ValueError):
    """An option or argument has a value that is not accepted."""

    exit_code = 2


class MemoryLimitError(TruesparseError, MemoryError):
    """A run would not fit in memory; it was refused before anything was allocated."""

    exit_code = 3


class DataError(TruesparseError, ValueError):
    """Data are missing, unreadable or invalid."""

    exit_code = 4


class DivergedError(TruesparseError, ArithmeticError):
    """Loss or weights became NaN or infinite; the model is the last finite one."""

    exit_code = 5


class ModelFileError(TruesparseError, ValueError):
    """A model or checkpoint file cannot be read or fails validation."""

    exit_code = 6


class StorageError(TruesparseError, OSError):
    """The system cannot write a file: no room, no rights, or a fault of the disk."""

    exit_code = 7
