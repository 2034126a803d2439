"""What became of every entry, and what a flush waits for.

    handed over + recovered = accepted + refused + dropped + held

where recovered is what an earlier process had left in the spool.
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import msgspec

from logwell_otel._encoding.chunk import RECOVERED


class Counters(msgspec.Struct):
    """Every entry is counted once where it came in and once where it ended.

    Attributes:
        handed_over: Given to the exporter, what was left out on purpose included.
        recovered: Taken over from the spool of a process that is no more.
        accepted: Stored by the server.
        refused: Refused by the server for good.
        dropped: By reason.
    """

    handed_over: int = 0
    recovered: int = 0
    accepted: int = 0
    refused: int = 0
    dropped: Counter[str] = msgspec.field(default_factory=Counter)

    def copy(self) -> Counters:
        """A copy that later events do not change."""
        return Counters(
            self.handed_over, self.recovered, self.accepted, self.refused, Counter(self.dropped)
        )


class Holdings(NamedTuple):
    """The counters and what is held, at one moment."""

    counters: Counters
    entries_in_memory: int
    bytes_in_memory: int
    entries_on_disk: int
    bytes_on_disk: int

    @property
    def entries(self) -> int:
        """All of them."""
        return self.entries_in_memory + self.entries_on_disk


class OnDisk:
    """What is held in the spool, by generation. Called under the outbox's lock."""

    def __init__(self) -> None:
        self.bytes = 0
        self._entries: Counter[int] = Counter()

    @property
    def entries(self) -> int:
        """Entries of all generations."""
        return sum(self._entries.values())

    def add(self, generation: int, entries: int, size: int) -> None:
        """Entries are on disk from now on."""
        self._entries[generation] += entries
        self.bytes += size

    def remove(self, generation: int, entries: int, size: int) -> int:
        """Entries are there no longer; gives how many of so many we had."""
        known = min(entries, self._entries[generation])
        self._entries[generation] -= known
        if not self._entries[generation]:
            del self._entries[generation]
        self.bytes = max(0, self.bytes - size) if self._entries else 0
        return known

    def by_generation(self) -> dict[int, int]:
        """Entries of each generation, recovered ones first."""
        return dict(sorted(self._entries.items()))


class Flushes:
    """Counts held entries by generation; every flush ends one. It waits for its own and older.

    Not thread-safe: the outbox calls it under its own lock.
    """

    def __init__(self) -> None:
        self.generation = 0
        """What is handed over now belongs to it."""
        self._held: Counter[int] = Counter()
        self._lost: set[int] = set()

    def entered(self, generation: int, count: int) -> None:
        """`count` entries are held from now on, in memory or on disk."""
        if generation != RECOVERED:
            self._held[generation] += count

    def left(self, generation: int, count: int) -> None:
        """`count` entries are held no longer."""
        if generation == RECOVERED:
            return
        self._held[generation] -= count
        if not self._held[generation]:
            del self._held[generation]

    def lost(self, generation: int) -> None:
        """Entries were dropped."""
        if generation != RECOVERED:
            self._lost.add(generation)

    def mark(self) -> int:
        """End the current generation and return its number."""
        self.generation += 1
        return self.generation - 1

    def is_settled(self, mark: int) -> bool:
        """True if nothing of generation `mark` or before is held."""
        return all(generation > mark for generation in self._held)

    def take_losses(self, mark: int) -> bool:
        """True if something up to `mark` was dropped; forgets it: one flush reports a loss."""
        lost = {generation for generation in self._lost if generation <= mark}
        self._lost -= lost
        return bool(lost)
