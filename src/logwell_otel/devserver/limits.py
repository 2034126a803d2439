"""The server's rate limit."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class TokenBucket:
    """One token a request; full at the start, refilled evenly.

    Args:
        requests_per_minute: The bucket's size, and what flows in each minute. At least 1.
        clock: Seconds that never go backwards.
    """

    def __init__(
        self, requests_per_minute: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        if requests_per_minute < 1:
            raise ValueError(f"requests_per_minute must be at least 1, got {requests_per_minute}")
        self._capacity = requests_per_minute
        self._clock = clock
        self._tokens = float(requests_per_minute)
        self._counted_at = clock()

    def take(self) -> bool:
        """Takes one token; False when there is none, which costs nothing."""
        now = self._clock()
        refill = (now - self._counted_at) * self._capacity / 60
        self._tokens = min(float(self._capacity), self._tokens + refill)
        self._counted_at = now
        # Refills add up to 0.999… of a token where one is due; a request must not wait
        # another turn for a rounding error.
        if self._tokens < 1 - 1e-9:
            return False
        self._tokens = max(0.0, self._tokens - 1)
        return True
