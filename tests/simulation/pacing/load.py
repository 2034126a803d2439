"""What simulated processes have to send. Records wait until a request takes them, up to 100."""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import random

MAX_ENTRIES = 100


class Load(Protocol):
    def next_at(self, now: float) -> float:
        """When there is something to send: `now`, or later, or infinity for never again."""

    def waiting(self, now: float) -> int:
        """Records that one request would take now."""

    def delivered(self, count: int, now: float) -> list[float]:
        """The oldest `count` records have arrived; their ages in seconds."""


class Saturated:
    """As much to send as goes, until an instant."""

    def __init__(self, *, begin: float = 0.0, end: float) -> None:
        self._begin = begin
        self._end = end

    def next_at(self, now: float) -> float:
        return max(now, self._begin) if now < self._end else math.inf

    def waiting(self, now: float) -> int:
        return MAX_ENTRIES

    def delivered(self, count: int, now: float) -> list[float]:
        return []


class Records:
    """Records logged at given instants, in order."""

    def __init__(self, instants: list[float]) -> None:
        self._instants = deque(instants)

    def next_at(self, now: float) -> float:
        return max(now, self._instants[0]) if self._instants else math.inf

    def waiting(self, now: float) -> int:
        count = 0
        for logged_at in self._instants:
            if logged_at > now or count == MAX_ENTRIES:
                break
            count += 1
        return count

    def delivered(self, count: int, now: float) -> list[float]:
        return [now - self._instants.popleft() for _ in range(count)]


def one_a_second(*, end: float, rng: random.Random, unevenness: float = 0.5) -> Records:
    """One record a second on average, until `end`.

    Args:
        end: Instant of the last record.
        rng: Where the first record falls within a second, and the unevenness.
        unevenness: How far an interval may be from a second. With 0 all processes beat in
            time with the server's ten tokens a second, and who is refused is decided by
            his place within the second; nothing real is that even.
    """
    instants = []
    instant = rng.random()
    while instant < end:
        instants.append(instant)
        instant += 1.0 + rng.uniform(-unevenness, unevenness)
    return Records(instants)
