"""Outage, passing trouble or poison: what a 500 was.

The server answers 500 for a poison entry (for ever), for a database that is down and
for a deadlock (both pass), and stores nothing of the batch in any of them. Only what
happens to *other* requests meanwhile tells them apart, so that is what is counted.

A chunk that was answered 500 waits here while others are sent. Once something else was
accepted after it failed, it is sent again; failing then, it is bisected. An entry that
fails alone is called poison when an innocent one would hardly have failed so often:
with a share `p` of other requests failing at their first try, an innocent entry fails
`n` times with probability p^n. While nothing is accepted, no failure counts at all and
everything is kept; while failed requests succeed when they are sent again, so that
failing says little, the proof must be a thousand times stronger.
"""

from __future__ import annotations

import random
import time
from collections import deque
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from logwell_otel._encoding.chunk import Chunk, Evidence, Suspicion
from logwell_otel._encoding.sanitize import shrink
from logwell_otel._wire import MAX_ENTRIES, MAX_REQUEST_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable

    from logwell_otel._buffer.outbox import Outbox


MAX_CHUNKS: Final = 16
"""Suspects at a time. More than a few at once are not poison but a server in trouble."""

_INNOCENT: Final = 3e-3
_INNOCENT_WHILE_FLAKY: Final = 1e-6
_ALONE: Final = 3
_FIRST_DELAY: Final = 0.2
_LONGEST_DELAY: Final = 30.0


class Quarantine:
    """The suspects, and the evidence for or against them. Used by one thread.

    Args:
        clock: Monotonic clock, in seconds.
        rng: For jitter: chunks of several processes that deadlocked must not meet again.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
    ) -> None:
        self._clock = clock
        self._rng = rng or random.Random()  # noqa: S311 - jitter, not a secret
        self._suspects: list[Chunk] = []
        self._evidence = Evidence()

    def __len__(self) -> int:
        return len(self._suspects)

    @property
    def full(self) -> bool:
        """True if suspects are to be tried before another chunk is suspected."""
        return len(self._suspects) >= MAX_CHUNKS

    def accepted(self, chunk: Chunk) -> None:
        """The request with `chunk` was accepted."""
        suspicion = chunk.suspicion
        recovered = suspicion is not None and suspicion.attempts > 0
        self._evidence = replace(
            self._evidence,
            accepted=self._evidence.accepted + 1,
            first_accepted=self._evidence.first_accepted + (not recovered),
            recovered=self._evidence.recovered + recovered,
        )

    def failed(self, chunk: Chunk) -> bool:
        """`chunk` was answered 500. Keeps it, unless it is poison.

        Returns:
            True if it is a single entry that is certainly poison: the caller drops it.
        """
        suspicion = chunk.suspicion
        if suspicion is None:
            suspicion = chunk.suspicion = Suspicion(since=self._evidence)
        elif self._evidence.accepted > suspicion.accepted_before:
            suspicion.strikes += 1
        if suspicion.attempts == 0:
            suspicion.first_failures += 1
            self._evidence = replace(self._evidence, first_failed=self._evidence.first_failed + 1)
        suspicion.accepted_before = self._evidence.accepted
        suspicion.failures += 1
        suspicion.attempts += 1
        if chunk.count == 1:
            suspicion.alone += 1
            if suspicion.alone >= _ALONE and self._certain(suspicion):
                return True
        longest = min(_LONGEST_DELAY, _FIRST_DELAY * 2 ** min(suspicion.alone, 10))
        suspicion.not_before = self._clock() + longest * self._rng.uniform(0.25, 1.0)
        self._suspects.append(chunk)
        return False

    def _certain(self, suspicion: Suspicion) -> bool:
        accepted = self._evidence.first_accepted - suspicion.since.first_accepted
        failed = self._evidence.first_failed - suspicion.since.first_failed
        others_failed = max(0, failed - suspicion.first_failures)
        # Half a failure is added so that no experience does not mean certainty
        # (the Jeffreys prior of a proportion).
        share = (others_failed + 0.5) / (accepted + others_failed + 1)
        flaky = self._evidence.recovered > suspicion.since.recovered
        limit = _INNOCENT_WHILE_FLAKY if flaky else _INNOCENT
        return suspicion.strikes > 0 and share**suspicion.strikes < limit

    def with_evidence(self) -> Chunk | None:
        """A suspect that is due, and after whose failure something else was accepted."""
        now = self._clock()
        for chunk in self._suspects:
            suspicion = _of(chunk)
            if suspicion.not_before <= now and self._evidence.accepted > suspicion.accepted_before:
                return chunk
        return None

    def next_due(self) -> tuple[Chunk, float] | None:
        """The suspect that is due first and the seconds until then, for want of other chunks."""
        if not self._suspects:
            return None
        chunk = min(self._suspects, key=lambda suspect: _of(suspect).not_before)
        return chunk, max(0.0, _of(chunk).not_before - self._clock())

    def release(self, chunk: Chunk) -> None:
        """`chunk` is being sent, or is gone."""
        self._suspects.remove(chunk)

    def halve(self, chunk: Chunk) -> tuple[Chunk, Chunk] | None:
        """The halves of a suspect that should be bisected now, None if it should be sent whole.

        With evidence against it, it is bisected. Without any (nothing else was accepted,
        perhaps as nothing else is there), it is bisected down to a single entry along one
        path and no further: an outage must not turn every chunk into a hundred requests.
        """
        if chunk.count == 1 or not self._to_bisect(_of(chunk)):
            return None
        entries = chunk.entries()
        middle = len(entries) // 2
        first, second = Chunk.of_entries(entries[:middle]), Chunk.of_entries(entries[middle:])
        first.suspicion, second.suspicion = _of(chunk).heir(), _of(chunk).heir()
        return first, second

    def _to_bisect(self, suspicion: Suspicion) -> bool:
        if suspicion.attempts == 0:
            return False  # a half that may well be innocent is sent whole first
        if suspicion.strikes > 0:
            return True
        nothing_accepted = self._evidence.accepted == suspicion.accepted_before
        at_the_bottom = any(suspect.count == 1 for suspect in self._suspects)
        return nothing_accepted and suspicion.failures >= 2 and not at_the_bottom

    def keep(self, chunk: Chunk) -> None:
        """Hold a suspect about which nothing new is known: half of one, or an answer of no use."""
        self._suspects.insert(0, chunk)


def _of(chunk: Chunk) -> Suspicion:
    suspicion = chunk.suspicion
    assert suspicion is not None  # noqa: S101 - only suspects are kept here
    return suspicion


# How large a request may be: the server's limits, and lower ones that answers teach.


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
