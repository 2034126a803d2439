"""Losses are said where people look for their logs: in Logwell itself.

Once entries are accepted again, what was dropped meanwhile becomes one `warn` entry with
the reasons, the counts and the time span.
"""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Final

import msgspec

from logwell_otel.chunk import Chunk
from logwell_otel.errors import LogwellError, LogwellErrorCode
from logwell_otel.wire import LogEntry

if TYPE_CHECKING:
    from collections.abc import Callable

    from logwell_otel.notices import Notices
    from logwell_otel.outbox import Outbox

UNAVOIDED: Final = frozenset(
    {"queue_overflow", "poison", "spool_overflow", "spool_expired", "internal_error"}
)
"""Reasons that nobody chose; sampled, filtered and redacted records are no losses."""

_INTERVAL: Final = 60.0
_LOOK_INTERVAL: Final = 1.0
_RECENT: Final = 300.0


class LossReport:
    """Follows what is dropped and reports it.

    Args:
        outbox: Whose ledger is followed, and where the report is put.
        service: Service name of the report.
        clock: Monotonic clock, in seconds.
        wall: Wall clock, in seconds.
    """

    def __init__(
        self,
        outbox: Outbox,
        *,
        service: str | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._outbox = outbox
        self._service = service
        self._clock = clock
        self._wall = wall
        self._lock = threading.Lock()
        self._reported: dict[str, int] = {}
        self._since = wall()
        self._reported_at = self._looked_at = float("-inf")
        self._seen: deque[tuple[float, int]] = deque(maxlen=256)

    def overflow(self, count: int, notices: Notices) -> None:
        """`count` entries were dropped to make room."""
        with self._lock:
            self._seen.append((self._clock(), count))
        message = (
            f"{count} entries were dropped, the oldest held: more is logged than can be delivered "
            "or held. Raise max_queue_bytes (LOGWELL_MAX_QUEUE_BYTES), or give a directory with "
            "spool_dir (LOGWELL_SPOOL_DIR)."
        )
        notices.error(LogwellError(message, LogwellErrorCode.QUEUE_OVERFLOW))
        notices.say(message, about="overflow")

    def recent(self) -> int:
        """Entries dropped for want of room in the last five minutes."""
        with self._lock:
            oldest = self._clock() - _RECENT
            return sum(count for at, count in self._seen if at >= oldest)

    def report(self) -> None:
        """Put an entry about new losses into the outbox; at most one a minute."""
        now = self._clock()
        if now - self._reported_at < _INTERVAL or now - self._looked_at < _LOOK_INTERVAL:
            return
        self._looked_at = now
        dropped = {
            reason: count
            for reason, count in self._outbox.holdings().ledger.dropped.items()
            if reason in UNAVOIDED and count > self._reported.get(reason, 0)
        }
        if not dropped:
            return
        new = {reason: count - self._reported.get(reason, 0) for reason, count in dropped.items()}
        until = self._wall()
        total = sum(new.values())
        entry = LogEntry(
            level="warn",
            message=f"logwell-otel dropped {total} log entries",
            timestamp=_iso(until),
            service=self._service,
            metadata={
                "otel.scope.name": "logwell_otel",
                "logwell.dropped": new,
                "logwell.dropped_since": _iso(self._since),
                "logwell.dropped_until": _iso(until),
            },
        )
        self._reported.update(dropped)
        self._reported_at, self._since = now, until
        self._outbox.put([Chunk(msgspec.json.encode([entry]), 1)])


def _iso(seconds: float) -> str:
    moment = dt.datetime.fromtimestamp(seconds, dt.timezone.utc)
    return moment.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"
