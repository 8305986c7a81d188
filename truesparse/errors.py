"""Every error a user can cause, each with the exit code of the command line."""


class TruesparseError(Exception):
    """Base of all errors that are not bugs; ``exit_code`` is what the CLI returns."""

    exit_code = 1


class UsageError(TruesparseError, ValueError):
    """An option or argument has a value that is not accepted."""

    exit_code = 2


class MemoryLimitError(TruesparseError, MemoryError):
    """The run would not fit in memory and was refused before any allocation."""

    exit_code = 3


class DataError(TruesparseError, ValueError):
    """Data are missing, unreadable or invalid."""

    exit_code = 4


class DivergedError(TruesparseError, ArithmeticError):
    """The loss became NaN or infinite; the last finite model was kept."""

    exit_code = 5


class ModelFileError(TruesparseError, ValueError):
    """A model or checkpoint file cannot be read or fails validation."""

    exit_code = 6
