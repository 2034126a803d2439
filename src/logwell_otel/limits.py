"""How large a request may be: the server's limits, and lower ones that answers teach."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from logwell_otel.chunk import Chunk
from logwell_otel.sanitize import shrink
from logwell_otel.wire import MAX_ENTRIES, MAX_REQUEST_BYTES

if TYPE_CHECKING:
    from logwell_otel.outbox import Outbox

_SMALLEST_ENTRY: Final = 4096
"""An entry that a proxy refuses with 413 is cut in half until it is this small."""


class Limits:
    """Splits what is over a limit. A proxy may allow less than the server behind it.

    The parts stay in hand here until it is their turn, which is before all others: a spool
    would join small ones again to what was just split.

    Args:
        outbox: Where the parts of a chunk take its place.
    """

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._max_bytes = MAX_REQUEST_BYTES
        self._max_entries = MAX_ENTRIES
        self._parts: deque[Chunk] = deque()

    @property
    def waiting(self) -> bool:
        """True if `next_part` has one."""
        return bool(self._parts)

    def next_part(self) -> Chunk | None:
        """The next part of what was split, None if there is none."""
        return self._parts.popleft() if self._parts else None

    def split(self, chunk: Chunk) -> bool:
        """Split a chunk that is over a limit learned since it was made; False if it is not."""
        if chunk.count == 1 or (chunk.size <= self._max_bytes and chunk.count <= self._max_entries):
            return False
        self.halve(chunk)
        return True

    def halve(self, chunk: Chunk) -> None:
        """Have the halves of a chunk in hand sent in its place."""
        entries = chunk.entries()
        middle = len(entries) // 2
        halves = [Chunk.of_entries(entries[:middle]), Chunk.of_entries(entries[middle:])]
        self._replace(chunk, halves)

    def too_large(self, chunk: Chunk, status: int | None) -> bool:
        """A chunk was refused for its size: learn from it and make it smaller.

        Args:
            chunk: The chunk.
            status: HTTP status of the answer: 413 is about bytes, any other about entries.

        Returns:
            False if it is a single entry that cannot be made smaller.
        """
        if chunk.count == 1:
            return self._cut(chunk)
        if status == 413:
            self._max_bytes = min(self._max_bytes, max(chunk.size // 2, _SMALLEST_ENTRY))
        else:
            self._max_entries = max(1, chunk.count // 2)
        self.halve(chunk)
        return True

    def _cut(self, chunk: Chunk) -> bool:
        smaller = shrink(chunk.entries()[0], chunk.size // 2)
        if smaller is None or len(smaller) < _SMALLEST_ENTRY // 2 or len(smaller) >= chunk.size:
            return False
        cut = Chunk.of_entries([smaller])
        self._replace(chunk, [cut])
        return True

    def _replace(self, chunk: Chunk, parts: list[Chunk]) -> None:
        if self._outbox.split(chunk, parts):
            self._parts.extendleft(reversed(parts))

    def __repr__(self) -> str:
        return f"<Limits {self._max_entries} entries, {self._max_bytes} bytes>"
