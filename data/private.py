"""Files that only their owner reads, replaced whole: nobody sees half of one, and a crash leaves the old or the new."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

DRAFT = ".draft"
"""How the name of a file ends that is not finished; what a crash leaves under such a name means nothing."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give the path of a draft that takes the place of a file when the block ends well, and is removed when not.

    Parameters
    ----------
    path
        The file, in an existing folder; it gets mode 0600 whatever the umask.

    Examples
    --------
    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> with replacing(Path(folder.name) / "note") as draft:
    ...     written = draft.write_text("said")
    >>> (Path(folder.name) / "note").read_text()
    'said'
    >>> folder.cleanup()
    """
    # At most 60 characters of 4 bytes, so that the name of the draft is never too long for a file system.
    draft = path.with_name(f".{path.name[-60:]}{DRAFT}")
    # Made anew: in a folder that others may write to, a link under this name could lead elsewhere.
    draft.unlink(missing_ok=True)
    os.close(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        yield draft
        draft.chmod(0o600)
        # What takes the place of a file must be on the disk first, or a power cut could leave neither.
        _sync(draft)
        draft.replace(path)
        _sync(path.parent)
    finally:
        draft.unlink(missing_ok=True)


def write_private(path: Path, content: bytes) -> None:
    """Write a file of mode 0600 whole, in a folder of mode 0700 that is made where it is missing."""
    private_folder(path.parent)
    with replacing(path) as draft:
        draft.write_bytes(content)


def private_folder(path: Path) -> Path:
    """Return a folder, made with mode 0700 whatever the umask where it is missing."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.chmod(0o700)
    return path


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
