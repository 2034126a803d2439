"""What was handed over and is not settled yet, in memory and, with a spool, on disk.

Two locks. `_changed` guards the queue and the ledger, so that the ledger's sum holds at any
moment; it is held for moments only, never while a disk works. `_moving` is held, always
before the other, by whoever moves entries to, from or on the disk. `put` takes it only when
the memory is full: measured, a burst of 20,000 records during an outage lost 80 % in
OpenTelemetry's queue of 2,048 while `export()` waited for files. What takes 50 µs in a quiet
process takes 5 ms, a switch interval, for each system call beside a thread that computes.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

from logwell_otel.flushes import Flushes
from logwell_otel.ledger import Ledger
from logwell_otel.wire import MAX_ENTRIES

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from logwell_otel.chunk import Chunk
    from logwell_otel.reserve import Reserve
    from logwell_otel.spool import SpoolCounters

UNACKNOWLEDGED_SECONDS: Final = 1.0
"""With a spool, what the server has not acknowledged for this long is on disk: the most
that a `kill -9` can cost."""


class Holdings(NamedTuple):
    """What an outbox holds at one moment."""

    ledger: Ledger
    entries_in_memory: int
    bytes_in_memory: int
    entries_on_disk: int
    bytes_on_disk: int

    @property
    def entries(self) -> int:
        """All of them."""
        return self.entries_in_memory + self.entries_on_disk


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
        self._max_bytes = max_bytes
        self._reserve = reserve
        self._clock = clock
        self._moving = threading.RLock()
        self._changed = threading.Condition()
        self._queue: deque[Chunk] = deque()
        self._queued_bytes = 0
        self._in_hand: dict[Chunk, int] = {}
        self._ledger = Ledger()
        self._flushes = Flushes()
        self._closed = False
        self._given_up = False
        # Trouble: what comes in goes to disk with the next look, until something is accepted.
        self._spilling = False
        self._disk_is_next = True

    # What comes in.

    def room(self) -> int:
        """Entries that the last waiting chunk still takes."""
        with self._changed:
            tail = self._queue[-1] if self._queue else None
            if tail is None or tail.generation != self._flushes.generation:
                return 0
            return MAX_ENTRIES - tail.count

    def put(self, chunks: Iterable[Chunk], left_out: Mapping[str, int] | None = None) -> int:
        """Take `chunks`; small ones join the last waiting chunk.

        Waits for no disk, unless the memory is full.

        Args:
            chunks: Oldest first.
            left_out: Records that became no entry, by reason.

        Returns:
            How many entries were dropped to make room, or because the outbox is closed.
        """
        with self._changed:
            for reason, count in (left_out or {}).items():
                self._ledger.handed_over += count
                self._ledger.dropped[reason] += count
            refused = 0
            for chunk in chunks:
                self._ledger.handed_over += chunk.count
                if self._closed:
                    self._ledger.dropped["shutdown"] += chunk.count
                    refused += chunk.count
                    continue
                chunk.generation = self._flushes.generation
                chunk.entered = self._clock()
                self._flushes.entered(chunk.generation, chunk.count)
                self._append(chunk)
        return refused + self._make_room()

    def _append(self, chunk: Chunk) -> None:
        tail = self._queue[-1] if self._queue else None
        if tail is not None and tail.takes(chunk):
            self._queued_bytes -= tail.memory
            tail.join(chunk)
            self._queued_bytes += tail.memory
        else:
            self._queue.append(chunk)
            self._queued_bytes += chunk.memory

    def _make_room(self) -> int:
        with self._changed:
            if not self._is_over():
                return 0
        while self._spill_oldest(only_if_over=True):
            pass
        lost = 0
        with self._changed:
            while self._queue and self._is_over():
                chunk = self._popleft()
                lost += chunk.count
                self._account(chunk, dropped="queue_overflow")
        return lost

    def _is_over(self) -> bool:
        return self._queued_bytes + self._hand_bytes() > self._max_bytes

    # The disk.

    def spill(self) -> None:
        """Nothing is being delivered: put everything on disk, and soon what comes in as well."""
        if self._reserve is None:
            return
        with self._changed:
            self._spilling = True
            in_hand = list(self._in_hand)
        for chunk in in_hand:
            self._keep(chunk)
        while self._spill_oldest():
            pass

    def spill_if_due(self, seconds: float) -> None:
        """Put everything on disk if there is trouble, or if anything has waited that long."""
        with self._changed:
            waiting = [self._queue[0].entered] if self._queue else []
            waiting += [chunk.entered for chunk in self._in_hand if chunk.spooled is None]
            due = bool(waiting) and self._clock() - min(waiting) >= seconds
            due = due or (self._spilling and bool(waiting))
        if due:
            self.spill()

    def _keep(self, chunk: Chunk) -> None:
        """Put a chunk in hand on disk as well."""
        reserve = self._reserve
        with self._moving:
            with self._changed:
                if reserve is None or chunk.spooled is not None or chunk not in self._in_hand:
                    return
            if not reserve.keep(chunk):
                return
            counted = reserve.look()
            with self._changed:
                self._flushes.left(chunk.generation, chunk.count)
                self._count_disk(counted)

    def _spill_oldest(self, *, only_if_over: bool = False) -> bool:
        """Move the oldest waiting chunk to disk; False if there is none, or the disk refuses."""
        reserve = self._reserve
        if reserve is None:
            return False
        with self._moving:
            with self._changed:
                if not self._queue or (only_if_over and not self._is_over()):
                    return False
                chunk = self._popleft()
                self._in_hand[chunk] = chunk.memory  # held, while it is being written
            stored = reserve.store(chunk)
            counted = reserve.look()
            with self._changed:
                del self._in_hand[chunk]
                if stored:
                    self._flushes.left(chunk.generation, chunk.count)
                else:
                    self._pushleft(chunk)
                self._count_disk(counted)
            return stored

    def _count_disk(self, counted: SpoolCounters | None) -> None:
        reserve = self._reserve
        if reserve is None or counted is None:
            return
        if reserve.count_into(self._ledger, counted):
            self._flushes.lost(reserve.oldest_generation)
        self._flushes.on_disk = reserve.oldest_generation if reserve.own else None
        self._changed.notify_all()

    def look_after_disk(self) -> None:
        """Take over what dead processes left and drop what is too old."""
        reserve = self._reserve
        if reserve is None:
            return
        # Without a lock of ours: thousands of files of dead processes take their time.
        reserve.look_after()
        with self._moving:
            counted = reserve.look()
            with self._changed:
                self._count_disk(counted)

    # What goes out.

    @property
    def in_memory(self) -> bool:
        """True if anything is held that is not on disk."""
        return bool(self._queue or self._in_hand)

    @property
    def waiting(self) -> bool:
        """True if there is something to take."""
        return bool(self._queue) or (self._reserve is not None and self._reserve.waiting)

    def take(self) -> Chunk | None:
        """The oldest waiting chunk, in hand from now on; None when none is waiting.

        With chunks waiting in memory and on disk it is one of each in turn: what an
        outage left behind does not hold up what is logged now.
        """
        reserve = self._reserve
        with self._moving:
            chunk, counted = None, None
            if reserve is not None and (self._disk_is_next or not self._queue):
                chunk = reserve.take() if reserve.waiting else None
                counted = reserve.look()
            with self._changed:
                self._count_disk(counted)
                self._disk_is_next = chunk is None
                if chunk is None and self._queue:
                    chunk = self._popleft()
                if chunk is not None:
                    self._in_hand[chunk] = chunk.memory
                return chunk

    def has_in_hand(self, chunk: Chunk) -> bool:
        """True from taking a chunk to settling it or putting it back."""
        with self._changed:
            return chunk in self._in_hand

    def put_back(self, chunks: Iterable[Chunk]) -> None:
        """Chunks in hand go back to the front, in their order."""
        for chunk in reversed(list(chunks)):
            with self._moving:
                with self._changed:
                    if self._in_hand.pop(chunk, None) is None:
                        continue  # given up in a shutdown meanwhile, and counted there
                    if self._reserve is None or chunk.spooled is None:
                        self._pushleft(chunk)
                        continue
                self._reserve.give_back(chunk)
                counted = self._reserve.look()
                with self._changed:
                    self._count_disk(counted)

    def split(self, chunk: Chunk, pieces: Iterable[Chunk]) -> bool:
        """Have `pieces` in hand in the place of `chunk`; False if it was given up."""
        pieces, counted = list(pieces), None
        with self._moving:
            with self._changed:
                if chunk not in self._in_hand:
                    return False
            for piece in pieces:
                piece.generation, piece.entered = chunk.generation, chunk.entered
            on_disk = chunk.spooled is not None
            if self._reserve is not None and on_disk:
                for piece in pieces:
                    self._reserve.keep(piece)
                self._reserve.done(chunk)
                counted = self._reserve.look()
            with self._changed:
                del self._in_hand[chunk]
                for piece in pieces:
                    self._in_hand[piece] = piece.memory
                    if on_disk and piece.spooled is None:
                        # In memory then: it is held, if not as safely.
                        self._flushes.entered(piece.generation, piece.count)
                self._count_disk(counted)
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
        counted = None
        with self._moving:
            with self._changed:
                if chunk not in self._in_hand:
                    return False
            on_disk = chunk.spooled is not None
            if self._reserve is not None and on_disk:
                self._reserve.done(chunk)
                counted = self._reserve.look()
            with self._changed:
                del self._in_hand[chunk]
                if accepted:
                    self._spilling = False
                self._account(
                    chunk, accepted=accepted, refused=refused, dropped=dropped, on_disk=on_disk
                )
                self._count_disk(counted)
            return True

    def _account(
        self,
        chunk: Chunk,
        *,
        accepted: int = 0,
        refused: int = 0,
        dropped: str | None = None,
        on_disk: bool = False,
    ) -> None:
        self._ledger.accepted += accepted
        self._ledger.refused += refused
        if dropped is not None:
            self._ledger.dropped[dropped] += chunk.count
            self._flushes.lost(chunk.generation)
        if not on_disk:
            self._flushes.left(chunk.generation, chunk.count)
        self._changed.notify_all()

    def _popleft(self) -> Chunk:
        chunk = self._queue.popleft()
        self._queued_bytes -= chunk.memory
        return chunk

    def _pushleft(self, chunk: Chunk) -> None:
        self._queue.appendleft(chunk)
        self._queued_bytes += chunk.memory

    def _hand_bytes(self) -> int:
        return sum(self._in_hand.values())

    # Waiting for it to be empty.

    def mark(self) -> int:
        """A flush begins: later entries join no chunk that it waits for. Returns its mark."""
        with self._changed:
            return self._flushes.mark()

    def is_settled(self, mark: int) -> bool:
        """True if nothing that was handed over before `mark` is held."""
        with self._changed:
            return self._flushes.is_settled(mark)

    def wait_settled(self, mark: int, timeout: float) -> bool:
        """Wait until nothing that was handed over before `mark` is held.

        Returns:
            True if that is so within `timeout` seconds and nothing of it was dropped.
        """
        with self._changed:
            settled = self._changed.wait_for(lambda: self._flushes.is_settled(mark), timeout)
            return settled and not self._flushes.take_losses(mark)

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
            if self._reserve is not None:
                self._reserve.ask_again()
            for chunk in list(self._in_hand):
                self._keep(chunk)
            while self._spill_oldest():
                pass
            with self._changed:
                lost = 0
                for chunk in [*self._in_hand, *self._queue]:
                    if chunk.spooled is None:
                        lost += chunk.count
                        self._account(chunk, dropped=reason)
                self._in_hand.clear()
                self._queue.clear()
                self._queued_bytes = 0
                left = 0 if self._reserve is None else self._reserve.entries
            if self._reserve is not None:
                self._reserve.close()
            return lost, left

    # What there is.

    def holdings(self) -> Holdings:
        """The ledger and what is held, all of one moment."""
        with self._changed:
            in_hand = sum(chunk.count for chunk in self._in_hand if chunk.spooled is None)
            return Holdings(
                self._ledger.copy(),
                sum(chunk.count for chunk in self._queue) + in_hand,
                self._queued_bytes + self._hand_bytes(),
                self._reserve.entries if self._reserve is not None else 0,
                self._reserve.bytes_held if self._reserve is not None else 0,
            )

    def dropped(self, reasons: Collection[str]) -> dict[str, int]:
        """Entries dropped so far for any of `reasons`."""
        with self._changed:
            return {why: n for why, n in self._ledger.dropped.items() if why in reasons and n}

    def __repr__(self) -> str:
        held = self.holdings()
        return (
            f"<Outbox {held.entries} entries held, {held.bytes_in_memory} bytes in memory, "
            f"{held.ledger.accepted} accepted>"
        )
