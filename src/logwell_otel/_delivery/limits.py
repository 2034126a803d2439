"""How large a request may be: the server's limits, and lower ones that answers teach.

Something in front of the server may allow less than the server does. What it allows is
learned from its refusals, and tried again upwards: a limit that was a fault of twenty
seconds must not make every later burst ten times as many requests.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from logwell_otel._clock import monotonic
from logwell_otel._encoding.chunk import Chunk
from logwell_otel._encoding.sanitize import shrink
from logwell_otel._wire import MAX_ENTRIES, MAX_REQUEST_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable

    from logwell_otel._buffer.outbox import Outbox

SMALLEST_REQUEST: Final = 4096
"""Bytes. A request that is no larger is not refused for its size, whatever the answer says."""

_FIRST_PROBE: Final = 10.0
_LAST_PROBE: Final = 3600.0
# Seconds after a refusal until more is tried: they double with every try that is refused, so
# that a limit that stays costs a request an hour.


class LearnedLimit:
    """One limit: lowered by refusals, raised again step by step.

    Args:
        most: What the server itself allows.
        least: What is never gone below.
        clock: Monotonic clock, in seconds.
    """

    def __init__(self, most: int, least: int, clock: Callable[[], float]) -> None:
        self._most = most
        self._least = least
        self._clock = clock
        self.value = most
        self._taken = 0
        self._raised = False
        self._wait = _FIRST_PROBE
        self._raise_at = 0.0

    @property
    def learned(self) -> bool:
        """True while less is allowed than by the server itself."""
        return self.value < self._most

    def exceeded_by(self, size: int) -> bool:
        """True if a request of that size is to be split; tries more when it is time to."""
        if size > self.value and self._clock() >= self._raise_at:
            self.value = min(self._most, self.value * 2)
            self._raised = True
            self._raise_at = self._clock() + self._wait
        return size > self.value

    def refused(self, size: int) -> None:
        """A request of that size was too large."""
        if self._raised:
            self._wait = min(_LAST_PROBE, self._wait * 2)
            self._raised = False
        # Not below what was accepted: it is between the two.
        taken = self._taken if self._taken < size else 0
        self.value = max(self._least, taken, size // 2)
        self._raise_at = self._clock() + self._wait

    def accepted(self, size: int) -> None:
        """A request of that size was not too large."""
        if not self.learned:
            return
        self._taken = max(self._taken, size)
        if self._raised and 2 * size > self.value:
            self._wait = _FIRST_PROBE
            self._raise_at = self._clock()  # and the next step at once

    def forget(self) -> None:
        """It was no limit."""
        self.value = self._most
        self._taken = 0
        self._raised = False


class Limits:
    """Splits what is over a limit.

    The parts stay in hand here until it is their turn, which is before all others: a spool
    would join small ones again to what was just split.

    Args:
        outbox: Where the parts of a chunk take its place.
        clock: Monotonic clock, in seconds.

    Attributes:
        learned: False while all that is known are the server's own limits, which every chunk
            keeps to anyway: then there is nothing to split, and nothing to learn from success.
        parts: Of what was split, those still to be sent, in their order.
    """

    def __init__(self, outbox: Outbox, *, clock: Callable[[], float] = monotonic) -> None:
        self.learned = False
        self.parts: deque[Chunk] = deque()
        self._outbox = outbox
        self._bytes = LearnedLimit(MAX_REQUEST_BYTES, SMALLEST_REQUEST, clock)
        self._entries = LearnedLimit(MAX_ENTRIES, 1, clock)
        self._not_the_size = False

    def split(self, chunk: Chunk) -> bool:
        """Split a chunk that is over a limit learned since it was made; False if it is not."""
        if chunk.count == 1:
            return False
        over = self._bytes.exceeded_by(chunk.size), self._entries.exceeded_by(chunk.count)
        if not any(over):
            return False
        self.halve(chunk)
        return True

    def halve(self, chunk: Chunk) -> None:
        """Have the halves of a chunk in hand sent in its place."""
        entries = chunk.entries()
        middle = len(entries) // 2
        halves = [Chunk.of_entries(entries[:middle]), Chunk.of_entries(entries[middle:])]
        if chunk.suspicion is not None:
            for half in halves:
                half.suspicion = chunk.suspicion.heir()
        self._replace(chunk, halves)

    def accepted(self, chunk: Chunk) -> None:
        """The request with `chunk` was accepted."""
        self._not_the_size = False
        self._bytes.accepted(chunk.size)
        self._entries.accepted(chunk.count)
        self.learned = self._bytes.learned or self._entries.learned

    def too_many(self, chunk: Chunk) -> bool:
        """The server says that these are too many entries: learn from it and send fewer.

        Returns:
            False if it is a single one.
        """
        if chunk.count == 1:
            return False
        self.learned = True
        self._entries.refused(chunk.count)
        self.halve(chunk)
        return True

    def too_large(self, chunk: Chunk) -> bool:
        """Something says that this is too large, which the server itself never does.

        Returns:
            False if its size is not the reason, or it is a single entry.
        """
        self.learned = True
        if chunk.size <= SMALLEST_REQUEST:
            # Whatever answers like this refuses everything: what it taught was wrong.
            self._not_the_size = True
            self._bytes.forget()
        if self._not_the_size or chunk.count == 1:
            return False
        self._bytes.refused(chunk.size)
        self.halve(chunk)
        return True

    def cut(self, chunk: Chunk) -> bool:
        """Have half of an entry sent in its place; False if it cannot be made smaller."""
        smaller = shrink(chunk.entries()[0], chunk.size // 2)
        if (
            smaller is None
            or not SMALLEST_REQUEST // 2 <= len(smaller) < chunk.size
            or chunk.size <= SMALLEST_REQUEST
        ):
            return False
        self._replace(chunk, [Chunk.of_entries([smaller])])
        return True

    def _replace(self, chunk: Chunk, parts: list[Chunk]) -> None:
        if self._outbox.split(chunk, parts):
            self.parts.extendleft(reversed(parts))

    def __repr__(self) -> str:
        return f"<Limits {self._entries.value} entries, {self._bytes.value} bytes>"
