"""Chunks: handing out what waits, and taking it back settled or not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from logwell_otel._buffer.spool.segment import HEADER, MAX_BODY_BYTES
from logwell_otel._encoding.chunk import SpooledChunk
from logwell_otel._wire import MAX_ENTRIES

if TYPE_CHECKING:
    from logwell_otel._buffer.spool.home import Home
    from logwell_otel._buffer.spool.reader import Reader
    from logwell_otel._buffer.spool.remover import Remover
    from logwell_otel._buffer.spool.segment import Segment
    from logwell_otel._buffer.spool.shelf import Shelf


class Hands:
    """What the caller has taken and not settled yet.

    A chunk may be of several small segments: after an outage, hundreds of
    short-lived processes may have left a few entries each, and a request for
    each of them would be a storm.
    """

    def __init__(self, shelf: Shelf, reader: Reader, remover: Remover) -> None:
        self._shelf = shelf
        self._reader = reader
        self._remover = remover
        self._taken: dict[SpooledChunk, list[Segment]] = {}

    @property
    def size(self) -> int:
        """Bytes of the files that nobody may drop just now."""
        return sum(segment.size for taken in self._taken.values() for segment in taken)

    def take(self, home: Home) -> SpooledChunk | None:
        """Returns the oldest segments that make one request, None if nothing can be read.

        Raises:
            OSError: Nothing can be read just now.
        """
        taken: list[Segment] = []
        entries: list[bytes] = []
        size = 0
        while (segment := self._shelf.oldest()) is not None:
            if taken and (
                segment.recovered != taken[0].recovered
                or len(entries) + segment.entries > MAX_ENTRIES
                or size + segment.size - len(HEADER) > MAX_BODY_BYTES
            ):
                break
            self._shelf.pop()
            try:
                found = self._reader.read(segment, home)
            except OSError:
                self._shelf.wait(segment)
                if not taken:
                    raise
                break
            if found is None:
                continue
            grown = size + sum(map(len, found)) + len(found)
            if taken and (len(entries) + len(found) > MAX_ENTRIES or grown > MAX_BODY_BYTES):
                self._shelf.wait(segment)  # it holds more than was known before reading it
                break
            taken.append(segment)
            entries = entries + found
            size = grown
        return self.hold(entries, taken) if taken else None

    def done(self, chunk: SpooledChunk, home: Home | None) -> None:
        """Deletes a chunk's files; those that are not in `home` are not ours to delete."""
        for segment in self._taken.pop(chunk, []):
            self._shelf.close(segment, "done")
            if _lies_in(segment, home):
                self._remover.delete_segment(segment)

    def give_back(self, chunk: SpooledChunk, home: Home | None) -> None:
        """Lets a chunk's segments wait again."""
        for segment in self._taken.pop(chunk, []):
            if _lies_in(segment, home):
                self._shelf.wait(segment)
            else:
                self._shelf.close(segment, "gone")

    def replace(self, chunk: SpooledChunk, entries: list[bytes], home: Home | None) -> SpooledChunk:
        """Settles all of a chunk but `entries`."""
        taken = self._taken.pop(chunk, [])
        if not taken:
            return SpooledChunk(entries, chunk.recovered)
        first = self._shelf.join(taken)
        self._shelf.out(first, "done", first.entries - len(entries))
        if home is not None and _lies_in(first, home):
            self._reader.rewrite(first, entries, home)
        return self.hold(entries, [first])

    def hold(self, entries: list[bytes], taken: list[Segment]) -> SpooledChunk:
        """A chunk of `taken`, in hand from now on."""
        chunk = SpooledChunk(entries, taken[0].recovered)
        self._taken[chunk] = taken
        return chunk


def _lies_in(segment: Segment, home: Home | None) -> bool:
    return home is not None and segment.path.parent == home.directory
