"""The Retry-After header of an answer."""

from __future__ import annotations

import datetime as dt
import email.utils
import re
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_SECONDS: Final = 3600.0
"""A proxy that answers with next year's date must not end delivery."""

_SECONDS: Final = re.compile(r"[0-9]+(\.[0-9]+)?")


def retry_after(value: str | None, now: Callable[[], float] = time.time) -> float | None:
    """Seconds of a Retry-After header, which is a number of seconds or a date (RFC 9110).

    None where there is none or it cannot be read, as a negative number; 0 for a date that
    is over; at most an hour.
    """
    if value is None:
        return None
    value = value.strip()
    if _SECONDS.fullmatch(value):
        seconds = float(value)
    else:
        try:
            date = email.utils.parsedate_to_datetime(value)
            # HTTP's dates are in GMT; one without a zone is not local time.
            aware = date if date.tzinfo else date.replace(tzinfo=dt.timezone.utc)
            seconds = aware.timestamp() - now()
        except (TypeError, ValueError, OverflowError, IndexError):
            return None
    return min(max(seconds, 0.0), MAX_SECONDS)
