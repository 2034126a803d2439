"""A record's body -> the text of its entry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from logwell_otel.names import TRUNCATED
from logwell_otel.plain import Conversion
from logwell_otel.wire import JS_BLANK

if TYPE_CHECKING:
    from logwell_otel.otel import LogRecord

NO_MESSAGE: Final = "(no message)"
"""The server refuses an entry whose message is blank."""


def message_of(log: LogRecord, metadata: dict[str, Any]) -> str:
    """The body as text, a structure as JSON; the event's name or the exception for a blank one.

    Args:
        log: The record.
        metadata: Its attributes; a body that is no text is added as `body`.
    """
    if log.body is not None:
        conversion = Conversion()
        body = conversion.value(log.body)
        if isinstance(body, str):
            message = body
        else:
            message = msgspec.json.encode(body).decode("utf-8")
            metadata["body"] = body
        if conversion.cut:
            metadata[TRUNCATED] = True
        if message.strip(JS_BLANK):
            return message
    kind, reason = metadata.get("exception.type"), metadata.get("exception.message")
    exception = f"{kind}: {reason}" if kind and reason else kind or reason
    for candidate in (metadata.get("otel.event.name"), exception):
        if isinstance(candidate, str) and candidate.strip(JS_BLANK):
            return candidate
    return NO_MESSAGE
