"""What is held, in order, and every change to the counters."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from logwell_otel.spool.counters import SpoolCounters

if TYPE_CHECKING:
    from logwell_otel.spool.segment import Segment

Fate = Literal["done", "dropped_overflow", "dropped_age", "set_aside", "gone"]


@dataclass(frozen=True, eq=False)
class SpooledChunk:
    """Entries taken from the spool: one request's worth.

    It is in the caller's hands until `Spool.done`, `Spool.give_back` or
    `Spool.replace` has it; settling it twice does nothing.

    Attributes:
        entries: 1 to 100 entries, JSON, in the order they were stored.
        recovered: True if another process stored them, in most cases one before a restart.
    """

    entries: list[bytes] = field(repr=False)
    recovered: bool

    @property
    def count(self) -> int:
        """How many entries."""
        return len(self.entries)

    @property
    def size(self) -> int:
        """Bytes of a request with these entries as a JSON array."""
        return sum(map(len, self.entries)) + len(self.entries) + 1


class Shelf:
    """The sealed segments of one process: waiting, in hand or set aside.

    Attributes:
        counters: Always true, as nobody else changes them.
    """

    def __init__(self) -> None:
        self.counters = SpoolCounters()
        self._waiting: list[Segment] = []
        self._aside: list[Segment] = []
        self._in_hand: dict[SpooledChunk, Segment] = {}

    def stored(self, entries: int, size: int) -> None:
        """Counts entries that were written."""
        self.counters.stored += entries
        self.counters.entries_held += entries
        self.counters.bytes_held += size

    def refused(self, entries: int) -> None:
        """Counts entries for which there was no room even with all others dropped."""
        self.counters.stored += entries
        self.counters.dropped_overflow += entries

    def adopted(self, segment: Segment) -> None:
        """Counts a segment of a dead process and lets it wait."""
        self.counters.adopted += segment.entries
        self.counters.entries_held += segment.entries
        self.counters.bytes_held += segment.size
        self.wait(segment)

    def wait(self, segment: Segment) -> None:
        """Lets a segment that is counted already wait to be taken."""
        heapq.heappush(self._waiting, segment)

    def pop(self) -> Segment | None:
        """Removes and returns the oldest segment waiting."""
        return heapq.heappop(self._waiting) if self._waiting else None

    def oldest(self) -> Segment | None:
        """Returns the oldest segment waiting."""
        return self._waiting[0] if self._waiting else None

    def hand_out(self, segment: Segment, entries: list[bytes]) -> SpooledChunk:
        """Makes a chunk of a segment; the segment is in hand then."""
        chunk = SpooledChunk(entries, segment.recovered)
        self._in_hand[chunk] = segment
        return chunk

    def hand_back(self, chunk: SpooledChunk) -> Segment | None:
        """Returns the segment of a chunk, None if the chunk is not in hand (any more)."""
        return self._in_hand.pop(chunk, None)

    def bytes_in_hand(self) -> int:
        """Bytes that nobody may drop just now."""
        return sum(segment.size for segment in self._in_hand.values())

    def found(self, segment: Segment, entries: int) -> None:
        """Corrects a segment's count to what reading it gave, entries that are bad included."""
        more = entries - segment.entries
        self.counters.entries_held += more
        segment.entries += more
        if more > 0:
            self.counters.adopted += more
        else:
            self.counters.set_aside -= more

    def resized(self, segment: Segment, size: int) -> None:
        """Notes that a segment's file was written anew."""
        self.counters.bytes_held += size - segment.size
        segment.size = size

    def out(self, segment: Segment, fate: Fate, entries: int) -> None:
        """Counts `entries` of a segment as gone from it by `fate`."""
        segment.entries -= entries
        self.counters.entries_held -= entries
        setattr(self.counters, fate, getattr(self.counters, fate) + entries)

    def close(self, segment: Segment, fate: Fate) -> None:
        """Counts all that is left of a segment, whose file is no longer held."""
        self.out(segment, fate, segment.entries)
        self.resized(segment, 0)

    def aside(self, segment: Segment) -> None:
        """Notes a set-aside file. Its entries must have been counted before."""
        self.counters.set_aside_files += 1
        self.counters.set_aside_bytes += segment.size
        heapq.heappush(self._aside, segment)

    def oldest_aside(self) -> Segment | None:
        """Returns the oldest set-aside file."""
        return self._aside[0] if self._aside else None

    def pop_aside(self) -> Segment:
        """Removes and returns the oldest set-aside file, which is no longer held."""
        segment = heapq.heappop(self._aside)
        self.counters.set_aside_files -= 1
        self.counters.set_aside_bytes -= segment.size
        return segment

    def forsake(self) -> None:
        """Counts everything waiting or set aside as no longer ours."""
        while self._aside:
            self.pop_aside()
        while (segment := self.pop()) is not None:
            self.close(segment, "gone")
