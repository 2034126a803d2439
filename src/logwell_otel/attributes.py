"""Any Python value -> an OpenTelemetry attribute value, without ever raising.

OpenTelemetry's own cleaning calls `str()` on what it does not know and walks into
containers without looking for cycles: on 1.45 an object whose `__str__` raises, or a
list that contains itself, raises out of the logging call. What passes through here
first cannot do that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

MAX_DEPTH = 32
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
        if len(self._path) >= MAX_DEPTH:
            return self._placeholder(f"<nested deeper than {MAX_DEPTH} levels>")
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
