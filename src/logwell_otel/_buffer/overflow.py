"""The way of chunks between an outbox's memory and its spool."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from logwell_otel._clock import monotonic
from logwell_otel._diagnostics import entries, was
from logwell_otel._storage import StorageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from logwell_otel._buffer.account import Memory
    from logwell_otel._buffer.spool import Spool
    from logwell_otel._diagnostics import Notices
    from logwell_otel._encoding.chunk import Chunk, Rows, StoredRow

_RETRY_SECONDS: Final = 10.0
"""Seconds before a disk that said no is asked again."""

_BATCH_BYTES: Final = 4 * 1024 * 1024
"""Stored in one transaction at most: a few milliseconds, after which others get their turn."""


class Overflow:
    """Moves chunks to the spool and back, and follows what the spool drops.

    Two locks. `Memory.changed` guards the queue, what is in flight and the account; it is
    held for moments only, never while a disk works. `Spool.lock` is held, always before the
    other, by whoever touches the disk: the sender and the flusher, nobody else. Measured, a
    burst of 20,000 records during an outage lost 80 % in OpenTelemetry's queue of 2,048
    while `export()` waited for files. What takes 50 µs in a quiet process takes 5 ms, a
    switch interval, for each system call beside a thread that computes.

    Args:
        memory: Where chunks come from.
        spool: Where they go.
        notices: Told when the disk refuses, and when it takes entries again.
        clock: Monotonic clock, in seconds.
    """

    def __init__(
        self,
        memory: Memory,
        spool: Spool,
        *,
        notices: Notices,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._memory = memory
        self._spool = spool
        self._notices = notices
        self._clock = clock
        self._refused_at: float | None = None
        self.lost: Callable[[str, int], object] = lambda *_: None
        """Called with the reason when entries on disk are dropped, and with how many."""
        self.trouble = False
        """True while nothing is accepted: what comes in goes to disk with the next look."""

    @property
    def lock(self) -> AbstractContextManager[object]:
        """The one of the disk."""
        return self._spool.lock

    @property
    def waiting(self) -> bool:
        """True if there is something to take."""
        return self._memory.waiting_on_disk > 0

    @property
    def refuses(self) -> bool:
        """True while the disk is not asked again after it said no."""
        return self._refused_at is not None and self._clock() - self._refused_at < _RETRY_SECONDS

    # To the disk.

    def spill(self) -> bool:
        """Put everything on disk, what is in flight as well; False if the disk refuses."""
        with self.lock:
            while not self.refuses:
                with self._memory.changed:
                    batch, moved = self._memory.begin_store(_BATCH_BYTES)
                if not batch:
                    return True
                try:
                    self._store(batch)
                finally:  # whatever was raised, nothing stays between the two
                    with self._memory.changed:
                        self._memory.end_store(moved)
            return False

    def _store(self, batch: Sequence[Chunk]) -> None:
        memory = self._memory
        try:
            rows = self._spool.store(batch, memory.rows_in_flight())
        except StorageError as error:
            self.apply()
            self._refused(error)
            return
        with memory.changed:
            self.apply()  # first: a database that was lost is not the one that these are in
            for chunk, row in zip(batch, rows, strict=True):
                # Not if it was given up meanwhile, and counted there.
                if memory.in_flight(chunk):
                    memory.is_on_disk(chunk, row)
        if self._refused_at is not None:
            self._refused_at = None
            self._notices.say("The spool takes entries again.")

    def _refused(self, error: StorageError) -> None:
        if self._refused_at is None:
            self._notices.say(f"{error} Entries are held in memory instead.")
        self._refused_at = self._clock()

    def spill_if_due(self, seconds: float) -> None:
        """Put everything on disk if there is trouble, or if anything has waited that long."""
        with self._memory.changed:
            since = self._memory.in_memory_since
            due = since is not None and (
                self.trouble or self._memory.is_over or self._clock() - since >= seconds
            )
        if due:
            self.spill()

    def spill_in_trouble(self) -> None:
        """Nothing is being delivered: put everything on disk, and soon what comes in as well."""
        self.trouble = True
        self.spill()

    # On the disk and back. The caller holds `lock`.

    def take(self, newest: bool = False) -> Chunk | None:
        """The oldest or newest chunk on disk not in flight, counted there until it is settled."""
        chunk: Chunk | None = None
        with self._contained():
            if self.waiting and (chunk := self._next(newest)) is None:
                self._find_missing()
                # The look at what is missing may have claimed rows of a dead process.
                chunk = self._next(newest)
        self.apply()
        if chunk is not None:
            chunk.entered = self._clock()
        return chunk

    def _next(self, newest: bool) -> Chunk | None:
        memory = self._memory
        return self._spool.take(memory.rows_in_flight(), memory.flushes.of, newest=newest)

    def _find_missing(self) -> None:
        """Nothing was found although there should be something: somebody deleted rows."""
        self._spool.look()
        self.apply()
        # What is in flight is looked for by nobody: its row may be gone, and it be accepted.
        there = self._spool.entries(self._memory.rows_in_flight())
        with self._memory.changed:
            missing = self._memory.waiting_on_disk - there
            count = self._memory.drop_on_disk("spool_gone", missing)
        self.lost("spool_gone", count)

    def read(self, chunk: Chunk) -> list[StoredRow] | None:
        """What there is of an unloaded chunk; None: it cannot be read now."""
        assert chunk.rows is not None  # noqa: S101 - or it were not unloaded
        found: list[StoredRow] | None = None
        with self._contained():
            found = self._spool.read(chunk.rows)
        self.apply()
        return found

    def replace(self, chunk: Chunk, pieces: Sequence[Chunk]) -> list[Rows]:
        """Have `pieces` on disk in the place of `chunk`; nothing if the disk refuses."""
        assert chunk.rows is not None  # noqa: S101 - asked for only with some
        try:
            in_flight = self._memory.rows_in_flight()
            return self._spool.store(pieces, in_flight, instead_of=chunk.rows)
        except StorageError as error:
            self._refused(error)
            self.delete(chunk)
            return []

    def delete(self, chunk: Chunk) -> None:
        """A chunk on disk was settled; it is counted there no more."""
        assert chunk.rows is not None  # noqa: S101 - asked for only with some
        with self._contained():
            self._spool.delete(chunk.rows)

    def bury(self, chunk: Chunk, letter: Chunk, reason: str) -> None:
        """A chunk was given up; `letter`, all of it or a part, is kept as a dead letter."""
        try:
            self._spool.bury(letter, reason, chunk.rows)
        except StorageError as error:
            self._notices.say(
                f"{error} {entries(letter.count)} given up ({reason}) {was(letter.count)} not "
                "kept as a dead letter.",
                about="dead letters",
            )

    def look_after(self) -> None:
        """Take over what dead processes left and drop what is too old."""
        more = True
        while more:
            more = False
            with self.lock:
                with self._contained():
                    more = self._spool.look()
                self.apply()

    @contextmanager
    def _contained(self) -> Iterator[None]:
        """What the disk refuses is said."""
        try:
            yield
        except StorageError as error:
            self._notices.say(
                f"{error} What lies there is left alone, and tried again.",
                about="spool unreadable",
            )

    # What the spool did of its own.

    def apply(self) -> None:
        """Bring the account up to date with what the spool says it did."""
        changes = self._spool.changes()
        if not changes:
            return
        lost: dict[str, int] = {}
        with self._memory.changed:
            for change in changes:
                if change.reason == "recovered":
                    self._memory.recovered(change)
                elif change.entries:
                    count = self._memory.lost_on_disk(change)
                    lost[change.reason] = lost.get(change.reason, 0) + count
        for reason, count in lost.items():
            self.lost(reason, count)
        for change in changes:
            if change.text is not None:
                self._notices.say(change.text, about=f"spool {change.reason}")

    # The end.

    def reopen(self) -> None:
        """Take chunks again, until the next `store_all`."""
        with self.lock:
            self._spool.reopen()

    def store_all(self) -> None:
        """The last chance: put everything on disk, however lately it said no; then let go."""
        with self.lock:
            if self._refused_at is not None:
                self._refused_at = float("-inf")
            self.spill()
            self._spool.close()
