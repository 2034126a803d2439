"""OpenTelemetry's severity -> one of Logwell's five levels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from logwell_otel.plain import plain, safe_str

if TYPE_CHECKING:
    from logwell_otel.otel import LogRecord
    from logwell_otel.wire import Level

LEVELS: Final[tuple[Level, ...]] = ("debug", "info", "warn", "error", "fatal")
"""Least severe first."""

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
_LEVEL_OF_TEXT: Final[dict[str, Level]] = {
    "TRACE": "debug",
    "DEBUG": "debug",
    "VERBOSE": "debug",
    # What Python calls a level without a name; OpenTelemetry's handlers leave the number
    # unset below 10 only.
    "LEVEL": "debug",
    "INFO": "info",
    "INFORMATION": "info",
    "NOTICE": "info",
    "WARN": "warn",
    "WARNING": "warn",
    "ERR": "error",
    "ERROR": "error",
    "SEVERE": "error",
    "CRIT": "fatal",
    "CRITICAL": "fatal",
    "ALERT": "fatal",
    "EMERG": "fatal",
    "EMERGENCY": "fatal",
    "FATAL": "fatal",
    "PANIC": "fatal",
}
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
        """The level of `log`, and what of its severity the level does not say."""
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
    """Level of a severity number (1 to 24), else of a severity text, else `info`.

    A number outside 1 to 24 counts as unset, and is kept in the metadata when it is
    not 0.
    """
    metadata: dict[str, Any] = {}
    given = number
    number = plain(number)  # of an enum member, its value
    name = "" if text is None else safe_str(text).strip()
    upper = name.upper()
    if type(number) is int and 1 <= number <= 24:
        rank = max(0, (number - 5) // 4)
        level = LEVELS[rank]
    else:
        level = _LEVEL_OF_TEXT.get(upper.rstrip("0123456789 "), "info")
        rank = LEVELS.index(level)
    if upper and upper not in _PLAIN_TEXT[level]:
        metadata["severity_text"] = name
    if number and number != _PLAIN_NUMBER[level]:
        metadata["severity_number"] = number
    return Severity(level, rank, metadata, given, text)
