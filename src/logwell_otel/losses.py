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
from logwell_otel.words import count, entries, was

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from logwell_otel.notices import Notices
    from logwell_otel.outbox import Outbox

UNAVOIDED: Final = frozenset(
    {"queue_overflow", "poison", "spool_overflow", "spool_expired", "internal_error"}
)
"""Reasons that nobody chose; sampled, filtered and redacted records are no losses."""

_INTERVAL: Final = 60.0
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
        self._reported_at = float("-inf")
        self._seen: deque[tuple[float, int]] = deque(maxlen=256)

    def overflow(self, lost: int, notices: Notices) -> None:
        """`lost` entries were dropped to make room."""
        with self._lock:
            self._seen.append((self._clock(), lost))
        message = (
            f"{entries(lost)} {was(lost)} dropped, the oldest held: more is logged than can be "
            "delivered or held. Raise max_queue_bytes (LOGWELL_MAX_QUEUE_BYTES), or give a "
            "directory with spool_dir (LOGWELL_SPOOL_DIR)."
        )
        notices.error(LogwellError(message, LogwellErrorCode.QUEUE_OVERFLOW))
        notices.say(message, about="overflow")

    def recent(self) -> int:
        """Entries dropped for want of room in the last five minutes."""
        with self._lock:
            oldest = self._clock() - _RECENT
            return sum(lost for at, lost in self._seen if at >= oldest)

    def report(self, *, at_once: bool = False) -> bool:
        """Put an entry about new losses into the outbox.

        Args:
            at_once: Even if the last report is not a minute old.

        Returns:
            True if there was something to report and its time had come.
        """
        now = self._clock()
        with self._lock:  # shutdown reports from another thread than the sender's
            if not at_once and now - self._reported_at < _INTERVAL:
                return False
            dropped = self._outbox.dropped(UNAVOIDED)
            if dropped == self._reported:
                return False
            new = {
                reason: more
                for reason, number in dropped.items()
                if (more := number - self._reported.get(reason, 0))
            }
            until, since = self._wall(), self._since
            self._reported, self._reported_at, self._since = dropped, now, until
        self._outbox.put([self._entry(new, since, until)], although_closed=True)
        return True

    def _entry(self, new: Mapping[str, int], since: float, until: float) -> Chunk:
        entry = LogEntry(
            level="warn",
            message=f"logwell-otel dropped {count(sum(new.values()), 'log entry', 'log entries')}",
            timestamp=_iso(until),
            service=self._service,
            metadata={
                "otel.scope.name": "logwell_otel",
                "logwell.dropped": new,
                "logwell.dropped_since": _iso(since),
                "logwell.dropped_until": _iso(until),
            },
        )
        return Chunk(msgspec.json.encode([entry]), 1)


def _iso(seconds: float) -> str:
    moment = dt.datetime.fromtimestamp(seconds, dt.timezone.utc)
    return moment.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"
