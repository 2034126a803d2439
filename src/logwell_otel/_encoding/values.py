"""Any Python value -> plain values, in bounded time and size, whatever code the value runs.

There are two targets. `convert` makes JSON that PostgreSQL stores, for entries.
`clean_value` and `clean_attributes` make attribute values for OpenTelemetry, before a record
is emitted: its own cleaning (1.45) calls `str()` on what it does not know and walks into
containers without looking for cycles, so that an object whose `__str__` raises, or a list
that contains itself, raises out of the logging call. `showable` makes a message's arguments
such that their text can be had.

All are one walk with one set of limits and placeholders. Nearly all values need none of it:
a look at them is several times faster than building them anew, and goes first.

What an object is, its type says: `type(value)` and the type's own dictionary run nobody's
code, while `isinstance`, a comparison, a hash and every attribute may. Those are asked only
where an exception is contained.
"""

from __future__ import annotations

import codecs
import datetime as dt
import enum
import math
import operator
import re
from binascii import b2a_base64
from collections import UserString
from collections.abc import Iterable, Iterator, Mapping, Sequence, ValuesView
from collections.abc import Set as AbstractSet
from itertools import islice
from types import NoneType
from typing import Any, Final, cast

import msgspec

from logwell_otel._diagnostics import is_for_the_program
from logwell_otel._wire import MAX_ENTRY_BYTES, MAX_SAFE_INTEGER

MAX_DEPTH: Final = 32
"""Levels of nesting kept as structure."""

MAX_VALUES: Final = 10_000
"""Values kept of one attribute or body. A list that holds a list twice that holds a list
twice … needs few objects and doubles with every level: depth alone does not bound it."""

MAX_CHARACTERS: Final = MAX_ENTRY_BYTES
"""Characters of JSON kept of one attribute or body: more does not fit into an entry. One long
string that a list holds a thousand times is one string in memory and a thousand as JSON."""

MIN_SAFE_INTEGER: Final = -MAX_SAFE_INTEGER

CUT: Final = "…"
"""Stands at the end of a string or list, and among the keys of an object, that was cut."""

CIRCULAR: Final = "<circular reference>"
"""Stands in the place of a structure inside itself."""

TOO_DEEP: Final = f"<nested deeper than {MAX_DEPTH} levels>"
"""Stands in the place of a structure that lies too deep."""

_REPLACEMENT: Final = "\ufffd"
# PostgreSQL's text has no U+0000; its jsonb takes no lone surrogate.
_UNSTORABLE: Final = re.compile("[\x00\ud800-\udfff]")
# 602 digits. Longer ones are written in hexadecimal: decimal takes quadratic time, and
# Python refuses it from a limit on that can be set as low as 640 digits
# (https://docs.python.org/3/library/stdtypes.html#int-max-str-digits).
MAX_DECIMAL_BITS: Final = 2000
_TRIES: Final = 8
_MAX_REASON: Final = 200
# Shorter texts need not be counted before they are encoded.
_SHORT: Final = 64
# Attributes of up to so many characters are taken as they are, whatever there is beside them.
_LONG: Final = 4096
_CUT_BYTES: Final = len(CUT.encode())
_NUL: Final = b"\\u0000"
_NOT_SIMPLE: Final = object()
_NOT_FLAT: Final[tuple[tuple[Any, ...], int]] = ((), -1)
_STRUCTURES: Final = frozenset({dict, list, tuple})
# What an object may stand for whose `__class__` is not its type; bool before int, which it is.
_PROXIED: Final = (str, bool, int, float, bytes, bytearray)
# Digits that every float gives back as they were: sys.float_info.dig.
_EXACT_DIGITS: Final = 15

# The type's own, past a metaclass that has others.
_name_of_type: Final = type.__dict__["__name__"].__get__
_bases_of_type: Final = type.__dict__["__mro__"].__get__
_members_of_type: Final = type.__dict__["__dict__"].__get__

to_json: Final = msgspec.json.Encoder().encode
from_json: Final = msgspec.json.Decoder().decode


