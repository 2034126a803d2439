"""What is dropped so that the disk does not fill and nothing is kept for ever."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from logwell_otel._buffer.spool.hands import Hands
    from logwell_otel._buffer.spool.remover import Remover
    from logwell_otel._buffer.spool.segment import Segment
    from logwell_otel._buffer.spool.shelf import Fate, Shelf
    from logwell_otel._buffer.spool.writer import Writer


class Dropper:
    """Drops whole segments, the oldest first, each entry of them counted.

    Never a chunk in hand: it is on its way to the server.
    """

    def __init__(self, shelf: Shelf, hands: Hands, writer: Writer, remover: Remover) -> None:
        self._shelf = shelf
        self._hands = hands
        self._writer = writer
        self._remover = remover

    def make_room(self, need: int, allowance: int) -> bool:
        """Drops until `need` more bytes stay within `allowance`.

        Returns:
            False if that cannot be; nothing was dropped in vain then.
        """
        if self._hands.size + need > allowance:
            return False
        counters = self._shelf.counters
        while counters.bytes_used + need > allowance:
            # Set-aside files first: nobody will ever send what is in them.
            if self._shelf.oldest_aside() is not None:
                self._remover.delete(self._shelf.pop_aside().path)
                continue
            victim = self._shelf.pop() or self._writer.discard()
            assert victim is not None  # noqa: S101 - all but what is in hand can be dropped
            self._drop(victim, "dropped_overflow")
        return True

    def expire(self, limit: float) -> int:
        """Drops what was begun before `limit`, on the monotonic clock; returns how many entries."""
        shelf, dropped = self._shelf, self._shelf.counters.dropped_age
        while (oldest := shelf.oldest()) is not None and oldest.born < limit:
            shelf.pop()
            self._drop(oldest, "dropped_age")
        current = self._writer.current
        if current is not None and current.born < limit:
            self._writer.discard()
            self._drop(current, "dropped_age")
        while (aside := shelf.oldest_aside()) is not None and aside.born < limit:
            self._remover.delete(shelf.pop_aside().path)
        return shelf.counters.dropped_age - dropped

    def _drop(self, segment: Segment, fate: Fate) -> None:
        self._shelf.close(segment, fate)
        self._remover.delete_segment(segment)
