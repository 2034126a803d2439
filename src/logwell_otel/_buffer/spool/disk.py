"""Every operation that a full, read-only or failing disk can refuse, in one place."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

SHORTAGES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})
"""Errors of opening a file that say nothing about the file."""

_FLAGS: int = (
    getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
)


class Disk:
    """The system calls a spool makes on its files; tests put a failing one in its place.

    Nothing is synced: written means handed to the operating system, which a
    killed process survives and a power cut may not.
    """

    def create(self, path: Path) -> int:
        """Creates a file only this user can read, for appending; returns its descriptor."""
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | _FLAGS, 0o600)

    def write(self, fd: int, data: bytes) -> None:
        """Writes all of `data`, in one call unless the system takes less."""
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]

    def truncate(self, fd: int, size: int) -> None:
        """Cuts a file back to `size` bytes."""
        os.ftruncate(fd, size)

    def read(self, path: Path, limit: int) -> bytes:
        """Reads a file, at most `limit` bytes of it. Follows no symbolic link."""
        fd = os.open(path, os.O_RDONLY | _FLAGS)
        with os.fdopen(fd, "rb", buffering=0) as file:
            parts = []
            while limit > 0 and (part := file.read(limit)):
                parts.append(part)
                limit -= len(part)
            return b"".join(parts)

    def rename(self, source: Path, target: Path) -> None:
        """Renames a file atomically, over a file of the new name if there is one."""
        source.replace(target)

    def unlink(self, path: Path) -> None:
        """Deletes a file."""
        path.unlink()