def convert(value: Any, ready: bool = False, raw_bytes: bool = False) -> tuple[Any, bool]:
    """Convert a value to plain JSON values: None, bool, int, float, str, list and dict.

    Bytes become base64, NaN and infinities their names, integers beyond ±2^53 decimal
    text (the server reads numbers as doubles), sets lists, enum members their value,
    dates ISO 8601, everything else its `str()`. What cannot be had becomes a placeholder.
    Never raises for an `Exception` in foreign code.

    Args:
        value: Any value.
        ready: True if the result is only encoded: a structure may then be ready JSON, and
            bytes stay bytes, which msgspec writes as base64 as well.
        raw_bytes: True if bytes stay bytes at any depth: a redactor reads what base64 hides.

    Returns:
        The plain value, and True if something was left out of it.
    """
    plain = _simple(value, ready, ready or raw_bytes)
    if plain is not _NOT_SIMPLE:
        return plain, False
    conversion = Conversion(raw_bytes=raw_bytes)
    return conversion.value(value), conversion.cut


def convert_structure(value: Any) -> bytes | None:
    """Encode a dict, list or tuple in which `convert` would change nothing; None for others."""
    try:
        if _room_left(value, MAX_VALUES - 1, MAX_DEPTH) < 0:
            return None
        json = to_json(value)
    except Exception:  # noqa: BLE001 - lone surrogates; another thread that is changing it
        return None
    return None if len(json) > MAX_CHARACTERS or json.find(_NUL) >= 0 else json


def clean_value(value: object) -> tuple[Any, int]:
    """Make a value safe to hand to OpenTelemetry.

    Args:
        value: Anything.

    Returns:
        The value as None, bool, int, float, str, bytes, or a tuple or dict of those, and
        how many parts of it were replaced by a placeholder that says what happened, such
        as `<unprintable Order: ValueError: no id>` or `<circular reference>`.
    """
    conversion = AttributeConversion()
    return conversion.value(value), conversion.replaced


def showable(value: object) -> tuple[Any, int]:
    """Make an argument of a message, or the message itself, one whose text can be had.

    Args:
        value: Anything.

    Returns:
        The value itself where both its `str()` and its `repr()` are there. Otherwise what
        `clean_value` makes of it, with integers that have too many digits for Python as
        hexadecimal text; and how many parts were replaced by a placeholder.
    """
    try:
        str(value)
        repr(value)
    except Exception:  # noqa: BLE001 - the object's own code
        return shown(value)
    return value, 0


def shown(value: object) -> tuple[Any, int]:
    """As `showable`, for a value that is not to be asked for its text once more."""
    conversion = _MessageConversion()
    return conversion.value(value), conversion.replaced


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
    # Twice what an entry takes, of all of them: which of two long texts is worth more is
    # decided where the entry is made.
    room = 2 * MAX_CHARACTERS
    for name, value in attributes.items():
        if not _is_attribute(value):
            conversion = AttributeConversion(min(room, MAX_CHARACTERS))
            value = conversion.value(value)  # noqa: PLW2901
            replaced += conversion.replaced
            room = max(room - conversion.characters, _LONG)
        if type(name) is not str:
            name, unprintable = _name_of(name)  # noqa: PLW2901
            replaced += unprintable
        if name:
            cleaned[name] = value
        else:
            replaced += 1
    return cleaned, replaced


def storable(value: str) -> str:
    """Replace what PostgreSQL cannot store in a text by U+FFFD."""
    if value.isascii() and "\0" not in value:
        return value
    return _UNSTORABLE.sub(_REPLACEMENT, value)


def text_of_bytes(value: bytes) -> str:
    """Read bytes as text: UTF-16 where a byte order mark says so, else UTF-8."""
    utf16 = value.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return storable(value.decode("utf-16" if utf16 else "utf-8-sig", "replace"))


def safe_str(value: object, limit: int = MAX_CHARACTERS) -> str:
    """Return `str(value)` as storable text, whatever the object's own methods do."""
    return storable(_text_of(value)[0][:limit])


def safe_name(key: object) -> str:
    """Return a key as storable text."""
    return storable(_name_of(key)[0])


def describe(error: BaseException) -> str:
    """Name an exception and its text in at most some 200 characters, never raising."""
    name = type_name(error)
    try:
        reason = str.__str__(str(error))[:_MAX_REASON]
    except BaseException as failure:  # the exception's own text is what failed
        if is_for_the_program(failure):
            raise
        return name
    return f"{name}: {reason}"[:_MAX_REASON] if reason else name


def type_name(value: object) -> str:
    """Return the name of a value's type, without running code of its metaclass."""
    return str.__str__(_name_of_type(type(value)))


