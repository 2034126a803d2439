"""What was handed over and is not settled yet, in memory and, with a spool, on disk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from logwell_otel._buffer.account import Holdings, Memory
from logwell_otel._clock import monotonic

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from logwell_otel._buffer.overflow import Overflow
    from logwell_otel._buffer.spool import Spool
    from logwell_otel._diagnostics import Notices
    from logwell_otel._encoding.chunk import Chunk

UNACKNOWLEDGED_SECONDS: Final = 0.5
"""With a spool, what was handed over so long ago is on disk, if the server has not
acknowledged it."""

QUEUED_SECONDS: Final = 0.5
"""What a processor may take before that, so that a `kill -9` costs a second at most."""

INTENDED: Final = frozenset({"level", "sampled", "before_send"})
"""Reasons for which settings and the application's own code leave a record out: no loss."""

_LONGEST_WAIT: Final = 5.0
"""Seconds that a full memory waits for a disk that hangs; then it drops the oldest."""


class Outbox:
    """Bounded queue of chunks, and the chunks that are in flight.

    Args:
        max_bytes: Memory that chunks may take, those in flight included. Beyond it the
            oldest waiting chunk goes to disk, or is dropped.
        spool: The place on disk, None for memory only.
        notices: Told of the disk's troubles; needed with a spool.
        clock: Monotonic clock, in seconds.
    """

    def __init__(
        self,
        max_bytes: int,
        spool: Spool | None = None,
        *,
        notices: Notices | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._clock = clock
        self._memory = Memory(max_bytes)
        self._changed = self._memory.changed
        self._overflow: Overflow | None = None
        if spool is not None:
            from logwell_otel._buffer.overflow import Overflow  # noqa: PLC0415 - only with a spool

            assert notices is not None  # noqa: S101 - see above
            self._overflow = Overflow(self._memory, spool, notices=notices, clock=clock)
        self.hurry: Callable[[], bool] = lambda: False
        """Has the flusher look at once; False where there is none."""
        self._disk_is_next = True
        self._hangs = False
        self._closed = False
        self._leaving = False
        self._left = False
        self._given_up = False

    def tell_of_losses(self, lost: Callable[[str, int], object]) -> None:
        """Have `lost` called when the spool drops entries: with the reason, and how many."""
        if self._overflow is not None:
            self._overflow.lost = lost

    @property
    def keeps_dead_letters(self) -> bool:
        """True with a spool, in which `settle` keeps what it is given as a dead letter."""
        return self._overflow is not None

    # What comes in.

    def room(self) -> int:
        """Entries that the last waiting chunk still takes."""
        with self._changed:
            return self._memory.room()

    def put(
        self,
        chunks: list[Chunk],
        left_out: dict[str, int] | None = None,
        *,
        although_closed: bool = False,
    ) -> int:
        """Take `chunks`; small ones join the last waiting chunk.

        Waits for no disk, unless the memory is full. Both collections are emptied as they
        are counted: after an interruption, such as an exit in a signal handler, another
        call takes what is left in them.

        Args:
            chunks: Oldest first.
            left_out: Records that became no entry, by reason; a flush reports those that
                nobody wanted to lose.
            although_closed: Take them while what is held is still being delivered, and
                although the memory is full.

        Returns:
            How many entries were dropped to make room. Those that come after `close` are
            counted and not among them.
        """
        memory = self._memory
        with self._changed:
            while left_out:
                reason, count = left_out.popitem()
                memory.counters.handed_over += count
                memory.counters.dropped[reason] += count
                if reason not in INTENDED:
                    memory.flushes.lost(memory.flushes.generation)
            while chunks:
                chunk = chunks.pop(0)
                memory.counters.handed_over += chunk.count
                if self._given_up or (self._closed and not although_closed):
                    memory.counters.dropped["shutdown"] += chunk.count
                    memory.flushes.lost(memory.flushes.generation)
                    continue
                chunk.generation = memory.flushes.generation
                chunk.entered = self._clock()
                memory.append(chunk)
            if not memory.is_over or although_closed:
                return 0
        return self._make_room()

    def lost(self, count: int, reason: str) -> None:
        """Count records that never came here, which a flush is to know of."""
        memory = self._memory
        with self._changed:
            memory.counters.handed_over += count
            memory.counters.dropped[reason] += count
            memory.flushes.lost(memory.flushes.generation)

    def _make_room(self) -> int:
        overflow, memory = self._overflow, self._memory
        if overflow is not None:
            if not self.hurry():
                overflow.spill()
            with self._changed:
                # Once for each time that the disk hangs, or it would be once for each export.
                # What is in flight takes memory although it is on disk: nothing can go there.
                if not self._hangs:
                    self._hangs = not self._changed.wait_for(
                        lambda: (
                            not memory.is_over
                            or memory.in_memory_since is None
                            or overflow.refuses
                            or self._given_up
                        ),
                        _LONGEST_WAIT,
                    )
        lost = 0
        with self._changed:
            while memory.is_over and (chunk := memory.popleft()) is not None:
                lost += chunk.count
                memory.account(chunk, dropped="queue_overflow")
        return lost

    # The disk. Called by the sender and by the flusher, or where there are no threads.

    def spill(self) -> None:
        """Nothing is being delivered: put everything on disk, and soon what comes in as well."""
        if self._overflow is not None:
            self._overflow.spill_in_trouble()

    def spill_if_due(self, seconds: float) -> None:
        """Put everything on disk if there is trouble, or if anything has waited that long."""
        if self._overflow is None:
            return
        if self._leaving:
            self._leave(self._overflow)
            return
        self._overflow.spill_if_due(seconds)
        self._hangs = False

    def look_after_disk(self) -> None:
        """Take over what dead processes left and drop what is too old."""
        if self._overflow is not None and not self._leaving:
            self._overflow.look_after()

    # What goes out.

    @property
    def bytes_in_memory(self) -> int:
        """Bytes that everything held takes, on disk excepted."""
        with self._changed:
            return self._memory.bytes

    @property
    def in_memory(self) -> bool:
        """True if anything is held that is not on disk."""
        with self._changed:
            return self._memory.in_memory_since is not None

    @property
    def waiting(self) -> bool:
        """True if there is something to take."""
        if self._memory.queued:
            return True
        return self._overflow is not None and not self._given_up and self._overflow.waiting

    def take(self, *, newest: bool = False) -> Chunk | None:
        """The oldest waiting chunk, in flight from now on; None when none is waiting.

        With chunks waiting in memory and on disk it is one of each in turn: what an
        outage left behind does not hold up what is logged now.

        Args:
            newest: The newest one instead.
        """
        if self._overflow is None:
            return self._take(None, newest)
        with self._overflow.lock:
            chunk = None
            disk_is_next = self._disk_is_next and not newest
            if (disk_is_next or not self._memory.queued) and not self._given_up:
                chunk = self._overflow.take(newest)
            self._disk_is_next = chunk is None
            return self._take(chunk, newest)

    def _take(self, chunk: Chunk | None, newest: bool) -> Chunk | None:
        with self._changed:
            chunk = chunk or (self._memory.pop() if newest else self._memory.take())
            if chunk is not None:
                self._memory.begin_flight(chunk)
            return chunk

    def in_flight(self, chunk: Chunk) -> bool:
        """True from taking a chunk to settling it or putting it back."""
        with self._changed:
            return self._memory.in_flight(chunk)

    def put_back(self, chunks: Iterable[Chunk]) -> None:
        """Chunks in flight go back to the front, in their order."""
        if self._overflow is None:
            self._put_back(chunks)
            return
        with self._overflow.lock:  # none is just being written: its row would be taken as well
            self._put_back(chunks)

    def _put_back(self, chunks: Iterable[Chunk]) -> None:
        for chunk in reversed(list(chunks)):
            if self._memory.lost_in_flight(chunk) and self.load(chunk):
                self._to_memory(chunk)
            with self._changed:
                # If not, it was given up in a shutdown meanwhile, and counted there.
                if self._memory.end_flight(chunk):
                    self._memory.await_again(chunk)
                    if chunk.rows is None:
                        self._memory.pushleft(chunk)

    def _to_memory(self, chunk: Chunk) -> None:
        """Part of the chunk was dropped from the disk while it was in flight: all is here still."""
        assert self._overflow is not None  # noqa: S101 - or there were no rows
        with self._overflow.lock:
            self._overflow.delete(chunk)
            with self._changed:
                self._memory.is_in_memory(chunk)

    def set_aside(self, chunk: Chunk) -> None:
        """A chunk in flight may be held for hours: no flush waits for it, the next says False."""
        with self._changed:
            if self._memory.in_flight(chunk):
                self._memory.set_aside(chunk)

    def unload(self, chunk: Chunk) -> bool:
        """Have the entries of a chunk in flight on disk only; False if they are not there."""
        if self._overflow is None:
            return False
        with self._overflow.lock, self._changed:
            return self._memory.unload(chunk)

    def load(self, chunk: Chunk) -> bool:
        """Have them in memory again, or what is left of them; False if that is impossible.

        Then the chunk is still in flight where the disk cannot be read just now, and is not
        where nothing is left.
        """
        if not chunk.is_unloaded:
            return True
        assert self._overflow is not None  # noqa: S101 - or it were loaded
        with self._overflow.lock:
            found = self._overflow.read(chunk)
            with self._changed:
                return found is not None and self._memory.load(chunk, found)

    def join(self, chunk: Chunk, other: Chunk) -> bool:
        """Have `other`, in flight as well, travel with `chunk`; False if they do not fit."""
        if self._overflow is None:
            return self._join(chunk, other)
        with self._overflow.lock:  # neither is just being written
            return self._join(chunk, other)

    def _join(self, chunk: Chunk, other: Chunk) -> bool:
        with self._changed:
            return self._memory.join(chunk, other)

    def split(self, chunk: Chunk, pieces: Iterable[Chunk]) -> bool:
        """Have `pieces` in flight in the place of `chunk`; False if it was given up."""
        pieces = list(pieces)
        if self._overflow is None:
            return self._split(chunk, pieces)
        with self._overflow.lock:
            return self._split(chunk, pieces)

    def _split(self, chunk: Chunk, pieces: list[Chunk]) -> bool:
        if not self.in_flight(chunk):
            return False
        for piece in pieces:
            piece.generation, piece.entered = chunk.generation, chunk.entered
            piece.unawaited = chunk.unawaited
        stored = self._overflow.replace(chunk, pieces) if self._overflow and chunk.rows else []
        with self._changed:
            if self._overflow is not None:
                self._overflow.apply()  # first: that may be a database that is no more
            if not self._memory.end_flight(chunk):
                return False
            if chunk.rows is not None:
                self._memory.is_in_memory(chunk)
            for number, piece in enumerate(pieces):
                self._memory.begin_flight(piece)
                if stored:
                    self._memory.is_on_disk(piece, stored[number])
            return True

    def settle(
        self,
        chunk: Chunk,
        *,
        accepted: int = 0,
        refused: int = 0,
        dropped: str | None = None,
        dead_letter: Chunk | None = None,
    ) -> bool:
        """A chunk in flight is done with.

        Args:
            chunk: The chunk.
            accepted: Entries stored.
            refused: Entries the server refused for good.
            dropped: Reason why all of it was dropped, instead.
            dead_letter: What of it is kept in the spool for a person to look at, if there is
                a spool: the chunk itself, or one of some of its entries. They count as refused
                or dropped all the same, and are kept under that reason.

        Returns:
            False if it had been given up in a shutdown and counted there.
        """
        if self._overflow is None:
            return self._settle(chunk, accepted, refused, dropped)
        with self._overflow.lock:
            if self.in_flight(chunk):
                if dead_letter is not None:
                    self._overflow.bury(chunk, dead_letter, dropped or "refused")
                elif chunk.rows is not None:
                    self._overflow.delete(chunk)
            if accepted:
                self._overflow.trouble = False
            return self._settle(chunk, accepted, refused, dropped)

    def _settle(self, chunk: Chunk, accepted: int, refused: int, dropped: str | None) -> bool:
        with self._changed:
            if not self._memory.end_flight(chunk):
                return False
            self._memory.account(chunk, accepted=accepted, refused=refused, dropped=dropped)
            if self._overflow is not None:
                self._overflow.apply()
            return True

    # Waiting for it to be empty.

    def mark(self) -> int:
        """A flush begins: later entries join no chunk that it waits for. Returns its mark."""
        with self._changed:
            return self._memory.flushes.mark()

    def is_settled(self, mark: int) -> bool:
        """True if nothing that was handed over before `mark` is held."""
        with self._changed:
            return self._memory.flushes.is_settled(mark)

    def wait_settled(self, mark: int, timeout: float) -> bool:
        """Wait until nothing that was handed over before `mark` is held.

        Returns:
            True if that is so within `timeout` seconds and nothing of it was dropped; False
            at once when it was left to the spool.
        """
        flushes = self._memory.flushes
        with self._changed:
            try:
                self._changed.wait_for(lambda: self._given_up or flushes.is_settled(mark), timeout)
            finally:
                stored = flushes.ended(mark)
            return stored

    # The end.

    def close(self) -> None:
        """Take nothing any more."""
        with self._changed:
            self._closed = True

    def reopen(self) -> None:
        """Take something all the same after `close` and `give_up`, until the next `give_up`."""
        if self._overflow is not None:
            self._overflow.reopen()
        with self._changed:
            self._closed = self._given_up = self._leaving = self._left = False

    def give_up(self, reason: str, *, patience: float | None = None) -> tuple[int, int]:
        """Leave what is held to the spool, or drop it.

        Args:
            reason: What dropped entries are counted under.
            patience: Seconds that the flusher gets to put everything on disk: for threads
                that must not wait for a disk that hangs. None: it is done on this thread.

        Returns:
            Entries dropped, and entries that lie on disk for the next process; nothing of
            either the second time.
        """
        self._leaving = True
        if self._overflow is not None and not self._left:
            if patience is not None and self.hurry():
                with self._changed:
                    self._changed.wait_for(lambda: self._left, patience)
            else:
                self._leave(self._overflow)
        memory, lost = self._memory, 0
        with self._changed:
            if self._given_up:
                return 0, 0
            self._given_up = True
            for chunk in memory:
                if chunk.rows is None:
                    lost += chunk.count
                    memory.account(chunk, dropped=reason)
            memory.clear()
            self._changed.notify_all()
            return lost, memory.on_disk.entries

    @property
    def is_given_up(self) -> bool:
        """True once nothing is held here any more, for good."""
        return self._given_up

    def _leave(self, overflow: Overflow) -> None:
        with self._changed:
            lost = [chunk for chunk in self._memory if self._memory.lost_in_flight(chunk)]
        for chunk in filter(self.load, lost):
            self._to_memory(chunk)  # which is where it still is, to be stored anew
        overflow.store_all()
        with self._changed:
            self._left = True
            self._changed.notify_all()

    # What there is.

    def holdings(self) -> Holdings:
        """The counters and what is held, all of one moment."""
        memory = self._memory
        with self._changed:
            on_disk = memory.on_disk
            return Holdings(
                memory.counters.copy(), memory.entries, memory.bytes, on_disk.entries, on_disk.bytes
            )

    def dropped(self, reasons: Collection[str]) -> dict[str, int]:
        """Entries dropped so far for any of `reasons`."""
        with self._changed:
            dropped = self._memory.counters.dropped
            return {why: count for why, count in dropped.items() if why in reasons and count}

    def __repr__(self) -> str:
        held = self.holdings()
        return (
            f"<Outbox {held.entries} entries held, {held.bytes_in_memory} bytes in memory, "
            f"{held.counters.accepted} accepted>"
        )
