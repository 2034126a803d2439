"""How many records of each pattern were seen and kept, for whoever sets the rates."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from logwell_otel.sampling.signature import signature

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_PATTERNS: Final = 10_000
EXAMPLE_CHARACTERS: Final = 200

# More than is reported: redaction must see what it looks for as a whole.
_MESSAGE_CHARACTERS: Final = 1000


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
        self.seen = 0
        self.kept = 0
        self.first_seen = first_seen
        self.last_seen = first_seen
        self.message = message[:_MESSAGE_CHARACTERS]

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
    """Counts patterns. Its lock is held for well under a microsecond.

    Args:
        size: How many patterns are counted at most; records of further ones are in the
            total only, until what was counted is taken.
        wall: Unix seconds.
    """

    def __init__(self, *, size: int = MAX_PATTERNS, wall: Callable[[], float] = time.time) -> None:
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
        try:
            message = redact(message)
        except Exception:  # noqa: BLE001 - what could not be redacted does not leave the process
            return ""
    # A lone surrogate is no JSON.
    return message[:EXAMPLE_CHARACTERS].encode("utf-8", "replace").decode()
