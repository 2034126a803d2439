"""Entries that fit: storable, and no larger than the server takes.

One NUL character, one lone surrogate or one endless structure in one entry makes the
server refuse the whole request with a 500, so nothing leaves here that could. Values are
converted by `values`; this is about the entry that holds them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from logwell_otel._encoding.fields import (
    NO_MESSAGE,
    RESERVED,
    STACK_TRACES,
    TRUNCATED,
    in_range,
    mark_truncated,
    plain_metadata,
    service_name,
)
from logwell_otel._encoding.values import (
    CUT,
    UniqueNames,
    convert,
    cut_middle,
    cut_utf8,
    from_json,
    safe_name,
)
from logwell_otel._wire import JS_BLANK, LEVELS, MAX_ENTRY_BYTES, MAX_LINE_NUMBER, LogEntry

if TYPE_CHECKING:
    from collections.abc import Iterable

# The body stands in the message too.
_DROPPED_LAST: Final = RESERVED - {"body"}
_JSON: Final = msgspec.json.Encoder()
_MAX_NAME_BYTES: Final = 128
_BYTES_PER_ITEM: Final = 8
_OVERHEAD: Final = len(_JSON.encode(CUT))
_ENTRY: Final = msgspec.json.Decoder(LogEntry)
_MEMBERS: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_SHARED: Final = frozenset({"otel.scope.attributes", "resource"})


def clean(entry: LogEntry) -> None:
    """Make every part of `entry` storable, in place, whoever filled it.

    What a field cannot hold is left out, a message or a level replaced: the server refuses
    entries without them.
    """
    entry.level = entry.level if entry.level in LEVELS else "info"
    entry.message = safe_name(entry.message)
    if not entry.message.strip(JS_BLANK):
        entry.message = NO_MESSAGE
    if entry.timestamp is not None:
        entry.timestamp = in_range(entry.timestamp)
    entry.service = service_name(entry.service)
    if entry.source_file is not None:
        entry.source_file = safe_name(entry.source_file)
    line = entry.line_number
    if type(line) is not int or not 0 < line <= MAX_LINE_NUMBER:
        entry.line_number = None
    metadata: Any = entry.metadata
    if not isinstance(metadata, dict):
        metadata = {} if metadata is None else {"metadata": metadata}
    # Made ready in `resource`, for all records of a resource and scope; no attribute is one.
    ready = {key: value for key, value in metadata.items() if type(value) is msgspec.Raw}
    entry.metadata = plain_metadata(metadata) | ready


def unpack(entry: LogEntry) -> None:
    """Make plain values of what is ready JSON in an entry's metadata, and of bytes.

    What all records of a resource and scope share stays as it is.
    """
    unpacked: dict[str, Any] = {}
    for name, value in entry.metadata.items():
        if type(value) is bytes:
            unpacked[name] = convert(value)[0]
        elif type(value) is not msgspec.Raw or name in _SHARED:
            unpacked[name] = value
        else:
            # What begins as its value may have more members behind it.
            members = _MEMBERS.decode(b"{%b:%b}" % (_JSON.encode(name), bytes(value)))
            unpacked |= {
                member: json if member in _SHARED else from_json(json)
                for member, json in members.items()
            }
    entry.metadata = unpacked


def fit(entry: LogEntry, limit: int = MAX_ENTRY_BYTES) -> bytes:
    """Encode a clean `entry`, its longest strings cut until it has at most `limit` bytes.

    Long lists and objects lose their ends with them. What that cannot give (very many
    attributes) is given by leaving metadata out, largest value first. A cut entry says
    so: `metadata["logwell.truncated"]` is true.
    """
    encoded = _JSON.encode(entry)
    if len(encoded) <= limit:
        return encoded
    mark_truncated(entry.metadata)
    for allowed in sorted({limit // 4, limit // 16, 1024, 128}, reverse=True):
        entry.message = _shorten(entry.message, allowed, middle=True)
        if entry.source_file is not None:
            entry.source_file = _shorten(entry.source_file, allowed)
        entry.metadata = _shorten_items(entry.metadata.items(), allowed)
        encoded = _JSON.encode(entry)
        if len(encoded) <= limit:
            return encoded
    _drop_largest(entry.metadata, len(encoded) - limit)
    return _JSON.encode(entry)


def shrink(encoded: bytes, limit: int) -> bytes | None:
    """Cut an encoded entry to `limit` bytes; None if it is not an entry of ours."""
    try:
        return fit(_ENTRY.decode(encoded), limit)
    except msgspec.MsgspecError:
        return None


def _drop_largest(metadata: dict[str, Any], excess: int) -> None:
    """Take away the largest values until `excess` bytes are gone, ours at the very last."""
    # A member costs its name, its value, a colon and a comma.
    sizes = {
        key: len(_JSON.encode(key)) + len(_JSON.encode(value)) + 2
        for key, value in metadata.items()
        if key != TRUNCATED
    }
    for key in sorted(sizes, key=lambda key: (key in _DROPPED_LAST, -sizes[key])):
        if excess <= 0:
            break
        del metadata[key]
        excess -= sizes[key]


def _shorten(value: str, allowed: int, *, middle: bool = False) -> str:
    if len(value) * 6 + 2 <= allowed:
        return value
    # A control character takes six bytes as JSON, so the limit is on the encoded size.
    size = len(_JSON.encode(value))
    if size <= allowed:
        return value
    share = max(1, len(value.encode("utf-8")) * (allowed - _OVERHEAD) // size)
    if middle:
        shorter = cut_middle(value, share)
        if len(_JSON.encode(shorter)) <= allowed:  # unless such characters stand at its ends
            return shorter
    return cut_utf8(value, share) + CUT


def _shorten_items(items: Iterable[tuple[str, Any]], allowed: int) -> dict[str, Any]:
    names = UniqueNames()
    for key, value in items:
        if key in STACK_TRACES and type(value) is str:
            names.add(key, _shorten(value, allowed, middle=True))
        else:
            names.add(_shorten(key, _MAX_NAME_BYTES), _shorten_deep(value, allowed))
    return names.values


def _shorten_deep(value: Any, allowed: int) -> Any:
    if isinstance(value, bytes):  # kept for a redactor, and base64 in the end
        value = safe_name(convert(value)[0])
    if isinstance(value, str):
        return _shorten(value, allowed)
    most = allowed // _BYTES_PER_ITEM
    if isinstance(value, list):
        kept = [_shorten_deep(item, allowed) for item in value[:most]]
        return kept if len(value) <= most else [*kept, CUT]
    if isinstance(value, dict):
        shortened = _shorten_items(list(value.items())[:most], allowed)
        return shortened if len(value) <= most else {**shortened, CUT: CUT}
    return value
