"""The quick way to plain values, for what needs no conversion or a small one.

`plain.Conversion` takes any value apart piece by piece, within limits. Nearly all values
need none of that.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from logwell_otel.plain import (
    MAX_CHARACTERS,
    MAX_DEPTH,
    MAX_VALUES,
    MIN_SAFE_INTEGER,
    number,
    text,
    to_base64,
)
from logwell_otel.wire import MAX_SAFE_INTEGER

NOT_SIMPLE: Final = object()
"""`simple`'s answer for what has to be converted."""

to_json: Final = msgspec.json.Encoder().encode
from_json: Final = msgspec.json.Decoder().decode

# Shorter texts need not be counted before they are encoded.
_SHORT: Final = 64
_NUL: Final = b"\\u0000"


def simple(value: Any, ready: bool = False) -> Any:
    """As `plain` where nothing can be cut, by the quickest way; `NOT_SIMPLE` otherwise.

    Args:
        value: Any value.
        ready: True if it is only encoded: a structure may be ready JSON, and bytes stay
            bytes, which msgspec writes as base64 as well.
    """
    kind = type(value)
    if kind is tuple or kind is dict or kind is list:
        json = plain_json(value)
        if json is None:
            return NOT_SIMPLE
        return msgspec.Raw(json) if ready else from_json(json)
    if kind is bytes and len(value) <= MAX_CHARACTERS // 2:
        return value if ready else to_base64(value)
    if kind is str and len(value) <= MAX_CHARACTERS:
        return text(value)
    if kind is bool or value is None:
        return value
    if kind is int and MIN_SAFE_INTEGER <= value <= MAX_SAFE_INTEGER:
        return value
    if kind is float:
        return number(value)
    return NOT_SIMPLE


def has_nul(json: bytes | bytearray, start: int = 0) -> bool:
    """Whether JSON holds a NUL from `start` on; true for some text that looks like one, too."""
    # Searching one byte is some forty times faster, and most JSON has no backslash. `in`
    # would first try to take what it looks for as a number, which costs an exception.
    return json.find(b"\\", start) >= 0 and json.find(_NUL, start) >= 0


def plain_json(value: Any) -> bytes | None:
    """A dict, list or tuple as JSON if there is nothing in it that `plain` would change, else None.

    That is so for nearly all, and looking at one is several times faster than building it
    anew value by value: the copying is then left to msgspec.
    """
    try:
        if _room_left(value, MAX_VALUES - 1, MAX_DEPTH) < 0:
            return None
        json = to_json(value)
    except Exception:  # noqa: BLE001 - lone surrogates; another thread that is changing it
        return None
    return None if len(json) > MAX_CHARACTERS or json.find(_NUL) >= 0 else json


def _room_left(  # noqa: C901 - flat: one question a type
    value: Any, room: int, depth: int
) -> int:
    """`room` less the values in a structure and the length of long texts, before encoding it.

    Negative if it is too large, too deep or holds anything that is not plain.
    """
    room -= len(value)
    if room < 0 or depth == 0:
        return -1
    if type(value) is dict:
        room -= len("".join(value))  # fails for keys that are no text
        value = value.values()
    for item in value:
        kind = type(item)
        if kind is str:
            if len(item) > _SHORT:
                room -= len(item)
        elif kind is int:
            if not MIN_SAFE_INTEGER <= item <= MAX_SAFE_INTEGER:
                return -1
        elif kind is dict or kind is list or kind is tuple:
            room = _room_left(item, room, depth - 1)
            if room < 0:
                return -1
        elif kind is float:
            if item - item != 0:
                return -1
        elif kind is not bool and item is not None:
            return -1
    return room
