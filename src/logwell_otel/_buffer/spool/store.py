"""`Spool`: rows of one database file that several processes share."""

from __future__ import annotations

import contextlib
import os
import secrets
import threading
import time
import weakref
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar
from urllib.parse import quote

from logwell_otel._buffer.spool import owner as owners
from logwell_otel._buffer.spool import paths
from logwell_otel._buffer.spool.errors import SpoolDiskError, SpoolError
from logwell_otel._encoding.chunk import RECOVERED, Chunk, Rows
from logwell_otel._wire import MAX_ENTRIES, MAX_REQUEST_BYTES

try:
    import sqlite3
except ImportError:  # a Python built without it
    sqlite3 = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence
    from pathlib import Path

_T = TypeVar("_T")

OLDEST_SQLITE: Final = (3, 8, 8)
"""The first with `wal_checkpoint(TRUNCATE)`, which gives the log's space back."""

FORMAT: Final = 1
BUSY_SECONDS: Final = 2.0
"""Seconds that a write waits for other processes': one takes a fraction of a millisecond."""

SCAN_SECONDS: Final = 10.0
"""The least time between two looks for dead processes."""

GRACE_SECONDS: Final = 3600.0
"""What dead processes left is kept for so long at least, however old it says it is: the clock
may have been wrong when it was stored, or may be now."""

_STEP_SECONDS: Final = 5.0
"""A wall clock that went so much further than the monotonic one was set."""

_CLAIM_ROWS: Final = 512
_FREE_PAGES: Final = 256
_VACUUM_PAGES: Final = 8192
_FORK_SECONDS: Final = 1.0

_SCHEMA: Final = f"""
CREATE TABLE chunks (
  id INTEGER PRIMARY KEY AUTOINCREMENT, born REAL NOT NULL, owner TEXT NOT NULL,
  project TEXT NOT NULL, generation INTEGER NOT NULL, count INTEGER NOT NULL,
  bytes INTEGER NOT NULL, body BLOB NOT NULL
);
-- Covers all that is asked for but the body, which fills pages of its own.
CREATE INDEX held ON chunks (project, owner, id, generation, count, bytes, born);
CREATE TABLE evicted (
  id INTEGER PRIMARY KEY, owner TEXT NOT NULL, project TEXT NOT NULL,
  generation INTEGER NOT NULL, count INTEGER NOT NULL, bytes INTEGER NOT NULL
);
CREATE TABLE dead (
  id INTEGER PRIMARY KEY, born REAL NOT NULL, died REAL NOT NULL, project TEXT NOT NULL,
  reason TEXT NOT NULL, count INTEGER NOT NULL, bytes INTEGER NOT NULL, body BLOB NOT NULL
);
CREATE INDEX given_up ON dead (project, id, bytes, died);
CREATE TABLE about (endpoint TEXT NOT NULL, service TEXT NOT NULL);
PRAGMA user_version = {FORMAT};
"""

_INSERT: Final = (
    "INSERT INTO chunks (born, owner, project, generation, count, bytes, body) "
    "VALUES (?, ?, ?, ?, ?, ?, ?)"
)

_COMPANIONS: Final = ("-wal", "-shm")
"""What SQLite calls its other files, after the database's name."""


class Change(NamedTuple):
    """What happened to rows of ours that the caller did not ask for.

    Attributes:
        reason: `recovered`, or the name under which the entries count as dropped.
        entries: How many; -1 for all that we had.
        bytes: Their bodies' bytes.
        generation: That of their chunks.
        row: The row's id, where it is a single one that may be in flight.
        text: What to tell people, if anything.
    """

    reason: str
    entries: int
    bytes: int = 0
    generation: int = RECOVERED
    row: int | None = None
    text: str | None = None


class _Damaged(Exception):  # noqa: N818 - a finding, handled here
    """The file is no database, or a broken one."""


