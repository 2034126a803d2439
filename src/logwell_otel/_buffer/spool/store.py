"""`Spool`: what the outbox and the sender use."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from logwell_otel._buffer.spool import paths, rescue
from logwell_otel._buffer.spool.disk import Disk
from logwell_otel._buffer.spool.errors import SpoolError, SpoolWriteError
from logwell_otel._buffer.spool.holdings import Holdings, Settings
from logwell_otel._buffer.spool.segment import MAX_BODY_BYTES
from logwell_otel._encoding.chunk import SpooledChunk

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from logwell_otel._buffer.spool.counters import SpoolCounters

_T = TypeVar("_T")

DEFAULT_MAX_BYTES = 256 * 1024 * 1024
DEFAULT_MAX_AGE = 48 * 3600.0


class Spool:
    """The disk half of the outbox: entries that outlive this process.

    Every method may be called from any thread and waits for nothing but the
    disk. It starts no thread: age, lease and the files of dead processes are
    seen to when it is called, so `expire` and `adopt` are to be called every
    few seconds while it is in use. After a fork the child's copy is an empty
    spool of its own; what the parent holds stays the parent's.

    `docs/spool.md` says what it promises and what not.

    Args:
        directory: Where to keep entries. May be shared by any number of
            processes, services and endpoints. Created with mode 0700.
        endpoint: The server's URL; entries stored for one never go to another.
        service: The service name; likewise. The API key is not part of it.
        max_bytes: Size cap in bytes, 256 MiB by default, for all processes of
            this endpoint and service together. Above it the oldest are dropped.
        max_age: Age cap in seconds, 48 hours by default.
        clock: Wall clock, in seconds since 1970.
        monotonic: Clock that only goes forward, in seconds.
        disk: The system calls; another one in tests.

    Raises:
        SpoolError: The directory cannot be used, or a cap is not above zero.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        endpoint: str,
        service: str,
        max_bytes: int = DEFAULT_MAX_BYTES,
        max_age: float = DEFAULT_MAX_AGE,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        disk: Disk | None = None,
    ) -> None:
        if max_bytes <= 0 or max_age <= 0:
            raise SpoolError("The caps of a spool, max_bytes and max_age, must be above zero.")
        about = paths.About(paths.canonical_endpoint(endpoint), paths.canonical_service(service))
        self.path = paths.prepare_root(directory) / paths.pool_name(endpoint, service)
        try:
            paths.prepare_below(self.path)
        except OSError as error:
            raise SpoolError(f"{self.path} cannot be created: {error.strerror}.") from error
        self.max_bytes = max_bytes
        self._settings = Settings(
            self.path, about, max_bytes, max_age, clock, monotonic, disk or Disk()
        )
        self._holdings = Holdings(self._settings)
        self._children: dict[int, Holdings] = {}

    def __repr__(self) -> str:
        counters = self.counters
        return (
            f"<Spool {str(self.path)!r} {counters.entries_held} entries,"
            f" {counters.bytes_used} of {self.max_bytes} bytes>"
        )

    @property
    def counters(self) -> SpoolCounters:
        """A copy of all counters, taken at one moment."""
        mine = self._mine()
        with mine.lock:
            return replace(mine.shelf.counters)

    @property
    def last_error(self) -> str | None:
        """The latest trouble that was not raised, for people; None if there was none."""
        return self._mine().last_error

    @property
    def emptied_at_restart(self) -> bool:
        """Whether the directory seems to be one that a reboot empties, as `/tmp` is."""
        return paths.emptied_at_restart(self.path)

    def store(self, entries: Sequence[bytes]) -> None:
        """Puts entries on disk. On return they survive the death of this process.

        To stay under the size cap the oldest are dropped and counted. Entries
        that do not fit even then are counted as stored and dropped.

        Args:
            entries: JSON objects, each without a line break in its bytes and
                small enough for one request.

        Raises:
            SpoolWriteError: The disk said no, or the spool is closed. None of
                the entries was kept; they are still the caller's.
            ValueError: An entry that could not be read back as what it is.
        """
        if entries:
            self._write(lambda mine: mine.store(entries), entries)

    def keep(self, entries: Sequence[bytes]) -> SpooledChunk:
        """Puts entries on disk that are in the caller's hands, and stay there.

        For a request under way: should the process die now, the next one sends it.

        Args:
            entries: As for `store`; at most 100, and together small enough for one request.

        Returns:
            The chunk, to be settled or given back like one that was taken.

        Raises:
            SpoolWriteError: As for `store`, and when there is no room.
            ValueError: As for `store`.
        """
        chunk = self._write(lambda mine: mine.keep(list(entries)), entries)
        if chunk is None:
            raise SpoolWriteError(f"{self.path} is full of entries that are being sent.")
        return chunk

    def _write(self, write: Callable[[Holdings], _T], entries: Sequence[bytes]) -> _T:
        for entry in entries:
            if not entry or b"\n" in entry or len(entry) >= MAX_BODY_BYTES:
                raise ValueError(
                    "a spool's entry is one line of JSON that fits a request, not"
                    f" {len(entry)} bytes beginning {entry[:40]!r}"
                )
        mine = self._mine()
        with mine.lock:
            if mine.closed:
                raise SpoolWriteError("The spool is closed.")
            try:
                return write(mine)
            except SpoolError as error:
                raise SpoolWriteError(str(error)) from error
            except OSError as error:
                raise SpoolWriteError(
                    f"Entries could not be written to {self.path}: {error.strerror}."
                ) from error

    def take(self) -> SpooledChunk | None:
        """Takes the oldest entries that are not in hand yet.

        Returns:
            A chunk of 1 to 100 entries that fits one request, or None if there
            is none, or the disk cannot be read now (`last_error` says so).
        """
        mine = self._mine()
        with mine.lock:
            return mine.take()

    def done(self, chunk: SpooledChunk) -> None:
        """Deletes a chunk: all of it was delivered, or refused for good."""
        mine = self._mine()
        with mine.lock:
            mine.done(chunk)

    def give_back(self, chunk: SpooledChunk) -> None:
        """Lets a chunk be taken again, before all that is younger."""
        mine = self._mine()
        with mine.lock:
            mine.give_back(chunk)

    def replace(self, chunk: SpooledChunk, entries: Sequence[bytes]) -> SpooledChunk:
        """Settles a part of a chunk and keeps the rest.

        Args:
            chunk: A chunk in hand.
            entries: Those of its entries that are not settled yet.

        Returns:
            A chunk of `entries`, in hand in place of the other. Without any
            entries it is settled already.

        Raises:
            ValueError: More entries than the chunk has.
        """
        if len(entries) > chunk.count:
            raise ValueError(f"{len(entries)} entries cannot be left of {chunk.count}")
        if not entries:
            self.done(chunk)
            return SpooledChunk([], chunk.recovered)
        mine = self._mine()
        with mine.lock:
            return mine.replace(chunk, list(entries))

    def expire(self) -> int:
        """Drops what is older than `max_age`; returns how many entries."""
        mine = self._mine()
        with mine.lock:
            return mine.expire()

    def adopt(self) -> int:
        """Takes over what dead processes of this endpoint and service have left.

        To be called at the start and then every few seconds: it looks at the
        disk at most every 10 s. Two processes never get the same entries.

        Returns:
            How many entries; they are taken like all others, by age.
        """
        mine = self._mine()
        if not mine.adopting.acquire(blocking=False):
            return 0  # another thread is at it
        adopted = 0
        try:
            with mine.lock:
                if not mine.scan_due():
                    return 0
                own = None if mine.home is None else mine.home.directory
            for orphan in rescue.dead(self.path, own):
                try:
                    adopted += self._adopt(mine, orphan)
                finally:
                    orphan.leave()
            with mine.lock:
                mine.balance()
        except (OSError, SpoolError) as error:
            mine.last_error = f"looking for dead processes in {self.path}: {error}"
        finally:
            mine.adopting.release()
        return adopted

    def close(self) -> None:
        """Leaves all entries to the next process. Nothing can be stored or settled afterwards.

        Entries in hand count as not delivered: the next process sends them.
        """
        mine = self._mine()
        with mine.lock:
            if not mine.closed:
                mine.close()

    def _adopt(self, mine: Holdings, orphan: rescue.Orphan) -> int:
        if orphan.empty():
            return 0
        with mine.lock:
            if mine.closed:
                return 0
            home = mine.settle_in()
        # Without the lock: thousands of files may take a while, and nothing
        # that is stored meanwhile has to wait for it.
        found = orphan.move_to(home, self._settings.disk)
        with mine.lock:
            return mine.receive(home, found)

    def _mine(self) -> Holdings:
        """Returns this process' holdings: new ones in a forked child.

        By the process id, since at-fork hooks do not run where a library
        forks. The lock is new too: a thread of the parent may hold the old.
        """
        mine = self._holdings
        pid = os.getpid()
        if mine.pid == pid:
            return mine
        # setdefault is atomic: two threads of the child agree on one.
        child = self._children.setdefault(pid, Holdings(self._settings))
        if self._holdings is mine:
            self._holdings = child
            mine.forget()
        return child
