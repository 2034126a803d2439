"""A record's body -> the text of its entry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from logwell_otel.names import TRUNCATED
from logwell_otel.plain import Conversion
from logwell_otel.simple import from_json, plain_json, to_json
from logwell_otel.wire import JS_BLANK

if TYPE_CHECKING:
    from logwell_otel.otel import LogRecord

NO_MESSAGE: Final = "(no message)"
"""The server refuses an entry whose message is blank."""

_STRUCTURES: Final = frozenset({dict, list, tuple})


def message_of(log: LogRecord, metadata: dict[str, Any], ready: bool = False) -> str:
    """The body as text, a structure as JSON; the event's name or the exception for a blank one.

    Args:
        log: The record.
        metadata: Its attributes; a body that is no text is added as `body`.
        ready: As ready JSON, if it can be.
    """
    body = log.body
    if type(body) in _STRUCTURES and (json := plain_json(body)) is not None:
        metadata["body"] = msgspec.Raw(json) if ready else from_json(json)
        return json.decode("utf-8")
    if body is not None:
        conversion = Conversion()
        converted = conversion.value(body)
        if isinstance(converted, str):
            message = converted
        else:
            message = to_json(converted).decode("utf-8")
            metadata["body"] = converted
        if conversion.cut:
            metadata[TRUNCATED] = True
        if message.strip(JS_BLANK):
            return message
    kind, reason = _read(metadata, "exception.type"), _read(metadata, "exception.message")
    exception = f"{kind}: {reason}" if kind and reason else kind or reason
    for candidate in (metadata.get("otel.event.name"), exception):
        if isinstance(candidate, str) and candidate.strip(JS_BLANK):
            return candidate
    return NO_MESSAGE


def _read(metadata: dict[str, Any], name: str) -> Any:
    """A value as it will be read: what is ready for encoding may be JSON or bytes."""
    value = metadata.get(name)
    if type(value) is msgspec.Raw or type(value) is bytes:
        return from_json(to_json(value))
    return value
