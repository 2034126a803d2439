"""Any Python value -> what JSON and PostgreSQL accept: the careful path.

One NUL character, one lone surrogate or one endless structure in one entry makes the
server refuse the whole request with a 500, so nothing leaves here that could.
"""

from __future__ import annotations

import base64
import datetime as dt
import enum
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Final

import msgspec

from logwell_otel.wire import MAX_ENTRY_BYTES, MAX_SAFE_INTEGER, LogEntry

MAX_DEPTH: Final = 32
"""Levels of nesting kept as structure; what lies deeper becomes text."""

MAX_VALUES: Final = 10_000
"""Values one attribute may hold. A list that holds a list twice that holds a list twice …
needs few objects and doubles with every level: depth alone does not bound it."""

TRUNCATED: Final = "logwell.truncated"
_REPLACEMENT: Final = "\ufffd"
# PostgreSQL's text has no U+0000; its jsonb takes no lone surrogate.
_UNSTORABLE: Final = re.compile("[\x00\ud800-\udfff]")
_MAX_TEXT: Final = MAX_ENTRY_BYTES
_JSON: Final = msgspec.json.Encoder()
_ENTRY: Final = msgspec.json.Decoder(LogEntry)


def text(value: str) -> str:
    """`value` with what PostgreSQL cannot store replaced by U+FFFD."""
    return _UNSTORABLE.sub(_REPLACEMENT, value)


def safe_str(value: object) -> str:
    """`str(value)`, whatever the object's own methods do."""
    try:
        # The conversion is foreign code: it may raise, and may return a subclass of str.
        return text(str.__str__(str(value))[:_MAX_TEXT])
    except Exception:  # noqa: BLE001 - the placeholder below says that and for which type
        return f"<unprintable {text(type(value).__name__)}>"


def plain(value: object) -> Any:
    """`value` as plain JSON values: None, bool, int, float, str, list and dict.

    Bytes become base64, NaN and infinities their names, integers beyond ±2^53 decimal
    text (the server reads numbers as doubles), sets lists, enum members their value,
    dates ISO 8601, everything else its `str()`. Cycles and what lies deeper than
    `MAX_DEPTH` become text. Never raises for an `Exception` in foreign code.
    """
    return _Plain().value(value, 0)


class _Plain:
    """One conversion: remembers the path (for cycles) and how much is left."""

    def __init__(self) -> None:
        self._left = MAX_VALUES
        self._path: set[int] = set()

    def value(self, value: object, depth: int) -> Any:
        self._left -= 1
        if value is None or value is True or value is False:
            return value
        if isinstance(value, str):
            return text(str.__str__(value))
        if isinstance(value, enum.Enum):
            return self.value(value.value, depth + 1) if depth < MAX_DEPTH else safe_str(value)
        if isinstance(value, int):
            return _integer(int.__int__(value))
        if isinstance(value, float):
            return _float(float.__float__(value))
        if isinstance(value, (bytes, bytearray, memoryview)):
            return base64.b64encode(bytes(value[:_MAX_TEXT])).decode("ascii")
        if isinstance(value, (dt.datetime, dt.date, dt.time)):
            return value.isoformat()
        if isinstance(value, msgspec.Raw):
            return value  # a part that was made ready before: the resource
        try:
            return self._structure(value, depth)
        except Exception:  # noqa: BLE001 - a foreign Mapping or Sequence may raise anything
            return safe_str(value)

    def _structure(self, value: object, depth: int) -> Any:
        if not isinstance(value, (Mapping, Sequence, AbstractSet)) or depth >= MAX_DEPTH:
            return safe_str(value)
        if id(value) in self._path:
            return safe_str(value)
        if self._left <= 0:
            return "[truncated]"
        self._path.add(id(value))
        try:
            if isinstance(value, Mapping):
                return self._mapping(_snapshot(value.items()), depth)
            return [self.value(item, depth + 1) for item in self._allowed(_snapshot(value))]
        finally:
            self._path.discard(id(value))

    def _mapping(self, items: list[tuple[object, object]], depth: int) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key, item in self._allowed(items):
            name = text(str.__str__(key)) if isinstance(key, str) else safe_str(key)
            result[free_name(result, name)] = self.value(item, depth + 1)
        return result

    def _allowed(self, items: list[Any]) -> Iterable[Any]:
        return items[: max(self._left, 0)]


