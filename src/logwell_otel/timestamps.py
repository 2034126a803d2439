"""Nanoseconds since 1970 -> ISO 8601 in UTC, in the range that the server's database has."""

from __future__ import annotations

import datetime as dt
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from logwell_otel.otel import LogRecord

SECOND: Final = 1_000_000_000
_FIRST: Final = -62_135_596_800 * SECOND  # 0001-01-01T00:00:00Z
_LAST: Final = 253_402_300_800 * SECOND - 1  # 9999-12-31T23:59:59.999999999Z
_EPOCH: Final = dt.datetime(1970, 1, 1)  # noqa: DTZ001 - UTC throughout; prints without an offset
# Formatting with `:06d` takes twice as long as looking up two halves.
_THREE_DIGITS: Final = tuple(f"{number:03d}" for number in range(1000))


class Timestamps:
    """Formats timestamps. Records come in order of time, so the last second is kept ready.

    Safe to use from several threads: the second is one tuple that is replaced whole.
    """

    __slots__ = ("_second",)

    def __init__(self) -> None:
        self._second = (0, "1970-01-01T00:00:00.")

    def of(self, log: LogRecord) -> str:
        """The record's timestamp, else when it was observed, else now.

        Clamped to the years 1 to 9999: the server's database has no others, and would
        refuse the whole request.
        """
        try:
            nanoseconds = log.timestamp or log.observed_timestamp
        except Exception:  # noqa: BLE001 - somebody's record without these fields
            nanoseconds = None
        if type(nanoseconds) is not int or nanoseconds == 0:
            nanoseconds = _usable(log)
        start, prefix = self._second
        rest = nanoseconds - start
        if not 0 <= rest < SECOND:
            nanoseconds = min(max(nanoseconds, _FIRST), _LAST)
            seconds, rest = divmod(nanoseconds, SECOND)
            prefix = (_EPOCH + dt.timedelta(seconds=seconds)).isoformat() + "."
            self._second = (nanoseconds - rest, prefix)
        micros = rest // 1000
        return f"{prefix}{_THREE_DIGITS[micros // 1000]}{_THREE_DIGITS[micros % 1000]}Z"


def in_range(timestamp: object) -> str | None:
    """An ISO 8601 text as the server's database takes it; None for what is none."""
    try:
        # Python 3.10 does not read a Z.
        moment = dt.datetime.fromisoformat(str(timestamp).replace("Z", "+00:00"))
        if moment.tzinfo is not None:
            moment = moment.astimezone(dt.timezone.utc).replace(tzinfo=None)
        return moment.isoformat(timespec="microseconds") + "Z"
    except Exception:  # noqa: BLE001 - no such text, or none within the years 1 to 9999
        return None


def _usable(log: LogRecord) -> int:
    """The first of the record's two times that can be read as a number, else now."""
    for name in ("timestamp", "observed_timestamp"):
        try:
            if nanoseconds := int(getattr(log, name)):
                return nanoseconds
        except Exception:  # noqa: BLE001, S112 - neither a number nor like one
            continue
    return time.time_ns()
