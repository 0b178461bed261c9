"""One run at a time: a lock that the kernel holds, so that no death of its holder leaves it behind."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from data.errors import LockHeldError

_POLLS = 100
_POLL_SECONDS = 0.002


@contextmanager
def hold(path: Path) -> Iterator[None]:
    """Hold the kernel lock on a file for the length of the block, or fail at once.

    The file stays behind and means nothing by itself: the lock is the kernel's and ends with the process that holds it,
    however that process ends. Programs that the holder starts do not inherit it.

    Parameters
    ----------
    path
        The lock file; made with mode 0600 where it is missing. While the lock is held it says by whom and since when.

    Raises
    ------
    LockHeldError
        If another holder has it, in this process or any other.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, hold(Path(folder) / "lock"):
    ...     (Path(folder) / "lock").read_text().startswith("pid ")
    True
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LockHeldError(
                f"{path.parent} is locked by {_holder(handle)}",
                "one run at a time",
                "wait for that run to end, or stop its process; the lock then frees itself",
            ) from None
        # On a full disk the lock holds all the same; it only cannot say by whom.
        with suppress(OSError):
            _sign(handle)
        yield
        # Emptied before the kernel lets go, so that the next loser never reads this holder's name.
        os.ftruncate(handle, 0)
    finally:
        os.close(handle)


def _sign(handle: int) -> None:
    """Write who holds the lock; the file system's clock stamps the start, so no clock is read here."""
    os.ftruncate(handle, 0)
    os.utime(handle)
    start = datetime.fromtimestamp(int(os.fstat(handle).st_mtime), UTC)
    os.pwrite(handle, f"pid {os.getpid()} since {start.isoformat()}\n".encode(), 0)


def _holder(handle: int) -> str:
    """Return the holder's line; the winner of a race needs a moment to write it."""
    for _ in range(_POLLS):
        if text := os.pread(handle, 200, 0).decode().strip():
            return text
        time.sleep(_POLL_SECONDS)
    return "a process that has not written its pid"
