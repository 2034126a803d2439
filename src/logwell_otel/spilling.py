"""The way of chunks between an outbox's memory and its disk, when there is one."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from logwell_otel.chunk import Chunk
    from logwell_otel.memory import Memory
    from logwell_otel.reserve import Reserve
    from logwell_otel.spool import SpoolCounters

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
