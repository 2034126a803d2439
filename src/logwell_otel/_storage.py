"""What lies on disk: who may read, replace or write it, locks on it, and SQLite's files.

What processes of one user share by files; and whether a directory that somebody named can be
trusted with them.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

try:
    import sqlite3 as sqlite3  # noqa: PLC0414 - others have it from here
except ImportError:  # a Python built without it
    sqlite3 = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

OLDEST_SQLITE: Final = (3, 25, 0)
"""The first with window functions; of 2018."""

BUSY_SECONDS: Final = 2.0
"""Seconds that a write waits for other processes': one takes a fraction of a millisecond."""

_NETWORK: Final = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "ceph", "fuse.sshfs", "fuse.glusterfs"}
)
# A second together: nobody needs it for longer than some milliseconds.
_LOCK_TRIES: Final = 100
_LOCK_PAUSE: Final = 0.01
_UNSUPPORTED: Final = {errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}


class StorageError(Exception):
    """A directory or a file cannot be used as it is; the message says what to do."""


class DiskError(StorageError):
    """The disk said no just now: full, read-only, no permission, an error of the device.

    Nothing of what was asked for was done. The next call tries afresh. The error of SQLite
    or of the operating system is the `__cause__`.
    """


# Files.


def identity(status: os.stat_result) -> tuple[int, int]:
    """What makes a file the same one, whatever it is called."""
    return status.st_dev, status.st_ino


def check_sqlite() -> None:
    """Raises `StorageError` if this Python's SQLite cannot be used."""
    if sqlite3 is None:
        raise StorageError(
            "this Python was built without the module sqlite3, in which the spool keeps entries: "
            "use a Python that has it, or leave spool_dir out."
        )
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        needed = ".".join(map(str, OLDEST_SQLITE))
        raise StorageError(
            f"this Python has SQLite {sqlite3.sqlite_version}, and the spool needs {needed} or "
            "later. Use a Python with a later one, or leave spool_dir out."
        )


def open_database(
    database: Path, using: Callable[..., sqlite3.Connection] | None = None
) -> sqlite3.Connection:
    """Open a database that exists. Each statement is a transaction, unless one is begun.

    Args:
        database: Where. By SQLite alone: opening and closing the file ourselves would end the
            locks that another connection of this process has on it.
        using: What opens it; another one in tests.
    """
    return (using or sqlite3.connect)(
        f"file:{quote(str(database))}?mode=rw",
        uri=True,
        timeout=BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
    )


def files_of(database: Path) -> list[Path]:
    """A database's file, and what SQLite calls its others."""
    return [database.with_name(database.name + suffix) for suffix in ("", "-wal", "-shm")]


def delete_database(database: Path) -> None:
    """Delete all of them, as far as they are there."""
    for path in files_of(database):
        path.unlink(missing_ok=True)


# Locks, which the operating system lets go at the end of the process, by whatever death.

if sys.platform == "win32":
    import msvcrt

    def _lock(fd: int) -> None:
        try:
            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EDEADLK):
                raise BlockingIOError from error
            raise

    @contextlib.contextmanager
    def alone_in(directory: Path) -> Iterator[None]:  # noqa: ARG001 - as below
        """Nothing to do: a file that is open cannot be deleted or renamed here."""
        yield

