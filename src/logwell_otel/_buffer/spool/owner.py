"""Whose rows are whose: a token whose file the operating system locks for as long as we live.

The lock ends with the process, by whatever death, and at once; a stopped process keeps it.
An expiring lease can do neither, so a file system without locks is refused instead.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from typing import TYPE_CHECKING, Final

from logwell_otel._storage import StorageError, identity, try_lock

if TYPE_CHECKING:
    from pathlib import Path

_TOKEN: Final = re.compile(r"[0-9a-f]{16}")
_FLAGS: Final[int] = os.O_RDWR | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)


class Owner:
    """This process' token, held until `release` or the end of the process.

    Args:
        base: The database's path; the token's file lies beside it.

    Raises:
        StorageError: The file system has no locks.
        OSError: The disk says no.
    """

    def __init__(self, base: Path) -> None:
        while True:
            self.token = secrets.token_hex(8)
            self._path = _path(base, self.token)
            self._fd = os.open(self._path, _FLAGS | os.O_CREAT | os.O_EXCL, 0o600)
            self._key = identity(os.fstat(self._fd))
            try:
                locked = try_lock(self._fd)
            except BaseException:
                self.release()
                raise
            # Somebody who looks for dead owners may have been faster: then another token.
            if locked and self.held:
                return
            self.release()

    @property
    def held(self) -> bool:
        """False if the file was deleted or replaced: others then take us for dead."""
        try:
            return identity(self._path.lstat()) == self._key
        except FileNotFoundError:
            return False
        except OSError:
            return True  # it cannot be looked at just now; a lock stays ours all the same

    def release(self) -> None:
        """Let go of the token; rows that are still its own are anybody's now."""
        # While the lock is held, so that nobody is between opening the file and locking it
        # without noticing that it is gone. Windows deletes no open file.
        if os.name == "posix" and self.held:
            with contextlib.suppress(OSError):  # whoever looks next deletes it
                self._path.unlink()
        self.forget()
        if os.name != "posix":
            with contextlib.suppress(OSError):
                self._path.unlink()

    def forget(self) -> None:
        """Close our copy of the file and nothing else: all that a forked child may do.

        The lock belongs to the open file, which the child shares with its parent. The child
        may have closed all descriptors, and the number may be a file of its own by now.
        """
        fd, self._fd = self._fd, -1
        with contextlib.suppress(OSError):  # closed already
            if fd >= 0 and identity(os.fstat(fd)) == self._key:
                os.close(fd)


def lives(base: Path, token: str, *, clear: bool = False) -> bool:
    """Whether the process with `token` lives. Where that cannot be told: yes.

    Args:
        base: The database's path.
        token: Whose.
        clear: Delete the file of a dead one, as nothing has that token any more.
    """
    if not _TOKEN.fullmatch(token):
        return False
    path = _path(base, token)
    try:
        fd = os.open(path, _FLAGS)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    try:
        if not try_lock(fd):
            return True
        if clear and os.name == "posix" and identity(os.fstat(fd)) == identity(path.lstat()):
            path.unlink()  # while it is locked: see `Owner.release`
    except (OSError, StorageError):
        return True
    finally:
        os.close(fd)
    return False


def tokens(base: Path) -> list[str]:
    """The tokens of all processes that have or had rows here."""
    names = [path.name for path in base.parent.glob(f"{base.stem}.*.owner")]
    return [name[len(base.stem) + 1 : -len(".owner")] for name in names]


def _path(base: Path, token: str) -> Path:
    return base.with_name(f"{base.stem}.{token}.owner")
