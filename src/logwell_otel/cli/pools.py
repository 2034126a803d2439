"""What lies in a spool directory, for people, and clearing it."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from logwell_otel._buffer.spool import owner as owners
from logwell_otel._encoding.chunk import RECOVERED
from logwell_otel._storage import (
    StorageError,
    check_private,
    check_sqlite,
    delete_database,
    open_database,
    real,
    sqlite3,
)

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator
    from pathlib import Path


_DATABASE: Final = re.compile(r"[a-z0-9.-]*-[0-9a-f]{12}\.db")


@dataclass(frozen=True)
class OwnerReport:
    """What one process keeps for one project, or has left.

    Attributes:
        token: The process' token.
        project: The project, by the hash of its key.
        alive: True if the process lives, or that cannot be found out.
        entries: Entries to be delivered.
        bytes: Their bytes.
        oldest: When the oldest was stored, in seconds since 1970.
    """

    token: str
    project: str
    alive: bool
    entries: int
    bytes: int
    oldest: float


@dataclass(frozen=True)
class DeadReport:
    """Dead letters of one project that were given up for one reason.

    Attributes:
        project: The project, by the hash of its key.
        reason: The name under which they were counted as dropped, or `refused`.
        entries: Entries.
        bytes: Their bytes.
        oldest: When the first of them was given up, in seconds since 1970.
    """

    project: str
    reason: str
    entries: int
    bytes: int
    oldest: float


@dataclass(frozen=True)
class PoolReport:
    """What is kept for one endpoint and service.

    Attributes:
        path: The database.
        endpoint: The server's URL, None if the database cannot be read.
        service: The service name, likewise.
        owners: One for each process and project that has entries here.
        dead: Its dead letters, one for each project and reason.
        damaged: Bytes of a damaged database that was set aside, 0 without one.
        problem: Why the database cannot be read, None if it can be.
    """

    path: Path
    endpoint: str | None
    service: str | None
    owners: tuple[OwnerReport, ...]
    dead: tuple[DeadReport, ...]
    damaged: int
    problem: str | None = None

    @property
    def name(self) -> str:
        """The database's name without its suffix, by which `purge` takes it."""
        return self.path.stem

    @property
    def entries(self) -> int:
        """Entries to be delivered, of all processes."""
        return sum(one.entries for one in self.owners)

    @property
    def bytes(self) -> int:
        """Their bytes."""
        return sum(one.bytes for one in self.owners)

    @property
    def oldest(self) -> float | None:
        """When the oldest entry was stored, in seconds since 1970; None without entries."""
        return min((one.oldest for one in self.owners), default=None)


@dataclass(frozen=True)
class PurgeReport:
    """What `purge` deleted.

    Attributes:
        entries: Entries that are lost now.
        bytes: Their bytes.
        damaged: Damaged databases.
        left: Entries left alone because living processes hold them, by pool.
    """

    entries: int
    bytes: int
    damaged: int
    left: dict[str, int]


def list_spools(directory: str | os.PathLike[str]) -> list[PoolReport]:
    """What lies in a spool directory, by pool name. Changes nothing.

    Raises:
        StorageError: There is no such directory, or it cannot be read.
    """
    check_sqlite()
    return [_describe(path) for path in _databases(directory)]


def purge(directory: str | os.PathLike[str], *, pool: str | None = None) -> PurgeReport:
    """Delete what dead processes have left, and damaged databases that were set aside.

    Args:
        directory: The spool directory.
        pool: The name of one pool; all of them by default.

    Raises:
        StorageError: There is no such directory or pool, or the disk says no.
    """
    check_sqlite()
    entries = size = damaged = 0
    left: dict[str, int] = {}
    try:
        for path in _chosen(directory, pool):
            check_private(path)
            damaged += _delete_damaged(path)
            with _opened(path) as db:
                db.execute("BEGIN IMMEDIATE")
                for one in _owners(db, path):
                    if one.alive:
                        left[path.stem] = left.get(path.stem, 0) + one.entries
                        continue
                    db.execute("DELETE FROM chunks WHERE owner = ?", (one.token,))
                    entries, size = entries + one.entries, size + one.bytes
                db.execute("COMMIT")
                _give_space_back(db)
            for token in owners.tokens(path):
                owners.lives(path, token, clear=True)
    except (OSError, sqlite3.Error) as error:
        raise StorageError(f"{directory} cannot be cleared: {error}.") from error
    return PurgeReport(entries, size, damaged, left)


