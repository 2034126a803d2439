"""The operating system's lock on an open file, which it lets go when the holder dies."""

from __future__ import annotations

import errno
import sys


class LocksUnsupported(Exception):  # noqa: N818 - a fact about the file system
    """This file system has no such locks; some network file systems do not."""


if sys.platform == "win32":
    import msvcrt

    def try_lock(fd: int) -> bool:
        """Locks an open file without waiting; False if another process has it."""
        try:
            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EDEADLK):
                return False
            raise
        return True

else:
    import fcntl

    _UNSUPPORTED = {errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}

    def try_lock(fd: int) -> bool:
        """Locks an open file without waiting; False if another process has it.

        flock(2) rather than fcntl(2) locks: those are lost as soon as any
        descriptor of the file is closed in the process, also by a stranger.

        Raises:
            LocksUnsupported: The file system has no locks.
            OSError: Anything else.
        """
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno in _UNSUPPORTED:
                raise LocksUnsupported from error
            raise
        return True