def cut_utf8(value: str, limit: int) -> str:
    """Cut a text to at most `limit` bytes of UTF-8, between characters."""
    if len(value) * 4 <= limit:
        return value
    return value[:limit].encode("utf-8", "replace")[:limit].decode("utf-8", "ignore")


def bounded(value: str) -> str:
    """Cut a text that is going to be queued to what one entry holds, by its middle."""
    # One `…` doubles the memory that a text of ASCII takes.
    return cut_middle(value, MAX_CHARACTERS, "..." if value.isascii() else CUT)


def cut_middle(value: str, limit: int, mark: str = CUT) -> str:
    """Cut a text to at most `limit` bytes of UTF-8 by taking out its middle.

    A stack trace ends with the raising line and the error, and begins with where the program
    came from; both are worth more than what lies between. `mark` stands in its place, on a
    line of its own where the text has lines.
    """
    if len(value) * 4 <= limit or (len(value) <= limit and value.isascii()):
        return value
    if len(value) <= limit and len(value.encode("utf-8", "replace")) <= limit:
        return value
    half = max(0, limit - _CUT_BYTES) // 2
    head = cut_utf8(value[:half], half)
    # A limit of nothing has no half: [-0:] would be all of it.
    tail = value[-half:].encode("utf-8", "replace")[-half:] if half else b""
    rest = tail.decode("utf-8", "ignore")
    end, start = head.rfind("\n") + 1, rest.find("\n")
    # Whole lines, unless the lines are so long that much would go with them.
    if end > half // 2 and 0 <= start < half // 2:
        return f"{head[:end]}{mark}{rest[start:]}"
    return f"{head}{mark}{rest}"


def number(value: float) -> float | str:
    """Return a float, or its name where JSON has no number for it."""
    if value - value == 0:  # finite; a call costs more
        return value
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


def has_nul(json: bytes | bytearray, start: int = 0) -> bool:
    """Tell whether JSON holds a NUL from `start` on, or a text that looks like one."""
    # Searching one byte is some forty times faster, and most JSON has no backslash. `in`
    # would first try to take what it looks for as a number, which costs an exception.
    return json.find(b"\\", start) >= 0 and json.find(_NUL, start) >= 0


def snapshot(items: Iterable[Any], limit: int) -> list[Any]:
    """Copy the first `limit` items, though another thread may be changing their container."""
    for _ in range(_TRIES - 1):
        try:
            return list(islice(items, limit))
        except RuntimeError:  # "changed size during iteration": look again
            if isinstance(items, Iterator):  # which has gone on already
                raise
    return list(islice(items, limit))


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


# The quick look.


def _simple(value: Any, ready: bool, raw_bytes: bool) -> Any:
    """Convert what cannot be cut and needs no walk; `_NOT_SIMPLE` for anything else."""
    kind = type(value)
    if kind is tuple or kind is dict or kind is list:
        json = convert_structure(value)
        if json is None:
            return _NOT_SIMPLE
        return msgspec.Raw(json) if ready else from_json(json)
    if kind is bytes and len(value) <= MAX_CHARACTERS // 2:
        return value if raw_bytes else _base64(value)
    if kind is str and len(value) <= MAX_CHARACTERS:
        return storable(value)
    if kind is bool or value is None:
        return value
    if kind is int and MIN_SAFE_INTEGER <= value <= MAX_SAFE_INTEGER:
        return value
    if kind is float:
        return number(value)
    return _NOT_SIMPLE


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


def _flat(value: Any, room: int, characters: int) -> tuple[tuple[Any, ...] | dict[str, Any], int]:
    """Copy a structure of less than `room` values that are attribute values already.

    Returns:
        The copy and the length of its texts; an empty tuple and -1 if it is anything else, or
        has more than that many characters.
    """
    # Copied first, in one step: another thread may be changing it.
    copied: tuple[Any, ...] | dict[str, Any]
    if len(value) >= room:
        return _NOT_FLAT
    size = 0
    if type(value) is dict:
        copied = value.copy()
        for name in copied:
            if type(name) is not str or not name:
                return _NOT_FLAT
            size += len(name)
        items: Iterable[Any] = copied.values()
    else:
        items = copied = tuple(value)
    for item in items:
        kind = type(item)
        if kind is str or kind is bytes:
            size += len(item)
        elif not (kind is int or kind is float or kind is bool or item is None):
            return _NOT_FLAT
    return (copied, size) if size <= characters else _NOT_FLAT


