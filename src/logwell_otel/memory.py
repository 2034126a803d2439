"""What an outbox holds in memory: chunks that wait, chunks in hand, and the account of all."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING

from logwell_otel.flushes import Flushes
from logwell_otel.ledger import Ledger
from logwell_otel.wire import MAX_ENTRIES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from logwell_otel.chunk import Chunk


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
