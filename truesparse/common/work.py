"""Long work, and who wants to know how far it is.

Work says what it is and how many connections it goes through. A program that shows it
listens; where nobody does, as in a library, nothing happens.
"""

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar

# Takes a number of connections that are done.
Advance = Callable[[int], None]
# Takes what the work is and its connections; gives a place to say how far it is.
Listener = Callable[[str, int], contextlib.AbstractContextManager[Advance]]

_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)


@contextlib.contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Let `listener` know of all work that begins within a ``with`` statement.

    Work of other threads does not reach it.
    """
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


@contextlib.contextmanager
def work(what: str, total: int) -> Iterator[Advance]:
    """Begin work on `total` connections; call the result with those that are done.

    Parameters
    ----------
    what : str
        Words for people, as in "drawing connections".
    total : int

    Examples
    --------
    >>> import contextlib
    >>> from truesparse.common.work import listening, work
    >>> def listener(what, total):
    ...     return contextlib.nullcontext(lambda n: print(what, n, "of", total))
    >>> with listening(listener), work("counting", 3) as advance:
    ...     advance(2)
    counting 2 of 3
    """
    listener = _listener.get()
    if listener is None:
        yield lambda n: None
        return
    with listener(what, total) as advance:
        yield advance
