"""JSON, text and dates as JavaScript reads them: the real server runs on it.

The differences from Python are what this server has to get right: every number is a
double, lone surrogates pass the parser, `trim()` knows other blanks than `str.strip()`.
"""

from __future__ import annotations

import json
import math
import re
import time
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

BLANKS = (
    "\t\n\v\f\r \u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000\ufeff"
)
"""What `String.prototype.trim` removes (ECMA-262, WhiteSpace and LineTerminator).
Python's `strip()` differs: it removes U+001C to U+001F and U+0085, and keeps U+FEFF."""

_SPACE = re.compile(r"[ \t\n\r]+")
"""What JSON takes for space between values."""

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - UTC throughout; naive is faster to print
_MAX_TIME_MS = 8.64e15
"""ECMA-262, TimeClip: a date further from 1970 is invalid."""

_DATE = re.compile(
    r"(?P<year>[+-][0-9]{6}|[0-9]{4})(?:-(?P<month>[0-9]{2})(?:-(?P<day>[0-9]{2}))?)?"
    r"(?P<time>[T ](?P<hour>[0-9]{2}):(?P<minute>[0-9]{2})"
    r"(?::(?P<second>[0-9]{2})(?:\.(?P<fraction>[0-9]+))?)?"
    r"(?P<zone>Z|[+-][0-9]{2}:?[0-9]{2})?)?",
    re.IGNORECASE,
)


def parse_json(body: bytes) -> Any:
    """Reads a request body as `JSON.parse` does.

    Integers beyond 2^53 come back rounded, whole floats as `int`, a number too large for
    a double as infinity. Of several members with one name the last counts.

    Args:
        body: The raw bytes. Invalid UTF-8 becomes U+FFFD, one byte order mark is dropped:
            both as in the Encoding standard's "UTF-8 decode".

    Raises:
        ValueError: The text is not JSON. `NaN` and `Infinity` are not.
    """
    text = body.decode("utf-8", errors="replace").removeprefix("\ufeff")
    try:
        return _DECODER.decode(text)
    except RecursionError:
        return parse_nested(text)


def parse_nested(text: str) -> Any:
    """`parse_json` without recursion, for text nested deeper than Python's parsers take.

    `json` and msgspec give up at some 1,000 levels (`json` at a number that depends on
    Python's version), JavaScript does not: nesting is refused by the database, if at all,
    and a broken text of any depth is answered as one that is not JSON. Slow, and used only
    after `json` has given up. Strings, numbers and words are still read by `json`; what is
    here is how they stand together.

    Raises:
        ValueError: The text is not JSON.
    """
    nesting = _Nesting()
    position = _skip_space(text, 0)
    while position < len(text):
        character = text[position]
        if character in "[]{},:":
            nesting.mark(character)
            position += 1
        else:
            value, position = _DECODER.raw_decode(text, position)
            nesting.value(value)
        position = _skip_space(text, position)
    if nesting.expects != "end":
        raise ValueError(f"{nesting.expects} expected, the text ends")
    return nesting.root


class _Nesting:
    """Puts lists and objects together; `expects` names what may come next."""

    def __init__(self) -> None:
        self.root: Any = None
        self.expects = "value"
        self._open: list[dict[str, Any] | list[Any]] = []
        self._keys: list[str] = []

    def mark(self, mark: str) -> None:
        """Takes one of `[]{},:`."""
        if mark in "[{" and self.expects.startswith("value"):
            container: dict[str, Any] | list[Any] = [] if mark == "[" else {}
            self._attach(container)
            self._open.append(container)
            self.expects = "value or ]" if mark == "[" else "key or }"
        elif mark == ":" and self.expects == ":":
            self.expects = "value"
        elif mark == "," and self.expects == ", or close":
            self.expects = "value" if isinstance(self._open[-1], list) else "key"
        elif mark in "]}" and self._may_close(mark):
            self._open.pop()
            self._after_value()
        else:
            raise ValueError(f"{self.expects} expected, got {mark}")

    def value(self, value: Any) -> None:
        """Takes a string, a number or a word; a string may be a key."""
        if self.expects.startswith("value"):
            self._attach(value)
            self._after_value()
        elif self.expects.startswith("key") and isinstance(value, str):
            self._keys.append(value)
            self.expects = ":"
        else:
            raise ValueError(f"{self.expects} expected, got a value")

    def _may_close(self, mark: str) -> bool:
        if not self._open or (mark == "]") != isinstance(self._open[-1], list):
            return False
        return self.expects == ", or close" or self.expects.endswith(f" or {mark}")

    def _attach(self, value: Any) -> None:
        if not self._open:
            self.root = value
            return
        parent = self._open[-1]
        if isinstance(parent, list):
            parent.append(value)
        else:
            parent[self._keys.pop()] = value

    def _after_value(self) -> None:
        self.expects = ", or close" if self._open else "end"


