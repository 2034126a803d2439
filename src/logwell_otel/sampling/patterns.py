"""What is known of each pattern: what the sampler needs for its next record, and statistics."""

from __future__ import annotations

import threading
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from logwell_otel._clock import wall_clock
from logwell_otel.sampling.signature import signature

if TYPE_CHECKING:
    from collections.abc import Callable

KEPT_EVERY: Final = 60.0
"""Seconds in which at least one record of a pattern is kept."""

MAX_PATTERNS: Final = 10_000
EXAMPLE_CHARACTERS: Final = 200

# More than is reported: redaction must see what it looks for as a whole.
_MESSAGE_CHARACTERS: Final = 1000


class Pattern:
    """One pattern of one level.

    Attributes:
        due: When the next record is kept whatever its rate is, in seconds of the clock.
        second: The second that `passed` counts in.
        passed: Records that the rate let through in that second.
        to_hold: Records over the limit that are held back before one is kept; negative
            until there was one.
    """

    __slots__ = ("due", "passed", "second", "to_hold")

    def __init__(self, due: float) -> None:
        self.due: float = due
        self.second: int = 0
        self.passed: int = 0
        self.to_hold: int = -1

    def is_due(self, now: float) -> bool:
        """Tell whether this is the first record of its minute. Asked once per record."""
        if now < self.due:
            return False
        self.due = now + KEPT_EVERY
        return True

    def records_for(
        self, now: float, limit: int, keep_every: int, draw: Callable[[], float]
    ) -> int:
        """Return how many records that the rate let through this one stands for; 0 drops it.

        The first `limit` of a second stand for themselves; over that, every `keep_every`-th
        stands for as many. The count goes on from second to second and begins at a random
        place: that makes it right on average however long a flood is.
        """
        second = int(now)
        if second != self.second:
            self.second = second
            self.passed = 0
        self.passed += 1
        if self.passed <= limit:
            return 1
        if self.to_hold < 0:
            self.to_hold = int(draw() * keep_every)
        if self.to_hold:
            self.to_hold -= 1
            return 0
        self.to_hold = keep_every - 1
        return keep_every


class Patterns:
    """The patterns seen last, at most `size` of them. Not locked: the sampler's lock is.

    Args:
        size: How many patterns are known at a time.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._patterns: OrderedDict[tuple[str, str], Pattern] = OrderedDict()
        self._crowded_until = float("-inf")

    def __len__(self) -> int:
        return len(self._patterns)

    def get(self, level: str, signature: str, now: float) -> Pattern:
        """Return a pattern, which becomes the one seen last."""
        key = (level, signature)
        pattern = self._patterns.get(key)
        if pattern is not None:
            self._patterns.move_to_end(key)
            return pattern
        if len(self._patterns) >= self._size:
            _, oldest = self._patterns.popitem(last=False)
            if oldest.due > now:
                # More patterns a minute than are known at a time: most likely messages
                # with something in them that no rule recognises as a value. One a minute
                # of each would be all of them.
                self._crowded_until = now + KEPT_EVERY
        pattern = Pattern(now + KEPT_EVERY if now < self._crowded_until else now)
        self._patterns[key] = pattern
        return pattern


class PatternCounts:
    """What is known of one pattern.

    Attributes:
        seen: Records of it.
        kept: How many of them the sampler kept.
        first_seen: Unix seconds.
        last_seen: Unix seconds.
        message: The first of them, as it was logged.
    """

    __slots__ = ("first_seen", "kept", "last_seen", "message", "seen")

    def __init__(self, message: str, first_seen: float) -> None:
        self.seen: int = 0
        self.kept: int = 0
        self.first_seen: float = first_seen
        self.last_seen: float = first_seen
        self.message: str = message[:_MESSAGE_CHARACTERS]

    def add(self, other: PatternCounts) -> None:
        """Add what was counted apart."""
        self.seen += other.seen
        self.kept += other.kept
        self.first_seen = min(self.first_seen, other.first_seen)
        self.last_seen = max(self.last_seen, other.last_seen)


@dataclass(slots=True)
class Counted:
    """What was counted between two reports.

    Attributes:
        total: Records, also those of patterns that were one too many.
        patterns: By our own signature.
    """

    total: int = 0
    patterns: dict[str, PatternCounts] = field(default_factory=dict)


class PatternStatistics:
    """Counts records seen and kept by pattern, for whoever sets the rates.

    Its lock is held for well under a microsecond.

    Args:
        size: How many patterns are counted at most; records of further ones are in the
            total only, until what was counted is taken.
        wall: Unix seconds.
    """

    def __init__(self, *, size: int = MAX_PATTERNS, wall: Callable[[], float] = wall_clock) -> None:
        self._size = size
        self._wall = wall
        self._lock = threading.Lock()
        self._counted = Counted()

    def record(self, message: str, *, kept: bool) -> None:
        """Count one record."""
        key = signature(message)
        now = self._wall()
        with self._lock:
            self._counted.total += 1
            patterns = self._counted.patterns
            counts = patterns.get(key)
            if counts is None:
                if len(patterns) >= self._size:
                    return
                counts = patterns[key] = PatternCounts(message, now)
            counts.seen += 1
            counts.kept += kept
            # A wall clock may be set back.
            counts.last_seen = max(counts.last_seen, now)

    def take(self) -> Counted:
        """Return what was counted, and begin anew."""
        fresh = Counted()
        with self._lock:
            counted, self._counted = self._counted, fresh
        return counted

    def put_back(self, counted: Counted) -> None:
        """Add what was taken and could not be reported."""
        with self._lock:
            newer, self._counted = self._counted, counted
            counted.total += newer.total
            for key, counts in newer.patterns.items():
                if key in counted.patterns:
                    counted.patterns[key].add(counts)
                elif len(counted.patterns) < self._size:
                    counted.patterns[key] = counts


def report_of(
    counted: Counted,
    *,
    service: str,
    team_id: int,
    now: float,
    redact: Callable[[str], str] | None = None,
) -> dict[str, Any]:
    """Return the body of `POST /api/v1/patterns/stats`, with an `example` for each pattern.

    Args:
        counted: What to report.
        service: As the policy server knows it.
        team_id: Likewise.
        now: Unix seconds.
        redact: Takes out of an example what must not leave the process.
    """
    return {
        "service_name": service,
        "team_id": team_id,
        "timestamp": now,
        "total_logs": counted.total,
        "unique_patterns": len(counted.patterns),
        "patterns": [
            {
                "signature": key,
                "count": counts.seen,
                "sampled_count": counts.kept,
                "first_seen": counts.first_seen,
                "last_seen": counts.last_seen,
                "example": _example(counts.message, redact),
            }
            for key, counts in counted.patterns.items()
        ],
    }


def _example(message: str, redact: Callable[[str], str] | None) -> str:
    if redact is not None:
        message = _redacted(message, redact)
    # A lone surrogate is no JSON.
    return message[:EXAMPLE_CHARACTERS].encode("utf-8", "replace").decode()


def _redacted(message: str, redact: Callable[[str], str]) -> str:
    with suppress(Exception):
        return redact(message)
    return ""  # what could not be redacted does not leave the process
