"""Who may touch an instance's files: the process that holds its lease.

The lease is a file beside the instance's directory. `<instance>.lock` is held
by a lock of the operating system: it ends with the process, by whatever death,
and at once; a stopped process keeps it. Where the file system has no locks it
is `<instance>.lease`, kept alive by touching it and lost after `LEASE_SECONDS`
without that. The name says which, so that two hosts that differ agree.

It lies beside the directory, not in it, because it must be held before there
is anything to take: a directory whose lease is free is a dead process'.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from typing import TYPE_CHECKING

from logwell_otel._buffer.spool import oslock

if TYPE_CHECKING:
    from pathlib import Path

LEASE_SECONDS = 300.0
"""Longer than any request may last with its pauses between two signs of life; matters only
where the file system has no locks."""

HEARTBEAT_SECONDS = 30.0
"""How often a lease is touched."""

_FLAGS: int = os.O_RDWR | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)

_Key = tuple[int, int]

_held: dict[_Key, Lease] = {}
"""The leases this process holds. Where a network file system makes flock a lock of the
whole process, trying a lock of our own would succeed, and closing the file lose it."""

_hook_registered = False


class Lease:
    """The right to an instance's files, held until released or until this process ends."""

    def __init__(self, path: Path, fd: int) -> None:
        self.path = path
        self.pid = os.getpid()
        self._fd = fd
        self._key = _key(os.fstat(fd))
        _held[self._key] = self
        _register_hook()

    def held(self) -> bool:
        """Whether the lease is still ours: one stat, cheap enough for every call."""
        if self._fd < 0 or self.pid != os.getpid():
            return False
        try:
            return _key(self.path.lstat()) == self._key
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:
            # It cannot be looked at just now: a lock stays ours all the same.
            return self.path.suffix == ".lock"

    def touch(self) -> None:
        """Shows that the holder lives, by the file system's own clock."""
        os.utime(self._fd if os.utime in os.supports_fd else self.path)

    def release(self, *, remove: bool) -> None:
        """Lets go. Never raises.

        Args:
            remove: Delete the file too, as nothing is left for anybody to find.
        """
        remove = remove and self.held()
        if remove and os.name == "posix":
            # While the lock is still held: nobody can be between opening the
            # file and locking it without noticing that it is no longer there.
            self._unlink()
        self.forget()
        if remove and os.name != "posix":
            self._unlink()  # Windows deletes no open file

    def forget(self) -> None:
        """Closes this process' copy of the file and nothing else.

        All a forked child may do: the lock belongs to the open file it shares
        with its parent, and unlocking would take it from the parent.
        """
        _held.pop(self._key, None)
        fd, self._fd = self._fd, -1
        if fd >= 0:
            # A network file system reports late failures of writes here. There
            # is nothing in this file to lose, and the descriptor is gone either way.
            with contextlib.suppress(OSError):
                os.close(fd)

    def _unlink(self) -> None:
        # A leftover lock file is harmless: whoever scans next removes it.
        with contextlib.suppress(OSError):
            self.path.unlink()


def create(base: Path) -> Lease | None:
    """Takes the lease of a new instance.

    Args:
        base: Path of the instance's directory, which does not exist yet.

    Returns:
        The lease, or None if the name cannot be had: try another.

    Raises:
        OSError: The disk says no.
    """
    path = _lock_path(base)
    try:
        fd = os.open(path, _FLAGS | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return None
    try:
        if oslock.try_lock(fd) and _same(fd, path):
            return Lease(path, fd)
    except oslock.LocksUnsupported:
        os.close(fd)
        path.unlink(missing_ok=True)
        return _create_expiring(base)
    except BaseException:
        os.close(fd)
        raise
    os.close(fd)
    return None


def take_over(base: Path) -> Lease | None:
    """Takes the lease of an instance whose process is dead.

    Returns:
        The lease, or None: its process lives, or another rescuer was faster.

    Raises:
        OSError: The disk says no.
    """
    expiring = _lease_path(base)
    if expiring.exists():
        if _key(expiring.lstat()) in _held or not _expired(expiring):
            return None
        # Away with it first: its holder, should it come back, looks for this
        # file before it deletes anything.
        expiring.unlink(missing_ok=True)
        return _create_expiring(base)
    path = _lock_path(base)
    try:
        if _key(path.lstat()) in _held:
            return None
        fd = os.open(path, _FLAGS)
    except FileNotFoundError:
        return create(base)
    try:
        if oslock.try_lock(fd) and _same(fd, path):
            return Lease(path, fd)
    except oslock.LocksUnsupported:
        # Locked or not, who could tell? Another host with locks rescues it.
        os.close(fd)
        return None
    except BaseException:
        os.close(fd)
        raise
    os.close(fd)
    return None


def is_live(base: Path) -> bool:
    """Whether a living process holds an instance. When that cannot be told: yes."""
    try:
        expiring = _lease_path(base)
        if expiring.exists():
            return _key(expiring.lstat()) in _held or not _expired(expiring)
        path = _lock_path(base)
        if _key(path.lstat()) in _held:
            return True
        fd = os.open(path, _FLAGS)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    try:
        return not oslock.try_lock(fd)
    except (oslock.LocksUnsupported, OSError):
        return True
    finally:
        os.close(fd)


def base_of(path: Path) -> Path | None:
    """Returns the instance's path for that of a lease's file, None for other files."""
    return path.with_suffix("") if path.suffix in {".lock", ".lease"} else None


def forget_all() -> None:
    """Closes this process' copies of all leases; what a forked child must do first.

    A copy that stayed open would keep the lock alive after its holder's death.
    """
    for lease in list(_held.values()):
        lease.forget()


def _register_hook() -> None:
    global _hook_registered  # noqa: PLW0603 - hooks cannot be taken back, so once a process
    if not _hook_registered and hasattr(os, "register_at_fork"):
        _hook_registered = True
        os.register_at_fork(after_in_child=forget_all)


def _create_expiring(base: Path) -> Lease | None:
    path = _lease_path(base)
    try:
        return Lease(path, os.open(path, _FLAGS | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        return None


def _expired(path: Path) -> bool:
    # Both times are the file system's: hosts that share it may have clocks
    # that differ by more than a lease.
    probe = path.with_name(f".clock-{secrets.token_hex(4)}")
    os.close(os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        now = probe.stat().st_mtime
    finally:
        probe.unlink()
    return now - path.stat().st_mtime > LEASE_SECONDS


def _lock_path(base: Path) -> Path:
    return base.with_name(f"{base.name}.lock")


def _lease_path(base: Path) -> Path:
    return base.with_name(f"{base.name}.lease")


def _key(status: os.stat_result) -> _Key:
    return (status.st_dev, status.st_ino)


def _same(fd: int, path: Path) -> bool:
    try:
        return _key(os.fstat(fd)) == _key(path.lstat())
    except OSError:
        return False
