"""What is held, in order, and every change to the counters."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Literal

from logwell_otel._buffer.spool.counters import SpoolCounters

if TYPE_CHECKING:
    from logwell_otel._buffer.spool.segment import Segment

Fate = Literal["done", "dropped_overflow", "dropped_age", "set_aside", "gone"]


class Shelf:
    """The sealed segments of one process, waiting or set aside.

    Attributes:
        counters: Always true, as nobody else changes them.
    """

    def __init__(self) -> None:
        self.counters = SpoolCounters()
        self._waiting: list[Segment] = []
        self._aside: list[Segment] = []

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

    def join(self, segments: list[Segment]) -> Segment:
        """Makes one segment of several: the first then covers the files of the others."""
        first, *others = segments
        for other in others:
            first.entries += other.entries
            first.size += other.size
            first.covers += [other.path, *other.covers]
            other.entries = other.size = 0
        return first

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
