"""Any Python value -> plain JSON values that PostgreSQL stores, in bounded time and size."""

from __future__ import annotations

import datetime as dt
import enum
import math
import re
from binascii import b2a_base64
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from itertools import islice
from typing import Any, Final

from logwell_otel.names import UniqueNames
from logwell_otel.wire import MAX_ENTRY_BYTES, MAX_SAFE_INTEGER

MAX_DEPTH: Final = 32
"""Levels of nesting kept as structure."""

MAX_VALUES: Final = 10_000
"""Values kept of one attribute or body. A list that holds a list twice that holds a list
twice … needs few objects and doubles with every level: depth alone does not bound it."""

MAX_CHARACTERS: Final = MAX_ENTRY_BYTES
"""Characters kept of one attribute or body: more does not fit into an entry. One long
string that a list holds a thousand times is one string in memory and a thousand as JSON."""

MIN_SAFE_INTEGER: Final = -MAX_SAFE_INTEGER

CUT: Final = "…"
"""Stands at the end of a string or list, and among the keys of an object, that was cut."""

_CYCLE: Final = "[cycle]"
_TOO_DEEP: Final = "[too deep]"
_REPLACEMENT: Final = "\ufffd"
# PostgreSQL's text has no U+0000; its jsonb takes no lone surrogate.
_UNSTORABLE: Final = re.compile("[\x00\ud800-\udfff]")
# 602 digits. Longer ones are written in hexadecimal: decimal takes quadratic time, and
# Python refuses it from a limit on that can be set as low as 640 digits
# (https://docs.python.org/3/library/stdtypes.html#int-max-str-digits).
_MAX_DECIMAL_BITS: Final = 2000
_TRIES: Final = 8


def text(value: str) -> str:
    """`value` with what PostgreSQL cannot store replaced by U+FFFD."""
    if value.isascii() and "\0" not in value:
        return value
    return _UNSTORABLE.sub(_REPLACEMENT, value)


def safe_str(value: object, limit: int = MAX_CHARACTERS) -> str:
    """`str(value)` without what cannot be stored, whatever the object's own methods do."""
    try:
        # The conversion is foreign code: it may raise, and may return a subclass of str.
        return text(str.__str__(str(value))[:limit])
    except Exception:  # noqa: BLE001 - the placeholder below says that and for which type
        return f"<unprintable {text(type(value).__name__)}>"


def plain(value: object) -> Any:
    """`value` as plain JSON values: None, bool, int, float, str, list and dict.

    Bytes become base64, NaN and infinities their names, integers beyond ±2^53 decimal
    text (the server reads numbers as doubles), sets lists, enum members their value,
    dates ISO 8601, everything else its `str()`. A structure inside itself becomes
    `[cycle]`, one nested deeper than `MAX_DEPTH` `[too deep]`. Never raises for an
    `Exception` in foreign code.
    """
    return Conversion().value(value)


class Conversion:
    """One attribute or body on its way to plain values.

    Attributes:
        cut: True once something was left out: text, values, or what lies too deep.
    """

    __slots__ = ("_characters", "_path", "_values", "cut")

    def __init__(self) -> None:
        self._values = MAX_VALUES
        self._characters = MAX_CHARACTERS
        # Ids of the structures around the current value.
        self._path: set[int] = set()
        self.cut = False

    def value(self, value: Any, depth: int = 0) -> Any:
        """`value` as plain values."""
        self._values -= 1
        kind = type(value)
        if kind is str:
            return self._string(value)
        if kind is bool or value is None:
            return value
        if kind is int:
            return self._integer(value)
        if kind is float:
            return number(value)
        try:
            if kind is dict or kind is list or kind is tuple:
                return self._structure(value, depth)
            return self._unusual(value, depth)
        except Exception:  # noqa: BLE001 - even isinstance() runs an object's own code
            return self._string(safe_str(value))

    def _unusual(self, value: object, depth: int) -> Any:
        if isinstance(value, str):
            return self._string(str.__str__(value))
        if isinstance(value, enum.Enum) and depth < MAX_DEPTH:
            return self.value(value.value, depth + 1)
        if isinstance(value, int):
            return self._integer(int.__int__(value))
        if isinstance(value, float):
            return number(float.__float__(value))
        if isinstance(value, (bytes, bytearray, memoryview)):
            return self._bytes(memoryview(value))
        if isinstance(value, (dt.datetime, dt.date, dt.time)):
            return self._string(value.isoformat())
        if isinstance(value, (Mapping, Sequence, AbstractSet)):
            return self._structure(value, depth)
        return self._string(safe_str(value))

    def _string(self, value: str) -> str:
        left = self._characters
        self._characters -= len(value)
        if len(value) > left:
            self.cut = True
            return text(value[: max(left, 0)]) + CUT
        return text(value)

    def _bytes(self, value: memoryview) -> str:
        # Four characters for three bytes: what is too long stays too long, and is cut.
        return self._string(to_base64(bytes(value[:MAX_CHARACTERS])))

    def _integer(self, value: int) -> int | str:
        if MIN_SAFE_INTEGER <= value <= MAX_SAFE_INTEGER:
            return value
        return self._string(
            str(value) if value.bit_length() <= _MAX_DECIMAL_BITS else f"{value:#x}"
        )

    def _structure(self, value: Any, depth: int) -> Any:
        if id(value) in self._path:
            return _CYCLE
        if depth >= MAX_DEPTH:
            self.cut = True
            return _TOO_DEEP
        self._path.add(id(value))
        try:
            if type(value) is dict or isinstance(value, Mapping):
                return self._mapping(value, depth)
            return self._list(value, depth)
        finally:
            self._path.discard(id(value))

    def _mapping(self, mapping: Mapping[Any, Any], depth: int) -> dict[str, Any]:
        result = UniqueNames()
        for key, item in snapshot(mapping.items(), self._room):
            if self._exhausted():
                result.add(CUT, CUT)
                break
            label = self._string(key if type(key) is str else name(key))
            result.add(label, self.value(item, depth + 1))
        return result.values

    def _list(self, items: Iterable[Any], depth: int) -> list[Any]:
        result: list[Any] = []
        for item in snapshot(items, self._room):
            if self._exhausted():
                result.append(CUT)
                break
            result.append(self.value(item, depth + 1))
        return result

    @property
    def _room(self) -> int:
        # One more than there is room for, so that a cut is noticed.
        return max(self._values, 0) + 1

    def _exhausted(self) -> bool:
        if self._values > 0 and self._characters > 0:
            return False
        self.cut = True
        return True


def name(key: object) -> str:
    """A key as text."""
    # The type decides, not isinstance(): a proxy claims to be a str and is none.
    return str.__str__(key) if issubclass(type(key), str) else safe_str(key)


def snapshot(items: Iterable[Any], limit: int) -> list[Any]:
    """The first `limit` items, though another thread may be changing their container."""
    for _ in range(_TRIES - 1):
        try:
            return list(islice(items, limit))
        except RuntimeError:  # "changed size during iteration": look again
            continue
    return list(islice(items, limit))


def to_base64(value: bytes) -> str:
    """Bytes as text."""
    return b2a_base64(value, newline=False).decode("ascii")


def number(value: float) -> float | str:
    """A float, or its name where JSON has no number for it."""
    if value - value == 0:  # finite; a call costs more
        return value
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"
