"""What is held and in flight, what became of every other entry, and what a flush waits for.

    handed over + recovered = accepted + refused + dropped + held

where recovered is what an earlier process had left in the spool.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from logwell_otel._encoding.chunk import RECOVERED, Chunk, Rows, StoredRow
from logwell_otel._wire import MAX_ENTRIES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence


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


class Change(NamedTuple):
    """What the spool did of its own to rows of ours.

    Attributes:
        reason: `recovered`, or the name under which the entries count as dropped.
        entries: How many; -1 for all that we had.
        bytes: Their bodies' bytes.
        generation: That of their chunks.
        row: The row's id, where it is a single one that may be in flight.
        text: What to tell people, if anything.
    """

    reason: str
    entries: int
    bytes: int = 0
    generation: int = RECOVERED
    row: int | None = None
    text: str | None = None


class Flushes:
    """Counts held entries by generation; every flush ends one. It waits for its own and older.

    Generations that no flush under way tells apart are one: what was logged between flushes
    that nobody waits for any more travels together.

    Not thread-safe: the outbox calls it under its own lock.
    """

    def __init__(self) -> None:
        self.generation = 0
        """What is handed over now belongs to it."""
        self._held: Counter[int] = Counter()
        self._lost: set[int] = set()
        self._waiting: dict[int, set[int]] = {}
        # Flushes under way, by their marks, and the losses that each has seen.

    def of(self, generation: int) -> int:
        """The generation that stands for all that no flush tells from this one."""
        if generation == RECOVERED:
            return RECOVERED
        # A copy: the spool asks without the lock.
        marks = (mark for mark in [*self._waiting] if mark >= generation)
        return min(marks, default=self.generation)

    def entered(self, generation: int, count: int) -> None:
        """`count` entries are held from now on, in memory or on disk."""
        if generation != RECOVERED:
            self._held[self.of(generation)] += count

    def left(self, generation: int, count: int) -> None:
        """`count` entries are held no longer."""
        if generation == RECOVERED:
            return
        generation = self.of(generation)
        self._held[generation] -= min(count, self._held[generation])
        if not self._held[generation]:
            del self._held[generation]

    def lost(self, generation: int) -> None:
        """Entries were dropped."""
        if generation != RECOVERED:
            self._lost.add(generation)
            for mark, seen in self._waiting.items():
                if generation <= mark:
                    seen.add(generation)

    def mark(self) -> int:
        """A flush begins: end the current generation and return its number."""
        mark = self.generation
        self._waiting[mark] = {generation for generation in self._lost if generation <= mark}
        self.generation += 1
        return mark

    def is_settled(self, mark: int) -> bool:
        """True if nothing of generation `mark` or before is held."""
        return all(generation > mark for generation in self._held)

    def ended(self, mark: int) -> bool:
        """A flush is over; True if everything up to its mark is settled and nothing was dropped.

        A loss is reported by all flushes that were under way together, and by no later one.
        """
        settled = self.is_settled(mark)
        seen = self._waiting.pop(mark, set())
        if mark in self._held:
            self._held[self.of(mark)] += self._held.pop(mark)
        if settled:
            self._lost -= seen
        return settled and not seen


class OnDisk:
    """What is held in the spool, by generation. Called under the outbox's lock.

    Args:
        of: Gives the generation that stands for one.
    """

    def __init__(self, of: Callable[[int], int]) -> None:
        self.bytes = 0
        self._of = of
        self._entries: Counter[int] = Counter()

    @property
    def entries(self) -> int:
        """Entries of all generations."""
        return sum(self._entries.values())

    def add(self, generation: int, entries: int, size: int) -> None:
        """Entries are on disk from now on."""
        self._entries[self._of(generation)] += entries
        self.bytes += size

    def remove(self, generation: int, entries: int, size: int) -> int:
        """Entries are there no longer; gives how many of so many we had."""
        generation = self._of(generation)
        self._unite()
        known = min(entries, self._entries[generation])
        self._entries[generation] -= known
        if not self._entries[generation]:
            del self._entries[generation]
        self.bytes = max(0, self.bytes - size) if self._entries else 0
        return known

    def by_generation(self) -> dict[int, int]:
        """Entries of each generation, recovered ones first."""
        self._unite()
        return dict(sorted(self._entries.items()))

    def _unite(self) -> None:
        for generation in [one for one in self._entries if self._of(one) != one]:
            self._entries[self._of(generation)] += self._entries.pop(generation)


class Memory:
    """The queue, what is in flight, and the account of all. Everything under `changed`.

    In flight is what delivery has taken and not settled, and what is just being written to
    disk. A chunk with rows lies on disk; it is held there, and its body here only for the
    request.

    Args:
        max_bytes: Bytes that chunks may take, those in flight included.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._queue: deque[Chunk] = deque()
        self._queued_bytes = 0
        self._in_flight: dict[Chunk, int] = {}
        self._lost_rows: dict[int, str] = {}
        self.changed = threading.Condition()
        """Guards all of this, so that the sum of the counters holds at any moment; notified when
        something is settled. Held for moments only, never while a disk works."""
        self.counters = Counters()
        self.flushes = Flushes()
        self.on_disk = OnDisk(self.flushes.of)

    def __iter__(self) -> Iterator[Chunk]:
        yield from self._in_flight
        yield from self._queue

    @property
    def queued(self) -> bool:
        """True if a chunk waits here."""
        return bool(self._queue)

    @property
    def in_memory_since(self) -> float | None:
        """When the oldest chunk came that is not on disk, None if all are."""
        since = [chunk.entered for chunk in self._in_flight if chunk.rows is None]
        since += [self._queue[0].entered] if self._queue else []
        return min(since, default=None)

    @property
    def is_over(self) -> bool:
        """True if there is more than may be."""
        return self.bytes > self._max_bytes

    @property
    def bytes(self) -> int:
        """Bytes that all chunks take."""
        return self._queued_bytes + sum(self._in_flight.values())

    @property
    def entries(self) -> int:
        """Entries that are nowhere else."""
        in_flight = sum(chunk.count for chunk in self._in_flight if chunk.rows is None)
        return sum(chunk.count for chunk in self._queue) + in_flight

    # The queue.

    def room(self) -> int:
        """Entries that the last waiting chunk still takes."""
        tail = self._queue[-1] if self._queue else None
        if tail is None or self.flushes.of(tail.generation) != self.flushes.generation:
            return 0
        return MAX_ENTRIES - tail.count

    def append(self, chunk: Chunk) -> None:
        """A new chunk; a small one joins the last that waits."""
        self.flushes.entered(chunk.generation, chunk.count)
        tail = self._queue[-1] if self._queue else None
        if tail is not None and self._unites(tail, chunk):
            self._queued_bytes -= tail.memory
            tail.join(chunk)
            self._queued_bytes += tail.memory
        else:
            self._queue.append(chunk)
            self._queued_bytes += chunk.memory

    def _unites(self, chunk: Chunk, other: Chunk) -> bool:
        """True if two chunks may travel together, as far as flushes go as well."""
        chunk.generation = self.flushes.of(chunk.generation)
        other.generation = self.flushes.of(other.generation)
        return chunk.takes(other)

    def take(self) -> Chunk | None:
        """The oldest waiting chunk, and small ones behind it that no flush tells from it."""
        chunk = self.popleft()
        while chunk is not None and self._queue and self._unites(chunk, self._queue[0]):
            other = self._queue.popleft()
            self._queued_bytes -= other.memory
            chunk.join(other)
        return chunk

    def popleft(self) -> Chunk | None:
        """The oldest waiting chunk, waiting no longer; None if there is none."""
        if not self._queue:
            return None
        chunk = self._queue.popleft()
        self._queued_bytes -= chunk.memory
        return chunk

    def pop(self) -> Chunk | None:
        """The newest waiting chunk, likewise."""
        if not self._queue:
            return None
        chunk = self._queue.pop()
        self._queued_bytes -= chunk.memory
        return chunk

    def pushleft(self, chunk: Chunk) -> None:
        """A chunk waits again, before all others."""
        self._queue.appendleft(chunk)
        self._queued_bytes += chunk.memory

    # In flight.

    def in_flight(self, chunk: Chunk) -> bool:
        """True between `begin_flight` and `end_flight`."""
        return chunk in self._in_flight

    def begin_flight(self, chunk: Chunk) -> None:
        """`chunk` is in flight from now on."""
        self._in_flight[chunk] = chunk.memory

    def end_flight(self, chunk: Chunk) -> bool:
        """`chunk` is in flight no longer; False if it was not."""
        if chunk.rows is not None:
            for row in chunk.rows.ids:
                self._lost_rows.pop(row, None)
        return self._in_flight.pop(chunk, None) is not None

    def set_aside(self, chunk: Chunk) -> None:
        """No flush waits for a chunk in flight any more; for those that did, it is lost."""
        if not chunk.unawaited:
            self.flushes.lost(chunk.generation)
            self.flushes.left(chunk.generation, chunk.count)
            chunk.unawaited = True
            self.changed.notify_all()

    def await_again(self, chunk: Chunk) -> None:
        """A chunk waits for its turn as all others."""
        if chunk.unawaited:
            self.flushes.entered(chunk.generation, chunk.count)
            chunk.unawaited = False

    def join(self, chunk: Chunk, other: Chunk) -> bool:
        """Have `other` travel with `chunk`, both in flight; False if they do not fit."""
        if not (self.in_flight(chunk) and self.in_flight(other)):
            return False
        if chunk.unawaited != other.unawaited or (chunk.rows is None) != (other.rows is None):
            return False
        if self.lost_in_flight(chunk) or self.lost_in_flight(other):
            return False
        if not self._unites(chunk, other):
            return False
        self.end_flight(other)
        chunk.join(other)
        if chunk.rows is not None and other.rows is not None:
            ids, size = chunk.rows.ids + other.rows.ids, chunk.rows.bytes + other.rows.bytes
            chunk.rows = Rows(ids, size)
        self.begin_flight(chunk)
        return True

    def rows_in_flight(self) -> set[int]:
        """The rows that must not be taken again."""
        with self.changed:
            return {row for chunk in self._in_flight if chunk.rows for row in chunk.rows.ids}

    @property
    def waiting_on_disk(self) -> int:
        """Entries on disk that are not in flight."""
        with self.changed:
            in_flight = sum(chunk.count for chunk in self._in_flight if chunk.rows is not None)
            return self.on_disk.entries - in_flight

    def begin_store(self, max_bytes: int) -> tuple[list[Chunk], list[Chunk]]:
        """What is to be written next, and which of it waited: it is in flight meanwhile."""
        batch = [chunk for chunk in self._in_flight if chunk.rows is None]
        size = sum(chunk.size for chunk in batch)
        moved: list[Chunk] = []
        while size < max_bytes and (chunk := self.popleft()) is not None:
            self.begin_flight(chunk)
            moved.append(chunk)
            size += chunk.size
        return batch + moved, moved

    def end_store(self, moved: list[Chunk]) -> None:
        """What waited waits again: on disk, or here if it is not there."""
        for chunk in reversed(moved):
            if self.end_flight(chunk) and chunk.rows is None:
                self.pushleft(chunk)
        self.changed.notify_all()

    def clear(self) -> None:
        """Nothing is held here any more."""
        self._in_flight.clear()
        self._queue.clear()
        self._queued_bytes = 0

    # On disk.

    def is_on_disk(self, chunk: Chunk, rows: Rows) -> None:
        """A chunk is held on disk from now on."""
        chunk.rows = rows
        self.on_disk.add(chunk.generation, chunk.count, rows.bytes)

    def is_in_memory(self, chunk: Chunk) -> None:
        """A chunk is held on disk no longer, and here."""
        assert chunk.rows is not None  # noqa: S101 - asked for only with some
        self.on_disk.remove(chunk.generation, chunk.count, chunk.rows.bytes)
        chunk.rows = None

    def lost_in_flight(self, chunk: Chunk) -> bool:
        """True if rows of a chunk in flight were dropped from the disk."""
        return chunk.rows is not None and not self._lost_rows.keys().isdisjoint(chunk.rows.ids)

    def unload(self, chunk: Chunk) -> bool:
        """Have the entries of a chunk in flight on disk only; False if they are not there."""
        if chunk.rows is None or not self.in_flight(chunk) or self.lost_in_flight(chunk):
            return False
        chunk.unload()
        self._in_flight[chunk] = chunk.memory
        return True

    def load(self, chunk: Chunk, found: Sequence[StoredRow]) -> bool:
        """Take back what was found on disk of them; False if that is nothing."""
        if chunk.rows is None or not self.in_flight(chunk):
            return False
        there = {row.id for row in found}
        if gone := tuple(row for row in chunk.rows.ids if row not in there):
            reasons = [self._lost_rows.pop(row) for row in gone if row in self._lost_rows]
            lost = Chunk(b"", chunk.count - sum(row.entries for row in found))
            lost.generation, lost.unawaited = chunk.generation, chunk.unawaited
            lost.rows = Rows(gone, chunk.rows.bytes - sum(len(row.body) for row in found))
            self.account(lost, dropped=reasons[0] if reasons else "spool_gone")
        chunk.load(found)
        if not found:
            self.end_flight(chunk)
            return False
        self._in_flight[chunk] = chunk.memory
        return True

    def recovered(self, change: Change) -> None:
        """Entries that a dead process left are on disk for us."""
        self.counters.recovered += change.entries
        self.on_disk.add(RECOVERED, change.entries, change.bytes)

    def lost_on_disk(self, change: Change) -> int:
        """The spool dropped something; gives how many entries are lost by that."""
        if change.entries < 0:  # all
            lost = 0
            for chunk in [*self._in_flight]:
                if chunk.is_unloaded:
                    self.end_flight(chunk)
                    self.account(chunk, dropped=change.reason)
                    lost += chunk.count
                elif chunk.rows is not None:
                    self.is_in_memory(chunk)
            return lost + self.drop_on_disk(change.reason, self.on_disk.entries)
        if change.row is not None and change.row in self.rows_in_flight():
            self._lost_rows[change.row] = change.reason  # it may still be accepted
            return 0
        return self._drop(change.reason, change.generation, change.entries, change.bytes)

    def drop_on_disk(self, reason: str, entries: int) -> int:
        """So many entries on disk are gone, the oldest as far as anybody knows."""
        lost = 0
        for generation, count in self.on_disk.by_generation().items():
            lost += self._drop(reason, generation, max(0, min(count, entries - lost)), 0)
        return lost

    def _drop(self, reason: str, generation: int, entries: int, size: int) -> int:
        lost = self.on_disk.remove(generation, entries, size)
        if lost:
            self.counters.dropped[reason] += lost
            self.flushes.lost(generation)
            self.flushes.left(generation, lost)
            self.changed.notify_all()
        return lost

    # The account.

    def account(
        self, chunk: Chunk, *, accepted: int = 0, refused: int = 0, dropped: str | None = None
    ) -> None:
        """What became of a chunk that is held no longer; see `Outbox.settle`."""
        self.counters.accepted += accepted
        self.counters.refused += refused
        if dropped is not None:
            self.counters.dropped[dropped] += chunk.count
            if not chunk.unawaited:
                self.flushes.lost(chunk.generation)
        if chunk.rows is not None:
            self.on_disk.remove(chunk.generation, chunk.count, chunk.rows.bytes)
        if not chunk.unawaited:
            self.flushes.left(chunk.generation, chunk.count)
        self.changed.notify_all()
