"""`Spool`: rows of one database file that several processes share."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import threading
from typing import TYPE_CHECKING, Final, TypeVar

from logwell_otel import _storage as storage
from logwell_otel._buffer.account import Change
from logwell_otel._buffer.spool import names
from logwell_otel._buffer.spool import owner as owners
from logwell_otel._clock import monotonic, wall_clock
from logwell_otel._encoding.chunk import RECOVERED, Chunk, Rows, StoredRow
from logwell_otel._process import PerProcess, keep_for_ever, rest_at_forks
from logwell_otel._storage import DiskError, StorageError, sqlite3

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
    from pathlib import Path

_T = TypeVar("_T")

FORMAT: Final = 1
SCAN_SECONDS: Final = 10.0
"""The least time between two looks for dead processes."""

GRACE_SECONDS: Final = 3600.0
"""What dead processes left is kept for so long at least, however old it says it is: the clock
may have been wrong when it was stored, or may be now."""

_STEP_SECONDS: Final = 5.0
"""A wall clock that went so much further than the monotonic one was set."""

_CLAIM_ROWS: Final = 512
_FREE_PAGES: Final = 128
_VACUUM_PAGES: Final = 4096
_FORK_SECONDS: Final = 1.0
# What SQLite says of a table or column that is not there.
_CHANGED: Final = re.compile("no such|no column")
_WRITE: Final = "BEGIN IMMEDIATE"
_READ: Final = "BEGIN"

_SCHEMA: Final = f"""
CREATE TABLE chunks (
  id INTEGER PRIMARY KEY AUTOINCREMENT, born REAL NOT NULL, owner TEXT NOT NULL,
  project TEXT NOT NULL, generation INTEGER NOT NULL, count INTEGER NOT NULL,
  bytes INTEGER NOT NULL, evicted INTEGER NOT NULL DEFAULT 0, body BLOB
);
-- Covers all that is asked for but the body, which fills pages of its own.
CREATE INDEX held ON chunks (project, owner, id, generation, count, bytes, born, evicted);
CREATE TABLE dead (
  id INTEGER PRIMARY KEY, born REAL NOT NULL, died REAL NOT NULL, project TEXT NOT NULL,
  reason TEXT NOT NULL, count INTEGER NOT NULL, bytes INTEGER NOT NULL, body BLOB NOT NULL
);
CREATE INDEX given_up ON dead (project, id, bytes, died);
CREATE TABLE about (endpoint TEXT NOT NULL, service TEXT NOT NULL);
PRAGMA user_version = {FORMAT};
"""

_OLDEST: Final = (
    "id IN (SELECT id FROM (SELECT id, sum(bytes) OVER (ORDER BY id) - bytes AS before "
    "FROM {table} WHERE project = ? AND bytes > 0 AND id NOT IN ({spared})) WHERE before < ?)"
)
"""Rows that take so many bytes together, and the one with which it is enough."""


class Spool:
    """The rows of this process in the database of one server and service.

    Starts no thread, and keeps no file open while it keeps no entries. Any thread may call
    it; one at a time gets through. A forked child's copy is empty: what the parent has stays
    the parent's. `docs/spool.md` says what it promises and what not.

    Args:
        directory: Where the database lies. May be shared by any number of processes,
            services and servers. Created with mode 0700.
        endpoint: The server's URL, as the settings have it.
        service: The service name; None where `name_after` gives it before anything is stored.
        project: Gives the project's name on disk now (`names.project_name`). When it gives
            another one, the key was rotated: what is ours becomes the new one's.
        max_bytes: Bytes of all rows of the project, whosever they are. Beyond it dead letters
            are deleted, and then the oldest dropped.
        max_age: Seconds that a row may wait.
        sync: SQLite's `synchronous`: `full` survives a power cut as well.
        clock: Wall clock, in seconds since 1970.
        monotonic: Clock that only goes forward, in seconds.
        connect: Opens a database; another one in tests.

    Raises:
        StorageError: The directory cannot be used; the message says what to do.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        endpoint: str,
        service: str | None,
        project: Callable[[], str],
        max_bytes: int = 256 * 1024 * 1024,
        max_age: float = 48 * 3600.0,
        sync: str = "normal",
        clock: Callable[[], float] = wall_clock,
        monotonic: Callable[[], float] = monotonic,
        connect: Callable[..., sqlite3.Connection] | None = None,
    ) -> None:
        storage.check_sqlite()
        self._endpoint = endpoint
        self._directory = directory
        self.max_bytes = max_bytes
        self._max_age = max_age
        self._sync = sync
        self._clock = clock
        self._monotonic = monotonic
        self._connect = connect
        self._project_now = project
        self._connection: sqlite3.Connection | None = None
        self._owner: owners.Owner | None = None
        self._inode: tuple[int, int] | None = None
        self._inherited: tuple[int, int] | None = None
        self._locks = PerProcess(self._begin, at_fork=True)
        storage.private_directory(directory)
        self.name_after(service or "unknown_service")
        self._refuse_what_cannot_work(named=service is not None)
        rest_at_forks(self)

    def name_after(self, service: str) -> None:
        """Keep what is stored from now on in the database of `service`."""
        self._about = self._endpoint, names.encodable(service)
        name = f"{names.pool_name(self._endpoint, service)}.db"
        self.path: Path = storage.real(self._directory) / name

    def _begin(self) -> threading.RLock:
        """This process begins with nothing; what a parent has stays the parent's."""
        if self._connection is not None:
            keep_for_ever(self._connection)
            # SQLite's own bookkeeping says that this process has locks on that file, and it
            # has none: another connection to it would work without.
            self._inherited = self._inode
        if self._owner is not None:
            self._owner.forget()
        self._connection, self._owner, self._inode = None, None, None
        self._project = self._project_now()
        self._changes: list[Change] = []
        self._settled: set[int] = set()
        self._said: set[str] = set()
        self._scanned_at = float("-inf")
        self._offset = self._clock() - self._monotonic()
        self._closed = False
        return threading.RLock()

    @property
    def lock(self) -> threading.RLock:
        """Held by whoever touches the disk."""
        return self._locks.get()

    def __repr__(self) -> str:
        return f"<Spool {str(self.path)!r}>"

    # What the outbox does.

    def store(
        self,
        chunks: Sequence[Chunk],
        in_flight: Collection[int] = (),
        *,
        instead_of: Rows | None = None,
    ) -> list[Rows]:
        """Store chunks in one transaction; on return they survive the death of the process.

        Args:
            chunks: At most a few MB of them.
            in_flight: Rows of ours that are not to be evicted.
            instead_of: Rows whose place and age they take.

        Returns:
            A row for each.

        Raises:
            DiskError: The disk said no; nothing was stored, and the rows are what they were.
        """
        return self._run(lambda db: self._insert(db, chunks, in_flight, instead_of))

    def take(
        self,
        in_flight: Collection[int] = (),
        of: Callable[[int], int] = int,
        *,
        newest: bool = False,
    ) -> Chunk | None:
        """The oldest rows of ours that are not in flight and make one request.

        Small ones travel together: the server counts requests, and after an outage there
        may be thousands of rows that short-lived processes left, of a few entries each.

        Args:
            in_flight: Rows that are not taken.
            of: Gives the generation that stands for a row's.
            newest: The newest row instead, by itself.

        Raises:
            DiskError: Nothing can be read just now.
        """
        return self._run(lambda db: self._select(db, in_flight, of, newest), _READ)

    def read(self, rows: Rows) -> list[StoredRow]:
        """What there is of rows of ours, in their order.

        Raises:
            DiskError: Nothing can be read just now.
        """
        ids = ",".join(map(str, rows.ids))
        what, where = "id, count, body", f"id IN ({ids})"
        return self._run(
            lambda db: [StoredRow(*row) for row in self._waiting(db, what, where=where)], _READ
        )

    def delete(self, rows: Rows) -> None:
        """Rows of ours are settled. Where the disk refuses, it is done later.

        Raises:
            DiskError: It is done later. They are not taken again.
        """
        with self.lock:
            self._settled.update(rows.ids)
            self._run(lambda _: None)

    def bury(self, letter: Chunk, reason: str, rows: Rows | None = None) -> None:
        """Keep what was given up as a dead letter, in one transaction with the end of its rows.

        No process sends it by itself any more; see `logwell-otel spool send --dead`. It is
        not kept where what waits needs all of the room.

        Args:
            letter: The entries. They may be a part of what lay in `rows`.
            reason: The name under which they are counted as dropped, or `refused`.
            rows: The rows that are settled by this; None for what was in memory only.

        Raises:
            DiskError: Nothing is kept. The rows are not taken again.
        """
        with self.lock:
            self._settled.update(rows.ids if rows is not None else ())
            self._run(lambda db: self._bury(db, letter, reason, rows))

    def look(self) -> bool:
        """What is to be done now and then: claim what dead processes left, drop what is too old.

        Returns:
            True if there is more to claim: each call does a part, so that nobody who waits
            for the disk waits for long.

        Raises:
            DiskError: It is tried again with the next call.
            StorageError: The directory cannot be used any more; likewise.
        """
        with self.lock:
            now = self._monotonic()
            if now - self._scanned_at < SCAN_SECONDS:
                if self._connection is not None:
                    self._run(self._count_losses)
                return False
            self._scanned_at = now
            if self._closed or (self._inode is None and not self.path.exists()):
                return False
            if self._run(self._look):
                self._scanned_at = float("-inf")
                return True
            self._run(self._tidy, None)
            return False

    def entries(self, in_flight: Collection[int] = ()) -> int:
        """Entries in rows of ours that are not in flight: for whoever doubts his own count."""
        return self._run(
            lambda db: sum(int(row[0]) for row in self._waiting(db, "count", in_flight)), _READ
        )

    def changes(self) -> list[Change]:
        """What happened since the last call; forgets it."""
        changes, self._changes = self._changes, []
        return changes

    def close(self) -> None:
        """Leave all rows to the next process."""
        with self.lock:
            self._closed = True
            self._disconnect()
            if self._owner is not None:
                self._owner.release()
                self._owner = None

    def __del__(self) -> None:
        # Dropped without a shutdown: others may have its rows, and nothing stays open.
        with contextlib.suppress(Exception):  # half made, or at the interpreter's end
            self.close()

    def rest(self) -> bool:
        """Before a fork: SQLite cannot be carried through one. True has `resume` called."""
        # A disk that hangs must not hang the application.
        if not self.lock.acquire(timeout=_FORK_SECONDS):
            return False
        self._disconnect()
        return True

    def resume(self) -> None:
        """After the fork, in the parent."""
        self.lock.release()

    def reopen(self) -> None:
        """Take chunks all the same after `close`, until the next."""
        self._closed = False

    # Rows.

    def _insert(
        self,
        db: sqlite3.Connection,
        chunks: Sequence[Chunk],
        in_flight: Collection[int],
        instead_of: Rows | None,
    ) -> list[Rows]:
        born = self._remove(db, instead_of)
        bodies = [chunk.body() for chunk in chunks]
        self._make_room(db, sum(map(len, bodies)), in_flight)
        db.executemany(
            "INSERT INTO chunks (born, owner, project, generation, count, bytes, body) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            [
                (born, self._token(), self._project, chunk.generation, chunk.count, len(body), body)
                for chunk, body in zip(chunks, bodies, strict=True)
            ],
        )
        # AUTOINCREMENT counts on without gaps within a transaction.
        first = db.execute("SELECT last_insert_rowid()").fetchone()[0] - len(bodies) + 1
        return [Rows((first + at,), len(body)) for at, body in enumerate(bodies)]

    def _bury(self, db: sqlite3.Connection, letter: Chunk, reason: str, rows: Rows | None) -> None:
        born, body = self._remove(db, rows), letter.body()
        db.execute(
            "INSERT INTO dead (born, died, project, reason, count, bytes, body) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            (born, self._clock(), self._project, reason, letter.count, len(body), body),
        )
        self._make_room(db, 0)

    def _remove(self, db: sqlite3.Connection, rows: Rows | None) -> float:
        """Delete rows of ours; gives when the oldest of them was stored, now without any."""
        # In a database that was just made anew, these may be somebody else's.
        ours = [(row, self._token()) for row in (rows.ids if rows is not None else ())]
        select = "SELECT born FROM chunks WHERE id = ? AND owner = ?"
        born = [found[0] for one in ours if (found := db.execute(select, one).fetchone())]
        db.executemany("DELETE FROM chunks WHERE id = ? AND owner = ?", ours)
        # As it was at the last look, which moves all rows where the clock was set since.
        return min(born, default=self._monotonic() + self._offset)

    def _waiting(
        self, db: sqlite3.Connection, what: str, in_flight: Collection[int] = (), where: str = "1"
    ) -> sqlite3.Cursor:
        """Columns of rows of ours that are neither settled nor in flight, the oldest first."""
        others = ",".join(map(str, self._settled.union(in_flight)))
        return db.execute(
            f"SELECT {what} FROM chunks WHERE project = ? AND owner = ? AND NOT evicted "  # noqa: S608
            f"AND id NOT IN ({others}) AND {where} ORDER BY id",
            (self._project, self._token()),
        )

    def _select(
        self,
        db: sqlite3.Connection,
        in_flight: Collection[int],
        of: Callable[[int], int],
        newest: bool,
    ) -> Chunk | None:
        chunk: Chunk | None = None
        ids: list[int] = []
        if newest:
            (last,) = self._waiting(db, "max(id)", in_flight).fetchone()
            where = f"id = {last or 0}"
        else:
            # What was claimed lies among what is ours, and no flush lets the two travel together.
            kind = self._waiting(db, f"generation = {RECOVERED}", in_flight).fetchone() or (0,)
            where = f"generation {'=' if kind[0] else '<>'} {RECOVERED}"
        what = "id, generation, count, body"
        for row, generation, count, body in self._waiting(db, what, in_flight, where):
            part = Chunk(body, count)
            part.generation = of(generation)
            if chunk is None:
                chunk = part
            elif chunk.takes(part):
                chunk.join(part)
            else:
                break
            ids.append(row)
        if chunk is not None:
            chunk.rows = Rows(tuple(ids), chunk.size)
        return chunk

    def _delete(self, db: sqlite3.Connection, ids: Iterable[int]) -> None:
        db.executemany("DELETE FROM chunks WHERE id = ?", [(row,) for row in ids])

    # The cap.

    def _make_room(
        self, db: sqlite3.Connection, need: int, in_flight: Collection[int] | None = None
    ) -> None:
        """Delete dead letters, and mark rows as evicted, the oldest first, as far as needed.

        Without `in_flight` dead letters only.
        """
        tables = [("DELETE FROM dead", "dead", "")]
        if in_flight is not None:
            # Each process counts what it lost; the row stays until it has.
            evict = "UPDATE chunks SET evicted = bytes, bytes = 0, body = NULL"
            tables.append((evict, "chunks", ",".join(map(str, in_flight))))
        for change, table, spared in tables:
            if (excess := self._excess(db, need)) <= 0:
                return
            oldest = _OLDEST.format(table=table, spared=spared)
            db.execute(f"{change} WHERE {oldest}", (self._project, excess))
        if in_flight is not None:
            if self._excess(db, need) > 0:
                raise DiskError(f"{self.path} is full of entries that are being sent.")
            self._count_losses(db)

    def _excess(self, db: sqlite3.Connection, need: int) -> int:
        """Bytes over the cap of the project, with `need` more; nothing or less: there is room."""
        pages, free, size = (
            db.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("page_count", "freelist_count", "page_size")
        )
        if (pages - free) * size + need <= self.max_bytes:
            return 0  # no need to add up
        (held,) = db.execute(
            "SELECT total(bytes) FROM (SELECT bytes FROM chunks WHERE project = ? "
            "UNION ALL SELECT bytes FROM dead WHERE project = ?)",
            (self._project, self._project),
        ).fetchone()
        return int(held) + need - self.max_bytes

    def _count_losses(self, db: sqlite3.Connection, oldest: float = 0.0) -> None:
        """Rows of ours that were evicted, by whatever process, or stored before `oldest`."""
        lost = db.execute(
            "SELECT id, generation, count, bytes + evicted, evicted FROM chunks "
            "WHERE project = ? AND owner = ? AND (evicted OR born < ?)",
            (self._project, self._token(), oldest),
        ).fetchall()
        for row, generation, count, size, evicted in lost:
            if row not in self._settled:  # or the answer counts
                reason = "spool_overflow" if evicted else "spool_expired"
                self._changes.append(Change(reason, count, size, generation, row))
        self._delete(db, [row[0] for row in lost])

    # Now and then.

    def _look(self, db: sqlite3.Connection) -> bool:
        self._follow_clock(db)
        more = self._claim(db)
        self._count_losses(db, oldest := self._clock() - self._max_age)
        if not more:
            db.execute("DELETE FROM dead WHERE project = ? AND died < ?", (self._project, oldest))
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
            found = db.execute(
                "SELECT id, count, bytes + evicted FROM chunks WHERE project = ? AND owner = ? "
                "ORDER BY id LIMIT ?",
                (self._project, holder, left),
            ).fetchall()
            db.executemany(
                "UPDATE chunks SET owner = ?, generation = ?, born = min(?, max(?, born)) "
                "WHERE id = ?",
                [(token, RECOVERED, now, grace, row) for row, _, _ in found],
            )
            _, counts, sizes = zip(*found, strict=True)
            self._changes.append(Change("recovered", sum(counts), sum(sizes)))
            left -= len(found)
            if left <= 0:
                return True
        return False

    def _dead(self, db: sqlite3.Connection) -> Iterator[str]:
        """Owners of rows that live no more. Files of those without rows are cleared away."""
        select = "SELECT DISTINCT owner FROM chunks WHERE project = ?"
        known = [holder for (holder,) in db.execute(select, (self._project,))]
        ours = self._token()
        yield from (one for one in known if one != ours and not owners.lives(self.path, one))
        for idle in set(owners.tokens(self.path)).difference(known, {ours}):
            owners.lives(self.path, idle, clear=True)

    def _tell_of_others(self, db: sqlite3.Connection) -> None:
        """Rows of another key are another project's, or those of a key that was replaced."""
        left: dict[str, int] = {}
        for project, holder, count in db.execute(
            "SELECT project, owner, sum(count) FROM chunks WHERE project <> ? AND NOT evicted "
            "GROUP BY project, owner",
            (self._project,),
        ):
            if project not in self._said and not owners.lives(self.path, holder):
                left[project] = left.get(project, 0) + count
        self._said.update(left)
        for count in left.values():
            text = (
                f"{count} entries in {self.path} were stored for another key and are not sent "
                "with this one. If the key was replaced: logwell-otel spool send "
                f"{self.path.parent} --any-key"
            )
            self._changes.append(Change("another_key", 0, text=text))

    def _tidy(self, db: sqlite3.Connection) -> None:
        """Give space back, and let go of all when nothing is ours."""
        if db.execute("PRAGMA freelist_count").fetchone()[0] >= _FREE_PAGES:
            # As a script: `execute` takes one step, which is one page, of a statement
            # without columns.
            db.executescript(f"PRAGMA incremental_vacuum({_VACUUM_PAGES})")
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        if self._waiting(db, "id").fetchone() is None:
            # An open database would be one more thing that a fork has to care for.
            self._disconnect()
            self._inode = None

    # The database.

    def _run(self, work: Callable[[sqlite3.Connection], _T], begin: str | None = _WRITE) -> _T:
        """Run `work` in a transaction; all of it happens or nothing."""
        with self.lock:
            if self._closed:
                raise DiskError("The spool is closed.")
            try:
                try:
                    return self._transaction(work, begin)
                except sqlite3.DatabaseError as error:
                    # Its subclasses say other things, but for what somebody has dropped by hand.
                    if type(error) is not sqlite3.DatabaseError and not _CHANGED.search(str(error)):
                        raise
                    self._set_aside(error)
                return self._transaction(work, begin)
            except (sqlite3.Error, OSError) as error:
                problem = getattr(error, "strerror", None) or error
                raise DiskError(f"The spool {self.path} cannot be used: {problem}.") from error

    def _transaction(self, work: Callable[[sqlite3.Connection], _T], begin: str | None) -> _T:
        db = self._open()
        before = len(self._changes)
        try:
            if begin is not None:
                db.execute(begin)
            result = work(db)
            if begin == _WRITE:
                self._delete(db, self._settled)
            if begin is not None:
                db.execute("COMMIT")
        except BaseException:
            del self._changes[before:]
            self._disconnect()  # which rolls back
            raise
        if begin == _WRITE:
            self._settled.clear()
        return result

    def _open(self) -> sqlite3.Connection:
        if self._gone():
            self._forget_file("spool_gone", f"{self.path} was deleted or replaced.")
        if self._connection is None:
            self._connection = self._connected()
        db = self._connection
        if self._owner is not None and not self._owner.held:
            # Others may take us for dead: our rows need an owner who is known to live.
            self._owner.forget()
            old, self._owner = self._owner.token, owners.Owner(self.path)
            db.execute("UPDATE chunks SET owner = ? WHERE owner = ?", (self._owner.token, old))
        if (project := self._project_now()) != self._project:
            db.execute("UPDATE dead SET project = ? WHERE project = ?", (project, self._project))
            db.execute(
                "UPDATE chunks SET project = ? WHERE project = ? AND owner = ?",
                (project, self._project, self._token()),
            )
            self._project = project
        return db

    def _token(self) -> str:
        if self._owner is None:
            self._owner = owners.Owner(self.path)
        return self._owner.token

    def _gone(self) -> bool:
        """Whether the file is another one than that which is open."""
        try:
            return self._inode is not None and storage.identity(self.path.lstat()) != self._inode
        except FileNotFoundError:
            return True
        except OSError:
            return False

    def _connected(self) -> sqlite3.Connection:
        storage.private_directory(self._directory)
        if not os.path.lexists(self.path):
            self._create()
        inode = storage.identity(storage.check_private(self.path))
        if inode == self._inherited:
            raise DiskError(
                f"{self.path} was open when this process was forked without Python's hooks."
            )
        self._inode = inode
        db = storage.open_database(self.path, self._connect)
        try:
            mode = db.execute("PRAGMA journal_mode").fetchone()[0]
            version = db.execute("PRAGMA user_version").fetchone()[0]
            if mode != "wal" or version == 0:
                raise sqlite3.DatabaseError("it is not the spool's")
            if version != FORMAT:
                raise StorageError(
                    f"{self.path} is of another version of logwell-otel (format {version}). "
                    "Name another spool directory."
                )
            db.execute(f"PRAGMA synchronous = {self._sync}")
        except BaseException:
            db.close()
            raise
        return db

    def _create(self) -> None:
        """Make the database under another name: nobody ever sees half of one."""
        with storage.alone_in(self.path.parent):
            if os.path.lexists(self.path):
                return  # another process was faster
            made = self.path.with_suffix(".new")
            storage.delete_database(made)  # of a process that was killed at it
            self._make(made)
            # Of a database that somebody deleted, the log is left, and SQLite would take it for
            # the new one's: rows of the old one would come back, in a file that is damaged.
            storage.delete_database(self.path)
            made.rename(self.path)

    def _make(self, path: Path) -> None:
        # SQLite gives its other files the mode of this one.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        db = storage.open_database(path, self._connect)
        try:
            # Twice SQLite's own: a fifth less CPU and half the calls for a chunk of 60 kB.
            db.execute("PRAGMA page_size = 8192")
            db.execute("PRAGMA auto_vacuum = INCREMENTAL")
            if (mode := db.execute("PRAGMA journal_mode = WAL").fetchone()[0]) != "wal":
                raise self._unfit(f"it offers {mode!r}")
            db.executescript(_SCHEMA)
            db.execute("INSERT INTO about VALUES (?, ?)", self._about)
            db.close()
        except BaseException:
            db.close()
            storage.delete_database(path)
            raise

    def _forget_file(self, reason: str, text: str) -> None:
        """The file is no longer what we wrote to: all that was ours in it is lost."""
        self._disconnect()
        self._inode = None
        self._settled.clear()
        self._changes.append(Change(reason, -1, text=text))

    def _set_aside(self, damage: Exception) -> None:
        aside = self.path.with_name(f"{self.path.name}.damaged")
        with storage.alone_in(self.path.parent):
            if not self._gone():
                for path, kept in zip(
                    storage.files_of(self.path), storage.files_of(aside), strict=True
                ):
                    if path.exists():
                        path.replace(kept)  # the latest is kept, for people to look at
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

    def _refuse_what_cannot_work(self, *, named: bool) -> None:
        """Try at construction what is needed later: locks, and a database with its log."""
        if (kind := storage.network_file_system(self.path.parent)) is not None:
            raise self._unfit(f"{kind}, a network file system")
        probe = self.path.with_name(f"{secrets.token_hex(8)}.new")
        # Full or read-only: entries are held in memory, which is said then.
        with contextlib.suppress(OSError, DiskError):
            try:
                owners.Owner(self.path).release()
                if named:
                    self._connected().close()
                else:
                    self._make(probe)
            except sqlite3.Error as error:
                # What file systems answer that cannot share memory between processes.
                if "SHM" in getattr(error, "sqlite_errorname", "") or "protocol" in str(error):
                    raise self._unfit(str(error)) from error
            finally:
                storage.delete_database(probe)
        self._inode = None

    def _unfit(self, why: str) -> StorageError:
        return StorageError(
            f"The spool directory {self.path.parent} is on a file system where SQLite cannot keep "
            f"a write-ahead log ({why}), by which several processes share a file: name a "
            "directory on a local disk."
        )
