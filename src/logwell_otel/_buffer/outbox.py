"""What was handed over and is not settled yet, in memory and, with a spool, on disk.

Two locks. `Memory.changed` guards the queue and the ledger; it is held for moments only,
never while a disk works. `Spilling.moving` is held, always before the other, by whoever
moves entries to, from or on the disk. `put` takes it only when the memory is full:
measured, a burst of 20,000 records during an outage lost 80 % in OpenTelemetry's queue of
2,048 while `export()` waited for files. What takes 50 µs in a quiet process takes 5 ms, a
switch interval, for each system call beside a thread that computes.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Final

from logwell_otel._buffer.account import Flushes, Holdings, Ledger
from logwell_otel._wire import MAX_ENTRIES

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

    from logwell_otel._buffer.overflow import Reserve
    from logwell_otel._buffer.spool import SpoolCounters
    from logwell_otel._encoding.chunk import Chunk

UNACKNOWLEDGED_SECONDS: Final = 1.0
"""With a spool, what the server has not acknowledged for this long is on disk: the most
that a `kill -9` can cost."""


class Spilling:
    """Moves chunks to the disk and back. Without a reserve there is no disk: nothing moves.

    Calls that return what the spool counted leave it to the caller to `count` it, in the
    same breath in which the caller's own chunk changes its place.

    Args:
        memory: Where chunks come from.
        reserve: The place on disk, None for memory only.
        clock: Monotonic clock, in seconds.
    """

    def __init__(
        self,
        memory: Memory,
        reserve: Reserve | None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._memory = memory
        self._reserve = reserve
        self._clock = clock
        self.moving = threading.RLock()
        """Held, always before `Memory.changed`, by whoever moves entries to, from or on the
        disk: it may be held as long as a disk works."""
        self.trouble = False
        """True while nothing is accepted: what comes in goes to disk with the next look."""

    @property
    def waiting(self) -> bool:
        """True if there is something to take."""
        return self._reserve is not None and self._reserve.waiting

    @property
    def entries(self) -> int:
        """Entries on disk."""
        return 0 if self._reserve is None else self._reserve.entries

    @property
    def bytes(self) -> int:
        """Bytes on disk."""
        return 0 if self._reserve is None else self._reserve.bytes_held

    # To the disk.

    def spill(self) -> None:
        """Put everything on disk, and soon what comes in as well."""
        if self._reserve is None:
            return
        with self._memory.changed:
            self.trouble = True
            in_hand = self._memory.in_hand
        for chunk in in_hand:
            self.keep(chunk)
        while self.store_oldest():
            pass

    def spill_if_due(self, seconds: float) -> None:
        """Put everything on disk if there is trouble, or if anything has waited that long."""
        with self._memory.changed:
            oldest = self._memory.oldest
            waiting = [] if oldest is None else [oldest.entered]
            waiting += [c.entered for c in self._memory.in_hand if c.spooled is None]
            due = bool(waiting) and (self.trouble or self._clock() - min(waiting) >= seconds)
        if due:
            self.spill()

    def keep(self, chunk: Chunk) -> None:
        """Put a chunk in hand on disk as well."""
        reserve, memory = self._reserve, self._memory
        with self.moving:
            with memory.changed:
                if reserve is None or chunk.spooled is not None or not memory.has_in_hand(chunk):
                    return
            if (spooled := reserve.keep(chunk)) is None:
                return
            counted = reserve.look()
            with memory.changed:
                chunk.spooled = spooled
                memory.flushes.left(chunk.generation, chunk.count)
                self.count(counted)

    def store_oldest(self, *, only_if_over: bool = False) -> bool:
        """Move the oldest waiting chunk to disk; False if there is none, or the disk refuses."""
        reserve, memory = self._reserve, self._memory
        if reserve is None:
            return False
        with self.moving:
            with memory.changed:
                if memory.oldest is None or (only_if_over and not memory.is_over):
                    return False
                chunk = memory.popleft()
                memory.hand_out(chunk)  # held, while it is being written
            stored = reserve.store(chunk)
            counted = reserve.look()
            with memory.changed:
                memory.hand_in(chunk)
                if stored:
                    memory.flushes.left(chunk.generation, chunk.count)
                else:
                    memory.pushleft(chunk)
                self.count(counted)
            return stored

    # On the disk and back. The caller holds `moving`.

    def take(self) -> tuple[Chunk | None, SpoolCounters | None]:
        """The oldest chunk on disk that is not in hand."""
        reserve = self._reserve
        if reserve is None:
            return None, None
        chunk = reserve.take() if reserve.waiting else None
        return chunk, reserve.look()

    def give_back(self, chunk: Chunk) -> SpoolCounters | None:
        """A chunk in hand that is on disk waits there again."""
        if self._reserve is None:
            return None
        self._reserve.give_back(chunk)
        return self._reserve.look()

    def replace(self, chunk: Chunk, pieces: Iterable[Chunk]) -> SpoolCounters | None:
        """Have `pieces` on disk in the place of `chunk`, as far as the disk takes them."""
        if self._reserve is None:
            return None
        for piece in pieces:
            piece.spooled = self._reserve.keep(piece)
        return self.done(chunk)

    def done(self, chunk: Chunk) -> SpoolCounters | None:
        """A chunk that is on disk was settled."""
        if self._reserve is None:
            return None
        self._reserve.done(chunk)
        return self._reserve.look()

    # The account.

    def count(self, counted: SpoolCounters | None) -> None:
        """Bring the ledger up to date with what the spool did. Under `Memory.changed`."""
        reserve, flushes = self._reserve, self._memory.flushes
        if reserve is None or counted is None:
            return
        if reserve.count_into(self._memory.ledger, counted):
            flushes.lost(reserve.oldest_generation)
        flushes.on_disk = reserve.oldest_generation if reserve.own else None
        self._memory.changed.notify_all()

    def look_after(self) -> None:
        """Take over what dead processes left and drop what is too old."""
        reserve = self._reserve
        if reserve is None:
            return
        # Without a lock of ours: thousands of files of dead processes take their time.
        reserve.look_after()
        with self.moving:
            counted = reserve.look()
            with self._memory.changed:
                self.count(counted)

    # The end.

    def store_all(self) -> None:
        """The last chance: put everything on disk, however lately it said no."""
        if self._reserve is None:
            return
        self._reserve.ask_again()
        for chunk in self._memory.in_hand:
            self.keep(chunk)
        while self.store_oldest():
            pass

    def close(self) -> None:
        """Leave what is on disk to the next process."""
        if self._reserve is not None:
            self._reserve.close()


class Outbox:
    """Bounded queue of chunks, and the chunks that delivery has in hand.

    Args:
        max_bytes: Memory that chunks may take, those in hand included. Beyond it the
            oldest waiting chunk goes to disk, or is dropped.
        reserve: The place on disk, None for memory only.
        clock: Monotonic clock, in seconds.
    """

    def __init__(
        self,
        max_bytes: int,
        reserve: Reserve | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._memory = Memory(max_bytes)
        self._disk = Spilling(self._memory, reserve, clock=clock)
        self._changed = self._memory.changed
        self._moving = self._disk.moving
        self._disk_is_next = True
        self._closed = False
        self._given_up = False

    # What comes in.

    def room(self) -> int:
        """Entries that the last waiting chunk still takes."""
        with self._changed:
            return self._memory.room()

    def put(
        self,
        chunks: Iterable[Chunk],
        left_out: Mapping[str, int] | None = None,
        *,
        although_closed: bool = False,
    ) -> int:
        """Take `chunks`; small ones join the last waiting chunk.

        Waits for no disk, unless the memory is full.

        Args:
            chunks: Oldest first.
            left_out: Records that became no entry, by reason.
            although_closed: Take them while what is held is still being delivered.

        Returns:
            How many entries were dropped to make room. Those that come after `close` are
            counted and not among them.
        """
        memory = self._memory
        with self._changed:
            for reason, count in (left_out or {}).items():
                memory.ledger.handed_over += count
                memory.ledger.dropped[reason] += count
            for chunk in chunks:
                memory.ledger.handed_over += chunk.count
                if self._given_up or (self._closed and not although_closed):
                    memory.ledger.dropped["shutdown"] += chunk.count
                    memory.flushes.lost(memory.flushes.generation)
                    continue
                chunk.generation = memory.flushes.generation
                chunk.entered = self._clock()
                memory.append(chunk)
            if not memory.is_over:
                return 0
        return self._make_room()

    def _make_room(self) -> int:
        while self._disk.store_oldest(only_if_over=True):
            pass
        lost = 0
        with self._changed:
            while self._memory.oldest is not None and self._memory.is_over:
                chunk = self._memory.popleft()
                lost += chunk.count
                self._memory.account(chunk, dropped="queue_overflow")
        return lost

    # The disk.

    def spill(self) -> None:
        """Nothing is being delivered: put everything on disk, and soon what comes in as well."""
        self._disk.spill()

    def spill_if_due(self, seconds: float) -> None:
        """Put everything on disk if there is trouble, or if anything has waited that long."""
        self._disk.spill_if_due(seconds)

    def look_after_disk(self) -> None:
        """Take over what dead processes left and drop what is too old."""
        self._disk.look_after()

    # What goes out.

    @property
    def in_memory(self) -> bool:
        """True if anything is held that is not on disk."""
        with self._changed:
            return any(True for _ in self._memory)

    @property
    def waiting(self) -> bool:
        """True if there is something to take."""
        return self._memory.oldest is not None or self._disk.waiting

    def take(self) -> Chunk | None:
        """The oldest waiting chunk, in hand from now on; None when none is waiting.

        With chunks waiting in memory and on disk it is one of each in turn: what an
        outage left behind does not hold up what is logged now.
        """
        memory = self._memory
        with self._moving:
            chunk, counted = None, None
            if self._disk_is_next or memory.oldest is None:
                chunk, counted = self._disk.take()
            with self._changed:
                self._disk.count(counted)
                self._disk_is_next = chunk is None
                if chunk is None and memory.oldest is not None:
                    chunk = memory.popleft()
                if chunk is not None:
                    memory.hand_out(chunk)
                return chunk

    def has_in_hand(self, chunk: Chunk) -> bool:
        """True from taking a chunk to settling it or putting it back."""
        with self._changed:
            return self._memory.has_in_hand(chunk)

    def put_back(self, chunks: Iterable[Chunk]) -> None:
        """Chunks in hand go back to the front, in their order."""
        for chunk in reversed(list(chunks)):
            with self._moving:
                with self._changed:
                    if not self._memory.hand_in(chunk):
                        continue  # given up in a shutdown meanwhile, and counted there
                    if chunk.spooled is None:
                        self._memory.pushleft(chunk)
                        continue
                counted = self._disk.give_back(chunk)
                with self._changed:
                    self._disk.count(counted)

    def split(self, chunk: Chunk, pieces: Iterable[Chunk]) -> bool:
        """Have `pieces` in hand in the place of `chunk`; False if it was given up."""
        pieces, counted = list(pieces), None
        with self._moving:
            if not self.has_in_hand(chunk):
                return False
            for piece in pieces:
                piece.generation, piece.entered = chunk.generation, chunk.entered
            if on_disk := chunk.spooled is not None:
                counted = self._disk.replace(chunk, pieces)
            with self._changed:
                self._memory.hand_in(chunk)
                for piece in pieces:
                    self._memory.hand_out(piece)
                    if on_disk and piece.spooled is None:
                        # In memory then: it is held, if not as safely.
                        self._memory.flushes.entered(piece.generation, piece.count)
                self._disk.count(counted)
            return True

    def settle(
        self, chunk: Chunk, *, accepted: int = 0, refused: int = 0, dropped: str | None = None
    ) -> bool:
        """A chunk in hand is done with.

        Args:
            chunk: The chunk.
            accepted: Entries stored.
            refused: Entries the server refused for good.
            dropped: Reason why all of it was dropped, instead.

        Returns:
            False if it had been given up in a shutdown and counted there.
        """
        with self._moving:
            if not self.has_in_hand(chunk):
                return False
            on_disk = chunk.spooled is not None
            counted = self._disk.done(chunk) if on_disk else None
            with self._changed:
                self._memory.hand_in(chunk)
                if accepted:
                    self._disk.trouble = False
                self._memory.account(
                    chunk, accepted=accepted, refused=refused, dropped=dropped, on_disk=on_disk
                )
                self._disk.count(counted)
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
            self._changed.wait_for(lambda: self._given_up or flushes.is_settled(mark), timeout)
            return flushes.is_settled(mark) and not flushes.take_losses(mark)

    # The end.

    def close(self) -> None:
        """Take nothing any more."""
        with self._changed:
            self._closed = True

    def give_up(self, reason: str) -> tuple[int, int]:
        """Leave what is held to the spool, or drop it.

        Returns:
            Entries dropped, and entries that lie on disk for the next process; nothing of
            either the second time.
        """
        with self._moving:
            if self._given_up:
                return 0, 0
            self._given_up = True
            self._disk.store_all()
            lost = 0
            with self._changed:
                for chunk in self._memory:
                    if chunk.spooled is None:
                        lost += chunk.count
                        self._memory.account(chunk, dropped=reason)
                self._memory.clear()
                self._changed.notify_all()
            left = self._disk.entries
            self._disk.close()
            return lost, left

    # What there is.

    def holdings(self) -> Holdings:
        """The ledger and what is held, all of one moment."""
        memory, disk = self._memory, self._disk
        with self._changed:
            return Holdings(
                memory.ledger.copy(), memory.entries, memory.bytes, disk.entries, disk.bytes
            )

    def dropped(self, reasons: Collection[str]) -> dict[str, int]:
        """Entries dropped so far for any of `reasons`."""
        with self._changed:
            dropped = self._memory.ledger.dropped
            return {why: count for why, count in dropped.items() if why in reasons and count}

    def __repr__(self) -> str:
        held = self.holdings()
        return (
            f"<Outbox {held.entries} entries held, {held.bytes_in_memory} bytes in memory, "
            f"{held.ledger.accepted} accepted>"
        )


# What an outbox holds in memory: chunks that wait, chunks in hand, and the account of all.


class Memory:
    """A bounded queue and what was taken from it. Everything here is called under `changed`.

    Args:
        max_bytes: Bytes that chunks may take, those in hand included.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._queue: deque[Chunk] = deque()
        self._queued_bytes = 0
        self._in_hand: dict[Chunk, int] = {}
        self.changed = threading.Condition()
        """Guards all of this, so that the ledger's sum holds at any moment; notified when
        something is settled. Held for moments only, never while a disk works."""
        self.ledger = Ledger()
        self.flushes = Flushes()

    def __iter__(self) -> Iterator[Chunk]:
        yield from self._in_hand
        yield from self._queue

    @property
    def oldest(self) -> Chunk | None:
        """The chunk that has waited longest."""
        return self._queue[0] if self._queue else None

    @property
    def is_over(self) -> bool:
        """True if there is more than may be."""
        return self.bytes > self._max_bytes

    @property
    def bytes(self) -> int:
        """Bytes that all chunks take."""
        return self._queued_bytes + sum(self._in_hand.values())

    @property
    def entries(self) -> int:
        """Entries that are nowhere else."""
        in_hand = sum(chunk.count for chunk in self._in_hand if chunk.spooled is None)
        return sum(chunk.count for chunk in self._queue) + in_hand

    # The queue.

    def room(self) -> int:
        """Entries that the last waiting chunk still takes."""
        tail = self._queue[-1] if self._queue else None
        if tail is None or tail.generation != self.flushes.generation:
            return 0
        return MAX_ENTRIES - tail.count

    def append(self, chunk: Chunk) -> None:
        """A new chunk; a small one joins the last that waits."""
        self.flushes.entered(chunk.generation, chunk.count)
        tail = self._queue[-1] if self._queue else None
        if tail is not None and tail.takes(chunk):
            self._queued_bytes -= tail.memory
            tail.join(chunk)
            self._queued_bytes += tail.memory
        else:
            self._queue.append(chunk)
            self._queued_bytes += chunk.memory

    def popleft(self) -> Chunk:
        """The oldest waiting chunk, waiting no longer."""
        chunk = self._queue.popleft()
        self._queued_bytes -= chunk.memory
        return chunk

    def pushleft(self, chunk: Chunk) -> None:
        """A chunk waits again, before all others."""
        self._queue.appendleft(chunk)
        self._queued_bytes += chunk.memory

    # In hand.

    @property
    def in_hand(self) -> list[Chunk]:
        """The chunks that delivery is at work with."""
        return list(self._in_hand)

    def has_in_hand(self, chunk: Chunk) -> bool:
        """True between `hand_out` and `hand_in`."""
        return chunk in self._in_hand

    def hand_out(self, chunk: Chunk) -> None:
        """`chunk` is in hand from now on."""
        self._in_hand[chunk] = chunk.memory

    def hand_in(self, chunk: Chunk) -> bool:
        """`chunk` is in hand no longer; False if it was not."""
        return self._in_hand.pop(chunk, None) is not None

    def clear(self) -> None:
        """Nothing is held here any more."""
        self._in_hand.clear()
        self._queue.clear()
        self._queued_bytes = 0

    # The account.

    def account(
        self,
        chunk: Chunk,
        *,
        accepted: int = 0,
        refused: int = 0,
        dropped: str | None = None,
        on_disk: bool = False,
    ) -> None:
        """What became of a chunk that is held no longer; see `Outbox.settle`."""
        self.ledger.accepted += accepted
        self.ledger.refused += refused
        if dropped is not None:
            self.ledger.dropped[dropped] += chunk.count
            self.flushes.lost(chunk.generation)
        if not on_disk:
            self.flushes.left(chunk.generation, chunk.count)
        self.changed.notify_all()