def _is_attribute(value: object) -> bool:
    """Tell whether a value is of a type that stays as it is, and no long text.

    Exact types only: a subclass may override what OpenTelemetry or the exporter calls. Compared
    one by one: a set would ask the type for its hash, which a metaclass may have a say in.
    """
    kind = type(value)
    if kind is str or kind is bytes:
        return len(cast("str", value)) <= _LONG
    return kind is int or kind is float or kind is bool or value is None


# The careful walk.


class Conversion:
    """One attribute or body on its way to plain JSON values.

    Args:
        raw_bytes: True leaves bytes as they are, see `convert`.

    Attributes:
        cut: True once something was left out: text, values, or what lies too deep.
        replaced: Parts that were replaced by a placeholder or left out.
    """

    __slots__ = ("_characters", "_path", "_raw_bytes", "_values", "cut", "replaced")

    def __init__(self, *, raw_bytes: bool = False) -> None:
        self._raw_bytes = raw_bytes
        self._values = MAX_VALUES
        self._characters = MAX_CHARACTERS
        # Ids of the structures around the current value.
        self._path: set[int] = set()
        self.cut = False
        self.replaced = 0

    def value(self, value: Any, depth: int = 0) -> Any:
        """Convert a value that lies `depth` levels below the attribute or body."""
        self._values -= 1
        kind = type(value)
        if kind is str:
            return self._string(value)
        if kind is bool or value is None:
            return value
        if kind is int:
            return self._integer(value)
        if kind is float:
            return self._float(value)
        return self._contained(value, depth)

    def _contained(self, value: Any, depth: int) -> Any:
        """Convert what is not of a plain type: from here on, foreign code may run."""
        try:
            if type(value) in _STRUCTURES:
                return self._structure(value, depth)
            return self._unusual(value, depth)
        except BaseException as error:  # even isinstance() runs an object's own code
            if is_for_the_program(error):
                raise
            return self._failed(value, error)

    def _unusual(self, value: Any, depth: int) -> Any:
        kind = type(value)
        # Subclasses are turned into the plain type by that type's own method.
        if issubclass(kind, str):
            return self._string(str.__str__(value))
        if issubclass(kind, enum.Enum) and depth < MAX_DEPTH:
            return self.value(value.value, depth + 1)
        if issubclass(kind, int):
            return self._integer(int.__int__(value))
        if issubclass(kind, float):
            return self._float(float.__float__(value))
        if issubclass(kind, (bytes, bytearray, memoryview)):
            return self._bytes(bytes(memoryview(value)[:MAX_CHARACTERS]))
        claimed = value.__class__
        if claimed is not kind and depth < MAX_DEPTH:
            plain = self._claiming(value, claimed, depth)
            if plain is not _NOT_SIMPLE:
                return plain
        if isinstance(value, (dt.datetime, dt.date, dt.time)):
            text = value.isoformat()
            return self._string(text) if type(text) is str else self._text(value)  # a mock's
        if isinstance(value, UserString):  # a sequence, of its like without end
            return self._text(value)
        if isinstance(value, (Mapping, Sequence, AbstractSet, ValuesView)):
            return self._structure(value, depth)
        return self._foreign(value, claimed, depth)

    def _claiming(self, value: Any, claimed: Any, depth: int) -> Any:
        """Convert a proxy (werkzeug's, Django's, wrapt's, a mock), `_NOT_SIMPLE` for others."""
        if claimed is NoneType:
            return None
        if issubclass(claimed, enum.Enum) and hasattr(value, "value"):  # a mock has none
            return self.value(value.value, depth + 1)
        for plain in _PROXIED:
            if issubclass(claimed, plain):
                return self._standing_for(value, plain, depth)
        return _NOT_SIMPLE

    def _standing_for(self, value: Any, made: type, depth: int) -> Any:
        """Convert a value that claims to be of a plain type and is not."""
        text, unprintable = _text_of(value)
        for source in (value,) if made is bool or unprintable else (value, text):
            try:
                plain = made(source)
            except (TypeError, ValueError):
                continue  # Django's lazy numbers have a text and no __int__, Mock(spec=int) neither
            return self.value(plain, depth + 1)
        return self._string(self._counted((text, unprintable)))

    def _foreign(self, value: Any, kind: type, depth: int) -> Any:
        """Convert by Python's protocols for numbers and dates, else to text."""
        # What has a length or items is no number, though an array of one may be taken for one.
        if not (_has(kind, "__len__") or _has(kind, "__iter__")):
            try:
                plain = _plain_of(value, kind)
            except (TypeError, ValueError, OverflowError):
                return self._text(value)  # a type of complex numbers, of units of time
            if plain is not None:
                return self.value(plain, min(depth + 1, MAX_DEPTH))
        return self._text(value)

    def _text(self, value: object) -> str:
        return self._string(self._counted(_text_of(value)))

    def _failed(self, value: object, _: BaseException) -> Any:
        """Convert what could not be read as what it claims to be: its text may be had."""
        return self._text(value)

    def _string(self, value: str) -> str:
        left = self._characters
        self._characters -= len(value)
        if len(value) > left:
            self.cut = True
            return storable(value[: max(left, 0)]) + CUT
        return storable(value)

    def _raw(self, value: bytes) -> bytes:
        room = max(self._characters, 0) // 4 * 3
        self._characters -= len(value) * 4 // 3
        self.cut |= len(value) > room
        return value[:room]

    def _integer(self, value: int) -> int | str:
        if MIN_SAFE_INTEGER <= value <= MAX_SAFE_INTEGER:
            return value
        return self._string(_digits(value))

    def _float(self, value: float) -> float | str:
        return number(value)

    def _bytes(self, value: bytes) -> Any:
        # Four characters for three bytes: what is too long stays too long, and is cut.
        return self._raw(value) if self._raw_bytes else self._string(_base64(value))

    def _structure(self, value: Any, depth: int) -> Any:
        if id(value) in self._path:
            return self._string(self._counted((CIRCULAR, True)))
        if depth >= MAX_DEPTH:
            self.cut = True
            return self._string(self._counted((TOO_DEEP, True)))
        self._path.add(id(value))
        try:
            if type(value) is dict or isinstance(value, Mapping):
                return self._mapping(value, depth)
            return self._sequence(value, depth)
        finally:
            self._path.discard(id(value))

    def _mapping(self, mapping: Mapping[Any, Any], depth: int) -> dict[str, Any]:
        result = UniqueNames()
        for key, item in snapshot(mapping.items(), self._room):
            if self._exhausted():
                result.add(CUT, CUT)
                break
            name = self._name(key)
            if name is not None:
                result.add(name, self.value(item, depth + 1))
        return result.values

    def _sequence(self, items: Iterable[Any], depth: int) -> Any:
        result: list[Any] = []
        for item in snapshot(items, self._room):
            if self._exhausted():
                result.append(CUT)
                break
            result.append(self.value(item, depth + 1))
        return result

    def _name(self, key: object) -> str | None:
        """Convert a key; None leaves its value out."""
        return self._string(key if type(key) is str else self._counted(_name_of(key)))

    @property
    def _room(self) -> int:
        # One more than there is room for, so that a cut is noticed.
        return max(self._values, 0) + 1

    def _exhausted(self) -> bool:
        if self._values > 0 and self._characters > 0:
            return False
        self.cut = True
        self.replaced += 1
        return True

    def _counted(self, found: tuple[str, bool]) -> str:
        """Count a placeholder."""
        self.replaced += found[1]
        return found[0]


