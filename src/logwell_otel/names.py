"""Names in metadata: ours, and how no value is lost to another of the same name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

TRUNCATED: Final = "logwell.truncated"
"""Metadata of an entry that something was cut from: true."""

OWN: Final = frozenset(
    {
        TRUNCATED,
        "body",
        "otel.dropped_attributes_count",
        "otel.event.name",
        "otel.scope.attributes",
        "otel.scope.name",
        "otel.scope.version",
        "resource",
        "severity_number",
        "severity_text",
        "span_id",
        "trace_flags",
        "trace_id",
    }
)
"""Every name that the mapping itself may give."""


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


def put(metadata: dict[str, Any], own: Mapping[str, Any]) -> None:
    """Add `own` to `metadata`; attributes that have these names move to `attributes.<name>`."""
    aside = {key: metadata.pop(key) for key in own if key in metadata}
    metadata.update(own)
    put_back(metadata, aside)


def put_back(metadata: dict[str, Any], aside: Mapping[str, Any]) -> None:
    """Give attributes that were set aside their names back, or `attributes.<name>`."""
    for key, value in aside.items():
        name = f"attributes.{key}" if key in metadata else key
        if name in metadata:
            UniqueNames(metadata).add(name, value)
        else:
            metadata[name] = value


def mark_truncated(metadata: dict[str, Any]) -> None:
    """Say in `metadata` that something was cut."""
    if metadata.get(TRUNCATED) is not True:
        put(metadata, {TRUNCATED: True})
