"""What the spool's tests share: a clock to turn, chunks by number, processes to kill."""

from __future__ import annotations

import sqlite3
import threading
from typing import TYPE_CHECKING, Any

from logwell_otel._buffer.spool import Spool
from logwell_otel._encoding.chunk import Chunk

if TYPE_CHECKING:
    from pathlib import Path

ENDPOINT = "https://logs.example.com"
SERVICE = "checkout"
PROJECT = "0123456789abcdef"


def entry(number: int, size: int = 0) -> bytes:
    """An entry that `numbers` knows again, of at least `size` bytes."""
    start = b'{"level":"info","message":"%d' % number
    return start + b" " * (size - len(start) - 2) + b'"}'


def chunk(first: int, count: int = 1, size: int = 0, generation: int = 0) -> Chunk:
    """A chunk of the entries `first`, `first + 1` …"""
    made = Chunk.of_entries([entry(number, size) for number in range(first, first + count)])
    made.generation = generation
    return made


def chunks(first: int, count: int, size: int = 0) -> list[Chunk]:
    """Chunks of one entry each."""
    return [chunk(number, size=size) for number in range(first, first + count)]


def numbers(found: Chunk | None) -> list[int]:
    """The numbers of a chunk's entries."""
    assert found is not None
    return [int(one.split(b'"message":"')[1].rstrip(b' "}')) for one in found.entries()]


def drain(spool: Spool) -> list[int]:
    """Deliver everything there is; gives its numbers."""
    found = []
    while (taken := spool.take()) is not None:
        found += numbers(taken)
        assert taken.rows is not None
        spool.delete(taken.rows)
    return found


def told(spool: Spool) -> dict[str, int]:
    """What the spool says that happened since the last call, by reason."""
    found: dict[str, int] = {}
    for change in spool.changes():
        found[change.reason] = found.get(change.reason, 0) + change.entries
    return found


class Disk:
    """Opens databases that fail, or hang, as they are told to.

    Attributes:
        error: Raised by every statement that changes something, if there is one.
        reads_fail: Reading raises it, too.
        works: Statements wait for it.
        waits: Set once a statement waits.
    """

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.reads_fail = False
        self.works = threading.Event()
        self.works.set()
        self.waits = threading.Event()

    def connect(self, *args: Any, **options: Any) -> sqlite3.Connection:
        disk = self

        class Connection(sqlite3.Connection):
            def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
                disk.ask(sql)
                return super().execute(sql, *parameters)

            def executemany(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
                disk.ask(sql)
                return super().executemany(sql, *parameters)

        return sqlite3.connect(*args, factory=Connection, **options)

    def ask(self, sql: str) -> None:
        """Called before every statement."""
        if not self.works.is_set():
            self.waits.set()
            self.works.wait(30)
        changes = sql.startswith(("INSERT", "UPDATE", "DELETE", "BEGIN IMMEDIATE"))
        if self.error is not None and (changes or self.reads_fail):
            raise self.error


FULL = sqlite3.OperationalError("database or disk is full")
READ_ONLY = sqlite3.OperationalError("attempt to write a readonly database")


class World:
    """One spool directory, a clock, and the processes (or what stands for them) that use it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory / "spool"
        self.wall = 1_800_000_000.0
        self.mono = 1_000.0
        self._spools: list[Spool] = []

    def __enter__(self) -> World:  # noqa: PYI034 - typing.Self came with 3.11
        return self

    def __exit__(self, *error: object) -> None:
        for spool in self._spools:
            spool.close()

    def open(
        self, *, service: str | None = SERVICE, project: str = PROJECT, **options: Any
    ) -> Spool:
        """A spool as another process would have it."""
        spool = Spool(
            self.directory,
            endpoint=ENDPOINT,
            service=service,
            project=options.pop("project_now", lambda: project),
            clock=lambda: self.wall,
            monotonic=lambda: self.mono,
            **options,
        )
        self._spools.append(spool)
        return spool

    def sleep(self, seconds: float) -> None:
        """Let time go by."""
        self.wall += seconds
        self.mono += seconds

    def kill(self, *spools: Spool) -> None:
        """End spools, all by default, as a kill would: locks are let go, nothing is tidied up."""
        for spool in spools or self._spools:
            # There is no other way to do it within a process.
            if spool._owner is not None:  # noqa: SLF001
                spool._owner.forget()  # noqa: SLF001
            spool._closed = True  # noqa: SLF001
            spool._disconnect()  # noqa: SLF001

    def look(self, spool: Spool) -> dict[str, int]:
        """Have a spool look at all there is to see; what it says."""
        self.sleep(11)
        while spool.look():
            pass
        return told(spool)

    def restart(self, **options: Any) -> Spool:
        """Kill all, and give a new spool that has looked for what was left."""
        self.kill()
        spool = self.open(**options)
        self.look(spool)
        return spool

    @property
    def database(self) -> Path:
        """The one there is."""
        (found,) = self.directory.glob("*.db")
        return found

    def query(self, sql: str) -> list[Any]:
        """What a person sees with `sqlite3`."""
        db = sqlite3.connect(self.database)
        try:
            return db.execute(sql).fetchall()
        finally:
            db.close()
