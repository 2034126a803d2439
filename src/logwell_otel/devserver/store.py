"""The entries in SQLite: what is answered 200 has been committed."""

from __future__ import annotations

import json
import os
import secrets
import sqlite3
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from . import incidents, javascript, lexemes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_SCHEMA_VERSION = 2
_ENTRY = (
    "level, message, timestamp, service, metadata, source_file, line_number, "
    "request_id, user_id, ip_address"
)
_COLUMNS = f"{_ENTRY}, key, fingerprint"
_SCHEMA = f"""
CREATE TABLE log (
    id INTEGER PRIMARY KEY,
    level TEXT NOT NULL,
    message TEXT NOT NULL,
    timestamp TEXT NOT NULL,
    service TEXT,
    metadata TEXT,
    source_file TEXT,
    line_number INTEGER,
    request_id TEXT,
    user_id TEXT,
    ip_address TEXT,
    key TEXT NOT NULL,
    fingerprint TEXT
);
CREATE INDEX log_by_time ON log (timestamp, key);
CREATE INDEX log_by_fingerprint ON log (fingerprint) WHERE fingerprint IS NOT NULL;
CREATE TABLE incident (
    fingerprint TEXT PRIMARY KEY,
    key TEXT NOT NULL,
    title TEXT NOT NULL,
    normalized_message TEXT NOT NULL,
    service TEXT,
    source_file TEXT,
    line_number INTEGER,
    highest_level TEXT NOT NULL,
    first_seen TEXT NOT NULL,
    last_seen TEXT NOT NULL,
    total_events INTEGER NOT NULL,
    created TEXT NOT NULL,
    updated TEXT NOT NULL
);
CREATE INDEX incident_by_time ON incident (last_seen, key);
CREATE VIRTUAL TABLE lexeme USING fts5 (words, content = '', detail = none);
PRAGMA user_version = {_SCHEMA_VERSION};
"""
_INSERT = f"INSERT INTO log ({_COLUMNS}) VALUES ({', '.join('?' * 12)})"  # noqa: S608 - constants only


class Entry(msgspec.Struct, frozen=True):
    """One entry as the server stores it.

    Attributes:
        level: `debug`, `info`, `warn`, `error` or `fatal`.
        message: As sent, lone surrogates replaced by U+FFFD.
        timestamp: ISO 8601 in UTC with milliseconds and `Z`.
        service: The filter column, None where neither the entry nor its metadata name one.
        metadata: Parsed JSON, an object or an array; None where there was nothing.
        source_file: As sent, None where it was not a string.
        line_number: 1 to 2,147,483,647; None where it was no number above 0.
        request_id: From the metadata, None where they have none; so the two below.
        user_id: From the metadata.
        ip_address: From the metadata.
    """

    level: str
    message: str
    timestamp: str
    service: str | None = None
    metadata: Any = None
    source_file: str | None = None
    line_number: int | None = None
    request_id: str | None = None
    user_id: str | None = None
    ip_address: str | None = None


class StoredEntry(msgspec.Struct, frozen=True):
    """An entry with what the server adds to it.

    Attributes:
        entry: The entry.
        id: 21 characters, random: what sorts entries of one millisecond.
        fingerprint: Of its incident, None below `error`.
        incident: The incident's id, None below `error`.
    """

    entry: Entry
    id: str
    fingerprint: str | None = None
    incident: str | None = None


class StoreError(Exception):
    """The file cannot be used as the development server's database; the text says why."""


