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

import msgspec

from logwell_otel._wire import MAX_ENTRY_BYTES, MAX_SAFE_INTEGER


class UniqueNames:
    """A dictionary under construction in which no value replaces another.

    Args:
        values: What is there already; it is added to.

    Attributes:
        values: The dictionary.
    """

    __slots__ = ("_numbers", "values")

    def __init__(self, values: dict[str, Any] | None = None) -> None:
        self.values: dict[str, Any] = {} if values is None else values
        # Where to go on counting: ten thousand equal names would take quadratic time.
        self._numbers: dict[str, int] = {}

    def add(self, name: str, value: object) -> None:
        """Put `value` under `name`, or `name#2`, `name#3` … where that is taken."""
        free = name
        if name in self.values:
            number = self._numbers.get(name, 2)
            while (free := f"{name}#{number}") in self.values:
                number += 1
            self._numbers[name] = number + 1
        self.values[free] = value


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


# The quick way to plain values, for what needs no conversion or a small one.
#
# `plain.Conversion` takes any value apart piece by piece, within limits. Nearly all values
# need none of that.


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


# Any Python value -> an OpenTelemetry attribute value, without ever raising.
#
# OpenTelemetry's own cleaning calls `str()` on what it does not know and walks into
# containers without looking for cycles: on 1.45 an object whose `__str__` raises, or a
# list that contains itself, raises out of the logging call. What passes through here
# first cannot do that.


MAX_DEPTH_ATTRIBUTES = 32
"""Containers deeper than this are replaced; the exporter encodes no deeper either."""

MAX_ITEMS = 10_000
"""Elements taken from one value, all its levels together: a container that never ends,
or one that repeats itself a billion times over, must not take the process with it."""

_MAX_REASON = 200

# Exact types only: a subclass may override what OpenTelemetry or the exporter calls.
_PLAIN = frozenset({str, int, float, bool, bytes, type(None)})


def clean_value(value: object) -> tuple[Any, int]:
    """Make a value safe to hand to OpenTelemetry.

    Args:
        value: Anything.

    Returns:
        The value as None, bool, int, float, str, bytes, or a tuple or dict of those, and
        how many parts of it were replaced by a placeholder that says what happened, such
        as `<unprintable Order: ValueError: no id>` or `<circular reference>`.
    """
    if type(value) in _PLAIN:
        return value, 0
    cleaner = _Cleaner()
    return cleaner.clean(value), cleaner.replaced


def clean_attributes(attributes: Mapping[Any, object]) -> tuple[dict[str, Any], int]:
    """Make attributes safe to hand to OpenTelemetry.

    Names that are not strings become strings; an attribute without a name is left out and
    counted.

    Args:
        attributes: Values by name.

    Returns:
        A new dict, and how many values or names were replaced or left out.
    """
    cleaned: dict[str, Any] = {}
    replaced = 0
    for name, value in attributes.items():
        if type(value) not in _PLAIN:
            value, count = clean_value(value)  # noqa: PLW2901
            replaced += count
        if type(name) is not str:
            name, count = _name(name)  # noqa: PLW2901
            replaced += count
        if name:
            cleaned[name] = value
        else:
            replaced += 1
    return cleaned, replaced


def describe(error: BaseException) -> str:
    """Name an exception and its text in at most some 200 characters, never raising."""
    name = type(error).__name__
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - the exception's own text is what failed
        return name
    return f"{name}: {text}"[:_MAX_REASON] if text else name


class _Cleaner:
    """One value's cleaning: what it has seen and how much it may still take."""

    __slots__ = ("_items_left", "_path", "replaced")

    def __init__(self) -> None:
        self.replaced = 0
        self._items_left = MAX_ITEMS
        self._path: set[int] = set()

    def clean(self, value: object) -> Any:
        if type(value) in _PLAIN:
            return value
        try:
            return self._clean(value)
        except Exception as error:  # noqa: BLE001 - the value's own code may raise anything
            return self._placeholder(_unprintable(value, error))

    def _clean(self, value: object) -> Any:
        # Subclasses are turned into the plain type by that type's own method: an enum
        # member that is also a string, numpy's float64.
        if isinstance(value, str):
            return str.__str__(value)
        if isinstance(value, int):
            return int.__index__(value)
        if isinstance(value, float):
            return float.__float__(value)
        if isinstance(value, (bytes, bytearray, memoryview)):
            return bytes(value)
        if isinstance(value, (Mapping, Sequence)):
            return self._container(value)
        return str.__str__(str(value))

    def _container(self, value: Mapping[Any, object] | Sequence[object]) -> Any:
        identity = id(value)
        if identity in self._path:
            return self._placeholder("<circular reference>")
        if len(self._path) >= MAX_DEPTH_ATTRIBUTES:
            return self._placeholder(f"<nested deeper than {MAX_DEPTH_ATTRIBUTES} levels>")
        self._path.add(identity)
        try:
            return (
                self._mapping(value) if isinstance(value, Mapping) else tuple(self._elements(value))
            )
        finally:
            self._path.discard(identity)

    def _mapping(self, value: Mapping[Any, object]) -> dict[str, Any]:
        cleaned: dict[str, Any] = {}
        for name, element in value.items():
            if not self._take():
                cleaned["<cut>"] = self._placeholder(_cut())
                break
            text, replaced = _name(name)
            self.replaced += replaced
            if text:
                cleaned[text] = self.clean(element)
            else:
                self.replaced += 1
        return cleaned

    def _elements(self, value: Sequence[object]) -> list[Any]:
        cleaned: list[Any] = []
        for element in value:
            if not self._take():
                cleaned.append(self._placeholder(_cut()))
                break
            cleaned.append(self.clean(element))
        return cleaned

    def _take(self) -> bool:
        self._items_left -= 1
        return self._items_left >= 0

    def _placeholder(self, text: str) -> str:
        self.replaced += 1
        return text


def _name(name: object) -> tuple[str, int]:
    if type(name) is str:
        return name, 0
    try:
        return str.__str__(str(name)), 0
    except Exception as error:  # noqa: BLE001 - the name's own code may raise anything
        return _unprintable(name, error), 1


def _unprintable(value: object, error: Exception) -> str:
    return f"<unprintable {type(value).__name__}: {describe(error)}>"


def _cut() -> str:
    return f"<cut after {MAX_ITEMS:,} elements>"