class BodyConversion(Conversion):
    """A body on its way to plain JSON values: of an object that is all of it, the text counts."""

    __slots__ = ()

    def _foreign(self, value: Any, kind: type, depth: int) -> Any:
        return super()._foreign(value, kind, depth) if depth else self._text(value)


class AttributeConversion(Conversion):
    """One value on its way to what OpenTelemetry takes as an attribute.

    Numbers, bytes and texts stay what they are in Python, of any size: JSON is made of them
    later, and other exporters may make something else. Texts are bounded: a queue of records
    is a queue of them.

    Args:
        characters: How many characters of text are kept.
    """

    __slots__ = ("_given",)

    def __init__(self, characters: int = MAX_CHARACTERS) -> None:
        super().__init__()
        self._given = self._characters = characters

    @property
    def characters(self) -> int:
        """How many characters are kept."""
        return self._given - max(self._characters, 0)

    def value(self, value: Any, depth: int = 0) -> Any:
        self._values -= 1
        kind = type(value)
        if kind is str:
            return self._string(value)
        if kind is bytes:
            return self._bytes(value)
        if kind is int or kind is float or kind is bool or value is None:
            return value
        if (kind is dict or kind is list or kind is tuple) and depth < MAX_DEPTH:
            flat, size = _flat(value, self._values, self._characters)
            if size >= 0:
                self._values -= len(flat)
                self._characters -= size
                return flat
        return self._contained(value, depth)

    def _failed(self, value: object, error: BaseException) -> Any:
        # Not its text: the application is waiting, and has been in this object's code once.
        return self._counted((_unprintable(value, error), True))

    def _string(self, value: str) -> str:
        left = self._characters
        self._characters -= len(value)
        if len(value) > left:
            self.cut = True
            return value[: max(left, 0)] + ("..." if value.isascii() else CUT)
        return value

    def _integer(self, value: int) -> int | str:
        return value

    def _float(self, value: float) -> float | str:
        return value

    def _bytes(self, value: bytes) -> Any:
        left = self._characters
        self._characters -= len(value)
        return value[: max(left, 0)] if len(value) > left else value

    def _sequence(self, items: Iterable[Any], depth: int) -> Any:
        return tuple(super()._sequence(items, depth))

    def _name(self, key: object) -> str | None:
        name = key if type(key) is str else self._counted(_name_of(key))
        if not name:  # OpenTelemetry takes none without a name
            self.replaced += 1
        return self._string(name) if name else None


