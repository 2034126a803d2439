"""Where a record was logged: from attributes to the fields of the entry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from logwell_otel.wire import MAX_LINE_NUMBER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

# OpenTelemetry's semantic conventions renamed both in 1.30; the newer names win.
_FILE_NAMES: Final = ("code.file.path", "code.filepath")
_LINE_NAMES: Final = ("code.line.number", "code.lineno")
LOCATION: Final = frozenset((*_FILE_NAMES, *_LINE_NAMES))
"""Every name of an attribute that says so."""

ABSENT: Final = object()
"""In the place of an attribute that a record does not have."""


def take_location(
    metadata: dict[str, Any], file: object, line: object, *, wanted: bool
) -> tuple[str | None, int | None]:
    """File and line from the first name that has a usable value; the rest stays.

    Args:
        metadata: The attributes, without these two.
        file: `code.file.path`, or `ABSENT`.
        line: `code.line.number`, or `ABSENT`.
        wanted: False takes all of them away, and gives none.
    """
    if file is not ABSENT:
        metadata["code.file.path"] = file
    if line is not ABSENT:
        metadata["code.line.number"] = line
    if not wanted:
        for name in LOCATION:
            metadata.pop(name, None)
    return _take(metadata, _FILE_NAMES, _fits_file), _take(metadata, _LINE_NAMES, _fits_line)


def _fits_file(value: object) -> bool:
    return type(value) is str and value != ""


def _fits_line(value: object) -> bool:
    return type(value) is int and 0 < value <= MAX_LINE_NUMBER


def _take(metadata: dict[str, Any], keys: Iterable[str], fits: Callable[[object], bool]) -> Any:
    """Take out the first of these attributes that has a usable value."""
    for name in keys:
        if fits(metadata.get(name)):
            return metadata.pop(name)
    return None
