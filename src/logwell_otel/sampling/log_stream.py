"""Log lines as they come, plain or JSON -> level and message."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import msgspec

from logwell_otel.severity import severity_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from logwell_otel.wire import Level

# As structlog, python-json-logger, pino, zap, OpenTelemetry and others call them.
_MESSAGE_NAMES: Final = ("message", "msg", "body", "event", "text", "log")
_LEVEL_NAMES: Final = (
    "level",
    "severity",
    "severityText",
    "severity_text",
    "levelname",
    "lvl",
    "log.level",
)
_NUMBER_NAMES: Final = ("severityNumber", "severity_number")

# Where a line says its level, which is at its beginning. In capitals, or as level=info: the
# word "error" in a sentence is none.
_BEGINNING: Final = 120
_LEVEL: Final = re.compile(
    r"\b(TRACE|DEBUG|INFO|NOTICE|WARN|WARNING|ERR|ERROR|CRIT|CRITICAL|ALERT|EMERG|FATAL|PANIC)\b"
    r"|\b(?i:level|lvl|severity)=\"?(\w+)"
)


def entries_of(lines: Iterable[str]) -> Iterator[tuple[Level, str]]:
    """Yield level and message of each record.

    A line that is a JSON object is a record, or a receiver's answer with records under
    `logs`; a JSON array holds several. Any other line is a message itself; its level is
    taken from its first 120 characters, and is info where there is none.
    """
    for raw in lines:
        line = raw.strip()
        if not line:
            continue
        if line[0] in "{[":
            try:
                value = msgspec.json.decode(line)
            except (msgspec.MsgspecError, ValueError, RecursionError):
                pass  # `[12:30:01] INFO …` and the like
            else:
                yield from _from_json(value, line)
                continue
        yield _level_in(line), line


def _from_json(value: Any, line: str) -> Iterator[tuple[Level, str]]:
    records = value
    if isinstance(value, dict):
        records = value["logs"] if isinstance(value.get("logs"), list) else [value]
    for record in records:
        if isinstance(record, dict):
            yield _level_of(record), _message_of(record, line)
        else:
            yield "info", _text(record)


def _message_of(record: dict[str, Any], line: str) -> str:
    for name in _MESSAGE_NAMES:
        if record.get(name) is not None:
            return _text(record[name])
    return line


def _text(value: Any) -> str:
    if isinstance(value, dict) and isinstance(value.get("stringValue"), str):
        return str(value["stringValue"])  # OTLP's JSON
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _level_of(record: dict[str, Any]) -> Level:
    number = next((record[name] for name in _NUMBER_NAMES if name in record), None)
    text = next((record[name] for name in _LEVEL_NAMES if isinstance(record.get(name), str)), None)
    return severity_of(number, text).level


def _level_in(line: str) -> Level:
    match = _LEVEL.search(line[:_BEGINNING])
    return severity_of(None, match[1] or match[2]).level if match else "info"
