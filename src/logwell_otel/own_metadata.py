"""What of a record becomes metadata beside its attributes, under names of our own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from logwell_otel import sanitize
from logwell_otel.message import message_of
from logwell_otel.names import OWN
from logwell_otel.wire import JS_BLANK

if TYPE_CHECKING:
    from logwell_otel.otel import LogRecord
    from logwell_otel.severity import Severity

BLANK: Final = frozenset(JS_BLANK)
"""Characters that a message may begin with and have nothing else."""

_FLAGS: Final = tuple(f"{flags:02x}" for flags in range(256))
BETWEEN_IDS: Final = tuple(f'","trace_flags":"{flags}","span_id":"' for flags in _FLAGS)
"""By trace flags, what stands between trace id and span id in the JSON of an entry."""


def set_aside(metadata: dict[str, Any]) -> dict[str, Any]:
    """Take out the attributes that have one of our names."""
    return {name: metadata.pop(name) for name in list(filter(OWN.__contains__, metadata))}


def add_own(
    metadata: dict[str, Any], log: LogRecord, severity: Severity, dropped: int, ready: bool
) -> str:
    """Add what of the record becomes metadata besides its attributes; gives the message."""
    if severity.metadata:
        metadata |= severity.metadata
    try:
        if trace_id := log.trace_id:
            metadata["trace_id"] = trace_id.to_bytes(16, "big").hex()
            metadata["trace_flags"] = _FLAGS[log.trace_flags]
        if span_id := log.span_id:
            metadata["span_id"] = span_id.to_bytes(8, "big").hex()
    except (AttributeError, IndexError, OverflowError, TypeError):
        add_trace_context(metadata, log)
    if log.event_name:
        metadata["otel.event.name"] = sanitize.safe_str(log.event_name)
    if dropped:
        metadata["otel.dropped_attributes_count"] = dropped
    message = log.body
    if type(message) is str and message and message[0] not in BLANK:
        return message
    return message_of(log, metadata, ready)


def add_trace_context(metadata: dict[str, Any], log: LogRecord) -> None:
    """What of an unusual trace context is valid."""
    for name in ("trace_id", "trace_flags", "span_id"):
        metadata.pop(name, None)
    if trace_id := _hex_id(log.trace_id, 16):
        flags: object = log.trace_flags
        metadata["trace_id"] = trace_id
        metadata["trace_flags"] = _FLAGS[flags & 0xFF if isinstance(flags, int) else 0]
    if span_id := _hex_id(log.span_id, 8):
        metadata["span_id"] = span_id


def _hex_id(value: object, size: int) -> str | None:
    """A trace or span id in hexadecimal, None for what is none."""
    if isinstance(value, int) and 0 < value < 1 << (8 * size):
        return value.to_bytes(size, "big").hex()
    return None
