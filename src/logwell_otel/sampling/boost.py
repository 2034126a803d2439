"""A pattern that suddenly comes far more often than it used to is looked at more closely."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from logwell_otel.sampling.rules import SamplingRules

if TYPE_CHECKING:
    from collections.abc import Callable

MINUTE: Final = 60.0
UNUSUAL_TIMES: Final = 3.0
"""A minute's volume is unusual when it is more than this times the average."""
UNUSUAL_LEAST: Final = 20
"""Records a minute under which nothing is unusual: three instead of one is no anomaly."""
HISTORY_MINUTES: Final = 5
"""Minutes of a pattern that must be known before anything is."""
AVERAGE_WEIGHT: Final = 0.05
"""Of the latest minute in the average: a lasting new volume is usual after some 8 minutes."""

_MAX_PATTERNS: Final = 10_000


class _Volume:
    """How often one pattern comes."""

    __slots__ = ("average", "boosted_until", "count", "minute", "minutes")

    def __init__(self, minute: int) -> None:
        self.minute = minute
        self.count = 0
        self.minutes = 0
        self.average = 0.0
        self.boosted_until = 0.0

    def turn(self, minute: int) -> None:
        """Enter the minutes that are over into the average, those without a record too."""
        self._enter(self.count)
        empty = minute - self.minute - 1
        # Beyond this the average is nothing, whatever it was.
        for _ in range(min(empty, 1000)):
            self._enter(0)
        self.minute = minute
        self.count = 0

    def _enter(self, count: int) -> None:
        self.minutes += 1
        # A plain mean at first: the first minute would otherwise weigh most for long.
        self.average += (count - self.average) * max(AVERAGE_WEIGHT, 1 / self.minutes)


class Volumes:
    """Tells which patterns come unusually often: over 3 times their own average.

    Compared are the records of the running minute with an exponentially weighted average
    of the minutes before it. Unusual lasts a minute from the last record that found it so.

    Not locked: a count that a race between threads loses is not missed in a comparison of
    three to one, and no decision waits.

    Args:
        clock: Seconds, monotonic.
        size: How many patterns are known at a time. Beyond it, everything is learnt anew.
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, size: int = _MAX_PATTERNS
    ) -> None:
        self._clock = clock
        self._size = size
        self._volumes: dict[str, _Volume] = {}

    def __len__(self) -> int:
        return len(self._volumes)

    def is_unusual(self, signature: str) -> bool:
        """Count one record of a pattern, and tell whether there are unusually many."""
        now = self._clock()
        minute = int(now // MINUTE)
        volume = self._volumes.get(signature)
        if volume is None:
            if len(self._volumes) >= self._size:
                self._volumes.clear()
            volume = self._volumes[signature] = _Volume(minute)
        elif minute > volume.minute:
            volume.turn(minute)
        volume.count += 1
        if (
            volume.count > UNUSUAL_TIMES * volume.average
            and volume.count >= UNUSUAL_LEAST
            and volume.minutes >= HISTORY_MINUTES
        ):
            volume.boosted_until = now + MINUTE
            return True
        return now < volume.boosted_until


class BoostedRules(SamplingRules):
    """Rules that multiply a pattern's rate while its volume is unusual, up to 1.0.

    The rate then depends on what was seen, never on what was kept: counts that are scaled
    back stay right.

    Args:
        rates: As `SamplingRules` takes them, and so are the other arguments.
        boost: What the rate is multiplied by, at least 1.
        volumes: Tells when.
    """

    def __init__(
        self, rates: dict[str, float], *, boost: float, volumes: Volumes, **options: Any
    ) -> None:
        super().__init__(rates, **options)
        self._boost = boost
        self._volumes = volumes

    def rate(self, level: str, message: str, signature: str) -> float:
        """Return the rate of a record. Asked once for each, since it is counted."""
        rate = super().rate(level, message, signature)
        if self.is_always_kept(level) or not self._volumes.is_unusual(signature):
            return rate
        return min(1.0, rate * self._boost)
