"""The fields of an entry: how each is made of what a record says.

The rules, with reasons, are in `docs/mapping.md`.
"""

from __future__ import annotations

import datetime as dt
import re
import sys
import time
from typing import TYPE_CHECKING, Any, Final

import msgspec

from logwell_otel._encoding.values import (
    MAX_CHARACTERS,
    UniqueNames,
    convert,
    cut_middle,
    cut_utf8,
    safe_name,
    safe_str,
    snapshot,
    storable,
)
from logwell_otel._wire import JS_BLANK, LEVELS, MAX_LINE_NUMBER, MAX_SERVICE_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from logwell_otel._otel import LogRecord
    from logwell_otel._wire import Level

NO_MESSAGE: Final = "(no message)"
"""The server refuses an entry whose message is blank."""


# Severity: one of Logwell's five levels.

# The first number of each of OpenTelemetry's ranges, and the names that say no more than
# the level does: https://opentelemetry.io/docs/specs/otel/logs/data-model/#severity-fields
_PLAIN_NUMBER: Final = {"debug": 5, "info": 9, "warn": 13, "error": 17, "fatal": 21}
_PLAIN_TEXT: Final = {
    "debug": {"DEBUG"},
    "info": {"INFO"},
    "warn": {"WARN", "WARNING"},
    "error": {"ERROR"},
    "fatal": {"FATAL", "CRITICAL"},
}
# Names of other libraries and languages: java.util.logging and log4j, syslog, winston, zap and
# logrus, loguru, verboselogs, Android.
_NAMES: Final[dict[Level, str]] = {
    "debug": "ALL D DBG DEBUG FINE FINER FINEST SILLY SPAM T TRACE TRC V VERBOSE",
    "info": "CONFIG I INF INFO INFORMATION INFORMATIONAL LOG NOTE NOTICE SUCCESS",
    "warn": "ATTENTION CAUTION W WARN WARNING WRN",
    "error": "E ERR ERROR EXCEPTION FAIL FAILED FAILURE SEVERE",
    "fatal": "A ALERT ASSERT C CRIT CRITICAL DPANIC EMERG EMERGENCY F FATAL FTL PANIC WTF",
}
_LEVEL_OF_TEXT: Final[dict[str, Level]] = {
    name: level for level, names in _NAMES.items() for name in names.split()
}
# What colours a terminal, which some libraries put around the name of a level.
_COLOURS: Final = re.compile(r"\x1b\[[0-9;]*m")
# What Python calls a level that has no name.
_UNNAMED: Final = re.compile(r"LEVEL (-?[0-9]{1,9})")
_MAX_KNOWN: Final = 64


class Severity(msgspec.Struct, frozen=True):
    """A level, and what of the record's severity it does not give back.

    Attributes:
        level: One of `LEVELS`.
        rank: Its place in `LEVELS`, for comparing.
        metadata: `severity_text` and `severity_number` where the level says less.
        number: The severity number that it was found by.
        text: The severity text, likewise.
    """

    level: Level
    rank: int
    metadata: dict[str, Any]
    number: object
    text: object


class Severities:
    """Finds the severity of a record; each number and text that come together are looked at once.

    Safe to use from several threads: the worst a race costs is doing a thing twice.
    """

    __slots__ = ("_known",)

    def __init__(self) -> None:
        # By text, since a text is hashed once and an enum member's hash is Python code.
        self._known: dict[str | None, Severity] = {}

    def of(self, log: LogRecord) -> Severity:
        """Return the level of `log`, and what of its severity the level does not say."""
        number, name = log.severity_number, log.severity_text
        if not (name is None or type(name) is str):
            return severity_of(number, name)
        known = self._known.get(name)
        if known is not None and known.number is number:
            return known
        severity = severity_of(number, name)
        if len(self._known) >= _MAX_KNOWN:
            self._known = {}
        self._known[name] = severity
        return severity


