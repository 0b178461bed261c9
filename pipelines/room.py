"""Room: whether the disk can take a night, told in one line before it begins and where it ends for want of it."""

import errno
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from data.errors import LakeError, UserError

NEEDED_BYTES = 16 * 2**20
"""The least that a night is begun with: models, reports and the records of MLflow and Prefect of a small company."""

_FULL = frozenset({errno.ENOSPC, errno.EFBIG, errno.EDQUOT})
_WORDS = re.compile(r"disk is full|disk I/O error|No space left on device|File too large|Disk quota exceeded")


def check_room(root: Path) -> None:
    """Refuse a root whose disk has no room for ``NEEDED_BYTES``; nothing is written.

    Parameters
    ----------
    root
        Folder of everything that a night writes; it need not be there yet.

    Raises
    ------
    LakeError
        There is none.
    """
    if not _has_room(root):
        raise _no_room(root)


@contextmanager
def room(root: Path) -> Iterator[None]:
    """Say in one line where a block ended because the disk is full, whichever library noticed it first.

    Raises
    ------
    LakeError
        The disk is full. Other errors stay as they are.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        if says_full(error) or not _has_room(root):
            raise _no_room(root) from error
        raise


def _has_room(root: Path) -> bool:
    folder = next(one for one in (root.absolute(), *root.absolute().parents) if one.is_dir())
    try:
        # A file without a name: whatever happens, nothing of it stays.
        with tempfile.TemporaryFile(dir=folder) as probe:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(probe.fileno(), 0, NEEDED_BYTES)
    except OSError as error:
        # Whoever writes next says what else is wrong with the folder.
        return error.errno not in _FULL
    return True


def says_full(error: BaseException | None) -> bool:
    """Say whether an error, or one that led to it, is about a full disk; null is none."""
    while error is not None:
        if (isinstance(error, OSError) and error.errno in _FULL) or _WORDS.search(str(error)):
            return True
        error = error.__cause__ or error.__context__
    return False


def _no_room(root: Path) -> LakeError:
    return LakeError(
        f"the disk of {root} is full, or as good as: no room for {NEEDED_BYTES // 2**20} MiB more",
        "room for what a night writes",
        "free space and run the same command again; what was published last still stands",
    )
