"""OpenTelemetry's severity -> one of Logwell's five levels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from logwell_otel import sanitize

if TYPE_CHECKING:
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


class Severity(NamedTuple):
    """A level, and what of the record's severity it does not give back."""

    level: Level
    rank: int
    """Place of the level in `LEVELS`, for comparing."""
    metadata: dict[str, Any]
    """`severity_text` and `severity_number` where the level says less than they do."""


def severity_of(number: object, text: object) -> Severity:
    """Level of a severity number (1 to 24), else of a severity text, else `info`.

    A number outside 1 to 24 counts as unset, and is kept in the metadata when it is
    not 0.
    """
    metadata: dict[str, Any] = {}
    name = "" if text is None else sanitize.safe_str(text).strip()
    upper = name.upper()
    if isinstance(number, int) and 1 <= number <= 24:
        rank = max(0, (number - 5) // 4)
        level = LEVELS[rank]
    else:
        level = _LEVEL_OF_TEXT.get(upper.rstrip("0123456789"), "info")
        rank = LEVELS.index(level)
    if upper and upper not in _PLAIN_TEXT[level]:
        metadata["severity_text"] = name
    if number and number != _PLAIN_NUMBER[level]:
        metadata["severity_number"] = sanitize.plain(number)
    return Severity(level, rank, metadata)
