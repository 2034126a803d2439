"""The plain paces that the exporter's is compared with: halve on 429, add on success."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random

    from support.clock import Clock


class Additive:
    """AIMD: a bucket whose rate drops to half of what was sent and rises in a line.

    Args:
        clock: The simulation's.
        rng: Source of the jitter, up to 6 s on each pause.
        per_request: Requests a minute gained with each accepted request.
        per_minute: Requests a minute gained with each minute of accepted requests.
    """

    def __init__(
        self,
        clock: Clock,
        rng: random.Random,
        *,
        per_request: float = 0.0,
        per_minute: float = 0.0,
    ) -> None:
        self._clock = clock
        self._rng = rng
        self._per_request = per_request
        self._per_minute = per_minute
        self._rate = self._burst = self._tokens = 600.0
        self._filled_at = self._resume_at = self._well_since = clock()
        self._sent: deque[float] = deque()

    def ready_in(self) -> float:
        now = self._fill()
        wait = max(self._resume_at - now, (1 - self._tokens) * 60 / self._rate)
        return wait if wait > 1e-9 else 0.0

    def take(self) -> None:
        self._sent.append(self._fill())
        self._tokens -= 1

    def accepted(self) -> None:
        now = self._fill()
        minutes = (now - self._well_since) / 60
        self._rate = min(600.0, self._rate + self._per_request + self._per_minute * minutes)
        self._well_since = now

    def rate_limited(self, retry_after: float | None) -> None:
        assert retry_after is not None
        now = self._fill()
        sent = sum(sent_at > now - 60 for sent_at in self._sent)
        self._sent = deque(sent_at for sent_at in self._sent if sent_at > now - 60)
        self._rate = max(1.0, min(self._rate, sent) / 2)
        self._burst = self._tokens = 1.0
        self._resume_at = now + retry_after + self._rng.uniform(0, 6)
        self._filled_at = self._well_since = self._resume_at

    def _fill(self) -> float:
        now = self._clock()
        if now > self._filled_at:
            gained = (now - self._filled_at) * self._rate / 60
            self._tokens = min(self._burst, self._tokens + gained)
            self._filled_at = now
        return now
