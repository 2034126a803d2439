"""How delivery is going: what health shows, and the warnings when trouble starts and ends."""

from __future__ import annotations

import datetime as dt
import threading
from collections import deque
from typing import TYPE_CHECKING, Final

import msgspec

from logwell_otel._clock import monotonic, wall_clock
from logwell_otel._delivery.response import Action, Outcome
from logwell_otel._diagnostics import count, entries, was
from logwell_otel._encoding.chunk import Chunk
from logwell_otel._wire import LogEntry
from logwell_otel.errors import LogwellError, LogwellErrorCode

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from logwell_otel._buffer.outbox import Outbox
    from logwell_otel._diagnostics import Notices


_QUIET_FAILURES: Final = 2
"""Failures in a row that are not worth a warning yet: a deadlock, a restart of the server."""

_AT_ONCE: Final = frozenset({Action.HOLD, Action.PAUSE})


class Trouble:
    """Follows the answers. Written by the sender's thread, read by any.

    Attributes:
        consecutive_failures: Requests since the last accepted one that were not.
        last_error: The latest error, None if there was none yet.
        last_error_at: Wall clock seconds of it.
        last_success_at: Wall clock seconds of the last accepted request.
    """

    def __init__(
        self,
        notices: Notices,
        *,
        clock: Callable[[], float] = monotonic,
        wall: Callable[[], float] = wall_clock,
    ) -> None:
        self._notices = notices
        self._clock = clock
        self._wall = wall
        self._began_at: float | None = None
        self._failed_at = 0.0
        self._told = False
        self.consecutive_failures = 0
        self.last_error: LogwellError | None = None
        self.last_error_at: float | None = None
        self.last_success_at: float | None = None

    @property
    def lasts(self) -> bool:
        """True from the first failure to the next accepted request."""
        return self._began_at is not None

    def answered(self, outcome: Outcome) -> None:
        """An answer came, or did not, that is about the server and not about one request."""
        if outcome.action is Action.DONE:
            self.last_success_at = self._wall()
            self._ended()
            return
        self.noted(outcome)
        self.consecutive_failures += 1
        now = self._clock()
        if self._began_at is None:
            self._began_at = now
        self._failed_at = now
        # An error of our own process does not pass with a restart of the server's.
        own = outcome.error is not None and outcome.error.code is LogwellErrorCode.INTERNAL_ERROR
        if own or outcome.action in _AT_ONCE or self.consecutive_failures > _QUIET_FAILURES:
            self._tell(outcome)

    def noted(self, outcome: Outcome) -> None:
        """An answer came that is about one request, not about the server."""
        self.last_error, self.last_error_at = outcome.error, self._wall()

    def database_is_down(self, outcome: Outcome) -> None:
        """The server's health check says why the latest request failed: there is no doubt."""
        self._tell(outcome, "Its health check says that the server's database is down. ")

    def _tell(self, outcome: Outcome, why: str = "") -> None:
        error = outcome.error
        assert error is not None  # noqa: S101 - only DONE has none
        self._told = True
        self._notices.say(f"{why}{error.message}", about=f"trouble {error.code}")

    def _ended(self) -> None:
        if self._began_at is not None and self._told:
            now = self._clock()
            waited = now - self._failed_at
            self._notices.say(
                f"The server accepts entries again, after {now - self._began_at:.0f} s and "
                f"{count(self.consecutive_failures, 'failed request')}; the last {waited:.0f} s "
                "of them were the wait for this try."
            )
        self.consecutive_failures = 0
        self._began_at = None
        self._told = False


# Losses are said where people look for their logs: in Logwell itself.
#
# Once entries are accepted again, what was dropped meanwhile becomes one `warn` entry with
# the reasons, the counts and the time span.


QUEUE_FULL: Final = "processor_queue_full"
"""What a processor's queue had no room for."""

UNAVOIDED: Final = frozenset(
    {
        "queue_overflow",
        QUEUE_FULL,
        "poison",
        "spool_overflow",
        "spool_expired",
        "spool_unreadable",
        "spool_gone",
        "internal_error",
    }
)
"""Reasons that nobody chose; sampled, filtered and redacted records are no losses."""

_CHOSEN: Final = frozenset({"level", "sampled", "before_send"})
SPOOL_LOSSES: Final = {
    "spool_overflow": "it is full. Raise spool_max_bytes (LOGWELL_SPOOL_MAX_BYTES)",
    "spool_expired": "they were older than spool_max_age (LOGWELL_SPOOL_MAX_AGE)",
    "spool_unreadable": "its database was damaged",
    "spool_gone": "its database, or rows of it, were deleted or replaced",
}
"""What the spool drops entries for."""

