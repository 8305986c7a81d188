"""Replacing a file as a whole: readers see the old one or the new one, never a part."""

import contextlib
import os
import pathlib
from collections.abc import Iterator


@contextlib.contextmanager
def replacing(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yield a path to write to, in the same folder, and then move it to `path`.

    If the body raises, `path` stays as it was and the new file is removed. The new
    file has the ending of `path`, in lower case, as some writers append theirs
    otherwise.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from truesparse.storage.replacing import replacing
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "page.html")
    ...     with replacing(path) as partial:
    ...         _ = partial.write_text("new")
    ...     path.read_text(), len(list(path.parent.iterdir()))
    ('new', 1)
    """
    unique = f".{path.stem}.{os.urandom(4).hex()}.part{path.suffix.lower()}"
    partial = path.with_name(unique)
    try:
        yield partial
        os.replace(partial, path)
    finally:
        with contextlib.suppress(OSError, ValueError):
            partial.unlink()