def purge_dead(directory: str | os.PathLike[str], *, pool: str | None = None) -> tuple[int, int]:
    """Delete dead letters.

    Args:
        directory: The spool directory.
        pool: The name of one pool; all of them by default.

    Returns:
        How many entries, and their bytes.

    Raises:
        StorageError: There is no such directory or pool, or the disk says no.
    """
    check_sqlite()
    entries = size = 0
    try:
        for path in _chosen(directory, pool):
            check_private(path)
            with _opened(path) as db:
                db.execute("BEGIN IMMEDIATE")
                for one in _dead(db):
                    entries, size = entries + one.entries, size + one.bytes
                db.execute("DELETE FROM dead")
                db.execute("COMMIT")
                _give_space_back(db)
    except (OSError, sqlite3.Error) as error:
        raise StorageError(f"{directory} cannot be cleared: {error}.") from error
    return entries, size


def revive(path: Path, project: str) -> None:
    """Have the dead letters of a project wait again, as if a process had left them just now.

    Args:
        path: The database.
        project: The hash of its key.

    Raises:
        StorageError: The disk says no.
    """
    try:
        check_private(path)
        with _opened(path) as db:
            db.execute("BEGIN IMMEDIATE")
            db.execute(
                "INSERT INTO chunks (born, owner, project, generation, count, bytes, body) "
                "SELECT born, '', project, ?, count, bytes, body FROM dead WHERE project = ? "
                "ORDER BY id",
                (RECOVERED, project),
            )
            db.execute("DELETE FROM dead WHERE project = ?", (project,))
            db.execute("COMMIT")
    except (OSError, sqlite3.Error) as error:
        raise StorageError(f"The dead letters in {path} cannot be sent: {error}.") from error


def _databases(directory: str | os.PathLike[str]) -> list[Path]:
    """The databases in a spool directory, by name; other files are not ours."""
    root = real(directory)
    try:
        names = sorted(path.name for path in root.iterdir())
    except OSError as error:
        raise StorageError(f"{directory} cannot be read: {error.strerror}.") from error
    return [root / name for name in names if _DATABASE.fullmatch(name)]


def _chosen(directory: str | os.PathLike[str], pool: str | None) -> list[Path]:
    found = [path for path in _databases(directory) if pool in (None, path.stem)]
    if pool is not None and not found:
        raise StorageError(f"{directory} has no pool named {pool}.")
    return found


def _give_space_back(db: sqlite3.Connection) -> None:
    # As a script: `execute` takes one step, which is one page, of a statement without columns.
    db.executescript("PRAGMA incremental_vacuum")
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def _delete_damaged(path: Path) -> int:
    aside = _aside(path)
    found = aside.exists()
    delete_database(aside)
    return int(found)


def _aside(path: Path) -> Path:
    return path.with_name(f"{path.name}.damaged")


def _describe(path: Path) -> PoolReport:
    aside = _aside(path)
    damaged = aside.stat().st_size if aside.exists() else 0
    try:
        check_private(path)
        with _opened(path) as db:
            about = db.execute("SELECT endpoint, service FROM about").fetchone()
            endpoint, service = about or (None, None)
            owned, dead = tuple(_owners(db, path)), tuple(_dead(db))
            return PoolReport(path, endpoint, service, owned, dead, damaged)
    except (sqlite3.Error, OSError, StorageError) as error:
        return PoolReport(path, None, None, (), (), damaged, str(error))


def _owners(db: sqlite3.Connection, path: Path) -> list[OwnerReport]:
    found = db.execute(
        "SELECT owner, project, sum(count), sum(bytes), min(born) FROM chunks "
        "WHERE NOT evicted GROUP BY owner, project ORDER BY min(id)"
    ).fetchall()
    return [
        OwnerReport(token, project, owners.lives(path, token), entries, size, oldest)
        for token, project, entries, size, oldest in found
    ]


def _dead(db: sqlite3.Connection) -> list[DeadReport]:
    found = db.execute(
        "SELECT project, reason, sum(count), sum(bytes), min(died) FROM dead "
        "GROUP BY project, reason ORDER BY min(id)"
    )
    return [DeadReport(*row) for row in found.fetchall()]


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    db = open_database(path)
    try:
        yield db
    finally:
        db.close()