def _skip_space(text: str, position: int) -> int:
    match = _SPACE.match(text, position)
    return position if match is None else match.end()


def number(text: str) -> int | float:
    """A JSON number as JavaScript keeps it: a double, whole ones as `int`.

    A whole double prints with its shortest digits, then zeros (`Number::toString`), so
    12345678901234567890 is stored as 12345678901234567000.
    """
    value = float(text)
    if value.is_integer() and abs(value) < 1e21:
        return int(value) if abs(value) <= 2**53 else int(Decimal(repr(value)))
    return value


def _integer(text: str) -> int | float:
    # Up to 15 digits every integer is a double exactly; this is the common case.
    return int(text) if len(text) <= 15 else number(text)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(parse_int=_integer, parse_float=number, parse_constant=_refuse_constant)


def is_blank(text: str) -> bool:
    """Whether `text.trim()` is empty."""
    return not text.strip(BLANKS)


def trim(text: str) -> str:
    """`text.trim()`."""
    return text.strip(BLANKS)


def to_string(value: Any) -> str:
    """`String(value)` of a parsed JSON value, as the server's error texts show it."""
    if isinstance(value, str):
        return value
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return _float_to_string(value)
    if isinstance(value, list):
        return ",".join("" if item is None else to_string(item) for item in value)
    return "[object Object]"


def _float_to_string(value: float) -> str:
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    mantissa, _, exponent = repr(value).partition("e")
    if not exponent:
        return mantissa
    power = int(exponent)
    if -7 < power < 0:  # JavaScript writes out down to 0.000001, Python to 0.0001.
        return f"{Decimal(repr(value)):f}"
    return f"{mantissa.removesuffix('.0')}e{power:+d}"


def parse_date(text: str) -> int | None:
    """Milliseconds since 1970 that `new Date(text)` means, None where it is invalid.

    Reads ECMA-262's date time string format, a space in place of the `T` and offsets
    without a colon. A date alone is UTC, a date and time without a zone is local time.
    Finer than milliseconds is cut off. Other forms that engines accept, each its own
    (`20 Nov 2026`), count as invalid here.
    """
    match = _DATE.fullmatch(text)
    if match is None:
        return None
    field = match.group
    year, month, day = int(field("year")), int(field("month") or 1), int(field("day") or 1)
    hour, minute, second = (int(field(name) or 0) for name in ("hour", "minute", "second"))
    fraction = int(((field("fraction") or "") + "000")[:3])
    if (
        field("year") == "-000000"
        or not 1 <= month <= 12
        or not 1 <= day <= _days_in_month(year, month)
        or hour > 24
        or (hour == 24 and (minute or second or fraction))
        or minute > 59
        or second > 59
    ):
        return None
    seconds = ((_days_from_epoch(year, month, day) * 24 + hour) * 60 + minute) * 60 + second
    offset = _offset_seconds(field("zone"), seconds) if field("time") else 0
    if offset is None:
        return None
    milliseconds = (seconds - offset) * 1000 + fraction
    return milliseconds if abs(milliseconds) <= _MAX_TIME_MS else None


def now_ms() -> int:
    """`Date.now()`: milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def to_iso_string(milliseconds: int) -> str:
    """`new Date(milliseconds).toISOString()`, for the years 1 to 9999."""
    moment = _EPOCH + timedelta(milliseconds=milliseconds)
    return f"{moment.isoformat(timespec='milliseconds')}Z"


def _offset_seconds(zone: str | None, local_seconds: int) -> int | None:
    if zone is None:
        return _local_offset(local_seconds)
    if zone in {"Z", "z"}:
        return 0
    hours, minutes = int(zone[1:3]), int(zone[-2:])
    if hours > 23 or minutes > 59:
        return None
    return (hours * 3600 + minutes * 60) * (1 if zone[0] == "+" else -1)


def _local_offset(local_seconds: int) -> int:
    try:
        offset = time.localtime(local_seconds - time.localtime(local_seconds).tm_gmtoff).tm_gmtoff
    except (OverflowError, OSError, ValueError):
        # Years far outside of what the platform's calendar knows have no daylight saving.
        offset = -time.timezone
    return offset


def _is_leap(year: int) -> bool:
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


def _days_in_month(year: int, month: int) -> int:
    if month == 2:
        return 29 if _is_leap(year) else 28
    return 30 if month in {4, 6, 9, 11} else 31


def _days_from_epoch(year: int, month: int, day: int) -> int:
    """Days from 1970-01-01; `datetime` knows the years 1 to 9999 only, JavaScript more."""
    before = year - 1
    days = before * 365 + before // 4 - before // 100 + before // 400
    days += sum(_days_in_month(year, earlier) for earlier in range(1, month))
    return days + day - 719_163  # 719,163 is date(1970, 1, 1).toordinal()
