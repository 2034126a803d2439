"""The server's token bucket, as CONTRACT describes it: one a project, filled evenly."""

from __future__ import annotations

RETRY_AFTER = 60.0
"""What every 429 says, whatever the wait really is."""


class Server:
    """Answers requests at simulated instants; a 429 consumes no token."""

    def __init__(self, requests_per_minute: float = 600.0) -> None:
        self.requests_per_minute = requests_per_minute
        self._tokens = requests_per_minute
        self._filled_at = 0.0

    def set_limit(self, requests_per_minute: float, now: float) -> None:
        self._fill(now)
        self.requests_per_minute = requests_per_minute

    def takes(self, now: float) -> bool:
        self._fill(now)
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def _fill(self, now: float) -> None:
        filled = self._tokens + (now - self._filled_at) * self.requests_per_minute / 60
        self._tokens = min(self.requests_per_minute, filled)
        self._filled_at = now