def severity_of(number: object, text: object) -> Severity:
    """Return the level of a severity number (1 to 24), else of a severity text, else `info`.

    A number outside 1 to 24 counts as unset, and is kept in the metadata when it is not 0. A 0
    that is not a missing number is what OpenTelemetry's logging handler (1.45) makes of every
    level below DEBUG: with a text that says nothing else it is `debug`.
    """
    metadata: dict[str, Any] = {}
    given = number
    number, _ = convert(number)  # of an enum member, its value
    name = "" if text is None else _COLOURS.sub("", safe_str(text)).strip()
    upper = name.upper()
    if type(number) is int and 1 <= number <= 24:
        level = LEVELS[max(0, (number - 5) // 4)]
    elif unnamed := _UNNAMED.fullmatch(upper):
        level = LEVELS[min(max(int(unnamed[1]) // 10 - 1, 0), 4)]
    else:
        below = name and type(number) is int and number == 0
        level = _LEVEL_OF_TEXT.get(upper.rstrip("0123456789 "), "debug" if below else "info")
    if upper and upper not in _PLAIN_TEXT[level]:
        metadata["severity_text"] = name
    if number and number != _PLAIN_NUMBER[level]:
        metadata["severity_number"] = number
    return Severity(level, LEVELS.index(level), metadata, given, text)


# Time: from nanoseconds since 1970 to ISO 8601 in UTC, in the range of the server's database.

SECOND: Final = 1_000_000_000
_FIRST: Final = -62_135_596_800 * SECOND  # 0001-01-01T00:00:00Z
_LAST: Final = 253_402_300_800 * SECOND - 1  # 9999-12-31T23:59:59.999999999Z
_EPOCH: Final = dt.datetime(1970, 1, 1)  # noqa: DTZ001 - UTC throughout; prints without an offset
# Formatting with `:06d` takes twice as long as looking up two halves.
THREE_DIGITS: Final = tuple(f"{number:03d}" for number in range(1000))


class Timestamps:
    """Formats timestamps. Records come in order of time, so the last second is kept ready.

    Safe to use from several threads: the second is one tuple that is replaced whole.

    Attributes:
        second: Its beginning in nanoseconds since 1970, and the text that its times begin with.
    """

    __slots__ = ("second",)

    def __init__(self) -> None:
        self.second = (0, "1970-01-01T00:00:00.")

    def of(self, log: LogRecord) -> str:
        """Format the record's timestamp, else when it was observed, else now.

        Clamped to the years 1 to 9999: the server's database has no others, and would
        refuse the whole request.
        """
        try:
            nanoseconds = log.timestamp or log.observed_timestamp
        except Exception:  # noqa: BLE001 - somebody's record without these fields
            nanoseconds = None
        if type(nanoseconds) is not int or nanoseconds == 0:
            nanoseconds = _usable(log)
        start, prefix = self.second
        rest = nanoseconds - start
        if not 0 <= rest < SECOND:
            nanoseconds = min(max(nanoseconds, _FIRST), _LAST)
            seconds, rest = divmod(nanoseconds, SECOND)
            prefix = (_EPOCH + dt.timedelta(seconds=seconds)).isoformat() + "."
            self.second = (nanoseconds - rest, prefix)
        micros = rest // 1000
        return f"{prefix}{THREE_DIGITS[micros // 1000]}{THREE_DIGITS[micros % 1000]}Z"


def in_range(timestamp: object) -> str | None:
    """Return an ISO 8601 text as the server's database takes it; None for what is none."""
    try:
        # Python 3.10 does not read a Z.
        moment = dt.datetime.fromisoformat(str(timestamp).replace("Z", "+00:00"))
        if moment.tzinfo is not None:
            moment = moment.astimezone(dt.timezone.utc).replace(tzinfo=None)
        return moment.isoformat(timespec="microseconds") + "Z"
    except Exception:  # noqa: BLE001 - no such text, or none within the years 1 to 9999
        return None


def _usable(log: LogRecord) -> int:
    """Return the first of the record's two times that can be read as a number, else now."""
    for name in ("timestamp", "observed_timestamp"):
        try:
            if nanoseconds := int(getattr(log, name)):
                return nanoseconds
        except Exception:  # noqa: BLE001, S112 - neither a number nor like one
            continue
    return time.time_ns()


# Service.

_SHORT_SERVICE: Final = MAX_SERVICE_BYTES // 4  # of four bytes a character at most


def service_name(value: object) -> str | None:
    """Make a service name that the server's index takes; None of what is blank or no text."""
    if (
        type(value) is str
        and len(value) <= _SHORT_SERVICE
        and value.isascii()
        and value.isprintable()
    ):
        return value if value.strip(" ") else None  # nothing to replace, little to look at
    if not issubclass(type(value), str):  # isinstance() would believe a proxy
        return None
    service = cut_utf8(storable(str.__str__(value)), MAX_SERVICE_BYTES)
    return service if service.strip(JS_BLANK) else None


# Source location: attributes that become fields.

# OpenTelemetry's semantic conventions renamed both in 1.30; the newer names win.
_FILE_NAMES: Final = ("code.file.path", "code.filepath")
_LINE_NAMES: Final = ("code.line.number", "code.lineno")
LOCATION: Final = frozenset((*_FILE_NAMES, *_LINE_NAMES))
"""Every name of an attribute that says where a record was logged."""

ABSENT: Final = object()
"""In the place of an attribute that a record does not have."""


def take_location(
    metadata: dict[str, Any], file: object, line: object, *, wanted: bool
) -> tuple[str | None, int | None]:
    """Take file and line from the first name that has a usable value; the rest stays.

    Args:
        metadata: The attributes, without these two.
        file: `code.file.path`, or `ABSENT`.
        line: `code.line.number`, or `ABSENT`.
        wanted: False takes all of them away, and gives none.
    """
    if file is not ABSENT:
        metadata["code.file.path"] = file
    if line is not ABSENT:
        metadata["code.line.number"] = line
    if not wanted:
        for name in LOCATION:
            metadata.pop(name, None)
    return _take(metadata, _FILE_NAMES, _fits_file), _take(metadata, _LINE_NAMES, _fits_line)


def _fits_file(value: object) -> bool:
    return type(value) is str and value != ""


def _fits_line(value: object) -> bool:
    return type(value) is int and 0 < value <= MAX_LINE_NUMBER


def _take(metadata: dict[str, Any], keys: Iterable[str], fits: Callable[[object], bool]) -> Any:
    """Take out the first of these attributes that has a usable value."""
    for name in keys:
        if fits(metadata.get(name)):
            return metadata.pop(name)
    return None


# What OpenTelemetry's logging instrumentation adds to records for texts on a console.

CORRELATION: Final = ("otelTraceID", "otelSpanID", "otelTraceSampled", "otelServiceName")
_IDS: Final = re.compile(r"[0-9a-f]{32}-[0-9a-f]{16}")


def take_correlation(metadata: dict[str, Any], *, in_trace: bool) -> None:
    """Take those out: an entry has the trace and the service in places of its own.

    Args:
        metadata: The attributes.
        in_trace: Whether the record itself knows its trace. One that another thread hands
            over, as a `QueueListener` does, only knows it by these.
    """
    trace, span, sampled, _ = (metadata.pop(name, None) for name in CORRELATION)
    if in_trace or "trace_id" in metadata or type(trace) is not str or type(span) is not str:
        return
    if _IDS.fullmatch(f"{trace}-{span}"):
        metadata["trace_id"], metadata["span_id"] = trace, span
        metadata["trace_flags"] = "01" if sampled is True else "00"


# Metadata: reserved names, and how no value is lost to another of the same name.

TRUNCATED: Final = "logwell.truncated"
"""Metadata of an entry that something was cut from: true."""

STACK_TRACES: Final = frozenset({"exception.stacktrace", "code.stacktrace"})
"""Attributes whose end is worth more than their middle."""

RESERVED: Final = frozenset(
    {
        TRUNCATED,
        "body",
        "otel.dropped_attributes_count",
        "otel.event.name",
        "otel.scope.attributes",
        "otel.scope.name",
        "otel.scope.version",
        "resource",
        "severity_number",
        "severity_text",
        "span_id",
        "trace_flags",
        "trace_id",
    }
)
"""Every name that the exporter itself may put into metadata."""


def plain_metadata(attributes: Mapping[Any, Any], raw_bytes: bool = False) -> dict[str, Any]:
    """Convert each attribute on its own: one huge value does not cost the others."""
    result = UniqueNames()
    truncated = False
    for key, value in snapshot(attributes.items(), sys.maxsize):
        if type(value) is str and len(value) > MAX_CHARACTERS and safe_name(key) in STACK_TRACES:
            value, truncated = cut_middle(value, MAX_CHARACTERS), True  # noqa: PLW2901
        converted, cut = convert(value, raw_bytes=raw_bytes)
        truncated |= cut
        result.add(safe_name(key), converted)
    if truncated:
        mark_truncated(result.values)
    return result.values


def put(metadata: dict[str, Any], reserved: Mapping[str, Any]) -> None:
    """Add members of ours; attributes that have their names move to `attributes.<name>`."""
    aside = {key: metadata.pop(key) for key in reserved if key in metadata}
    metadata.update(reserved)
    put_back(metadata, aside)


def set_aside(metadata: dict[str, Any], reserved: tuple[str, ...]) -> dict[str, Any]:
    """Take out the attributes that have a reserved name."""
    return {name: metadata.pop(name) for name in reserved if name in metadata}


def put_back(metadata: dict[str, Any], aside: Mapping[str, Any]) -> None:
    """Give attributes that were set aside their names back, or `attributes.<name>`."""
    for key, value in aside.items():
        name = f"attributes.{key}" if key in metadata else key
        if name in metadata:
            UniqueNames(metadata).add(name, value)
        else:
            metadata[name] = value


def mark_truncated(metadata: dict[str, Any]) -> None:
    """Note in `metadata` that something was cut."""
    if metadata.get(TRUNCATED) is not True:
        put(metadata, {TRUNCATED: True})
