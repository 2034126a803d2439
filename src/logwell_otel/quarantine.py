"""Outage, passing trouble or poison: what a 500 was.

The server answers 500 for a poison entry (for ever), for a database that is down and
for a deadlock (both pass), and stores nothing of the batch in any of them. Only what
happens to *other* requests meanwhile tells them apart, so that is what is counted.

A chunk that was answered 500 waits here while others are sent. Once something else was
accepted after it failed, it is sent again; failing then, it is bisected. An entry that
fails alone is called poison when an innocent one would hardly have failed so often:
with a share `p` of other requests failing, an innocent entry fails `n` times with
probability p^n, and below one in a hundred thousand the entry is dropped. While nothing
is accepted, no failure counts at all and everything is kept.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from logwell_otel.chunk import Chunk

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_CHUNKS: Final = 16
"""Suspects at a time. More than a few at once are not poison but a server in trouble."""

_INNOCENT: Final = 1e-5
_ALONE: Final = 2
_FIRST_DELAY: Final = 0.2
_LONGEST_DELAY: Final = 30.0


@dataclass
class Suspicion:
    """What speaks against a chunk.

    Attributes:
        strikes: Failures that something else's success followed.
        failures: Failures, those of the chunk it was a part of included.
        attempts: Failures of just this chunk.
        alone: Failures as a single entry.
        accepted_before: Requests accepted before its latest failure.
        accepted_first: Requests accepted before its first failure.
        fresh_failed_first: Other chunks' first failures before its own.
        not_before: When it is sent again at the earliest, monotonic seconds.
        implied: It holds the poison, since the rest of the chunk it came from was accepted.
        sibling: The other half, while this one is sent for the first time.
    """

    strikes: int = 0
    failures: int = 0
    attempts: int = 0
    alone: int = 0
    accepted_before: int = 0
    accepted_first: int = 0
    fresh_failed_first: int = 0
    not_before: float = 0.0
    implied: bool = False
    sibling: Chunk | None = None

    def heir(self) -> Suspicion:
        """The suspicion against a part of the same chunk."""
        return Suspicion(
            strikes=self.strikes,
            failures=self.failures,
            accepted_before=self.accepted_before,
            accepted_first=self.accepted_first,
            fresh_failed_first=self.fresh_failed_first,
        )

    def __str__(self) -> str:
        return f"suspect with {self.strikes} strikes"


class Quarantine:
    """The suspects, and the counts that speak for or against them. Used by one thread.

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
        self._accepted = 0
        self._fresh_failed = 0

    def __len__(self) -> int:
        return len(self._suspects)

    @property
    def full(self) -> bool:
        """True if no fresh suspect is taken."""
        return len(self._suspects) >= MAX_CHUNKS

    def accepted(self, chunk: Chunk) -> None:
        """A request was accepted."""
        self._accepted += 1
        suspicion = chunk.suspicion
        if suspicion is None or suspicion.sibling is None:
            return
        if suspicion.strikes and suspicion.sibling in self._suspects:
            # There is evidence against the whole, and this half was not it.
            _of(suspicion.sibling).implied = True

    def failed(self, chunk: Chunk) -> bool:
        """`chunk` was answered 500. Keeps it, unless it is poison.

        Returns:
            True if it is a single entry that is certainly poison: the caller drops it.
        """
        suspicion = chunk.suspicion
        if suspicion is None:
            self._fresh_failed += 1
            suspicion = chunk.suspicion = Suspicion(
                accepted_first=self._accepted, fresh_failed_first=self._fresh_failed
            )
        elif self._accepted > suspicion.accepted_before:
            suspicion.strikes += 1
        suspicion.accepted_before = self._accepted
        suspicion.sibling = None
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
        accepted = self._accepted - suspicion.accepted_first
        failed = self._fresh_failed - suspicion.fresh_failed_first
        # Half a failure is added so that no experience does not mean certainty
        # (the Jeffreys prior of a proportion).
        share = (failed + 0.5) / (accepted + failed + 1)
        return suspicion.strikes > 0 and share**suspicion.strikes < _INNOCENT

    def with_evidence(self) -> Chunk | None:
        """A suspect that is due, and after whose failure something else was accepted."""
        now = self._clock()
        for chunk in self._suspects:
            suspicion = _of(chunk)
            if suspicion.not_before <= now and self._accepted > suspicion.accepted_before:
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
        first.suspicion.sibling = second
        return first, second

    def _to_bisect(self, suspicion: Suspicion) -> bool:
        if suspicion.implied:
            return True
        if suspicion.attempts == 0:
            return False  # a half that may well be innocent is sent whole first
        if suspicion.strikes > 0:
            return True
        nothing_accepted = self._accepted == suspicion.accepted_before
        at_the_bottom = any(suspect.count == 1 for suspect in self._suspects)
        return nothing_accepted and suspicion.failures >= 2 and not at_the_bottom

    def keep(self, chunk: Chunk) -> None:
        """Hold a suspect about which nothing new is known: half of one, or an answer of no use."""
        self._suspects.insert(0, chunk)


def _of(chunk: Chunk) -> Suspicion:
    suspicion = chunk.suspicion
    assert suspicion is not None  # noqa: S101 - only suspects are kept here
    return suspicion