_LOSS_CODES: Final = {
    "spool_expired": LogwellErrorCode.EXPIRED,
    "spool_unreadable": LogwellErrorCode.INTERNAL_ERROR,
    "spool_gone": LogwellErrorCode.INTERNAL_ERROR,
}

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
        clock: Callable[[], float] = monotonic,
        wall: Callable[[], float] = wall_clock,
    ) -> None:
        self._outbox = outbox
        self._service = service
        self._clock = clock
        self._wall = wall
        # Entered again where a signal handler logs in the middle of it.
        self._lock = threading.RLock()
        self._reported: dict[str, int] = {}
        self._since = wall()
        self._reported_at = float("-inf")
        self._seen: deque[tuple[float, int]] = deque(maxlen=256)
        self._refused: deque[tuple[float, int]] = deque(maxlen=256)
        self._totals: dict[str, int] = {}

    def refused(self, count: int) -> None:
        """The server refused `count` entries for good."""
        self._refused.append((self._clock(), count))

    def recently_refused(self) -> int:
        """Entries that the server refused in the last five minutes."""
        return self._recent(self._refused)

    def overflow(self, lost: int, notices: Notices) -> None:
        """`lost` entries were dropped to make room."""
        message = (
            f"{entries(lost)} {was(lost)} dropped, the oldest held: more is logged than can be "
            "delivered or held. Raise max_queue_bytes (LOGWELL_MAX_QUEUE_BYTES), or give a "
            "directory with spool_dir (LOGWELL_SPOOL_DIR)."
        )
        self._tell(lost, message, "overflow", notices)

    def queue_full(self, lost: int, notices: Notices) -> None:
        """`lost` records found no room in a processor's queue."""
        message = (
            f"{count(lost, 'record')} {was(lost)} dropped by the batch processor, whose queue was "
            "full: more is logged at once than its thread can take. Raise "
            "OTEL_BLRP_MAX_QUEUE_SIZE (and LOGWELL_MAX_QUEUE_BYTES where messages are long), or "
            "have logging calls wait with LOGWELL_ON_QUEUE_FULL=wait."
        )
        self._tell(lost, message, QUEUE_FULL, notices)

    def on_disk(self, reason: str, lost: int, notices: Notices) -> None:
        """`lost` entries were dropped from the spool."""
        if lost and (why := SPOOL_LOSSES.get(reason)) is not None:
            message = f"{entries(lost)} {was(lost)} dropped from the spool: {why}."
            code = _LOSS_CODES.get(reason, LogwellErrorCode.QUEUE_OVERFLOW)
            self._tell(lost, message, f"lost {reason}", notices, code)

    def _tell(
        self,
        lost: int,
        message: str,
        about: str,
        notices: Notices,
        code: LogwellErrorCode = LogwellErrorCode.QUEUE_OVERFLOW,
    ) -> None:
        # Without a lock: the outbox's may be held.
        self._seen.append((self._clock(), lost))
        notices.error(LogwellError(message, code))
        notices.say(message, about=about)

    def say_totals(self, notices: Notices, at_shutdown: int) -> None:
        """Say all that was lost, in one line: warnings come once a minute and add nothing up.

        Args:
            notices: Says it.
            at_shutdown: Entries dropped just now, which has been said.
        """
        counters = self._outbox.holdings().counters
        totals = {why: lost for why, lost in counters.dropped.items() if why not in _CHOSEN}
        totals = {
            why: lost for why, lost in (*totals.items(), ("refused", counters.refused)) if lost
        }
        with self._lock:  # the sender's thread and the one that shuts down
            known, self._totals = self._totals, totals
        if totals not in ({}, known, {"shutdown": at_shutdown}):
            notices.say(
                f"Lost since the start: {sum(totals.values())} of "
                f"{entries(counters.handed_over + counters.recovered)} "
                f"({', '.join(f'{lost} {why}' for why, lost in sorted(totals.items()))})."
            )

    def recent(self) -> int:
        """Entries dropped for want of room, for their age or with the spool, of late."""
        return self._recent(self._seen)

    def _recent(self, seen: deque[tuple[float, int]]) -> int:
        oldest = self._clock() - _RECENT
        return sum(number for at, number in seen.copy() if at >= oldest)

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