else:
    import fcntl

    def _lock(fd: int) -> None:
        # Not fcntl.lockf: those locks are lost as soon as any descriptor of the file is
        # closed in the process, by a stranger as well.
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)

    @contextlib.contextmanager
    def alone_in(directory: Path) -> Iterator[None]:
        """No other process that asks for it is in here with the same `directory`.

        Raises:
            OSError: The disk says no, or another process has been at it for a second.
        """
        fd = os.open(directory, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
        try:
            for _ in range(_LOCK_TRIES):
                with contextlib.suppress(BlockingIOError):
                    _lock(fd)
                    break
                time.sleep(_LOCK_PAUSE)
            else:
                raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
            yield
        finally:
            os.close(fd)


def try_lock(fd: int) -> bool:
    """Lock an open file until it is closed; False if another process has it.

    Raises:
        StorageError: The file system has no locks.
        OSError: The disk says no.
    """
    try:
        _lock(fd)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in _UNSUPPORTED:
            raise StorageError(
                "The directory's file system has no locks, by which processes tell whose files are "
                "whose: name a directory on a local disk."
            ) from error
        raise
    return True


# Who may write where.


def real(directory: str | os.PathLike[str]) -> Path:
    """Where `directory` is when all symbolic links are followed, whether it exists or not."""
    return Path(os.path.realpath(directory))


def private_directory(directory: str | os.PathLike[str]) -> Path:
    """Creates the directory a user named, or checks it, and returns its real path.

    It may itself be reached through symbolic links, as `/var/run` is. Write
    permission for its group is accepted here and only here: Kubernetes gives it
    to every directory of a volume with an `fsGroup`.

    Raises:
        StorageError: It cannot be created, is no directory, or somebody else could write to it
            or put another one in its place.
    """
    root = real(directory)
    try:
        for parent in reversed(root.parents):
            if not parent.exists():
                parent.mkdir(mode=0o700, exist_ok=True)
        root.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise StorageError(
            f"The directory {root} cannot be created ({error.strerror}): name a directory"
            " that this process may write to."
        ) from error
    if sys.platform != "win32":
        _check(root)
        for parent in root.parents:
            _check_parent(parent)
    if not os.access(root, os.R_OK | os.W_OK | os.X_OK):
        raise StorageError(
            f"The directory {root} is not readable and writable by this process"
            f" (mode {stat.S_IMODE(root.stat().st_mode):04o}): give its user all three rights."
        )
    return root


def check_private(path: Path) -> os.stat_result:
    """Checks a file in such a directory, and closes it to all but its owner.

    kubelet opens all that a volume with an `fsGroup` holds to a group, at every mount, and
    refusing would strand what is in it.

    Raises:
        StorageError: It is a symbolic link, no plain file or somebody else's.
        OSError: It does not exist, or the disk says no.
    """
    status = os.lstat(path)
    if stat.S_ISLNK(status.st_mode):
        raise StorageError(
            f"{path} is a symbolic link; none is followed below that directory, because what is"
            " written and deleted could then be anywhere. Remove the link."
        )
    if not stat.S_ISREG(status.st_mode):
        raise StorageError(f"{path} is not a file: remove it or name another directory.")
    if not _is_ours(status):
        raise StorageError(
            f"{path} belongs to user id {status.st_uid}, not to {os.geteuid()}, who runs this"
            " process: change its owner, or name another directory."
        )
    if os.name == "posix" and stat.S_IMODE(status.st_mode) & 0o077:
        path.chmod(0o600)
    return status


def network_file_system(directory: Path) -> str | None:
    """The kind of network file system `directory` lies on, None for a local one.

    Known on Linux only. SQLite's write-ahead log is shared memory between processes, which
    such file systems do not share between hosts.
    """
    if sys.platform == "win32":
        return None  # where there is neither the list nor what its numbers are made of
    status = directory.stat()
    device = f"{os.major(status.st_dev)}:{os.minor(status.st_dev)}"
    try:
        mounts = Path("/proc/self/mountinfo").read_text(errors="replace")
    except OSError:
        return None
    for line in mounts.splitlines():
        fields, _, kind = line.partition(" - ")
        if fields.split()[2:3] == [device] and (name := kind.split(" ")[0]) in _NETWORK:
            return name
    return None


def _is_ours(status: os.stat_result) -> bool:
    """Whether a file belongs to the user this process runs as."""
    # Windows has other means, and a user's own directories closed by default.
    return sys.platform == "win32" or status.st_uid == os.geteuid()


def _check(root: Path) -> None:
    status = root.lstat()
    advice = f"name a directory that does not exist yet, such as {root / 'logwell'}"
    if not _is_ours(status):
        raise StorageError(
            f"{root} belongs to user id {status.st_uid}, not to {os.geteuid()}, who runs this"
            f" process: {advice}, or change its owner."
        )
    if status.st_mode & stat.S_IWOTH:
        raise StorageError(
            f"{root} is writable by every user (mode {stat.S_IMODE(status.st_mode):04o}):"
            f" {advice}, or take that permission away."
        )


def _check_parent(parent: Path) -> None:
    status = parent.stat()
    # The system's own; in a user namespace its root is another number.
    if status.st_uid not in (os.geteuid(), 0, Path("/").stat().st_uid):
        who = f"belongs to user id {status.st_uid}, who"
    # A volume that everybody may write to was made for whoever is in the container:
    # Kubernetes' emptyDir is one.
    elif status.st_mode & (stat.S_IWOTH | stat.S_ISVTX) == stat.S_IWOTH and not parent.is_mount():
        who = f"is writable by every user (mode {stat.S_IMODE(status.st_mode):04o}), any of whom"
    else:
        return
    raise StorageError(
        f"{parent} {who} could put another directory in its place: name one whose"
        " parents are yours or the system's."
    )
