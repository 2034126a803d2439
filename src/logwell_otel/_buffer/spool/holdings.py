"""What one process holds of one pool: the files and the counters brought together.

Neither thread-safe nor fork-safe: `Spool` sees to both.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from logwell_otel._buffer.spool.dropping import Dropper
from logwell_otel._buffer.spool.hands import Hands
from logwell_otel._buffer.spool.home import Home
from logwell_otel._buffer.spool.neighbours import Neighbours
from logwell_otel._buffer.spool.reader import Reader
from logwell_otel._buffer.spool.remover import Remover
from logwell_otel._buffer.spool.segment import HEADER, Segment
from logwell_otel._buffer.spool.shelf import Shelf
from logwell_otel._buffer.spool.writer import Writer
from logwell_otel._encoding.chunk import SpooledChunk

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from logwell_otel._buffer.spool.disk import Disk
    from logwell_otel._buffer.spool.paths import About
    from logwell_otel._buffer.spool.rescue import Found

SCAN_SECONDS = 10.0
"""The least time between two looks for dead processes."""

SPAN_SHARE = 1 / 48
"""A segment is filled for at most this part of the age cap (an hour of 48), as it ages as a whole,
by its first entry."""


@dataclass(frozen=True)
class Settings:
    """What a spool was constructed with; see `Spool`."""

    pool: Path
    about: About
    max_bytes: int
    max_age: float
    clock: Callable[[], float]
    monotonic: Callable[[], float]
    disk: Disk


class Holdings:
    """The state of a spool in one process; a forked child begins a new one.

    Attributes:
        pid: The process it belongs to.
        lock: To be held around every call, `forget` excepted.
        adopting: To be held by the one thread that rescues.
        shelf: The segments and the counters.
        home: The instance, None until there is something to keep.
        closed: True after `close`.
        last_error: The latest trouble that no caller was told of, for people.
    """

    def __init__(self, settings: Settings) -> None:
        self.pid = os.getpid()
        self.lock = threading.Lock()
        self.adopting = threading.Lock()
        self.shelf = Shelf()
        self.home: Home | None = None
        self.closed = False
        self.last_error: str | None = None
        self._settings = settings
        self._now = settings.monotonic
        self._remover = Remover(settings.disk)
        self._writer = Writer(settings.disk, self._remover, self._begin)
        reader = Reader(self.shelf, settings.disk, self._remover)
        self._hands = Hands(self.shelf, reader, self._remover)
        self._dropper = Dropper(self.shelf, self._hands, self._writer, self._remover)
        self._neighbours = Neighbours(settings.pool, settings.max_bytes)
        self._scanned: float | None = None

    def store(self, entries: Sequence[bytes]) -> None:
        """See `Spool.store`. Raises `SpoolError` or `OSError`; nothing was kept then."""
        if not self._write(entries):
            self.shelf.refused(len(entries))

    def keep(self, entries: list[bytes]) -> SpooledChunk | None:
        """See `Spool.keep`; None if there is no room. Raises like `store`."""
        self._look_after_home()
        self._seal()  # its file holds nothing else, and so can be deleted with it
        if not self._write(entries):
            return None
        self._writer.seal()
        return self._hands.hold(entries, self._writer.collect())

    def _write(self, entries: Sequence[bytes]) -> bool:
        self._look_after_home()
        home = self.settle_in()
        current = self._writer.current
        if current and self._now() - current.born > self._settings.max_age * SPAN_SHARE:
            self._seal()
        need = sum(map(len, entries)) + len(entries)
        need += len(HEADER) * len(self._writer.parts(entries))
        self._neighbours.writing(need, home.directory)
        if not self._dropper.make_room(need, self._neighbours.allowance()):
            return False
        try:
            # Cut again: making room may have cost the open segment.
            grown = self._writer.append(self._writer.parts(entries))
        finally:
            self._collect()
        self.shelf.stored(len(entries), grown)
        return True

    def take(self) -> SpooledChunk | None:
        """See `Spool.take`."""
        self._look_after_home()
        if self.home is None:
            return None
        try:
            chunk = self._hands.take(self.home)
            if chunk is None:
                self._seal()
                chunk = self._hands.take(self.home)
        except OSError as error:
            # The directory's trouble or the process', not the files': later
            # is better than setting all of them aside.
            self.last_error = f"reading what lies in {self.home.directory}: {error}"
            return None
        return chunk

    def done(self, chunk: SpooledChunk) -> None:
        """See `Spool.done`."""
        self._look_after_home()
        if not self.closed:
            self._hands.done(chunk, self.home)

    def give_back(self, chunk: SpooledChunk) -> None:
        """See `Spool.give_back`."""
        self._look_after_home()
        if not self.closed:
            self._hands.give_back(chunk, self.home)

    def replace(self, chunk: SpooledChunk, entries: list[bytes]) -> SpooledChunk:
        """See `Spool.replace`."""
        self._look_after_home()
        if self.closed:
            return SpooledChunk(entries, chunk.recovered)
        return self._hands.replace(chunk, entries, self.home)

    def expire(self) -> int:
        """See `Spool.expire`."""
        if self.closed:
            return 0  # what lies there is the next process' to drop
        self._look_after_home()
        dropped = self._dropper.expire(self._now() - self._settings.max_age)
        self._remover.retry()
        return dropped

    def scan_due(self) -> bool:
        """Whether to look for dead processes again; if so, it counts as done."""
        self._look_after_home()
        now = self._now()
        if self.closed or (self._scanned is not None and now - self._scanned < SCAN_SECONDS):
            return False
        self._scanned = now
        return True

    def settle_in(self) -> Home:
        """Returns the instance, made now if need be. Raises `SpoolError` or `OSError`."""
        if self.home is None:
            self.home = Home.create(self._settings.pool, self._settings.about)
        return self.home

    def receive(self, home: Home, found: list[Found]) -> int:
        """Takes on files that were moved to `home`; returns how many entries."""
        self._look_after_home()
        if home is not self.home:
            return 0  # lost or left meanwhile: they lie there for the next rescuer
        now, wall = self._now(), self._settings.clock()
        adopted = 0
        for file in found:
            born = now - max(0.0, wall - file.name.created_ms / 1000)
            segment = Segment(
                file.path, file.name, born, file.name.entries, file.size, recovered=True
            )
            if file.name.kind == "corrupt":
                self.shelf.aside(segment)
            else:
                self.shelf.adopted(segment)
                adopted += segment.entries
        return adopted

    def balance(self) -> None:
        """Looks what the other processes hold; drops what is over our part of the cap."""
        self._neighbours.look(None if self.home is None else self.home.directory)
        self._dropper.make_room(0, self._neighbours.allowance())

    def close(self) -> None:
        """See `Spool.close`."""
        self._look_after_home()
        self._seal()
        self._remover.retry()
        self.closed = True
        if self.home is not None:
            self.home.leave()
            self.home = None

    def forget(self) -> None:
        """Drops what a forked child has of its parent's, touching no file."""
        self._writer.discard()
        if self.home is not None:
            self.home.forget()

    def _begin(self) -> Segment:
        home = self.settle_in()
        name = home.name(max(0, int(self._settings.clock() * 1000)), "open")
        return Segment(home.directory / str(name), name, self._now(), 0, 0)

    def _seal(self) -> None:
        self._writer.seal()
        self._collect()

    def _collect(self) -> None:
        for segment in self._writer.collect():
            self.shelf.wait(segment)

    def _look_after_home(self) -> None:
        """Before anything is touched: is it still ours? Also shows that we live."""
        if self.home is None:
            return
        if not self.home.held():
            # Deleted by somebody, or taken over while this process stood
            # still: what lay there is not ours to send or delete any more.
            self.last_error = f"{self.home.directory} was deleted or taken over"
            self._give_up_open_segment()
            self.shelf.forsake()
            self._remover.pending.clear()
            self.home.forget()
            self.home = None
            return
        try:
            self.home.beat(self._now())
        except OSError as error:
            self.last_error = f"keeping the lease of {self.home.directory}: {error}"
        if self._writer.deleted():
            self._give_up_open_segment()

    def _give_up_open_segment(self) -> None:
        current = self._writer.discard()
        if current is not None:
            self.shelf.close(current, "gone")