class Spool:
    """The rows of this process in the database of one server and service.

    Starts no thread, and keeps no file open while it keeps no entries. All calls are made
    under `lock`, by whatever thread. A forked child's copy is empty: what the parent has
    stays the parent's. `docs/spool.md` says what it promises and what not.

    Args:
        directory: Where the database lies. May be shared by any number of processes,
            services and servers. Created with mode 0700.
        endpoint: The server's URL.
        service: The service name.
        project: Gives the project's name on disk now (`paths.project_name`). When it gives
            another one, the key was rotated: what is ours becomes the new one's.
        max_bytes: Bytes of all rows of the project, whosever they are. Beyond it the
            oldest are dropped.
        max_age: Seconds that a row may wait.
        sync: SQLite's `synchronous`: `full` survives a power cut as well.
        clock: Wall clock, in seconds since 1970.
        monotonic: Clock that only goes forward, in seconds.
        connect: Opens a database; another one in tests.

    Raises:
        SpoolError: The directory cannot be used; the message says what to do.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        endpoint: str,
        service: str,
        project: Callable[[], str],
        max_bytes: int = 256 * 1024 * 1024,
        max_age: float = 48 * 3600.0,
        sync: str = "normal",
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        connect: Callable[..., sqlite3.Connection] | None = None,
    ) -> None:
        check_sqlite()
        self._about = paths.canonical_endpoint(endpoint), paths.canonical_service(service)
        self._directory = directory
        self.path: Path = paths.prepare_root(directory) / f"{paths.pool_name(endpoint, service)}.db"
        self.max_bytes = max_bytes
        self._max_age = max_age
        self._sync = sync
        self._clock = clock
        self._monotonic = monotonic
        self._connect = connect or sqlite3.connect
        self._project_now = project
        self.lock: threading.RLock = threading.RLock()
        """Held by whoever touches the disk."""
        self._connection: sqlite3.Connection | None = None
        self._inode: tuple[int, int] | None = None
        self._inherited: tuple[int, int] | None = None
        self._begin()
        self._check_file_system()
        _spools.add(self)

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._owner: owners.Owner | None = None
        self._project = self._project_now()
        self._changes: list[Change] = []
        self._settled: set[int] = set()
        self._said: set[str] = set()
        self._scanned_at = float("-inf")
        self._offset = self._clock() - self._monotonic()
        self._closed = False
        self._after_commit: Callable[[], object] = _nothing

    def __repr__(self) -> str:
        return f"<Spool {str(self.path)!r}>"

    # What the outbox does.

    def store(self, chunks: Sequence[Chunk], in_flight: Collection[int] = ()) -> list[Rows]:
        """Store chunks in one transaction; on return they survive the death of the process.

        Args:
            chunks: At most a few MB of them.
            in_flight: Rows of ours that are not to be evicted.

        Returns:
            A row for each.

        Raises:
            SpoolDiskError: The disk said no; nothing was stored.
        """
        return self._write(lambda db: self._insert(db, chunks, in_flight))

    def take(self, in_flight: Collection[int] = (), of: Callable[[int], int] = int) -> Chunk | None:
        """The oldest rows of ours that are not in flight and make one request.

        Small ones travel together: the server counts requests, and after an outage there
        may be thousands of rows that short-lived processes left, of a few entries each.

        Args:
            in_flight: Rows that are not taken.
            of: Gives the generation that stands for a row's.

        Raises:
            SpoolDiskError: Nothing can be read just now.
        """
        return self._write(lambda db: self._select(db, in_flight, of), begin="BEGIN")

    def delete(self, rows: Rows) -> None:
        """Rows of ours are settled. Where the disk refuses, it is done later.

        Raises:
            SpoolDiskError: It is done later. They are not taken again.
        """
        self._settled.update(rows.ids)
        self._write(self._delete_settled)

    def replace(
        self, rows: Rows, pieces: Sequence[Chunk], in_flight: Collection[int] = ()
    ) -> list[Rows]:
        """Store `pieces` in place of rows, in one transaction.

        Raises:
            SpoolDiskError: As `store`; the rows are what they were.
        """

        def work(db: sqlite3.Connection) -> list[Rows]:
            born = self._born(db, rows.ids)
            # In a database that was just made anew, these may be somebody else's.
            mine = [(row, self._token()) for row in rows.ids]
            db.executemany("DELETE FROM chunks WHERE id = ? AND owner = ?", mine)
            return self._insert(db, pieces, in_flight, born)

        return self._write(work)

    def bury(self, letter: Chunk, reason: str, rows: Rows | None = None) -> None:
        """Keep what was given up as a dead letter, in one transaction with the end of its rows.

        No process sends it by itself any more; see `logwell-otel spool send --dead`. It is
        not kept where what waits needs all of the room.

        Args:
            letter: The entries. They may be a part of what lay in `rows`.
            reason: The name under which they are counted as dropped, or `refused`.
            rows: The rows that are settled by this; None for what was in memory only.

        Raises:
            SpoolDiskError: Nothing is kept. The rows are not taken again.
        """
        ids = () if rows is None else rows.ids
        self._settled.update(ids)

        def work(db: sqlite3.Connection) -> None:
            now, body = self._clock(), letter.body()
            born = self._born(db, ids)
            db.execute(
                "INSERT INTO dead (born, died, project, reason, count, bytes, body) "
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    now if born is None else born,
                    now,
                    self._project,
                    reason,
                    letter.count,
                    len(body),
                    body,
                ),
            )
            self._delete_settled(db)
            self._forget_dead(db, self._excess(db, 0))

        self._write(work)

    def look(self) -> bool:
        """What is to be done now and then: claim what dead processes left, drop what is too old.

        Returns:
            True if there is more to claim: each call does a part, so that nobody who waits
            for the disk waits for long.

        Raises:
            SpoolDiskError: It is tried again with the next call.
            SpoolError: The directory cannot be used any more; likewise.
        """
        self._own_process()
        if self._closed:
            return False
        now = self._monotonic()
        due = now - self._scanned_at >= SCAN_SECONDS
        if not due and (self._owner is None or self._connection is None):
            return False
        if not due and not self._gone():
            return self._write(self._hear_of_evictions)
        self._scanned_at = now
        if self._inode is None and not self.path.exists():
            return False
        more = self._write(self._look)
        if more:
            self._scanned_at = float("-inf")
        else:
            self._tidy()
        return more

    def entries(self) -> int:
        """Entries in rows of ours: a count of the disk, for whoever doubts his own."""
        return self._write(self._count, begin="BEGIN")

    def changes(self) -> list[Change]:
        """What happened since the last call; forgets it."""
        changes, self._changes = self._changes, []
        return changes

    def close(self) -> None:
        """Leave all rows to the next process."""
        self._own_process()
        self._closed = True
        self._disconnect()
        if self._owner is not None:
            self._owner.release()
            self._owner = None

    # Rows.

    def _insert(
        self,
        db: sqlite3.Connection,
        chunks: Sequence[Chunk],
        in_flight: Collection[int],
        born: float | None = None,
    ) -> list[Rows]:
        token = self._token()
        # By the wall clock as it was at the last look, which moves all rows if it was set since.
        born = self._monotonic() + self._offset if born is None else born
        bodies = [chunk.body() for chunk in chunks]
        self._make_room(db, sum(map(len, bodies)), in_flight)
        first = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'chunks'").fetchone()
        rows = [
            (born, token, self._project, chunk.generation, chunk.count, len(body), body)
            for chunk, body in zip(chunks, bodies, strict=True)
        ]
        db.executemany(_INSERT, rows)
        # AUTOINCREMENT counts on without gaps within a transaction.
        following = 1 + (first[0] if first else 0)
        return [Rows((following + at,), len(body)) for at, body in enumerate(bodies)]

    def _make_room(self, db: sqlite3.Connection, need: int, in_flight: Collection[int]) -> None:
        excess = self._excess(db, need)
        excess -= self._forget_dead(db, excess)
        if excess <= 0:
            return
        token, victims = self._token(), list[tuple[int, str, int, int, int]]()
        for row in db.execute(
            "SELECT id, owner, generation, count, bytes FROM chunks WHERE project = ? ORDER BY id",
            (self._project,),
        ):
            if excess <= 0:
                break
            if row[0] not in in_flight:
                victims.append(row)
                excess -= row[4]
        if excess > 0:
            raise SpoolDiskError(f"{self.path} is full of entries that are being sent.")
        for row, holder, generation, count, size in victims:
            if holder == token and row not in self._settled:
                self._change("spool_overflow", count, size, generation)
            elif holder != token:
                db.execute(
                    "INSERT OR REPLACE INTO evicted VALUES (?, ?, ?, ?, ?, ?)",
                    (row, holder, self._project, generation, count, size),
                )
        self._delete(db, [victim[0] for victim in victims])

    def _excess(self, db: sqlite3.Connection, need: int) -> int:
        """Bytes over the cap of the project, with `need` more; nothing or less: there is room."""
        pages, free, size = (
            db.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("page_count", "freelist_count", "page_size")
        )
        if (pages - free) * size + need <= self.max_bytes:
            return 0  # no need to add up
        (held,) = db.execute(
            "SELECT coalesce(sum(bytes), 0) FROM (SELECT bytes FROM chunks WHERE project = ?1 "
            "UNION ALL SELECT bytes FROM dead WHERE project = ?1)",
            (self._project,),
        ).fetchone()
        return int(held) + need - self.max_bytes

    def _forget_dead(self, db: sqlite3.Connection, excess: int) -> int:
        """Delete the oldest dead letters, `excess` bytes if there are so many; gives how many."""
        freed, ids = 0, list[int]()
        for row, size in db.execute(
            "SELECT id, bytes FROM dead WHERE project = ? ORDER BY id", (self._project,)
        ):
            if freed >= excess:
                break
            ids.append(row)
            freed += size
        self._delete(db, ids, "dead")
        return freed

    def _hear_of_evictions(self, db: sqlite3.Connection) -> bool:
        """What other processes dropped of ours, to make room."""
        token = self._token()
        found = db.execute(
            "SELECT id, generation, count, bytes FROM evicted WHERE owner = ?", (token,)
        ).fetchall()
        if found:
            db.execute("DELETE FROM evicted WHERE owner = ?", (token,))
        for row, generation, count, size in found:
            if row not in self._settled:
                self._change("spool_overflow", count, size, generation, row)
        return False

    def _select(
        self, db: sqlite3.Connection, in_flight: Collection[int], of: Callable[[int], int]
    ) -> Chunk | None:
        ids: list[int] = []
        entries = size = 0
        generation = RECOVERED
        for row, stored_for, count, length in db.execute(
            "SELECT id, generation, count, bytes FROM chunks "
            "WHERE project = ? AND owner = ? ORDER BY id",
            (self._project, self._token()),
        ):
            if row in in_flight or row in self._settled:
                continue
            if ids and (
                of(stored_for) != generation
                or entries + count > MAX_ENTRIES
                or size + length > MAX_REQUEST_BYTES
            ):
                break
            generation = of(stored_for)
            ids.append(row)
            entries, size = entries + count, size + length
        chunk: Chunk | None = None
        for row in ids:
            count, body = db.execute(
                "SELECT count, body FROM chunks WHERE id = ?", (row,)
            ).fetchone()
            part = Chunk(bytes(body), count)
            if chunk is None:
                chunk = part
            else:
                chunk.join(part)
        if chunk is not None:
            chunk.generation = generation
            chunk.rows = Rows(tuple(ids), size)
        return chunk

    def _delete_settled(self, db: sqlite3.Connection) -> None:
        self._delete(db, self._settled)
        # Evicted while its answer was under way: it counts as what the answer said.
        self._delete(db, self._settled, "evicted")
        self._after_commit = self._settled.clear

    def _delete(self, db: sqlite3.Connection, ids: Iterable[int], table: str = "chunks") -> None:
        db.executemany(f"DELETE FROM {table} WHERE id = ?", [(row,) for row in ids])  # noqa: S608

    def _born(self, db: sqlite3.Connection, ids: Iterable[int]) -> float | None:
        select = "SELECT born FROM chunks WHERE id = ?"
        found = [db.execute(select, (row,)).fetchone() for row in ids]
        return min((row[0] for row in found if row), default=None)

    def _count(self, db: sqlite3.Connection) -> int:
        found = db.execute(
            "SELECT id, count FROM chunks WHERE project = ? AND owner = ?",
            (self._project, self._token()),
        )
        return sum(count for row, count in found if row not in self._settled)

    # Now and then.

    def _look(self, db: sqlite3.Connection) -> bool:
        self._follow_clock(db)
        self._hear_of_evictions(db)
        if self._settled:
            self._delete_settled(db)
        more = self._claim(db)
        if not more:
            self._expire(db)
            self._tell_of_others(db)
        return more

    def _follow_clock(self, db: sqlite3.Connection) -> None:
        """Rows of ours age by the monotonic clock: when the wall clock is set, so are they."""
        offset = self._clock() - self._monotonic()
        step, self._offset = offset - self._offset, offset
        if abs(step) >= _STEP_SECONDS:
            db.execute(
                "UPDATE chunks SET born = born + ? WHERE project = ? AND owner = ?",
                (step, self._project, self._token()),
            )

    def _claim(self, db: sqlite3.Connection) -> bool:
        """Rows whose owner is dead become ours; True if there are more of them."""
        token, now = self._token(), self._clock()
        grace = now - self._max_age + min(self._max_age, GRACE_SECONDS)
        left = _CLAIM_ROWS
        for holder in self._dead(db):
            ids = db.execute(
                "SELECT id, count, bytes FROM chunks WHERE project = ? AND owner = ? "
                "ORDER BY id LIMIT ?",
                (self._project, holder, left),
            ).fetchall()
            db.executemany(
                "UPDATE chunks SET owner = ?, generation = ?, born = min(?, max(?, born)) "
                "WHERE id = ?",
                [(token, RECOVERED, now, grace, row[0]) for row in ids],
            )
            if ids:
                self._change("recovered", sum(r[1] for r in ids), sum(r[2] for r in ids))
            lost = db.execute(
                "SELECT coalesce(sum(count), 0) FROM evicted WHERE owner = ?", (holder,)
            ).fetchone()[0]
            if lost:
                db.execute("DELETE FROM evicted WHERE owner = ?", (holder,))
                self._change("recovered", lost)
                self._change("spool_overflow", lost)
            left -= len(ids)
            if left <= 0:
                return True
        return False

    def _dead(self, db: sqlite3.Connection) -> list[str]:
        """Owners of rows that live no more."""
        token = self._token()
        holders = db.execute(
            "SELECT owner FROM chunks WHERE project = ?1 UNION "
            "SELECT owner FROM evicted WHERE project = ?1",
            (self._project,),
        )
        known = [holder for (holder,) in holders]
        for idle in set(owners.tokens(self.path)).difference(known, {token}):
            owners.lives(self.path, idle, clear=True)
        return [one for one in known if one != token and not owners.lives(self.path, one)]

    def _expire(self, db: sqlite3.Connection) -> None:
        limit, token = self._clock() - self._max_age, self._token()
        old = db.execute(
            "SELECT id, generation, count, bytes FROM chunks "
            "WHERE project = ? AND owner = ? AND born < ?",
            (self._project, token, limit),
        ).fetchall()
        for row, generation, count, size in old:
            if row not in self._settled:
                self._change("spool_expired", count, size, generation, row)
        self._delete(db, [row[0] for row in old])
        db.execute("DELETE FROM dead WHERE project = ? AND died < ?", (self._project, limit))

    def _tell_of_others(self, db: sqlite3.Connection) -> None:
        """Rows of another key are another project's, or those of a key that was replaced."""
        found = db.execute(
            "SELECT DISTINCT project, owner FROM chunks WHERE project <> ?", (self._project,)
        ).fetchall()
        dead = {project for project, holder in found if not owners.lives(self.path, holder)}
        for project in dead - self._said:
            self._said.add(project)
            (entries,) = db.execute(
                "SELECT sum(count) FROM chunks WHERE project = ?", (project,)
            ).fetchone()
            self._change(
                "another_key",
                0,
                text=f"{entries} entries in {self.path} were stored for another key and are not "
                "sent with this one. If the key was replaced: logwell-otel spool send "
                f"{self.path.parent} --any-key",
            )

    def _tidy(self) -> None:
        """Give space back, and let go of all when nothing is ours."""
        try:
            db = self._open()
            (mine,) = db.execute(
                "SELECT EXISTS (SELECT 1 FROM chunks WHERE project = ? AND owner = ?)",
                (self._project, self._token()),
            ).fetchone()
            if db.execute("PRAGMA freelist_count").fetchone()[0] >= _FREE_PAGES:
                # As a script: `execute` takes one step, which is one page, of a statement
                # without columns.
                db.executescript(f"PRAGMA incremental_vacuum({_VACUUM_PAGES})")
                db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        except sqlite3.Error as error:
            raise self._refusal(error) from error
        if not mine and not self._settled:
            # An open database would be one more thing that a fork has to care for.
            self._disconnect()
            self._inode = None

    # The database.

    def _write(
        self, work: Callable[[sqlite3.Connection], _T], *, begin: str = "BEGIN IMMEDIATE"
    ) -> _T:
        """Run `work` in a transaction; all of it happens or nothing."""
        self._own_process()
        if self._closed:
            raise SpoolDiskError("The spool is closed.")
        try:
            try:
                return self._transaction(work, begin)
            except _Damaged as damage:
                self._set_aside(damage)
                return self._transaction(work, begin)
        except _Damaged as error:
            raise SpoolDiskError(f"{self.path} cannot be used: {error}.") from error
        except sqlite3.Error as error:
            raise self._refusal(error) from error
        except OSError as error:
            raise SpoolDiskError(
                f"The spool {self.path} cannot be used: {error.strerror}."
            ) from error

    def _transaction(self, work: Callable[[sqlite3.Connection], _T], begin: str) -> _T:
        db = self._open()
        before = len(self._changes)
        self._after_commit = _nothing
        try:
            db.execute(begin)
            self._follow_key(db, begin)
            result = work(db)
            db.execute("COMMIT")
        except BaseException as error:
            del self._changes[before:]
            try:
                if db.in_transaction:
                    db.execute("ROLLBACK")
            except sqlite3.Error:
                self._disconnect()  # which rolls back
            if type(error) is sqlite3.DatabaseError:  # its subclasses say other things
                raise _Damaged(str(error)) from error
            raise
        self._after_commit()
        return result

    def _follow_key(self, db: sqlite3.Connection, begin: str) -> None:
        if (project := self._project_now()) == self._project:
            return
        if begin == "BEGIN":
            db.execute("COMMIT")
            db.execute("BEGIN IMMEDIATE")
        for table in ("chunks", "evicted"):
            db.execute(
                f"UPDATE {table} SET project = ? WHERE project = ? AND owner = ?",  # noqa: S608
                (project, self._project, self._token()),
            )
        db.execute("UPDATE dead SET project = ? WHERE project = ?", (project, self._project))
        self._project = project

    def _open(self) -> sqlite3.Connection:
        if self._gone():
            self._forget_file("spool_gone", f"{self.path} was deleted or replaced.")
        if self._connection is None:
            paths.prepare_root(self._directory)
        if self._owner is not None and not self._owner.held:
            self._renew_owner()
        if self._connection is None:
            self._connection = self._connected()
        return self._connection

    def _gone(self) -> bool:
        """Whether the file is another one than that which is open."""
        if self._inode is None:
            return False
        try:
            return _inode(self.path.lstat()) != self._inode
        except FileNotFoundError:
            return True
        except OSError:
            return False

    def _connected(self) -> sqlite3.Connection:
        for again in (True, False):
            try:
                status = paths.check_file(self.path)
                break
            except FileNotFoundError:
                if not again:
                    raise
                self._create()
        inode = _inode(status)
        if inode == self._inherited:
            raise SpoolDiskError(
                f"{self.path} was open when this process was forked without Python's hooks."
            )
        known = self._inode
        if known is not None and known != inode:
            self._forget_file("spool_gone", f"{self.path} was deleted or replaced.")
        db = self._connect(
            f"file:{quote(str(self.path))}?mode=rw",
            uri=True,
            timeout=BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            mode = db.execute("PRAGMA journal_mode").fetchone()[0]
            version = db.execute("PRAGMA user_version").fetchone()[0]
            if mode != "wal" or version == 0:
                raise _Damaged("it is not the spool's")
            if version != FORMAT:
                raise SpoolError(
                    f"{self.path} is of another version of logwell-otel (format {version}). "
                    "Name another spool directory."
                )
            db.execute(f"PRAGMA synchronous = {self._sync}")
        except BaseException as error:
            db.close()
            if type(error) is sqlite3.DatabaseError:
                self._inode = inode
                raise _Damaged(str(error)) from error
            raise
        self._inode = inode
        return db

    def _create(self) -> None:
        """Make the database under another name: nobody ever sees half of one."""
        path = self.path.with_name(f"{self.path.stem}.{secrets.token_hex(8)}.new")
        # SQLite gives its other files the mode of this one.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        try:
            db = self._connect(str(path), isolation_level=None)
            try:
                db.execute("PRAGMA auto_vacuum = INCREMENTAL")
                if (mode := db.execute("PRAGMA journal_mode = WAL").fetchone()[0]) != "wal":
                    raise SpoolError(
                        f"The spool directory {self.path.parent} is on a file system where SQLite "
                        f"cannot keep a write-ahead log (it offers {mode!r}), by which several "
                        "processes share a file: name a directory on a local disk."
                    )
                db.executescript(_SCHEMA)
                db.execute("INSERT INTO about VALUES (?, ?)", self._about)
            finally:
                db.close()
            with owners.alone_in(self.path.parent):
                self._put_in_place(path)
        finally:
            with contextlib.suppress(OSError):  # renamed
                path.unlink(missing_ok=True)

    def _put_in_place(self, made: Path) -> None:
        if self.path.exists():
            return  # another process was faster
        # Of a database that somebody deleted, the log is left, and SQLite would take it for the
        # new one's: rows of the old one would come back, in a file that is damaged.
        for suffix in _COMPANIONS:
            self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
        try:
            os.link(made, self.path)
        except FileExistsError:
            pass
        except OSError:
            if not self.path.exists():  # a file system without links
                made.rename(self.path)

    def _forget_file(self, reason: str, text: str) -> None:
        """The file is no longer what we wrote to: all that was ours in it is lost."""
        self._disconnect()
        self._inode = None
        self._settled.clear()
        self._change(reason, -1, text=text)

    def _set_aside(self, damage: _Damaged) -> None:
        self._disconnect()
        aside = self.path.with_name(f"{self.path.name}.damaged")
        try:
            with owners.alone_in(self.path.parent):
                if not self._gone():
                    self.path.replace(aside)  # the latest is kept, for people to look at
                    for suffix in _COMPANIONS:
                        path = self.path.with_name(self.path.name + suffix)
                        if path.exists():
                            path.replace(aside.with_name(aside.name + suffix))
        except OSError as error:
            raise SpoolDiskError(
                f"{self.path} is damaged ({damage}) and cannot be set aside: {error.strerror}."
            ) from error
        self._forget_file(
            "spool_unreadable",
            f"{self.path} is damaged ({damage}). It was set aside as {aside}, and a new one is "
            "begun. What other processes had left in it is lost; how much is not known.",
        )

    def _disconnect(self) -> None:
        db, self._connection = self._connection, None
        if db is not None:
            with contextlib.suppress(sqlite3.Error):  # the next one finds what was written
                db.close()

    def _change(
        self,
        reason: str,
        entries: int,
        size: int = 0,
        generation: int = RECOVERED,
        row: int | None = None,
        *,
        text: str | None = None,
    ) -> None:
        self._changes.append(Change(reason, entries, size, generation, row, text))

    def _refusal(self, error: Exception) -> SpoolDiskError:
        return SpoolDiskError(f"The spool {self.path} cannot be used: {error}.")

    # Processes.

    def _token(self) -> str:
        if self._owner is None:
            self._owner = owners.Owner(self.path)
        return self._owner.token

    def _renew_owner(self) -> None:
        """Our token's file was deleted: others may take us for dead, so it needs a new one."""
        old, self._owner = self._owner, None
        assert old is not None  # noqa: S101 - asked for only with one
        old.forget()
        token = owners.Owner(self.path)
        if self._connection is not None:
            for table in ("chunks", "evicted"):
                self._connection.execute(
                    f"UPDATE {table} SET owner = ? WHERE owner = ?",  # noqa: S608 - our own names
                    (token.token, old.token),
                )
        self._owner = token

    def _own_process(self) -> None:
        """In a forked child: begin anew. By the process id, as hooks do not run everywhere."""
        if self._pid == os.getpid():
            return
        if self._connection is not None:
            # Never closed here, not by the garbage collector at the end either: closing would
            # end the parent's locks, and may meet descriptors that are the child's own files.
            _leak(self._connection)
            # SQLite's own bookkeeping says that this process has locks on that file, and it
            # has none: another connection to it would work without.
            self._inherited = self._inode
            self._connection = None
        if self._owner is not None:
            self._owner.forget()
        self._inode = None
        self._begin()

    def _check_file_system(self) -> None:
        root = self.path.parent
        if (kind := paths.network_file_system(root)) is not None:
            raise SpoolError(
                f"The spool directory {root} is on a network file system ({kind}), on which "
                "SQLite's write-ahead log does not work: name a directory on a local disk."
            )
        try:
            owners.Owner(self.path).release()
        except SpoolError as error:
            raise SpoolError(f"The spool directory {root} cannot be used: {error}") from error
        except OSError:
            return  # full or read-only: entries are held in memory, which is said then
        with contextlib.suppress(OSError, sqlite3.Error, SpoolDiskError, _Damaged):  # as above
            if not self.path.exists() and not self.path.is_symlink():
                self._create()
            self._connected().close()
        self._inode = None


def check_sqlite() -> None:
    """Raises `SpoolError` if this Python's SQLite cannot be used."""
    if sqlite3 is None:
        raise SpoolError(
            "this Python was built without the module sqlite3, in which the spool keeps entries: "
            "use a Python that has it, or leave spool_dir out."
        )
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        needed = ".".join(map(str, OLDEST_SQLITE))
        raise SpoolError(
            f"this Python has SQLite {sqlite3.sqlite_version}, and the spool needs {needed} or "
            "later: older ones do not give the disk its space back. Use a Python with a later one, "
            "or leave spool_dir out."
        )


def _nothing() -> None:
    pass


def _inode(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


# Forks.

_spools: weakref.WeakSet[Spool] = weakref.WeakSet()
_locked: list[Spool] = []


def _leak(thing: object) -> None:
    import ctypes  # noqa: PLC0415 - in such a child only

    ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))


def _before_fork() -> None:
    """Close databases that are open: SQLite cannot be carried through a fork."""
    for spool in list(_spools):
        # A disk that hangs must not hang the application.
        if spool.lock.acquire(timeout=_FORK_SECONDS):
            _locked.append(spool)
            if spool._pid == os.getpid():  # noqa: SLF001 - our own class
                spool._disconnect()  # noqa: SLF001


def _after_fork() -> None:
    while _locked:
        _locked.pop().lock.release()


def _after_fork_in_child() -> None:
    _locked.clear()
    for spool in list(_spools):
        spool.lock = threading.RLock()  # a thread that does not exist here may hold the old one
        spool._own_process()  # noqa: SLF001


if hasattr(os, "register_at_fork"):  # Not on Windows, which has no fork.
    os.register_at_fork(
        before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork_in_child
    )