class Store:
    """The server's database. Safe to use from several threads.

    Args:
        path: The file, made where it is missing; None keeps everything in memory.
        max_bytes: Size of the database at most; beyond it the oldest entries go, a tenth at a
            time. SQLite's log beside the file (`-wal`) adds some megabytes. None for no end.

    Raises:
        StoreError: The file cannot be opened, or is something else.
    """

    def __init__(self, path: str | Path | None = None, *, max_bytes: int | None = None) -> None:
        self.path: Path | None = None if path is None else Path(path)
        self._max_bytes = max_bytes
        self._changed = threading.Condition()
        self.listeners: list[Callable[[list[StoredEntry]], None]] = []
        """Called with each batch after its commit, in the thread that added it."""
        if path is not None:
            # Logs are for nobody else's eyes. SQLite's own files beside it get the same mode.
            with suppress(OSError):  # there already, or nowhere: SQLite says what is wrong
                os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        try:
            self._connection = sqlite3.connect(
                ":memory:" if path is None else str(path), check_same_thread=False
            )
        except sqlite3.Error as error:
            raise StoreError(f"cannot open the database {path}: {error}") from error
        try:
            self._prepare()
            self._shrink()
        except (sqlite3.Error, StoreError) as error:
            self._connection.close()
            raise StoreError(f"cannot use {path} as the database: {error}") from error
        if path is not None:
            for suffix in ("", "-wal", "-shm"):
                with suppress(OSError):  # not there, or somebody else's, who decides
                    Path(f"{path}{suffix}").chmod(0o600)

    def _prepare(self) -> None:
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        (tables,) = self._connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if tables and version != _SCHEMA_VERSION:
            raise StoreError("it holds other data")
        # Write-ahead logging with synchronous=NORMAL: a commit survives the process being
        # killed, not the machine losing power, and costs no wait for the disk.
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = NORMAL")
        if not tables:
            self._connection.executescript(_SCHEMA)

    def add(self, entries: list[Entry]) -> None:
        """Stores all of these or, when it raises, none.

        Raises:
            sqlite3.Error: Disk full, file read-only, database gone.
        """
        stored = [_stored(entry) for entry in entries]
        with self._changed:
            with self._connection:
                self._connection.executemany(_INSERT, map(_row, stored))
                known = incidents.record(self._connection, _events(stored), utc_now())
                self._evict()
            self._changed.notify_all()
        if self.listeners:
            stored = [_with_incident(one, known) for one in stored]
            for listener in list(self.listeners):
                listener(stored)

    def _shrink(self) -> None:
        """Bring a file that was allowed to be larger down to its size."""
        if self._max_bytes is None:
            return
        with self._connection:
            self._evict()
        if self._page_count("page_count") > self._max_bytes:
            self._connection.execute("VACUUM")

    def _evict(self) -> None:
        """Delete the oldest entries until the database is within its size, in a transaction.

        Pages that become free are used again, so the file does not grow beyond it.
        """
        limit = self._max_bytes
        while limit is not None and self._used() > limit:
            ((count, first),) = self._connection.execute("SELECT count(*), min(id) FROM log")
            if count <= 1:
                return
            ((end,),) = self._connection.execute(
                "SELECT id FROM log ORDER BY id LIMIT 1 OFFSET ?", [max(1, count // 10)]
            )
            self._unindex(first, end)
            self._connection.execute("DELETE FROM log WHERE id < ?", [end])
            incidents.forget(self._connection)

    def _unindex(self, first: int, end: int) -> None:
        """Take entries out of the full-text table, which has to be told their words."""
        ((indexed,),) = self._connection.execute("SELECT max(rowid) FROM lexeme")
        rows = self._connection.execute(
            "SELECT id, message, metadata, service FROM log WHERE id >= ? AND id < ? AND id <= ?",
            [first, end, indexed or 0],
        ).fetchall()
        self._connection.executemany(
            "INSERT INTO lexeme (lexeme, rowid, words) VALUES ('delete', ?, ?)",
            (
                (number, lexemes.of_document(message, metadata, _resource(service)))
                for number, message, metadata, service in rows
            ),
        )

    def _used(self) -> int:
        return self._page_count("page_count") - self._page_count("freelist_count")

    def _page_count(self, pragma: str) -> int:
        """A number of pages, in bytes."""
        ((pages,),) = self._connection.execute(f"PRAGMA {pragma}")
        ((size,),) = self._connection.execute("PRAGMA page_size")
        return int(pages) * int(size)

    def query(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows that a statement gives.

        Raises:
            sqlite3.Error: The database is gone, or the statement is none.
        """
        with self._changed:
            return self._connection.execute(statement, values).fetchall()

    def index(self, words: Callable[..., str]) -> None:
        """Bring the full-text table up to date: only who searches pays for it.

        Args:
            words: The words of a message and of the JSON texts beside it.
        """
        with self._changed, self._connection:
            (last,) = self._connection.execute("SELECT max(rowid) FROM lexeme").fetchone()
            rows = self._connection.execute(
                "SELECT id, message, metadata, service FROM log WHERE id > ?", [last or 0]
            )
            self._connection.executemany(
                "INSERT INTO lexeme (rowid, words) VALUES (?, ?)",
                (
                    (number, words(message, metadata, _resource(service)))
                    for number, message, metadata, service in rows
                ),
            )

    def is_up(self) -> bool:
        """Whether the database answers at all (`SELECT 1`, as the real health check)."""
        try:
            with self._changed:
                self._connection.execute("SELECT 1")
        except sqlite3.Error:
            return False
        return True

    def count(self) -> int:
        """Number of entries."""
        with self._changed:
            return int(self._connection.execute("SELECT count(*) FROM log").fetchone()[0])

    def entries(self, skip: int = 0) -> list[Entry]:
        """All entries in the order in which they were stored, without the first `skip`."""
        with self._changed:
            rows = self._connection.execute(
                f"SELECT {_ENTRY} FROM log ORDER BY id LIMIT -1 OFFSET ?",  # noqa: S608
                [skip],
            ).fetchall()
        return [_entry(row) for row in rows]

    def newest(self, limit: int, level: str | None, words: list[str]) -> tuple[list[Entry], int]:
        """The newest entries first, and how many there are in all.

        Args:
            limit: At most that many.
            level: Only this one.
            words: Each must occur in message, metadata or service; case is ignored (ASCII).
        """
        conditions = ["1"]
        values: list[Any] = []
        if level is not None:
            conditions.append("level = ?")
            values.append(level)
        for word in words:
            conditions.append(
                "(message || ' ' || coalesce(metadata, '') || ' ' || coalesce(service, ''))"
                " LIKE ? ESCAPE '\\'"
            )
            values.append(f"%{_literal(word)}%")
        where = " AND ".join(conditions)
        with self._changed:
            (total,) = self._connection.execute(
                f"SELECT count(*) FROM log WHERE {where}",  # noqa: S608 - values are bound
                values,
            ).fetchone()
            rows = self._connection.execute(
                f"SELECT {_ENTRY} FROM log WHERE {where} ORDER BY timestamp DESC, id DESC LIMIT ?",  # noqa: S608
                [*values, limit],
            ).fetchall()
        return [_entry(row) for row in rows], int(total)

    def wait_for(self, count: int, timeout: float) -> bool:
        """Waits until at least `count` entries are stored; False after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while self.count() < count:
                remaining = deadline - time.monotonic()
                if remaining <= 0 or not self._changed.wait(remaining):
                    return self.count() >= count
        return True

    def close(self) -> None:
        """Closes the file. Closing twice does no harm."""
        with self._changed:
            self._connection.close()


def utc_now() -> str:
    """The time as the server writes it."""
    return javascript.to_iso_string(javascript.now_ms())


def _stored(entry: Entry) -> StoredEntry:
    print_ = None
    if entry.level in incidents.GROUPED_LEVELS:
        print_ = incidents.fingerprint(
            entry.message, entry.service, entry.source_file, entry.line_number
        )
    return StoredEntry(entry, secrets.token_urlsafe(16)[:21], print_)


def _events(batch: list[StoredEntry]) -> Iterator[incidents.Event]:
    for stored in batch:
        if stored.fingerprint is not None:
            entry = stored.entry
            yield incidents.Event(
                stored.fingerprint,
                entry.message,
                entry.service,
                entry.source_file,
                entry.line_number,
                entry.level,
                entry.timestamp,
            )


def _with_incident(stored: StoredEntry, known: dict[str, str]) -> StoredEntry:
    if stored.fingerprint is None:
        return stored
    return msgspec.structs.replace(stored, incident=known[stored.fingerprint])


def _resource(service: str | None) -> str | None:
    return None if service is None else json.dumps({"service.name": service}, ensure_ascii=False)


def _row(stored: StoredEntry) -> tuple[Any, ...]:
    entry = stored.entry
    metadata = entry.metadata
    return (
        entry.level,
        entry.message,
        entry.timestamp,
        entry.service,
        None
        if metadata is None
        else json.dumps(metadata, ensure_ascii=False, separators=(",", ":")),
        entry.source_file,
        entry.line_number,
        entry.request_id,
        entry.user_id,
        entry.ip_address,
        stored.id,
        stored.fingerprint,
    )


def _entry(row: tuple[Any, ...]) -> Entry:
    level, message, timestamp, service, metadata, *rest = row
    return Entry(
        level,
        message,
        timestamp,
        service,
        None if metadata is None else json.loads(metadata),
        *rest,
    )


def _literal(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
