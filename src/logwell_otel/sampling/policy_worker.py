"""When a policy is fetched and patterns are reported: one process's thread for a policy server."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from logwell_otel.sampling.background import Background

if TYPE_CHECKING:
    from collections.abc import Callable

    from logwell_otel.sampling.patterns import PatternStatistics

THREAD_NAME: Final = "LogwellPolicyServer"


class PolicyWorker:
    """The thread of one process, with its times and its counts.

    Args:
        fetch: Fetches the policy.
        report: Reports statistics, within so many seconds.
        statistics: Counts.
        clock: Seconds, monotonic.
        until_fetch: Returns the seconds from one fetch to the next.
        until_report: Likewise.
    """

    def __init__(
        self,
        fetch: Callable[[], None],
        report: Callable[[PatternStatistics, float], None],
        *,
        statistics: PatternStatistics,
        clock: Callable[[], float],
        until_fetch: Callable[[], float],
        until_report: Callable[[], float],
    ) -> None:
        self.statistics = statistics
        self.background = Background(THREAD_NAME, self.tick, self._at_end)
        self._fetch = fetch
        self._report = report
        self._clock = clock
        self._until_fetch = until_fetch
        self._until_report = until_report
        self._fetch_at = -math.inf
        self._report_at: float | None = None

    def tick(self) -> float:
        """Do what is due; return the seconds until more is."""
        if self._report_at is None:
            self._report_at = self._clock() + self._until_report()
        if self._clock() >= self._fetch_at:
            # Set before, so that a call that fails unforeseen is not made again at once.
            self._fetch_at = self._clock() + self._until_fetch()
            self._fetch()
        if self._clock() >= self._report_at:
            self._report_at = self._clock() + self._until_report()
            self._report(self.statistics, math.inf)
        return max(0.0, min(self._fetch_at, self._report_at) - self._clock())

    def shutdown(self, timeout: float) -> None:
        """Report what was counted within `timeout` seconds, and end the thread."""
        until = self._clock() + timeout
        self.background.shutdown(timeout)
        # At the end of a program the thread may have ended before the last records were
        # decided, or could not be started any more.
        if not self.background.runs and (left := until - self._clock()) > 0:
            self._report(self.statistics, left)

    def _at_end(self, seconds: float) -> None:
        self._report(self.statistics, seconds)
