"""What was handed over and is not settled yet, and the ledger of what became of the rest.

One lock guards both, so that at any moment

    handed over + recovered = accepted + refused + dropped + held

where recovered is what an earlier process had left in the spool.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from logwell_otel.wire import MAX_ENTRIES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from logwell_otel.chunk import Chunk


@dataclass
class Ledger:
    """Every entry is counted once where it came in and once where it ended."""

    handed_over: int = 0
    recovered: int = 0
    accepted: int = 0
    refused: int = 0
    dropped: Counter[str] = field(default_factory=Counter)

    def copy(self) -> Ledger:
        """A copy that later events do not change."""
        return Ledger(
            self.handed_over, self.recovered, self.accepted, self.refused, Counter(self.dropped)
        )

    @property
    def unsettled(self) -> int:
        """What must be held if nothing was lost on the way."""
        return (
            self.handed_over + self.recovered - self.accepted - self.refused - self.dropped.total()
        )


class Outbox:
    """Bounded queue of chunks, with the chunks that delivery has in hand.

    Args:
        max_bytes: Memory that chunks may take, those in hand included. Beyond it the
            oldest waiting chunk is dropped.
        clock: Monotonic clock, in seconds.
    """

    def __init__(self, max_bytes: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_bytes = max_bytes
        self._clock = clock
        self._changed = threading.Condition()
        self._queue: deque[Chunk] = deque()
        self._queued_entries = 0
        self._queued_bytes = 0
        self._in_hand: dict[Chunk, int] = {}
        self._ledger = Ledger()
        # A flush waits for what was handed over before it: for its generation and older.
        self._generation = 0
        self._open_entries: Counter[int] = Counter()
        self._lost_in: set[int] = set()
        self._closed = False

    # What comes in.

    def room(self) -> int:
        """Entries that the last waiting chunk still takes."""
        with self._changed:
            tail = self._queue[-1] if self._queue else None
            if tail is None or tail.suspicion is not None or tail.generation != self._generation:
                return 0
            return MAX_ENTRIES - tail.count

    def put(self, chunks: Iterable[Chunk], left_out: Mapping[str, int] = {}) -> int:
        """Take `chunks`; small ones join the last waiting chunk.

        Args:
            chunks: Oldest first.
            left_out: Records that became no entry, by reason.

        Returns:
            How many entries were dropped to make room, or because the outbox is closed.
        """
        with self._changed:
            lost = 0
            for chunk in chunks:
                self._ledger.handed_over += chunk.count
                if self._closed:
                    self._ledger.dropped["shutdown"] += chunk.count
                    lost += chunk.count
                    continue
                self._append(chunk)
            for reason, count in left_out.items():
                self._ledger.handed_over += count
                self._ledger.dropped[reason] += count
            return lost + self._make_room()

    def _append(self, chunk: Chunk) -> None:
        chunk.generation = self._generation
        chunk.entered = self._clock()
        self._open_entries[chunk.generation] += chunk.count
        self._queued_entries += chunk.count
        tail = self._queue[-1] if self._queue else None
        if tail is not None and tail.suspicion is None and tail.takes(chunk):
            self._queued_bytes -= tail.memory
            tail.join(chunk)
            self._queued_bytes += tail.memory
        else:
            self._queue.append(chunk)
            self._queued_bytes += chunk.memory

    def _make_room(self) -> int:
        lost = 0
        while self._queue and self._queued_bytes + self._hand_bytes() > self._max_bytes:
            chunk = self._pop(0)
            lost += chunk.count
            self._settle(chunk, dropped="queue_overflow")
        return lost

    # What goes out.

    def take(self) -> Chunk | None:
        """The oldest waiting chunk, in hand from now on; None when none is waiting."""
        with self._changed:
            if not self._queue:
                return None
            chunk = self._pop(0)
            self._in_hand[chunk] = chunk.memory
            return chunk

    def put_back(self, chunks: Iterable[Chunk]) -> None:
        """Chunks in hand go back to the front, in their order."""
        with self._changed:
            for chunk in reversed(list(chunks)):
                if self._in_hand.pop(chunk, None) is None:
                    continue  # given up in a shutdown meanwhile, and counted there
                self._queue.appendleft(chunk)
                self._queued_entries += chunk.count
                self._queued_bytes += chunk.memory

    def split(self, chunk: Chunk, pieces: Iterable[Chunk]) -> bool:
        """Have `pieces` in hand in the place of `chunk`; False if it was given up."""
        with self._changed:
            if self._in_hand.pop(chunk, None) is None:
                return False
            for piece in pieces:
                piece.generation, piece.entered = chunk.generation, chunk.entered
                self._in_hand[piece] = piece.memory
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
        with self._changed:
            if self._in_hand.pop(chunk, None) is None:
                return False
            self._settle(chunk, accepted=accepted, refused=refused, dropped=dropped)
            return True

    def _settle(
        self, chunk: Chunk, *, accepted: int = 0, refused: int = 0, dropped: str | None = None
    ) -> None:
        self._ledger.accepted += accepted
        self._ledger.refused += refused
        if dropped is not None:
            self._ledger.dropped[dropped] += chunk.count
            self._lost_in.add(chunk.generation)
        self._open_entries[chunk.generation] -= chunk.count
        if not self._open_entries[chunk.generation]:
            del self._open_entries[chunk.generation]
        self._changed.notify_all()

    def _pop(self, index: int) -> Chunk:
        chunk = self._queue[index]
        del self._queue[index]
        self._queued_entries -= chunk.count
        self._queued_bytes -= chunk.memory
        return chunk

    def _hand_bytes(self) -> int:
        return sum(self._in_hand.values())

    # Waiting for it to be empty.

    def mark(self) -> int:
        """Ends a generation: later entries join no chunk of it. Returns its number."""
        with self._changed:
            self._generation += 1
            return self._generation - 1

    def is_settled(self, mark: int) -> bool:
        """True if nothing of generation `mark` or before is held."""
        with self._changed:
            return self._settled(mark)

    def wait_settled(self, mark: int, timeout: float) -> bool:
        """Wait until nothing of generation `mark` or before is held.

        Returns:
            True if that is so within `timeout` seconds and nothing of it was dropped. A loss
            is reported by the first flush that waits for it, and by no other.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._settled(mark), timeout):
                return False
            lost = {generation for generation in self._lost_in if generation <= mark}
            self._lost_in -= lost
            return not lost

    def _settled(self, mark: int) -> bool:
        return all(generation > mark for generation in self._open_entries)

    def close(self) -> None:
        """Take nothing any more."""
        with self._changed:
            self._closed = True

    def give_up(self, reason: str) -> int:
        """Drop all that is held; returns how many entries that were."""
        with self._changed:
            chunks = [*self._in_hand, *self._queue]
            self._in_hand.clear()
            self._queue.clear()
            self._queued_entries = self._queued_bytes = 0
            for chunk in chunks:
                self._settle(chunk, dropped=reason)
            return sum(chunk.count for chunk in chunks)

    # What there is.

    @property
    def waiting(self) -> int:
        """Chunks that wait to be taken."""
        return len(self._queue)

    def snapshot(self) -> tuple[Ledger, int, int]:
        """The ledger, entries held and bytes held, all of one moment."""
        with self._changed:
            entries = self._queued_entries + sum(chunk.count for chunk in self._in_hand)
            return self._ledger.copy(), entries, self._queued_bytes + self._hand_bytes()

    def __repr__(self) -> str:
        ledger, entries, size = self.snapshot()
        return f"<Outbox {entries} entries, {size} bytes held, {ledger.accepted} accepted>"
