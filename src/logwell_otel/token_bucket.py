"""A token bucket: how many requests may go at once, and how soon the next one."""

from __future__ import annotations


class TokenBucket:
    """Starts full and is filled at an even rate.

    Args:
        capacity: Tokens it holds at most; at least one.
        per_second: Tokens it gains.
        now: Seconds of the clock that all calls go by.
    """

    def __init__(self, capacity: float, per_second: float, now: float) -> None:
        self._capacity = max(1.0, capacity)
        self._per_second = per_second
        self._tokens = self._capacity
        self._filled_at = now

    def ready_in(self, now: float) -> float:
        """Seconds until there is a token."""
        self._fill(now)
        begins_in = max(0.0, self._filled_at - now)
        missing = 1.0 - self._tokens
        # Rounding: waiting for exactly what is missing must not leave a rest to wait for.
        return begins_in + (missing / self._per_second if missing > 1e-9 else 0.0)

    def take(self, now: float) -> None:
        """Take a token, whether there is one or not: what is missing must be made up for."""
        self._fill(now)
        self._tokens -= 1.0

    def change(self, capacity: float, per_second: float, now: float) -> None:
        """Go on with another size and rate."""
        self._fill(now)
        self._capacity = capacity
        self._per_second = per_second

    def restart(self, at: float, *, tokens: float) -> None:
        """Hold `tokens` at the moment `at`, which may lie ahead, and fill from there."""
        self._tokens = tokens
        self._filled_at = at

    def _fill(self, now: float) -> None:
        elapsed = now - self._filled_at
        if elapsed > 0:
            self._tokens = min(self._capacity, self._tokens + elapsed * self._per_second)
            self._filled_at = now