def _snapshot(items: Iterable[Any]) -> list[Any]:
    """The items as a list, though another thread may be changing their container."""
    for _ in range(3):
        try:
            return list(items)
        except RuntimeError:  # "changed size during iteration": look again
            continue
    return list(items)


def _integer(value: int) -> int | str:
    if -MAX_SAFE_INTEGER <= value <= MAX_SAFE_INTEGER:
        return value
    try:
        return str(value)
    except ValueError:  # over sys.get_int_max_str_digits(); hexadecimal has no such limit
        return f"{value:#x}"


def _float(value: float) -> float | str:
    if math.isfinite(value):
        return value
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


def free_name(taken: Mapping[str, Any], name: str) -> str:
    """`name`, or `name#2`, `name#3` … where that is taken: no value replaces another."""
    if name not in taken:
        return name
    number = 2
    while f"{name}#{number}" in taken:
        number += 1
    return f"{name}#{number}"


def clean(entry: LogEntry) -> None:
    """Make every part of `entry` storable, in place."""
    entry.message = text(entry.message)
    if entry.service is not None:
        entry.service = text(entry.service)
    if entry.source_file is not None:
        entry.source_file = text(entry.source_file)
    entry.metadata = plain_metadata(entry.metadata)


def plain_metadata(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Each value through `plain` on its own: one huge value does not cost the others."""
    result: dict[str, Any] = {}
    for key, value in _snapshot(metadata.items()):
        name = text(str.__str__(key)) if isinstance(key, str) else safe_str(key)
        result[free_name(result, name)] = plain(value)
    return result


def cut(value: str, limit: int) -> str:
    """`value` cut to at most `limit` bytes of UTF-8, between characters."""
    if len(value) * 4 <= limit:
        return value
    return value.encode("utf-8", "replace")[:limit].decode("utf-8", "ignore")


def fit(entry: LogEntry, limit: int = MAX_ENTRY_BYTES) -> bytes:
    """Encode a clean `entry`, its longest strings cut until it has at most `limit` bytes.

    A cut entry says so: `metadata["logwell.truncated"]` is true. What strings cannot
    give (a structure of very many small values) is given by leaving metadata out,
    largest value first.
    """
    encoded = _JSON.encode(entry)
    if len(encoded) <= limit:
        return encoded
    entry.metadata[TRUNCATED] = True
    for allowed in (limit // 4, limit // 16, 1024, 128):
        entry.message = _shorten(entry.message, allowed)
        entry.source_file = entry.source_file and _shorten(entry.source_file, allowed)
        entry.metadata = {
            _shorten(key, 128): _shorten_deep(value, allowed)
            for key, value in entry.metadata.items()
        }
        encoded = _JSON.encode(entry)
        if len(encoded) <= limit:
            return encoded
    sizes = {key: len(_JSON.encode(value)) for key, value in entry.metadata.items()}
    for key in sorted(sizes, key=sizes.__getitem__, reverse=True):
        del entry.metadata[key]
        entry.metadata[TRUNCATED] = True
        encoded = _JSON.encode(entry)
        if len(encoded) <= limit:
            break
    return encoded


def shrink(encoded: bytes, limit: int) -> bytes | None:
    """An encoded entry cut to `limit` bytes; None if it is not an entry of ours."""
    try:
        return fit(_ENTRY.decode(encoded), limit)
    except msgspec.MsgspecError:
        return None


def _shorten(value: str, allowed: int) -> str:
    # A control character takes six bytes as JSON, so the limit is on the encoded size.
    size = len(_JSON.encode(value))
    if size <= allowed:
        return value
    ratio = max(1, len(value.encode("utf-8")) * allowed // size)
    return cut(value, ratio) + "…"


def _shorten_deep(value: Any, allowed: int) -> Any:
    if isinstance(value, str):
        return _shorten(value, allowed)
    if isinstance(value, list):
        return [_shorten_deep(item, allowed) for item in value]
    if isinstance(value, dict):
        return {_shorten(key, 128): _shorten_deep(item, allowed) for key, item in value.items()}
    return value
