"""What was handed over and is not settled yet, in memory and, with a spool, on disk.

Two locks. `Memory.changed` guards the queue and the ledger; it is held for moments only,
never while a disk works. `Spilling.moving` is held, always before the other, by whoever
moves entries to, from or on the disk. `put` takes it only when the memory is full:
measured, a burst of 20,000 records during an outage lost 80 % in OpenTelemetry's queue of
2,048 while `export()` waited for files. What takes 50 µs in a quiet process takes 5 ms, a
switch interval, for each system call beside a thread that computes.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from logwell_otel.ledger import Holdings
from logwell_otel.memory import Memory
from logwell_otel.spilling import Spilling

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from logwell_otel.chunk import Chunk
    from logwell_otel.reserve import Reserve


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