class _MessageConversion(AttributeConversion):
    """A message, or one of its arguments, on its way to something with a text."""

    __slots__ = ()

    def value(self, value: Any, depth: int = 0) -> Any:
        kind = type(value)
        if kind is int:
            self._values -= 1
            return self._integer(value)
        if (kind is dict or kind is list or kind is tuple) and depth < MAX_DEPTH:
            self._values -= 1
            return self._contained(value, depth)
        return super().value(value, depth)

    def _integer(self, value: int) -> int | str:
        return value if value.bit_length() <= MAX_DECIMAL_BITS else Digits(_digits(value))

    def _sequence(self, items: Iterable[Any], depth: int) -> Any:
        made = super()._sequence(items, depth)
        return list(made) if type(items) is list else made


class Digits(str):
    """A number as text, without quotes in a list."""

    __slots__ = ()
    __repr__ = str.__str__


def _has(kind: type, name: str) -> bool:
    """Tell whether a type has a special method, without asking its metaclass."""
    return any(name in _members_of_type(base) for base in _bases_of_type(kind))


# Digits that are not all 0, in front of an exponent.
_SOME: Final = re.compile(r"[^eE]*?[1-9]")


def _plain_of(value: Any, kind: type) -> bool | int | float | str | None:
    """Return what a value is by Python's protocols, None where they do not tell."""
    name = _name_of_type(kind)
    if name in ("bool", "bool_"):  # numpy's: there is no protocol for booleans
        return bool(value)
    if name.startswith("complex"):  # numpy's would give away half of itself, with a warning
        return None
    if _has(kind, "__index__"):
        return operator.index(value)
    if _has(kind, "__float__"):
        # Of a Decimal with more digits than a float has, the text says more.
        text = str.__str__(str(value))
        if sum(map(str.isdigit, text[:MAX_CHARACTERS])) > _EXACT_DIGITS and "/" not in text:
            return text
        plain = float(value)
        # And of one that is too large for a float, or too small.
        ends = plain - plain != 0 or plain == 0
        return text if ends and _SOME.match(text) else plain
    if _has(kind, "isoformat"):  # Arrow's, and others that are no datetime
        return str.__str__(value.isoformat())
    return None


def _digits(value: int) -> str:
    return str(value) if value.bit_length() <= MAX_DECIMAL_BITS else f"{value:#x}"


def _text_of(value: object) -> tuple[str, bool]:
    """`str(value)` and False, or a placeholder and True where it cannot be had."""
    try:
        # Foreign code: it may raise, and may return a subclass of str.
        return str.__str__(str(value)), False
    except BaseException as error:  # the placeholder says which, and for which type
        if is_for_the_program(error):
            raise
        return _unprintable(value, error), True


def _name_of(key: object) -> tuple[str, bool]:
    """A key as text, likewise."""
    # The type decides, not isinstance(): a proxy claims to be a str and is none.
    if issubclass(type(key), str):
        return str.__str__(key), False
    return (_digits(key), False) if type(key) is int else _text_of(key)


def _unprintable(value: object, error: BaseException) -> str:
    return f"<unprintable {type_name(value)}: {describe(error)}>"


def _base64(value: bytes) -> str:
    return b2a_base64(value, newline=False).decode("ascii")
