"""An OpenTelemetry record -> a Logwell entry: which field goes where.

The table, with reasons, is `docs/mapping.md`. Values of the common types are taken as
they are; everything else goes through `plain`.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.attributes import BoundedAttributes

from logwell_otel import names, sanitize
from logwell_otel.message import NO_MESSAGE, message_of
from logwell_otel.origin import Origin, Origins
from logwell_otel.plain import Conversion
from logwell_otel.severity import Severities, Severity
from logwell_otel.timestamps import Timestamps
from logwell_otel.wire import JS_BLANK, MAX_LINE_NUMBER, MAX_SAFE_INTEGER, LogEntry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from logwell_otel.otel import LogRecord, ReadableLogRecord

_BLANK: Final = frozenset(JS_BLANK)
_FLAGS: Final = tuple(f"{flags:02x}" for flags in range(256))
_MIN_INTEGER: Final = -MAX_SAFE_INTEGER
_ABSENT: Final = object()
# OpenTelemetry's semantic conventions renamed both in 1.30; the newer names win.
_FILE_NAMES: Final = ("code.file.path", "code.filepath")
_LINE_NAMES: Final = ("code.line.number", "code.lineno")
# Attributes to look at closely: those that fill a field of the entry, and those that have
# one of our names. Few records have any, and comparing with one set tells.
_SPECIAL: Final = names.OWN.union(("service.name",), _FILE_NAMES, _LINE_NAMES)


class Mapper:
    """Turns records into entries.

    Safe to use from several threads: the caches of its parts are plain dictionaries and
    tuples that are replaced whole, so that the worst a race costs is doing a thing twice.

    Args:
        service: Service name of every entry; None takes the resource's. A record's own
            `service.name` attribute wins over both.
        source_location: False leaves file and line out of entries altogether.

    Attributes:
        severity: Gives a `LogRecord`'s `Severity`.
        origin: Gives a `ReadableLogRecord`'s `Origin`.
    """

    def __init__(self, service: str | None = None, *, source_location: bool = True) -> None:
        self._source_location = source_location
        self._timestamp = Timestamps().of
        self.severity = Severities().of
        self.origin = Origins(service).of

    def entry(  # noqa: C901, PLR0912, PLR0915 - a call costs more than most of these steps
        self, log: LogRecord, severity: Severity, origin: Origin
    ) -> LogEntry:
        """The entry for a record of this severity and origin."""
        attributes = log.attributes
        if type(attributes) is BoundedAttributes:
            # Copies the dictionary inside in one step: another thread may be adding to it.
            metadata: dict[str, Any] = attributes.copy()  # type: ignore[assignment]
            dropped = attributes.dropped
        else:
            metadata, dropped = _foreign_attributes(attributes)
        service = origin.service
        source_file = metadata.pop("code.file.path", _ABSENT)
        line_number = metadata.pop("code.line.number", _ABSENT)
        special = not _SPECIAL.isdisjoint(metadata)
        if (
            special
            or type(source_file) is not str
            or type(line_number) is not int
            or not 0 < line_number <= MAX_LINE_NUMBER
            or not source_file
            or not self._source_location
        ):
            if special or source_file is not _ABSENT or line_number is not _ABSENT:
                special = True
                source_file, line_number = self._location(metadata, source_file, line_number)
                service = _own_service(metadata) or service
            else:
                source_file = line_number = None

        cut = False
        for value in metadata.values():
            if type(value) is str:
                continue
            kind = type(value)
            if kind is int:
                if _MIN_INTEGER <= value <= MAX_SAFE_INTEGER:
                    continue
            elif kind is float:
                if value - value == 0:  # finite
                    continue
            elif kind is bool or value is None:
                continue
            cut = _convert(metadata)
            break
        # From here on our names are added, so attributes that have them step aside.
        aside = _set_aside(metadata) if special else None
        if cut:
            metadata[names.TRUNCATED] = True
        if severity.metadata:
            metadata.update(severity.metadata)
        try:
            if trace_id := log.trace_id:
                metadata["trace_id"] = trace_id.to_bytes(16, "big").hex()
                metadata["trace_flags"] = _FLAGS[log.trace_flags]
            if span_id := log.span_id:
                metadata["span_id"] = span_id.to_bytes(8, "big").hex()
        except (AttributeError, IndexError, OverflowError, TypeError):
            _add_trace_context(metadata, log)
        if log.event_name:
            metadata["otel.event.name"] = sanitize.safe_str(log.event_name)
        if dropped:
            metadata["otel.dropped_attributes_count"] = dropped
        message = log.body
        # The first character decides for nearly every message.
        if type(message) is not str or not message or message[0] in _BLANK:
            message = message_of(log, metadata)
        metadata |= origin.shared
        if aside:
            names.put_back(metadata, aside)
        return LogEntry(
            level=severity.level,
            message=message,
            timestamp=self._timestamp(log),
            service=service,
            source_file=source_file,
            line_number=line_number,
            metadata=metadata,
        )

    def salvage(self, record: ReadableLogRecord, error: Exception) -> LogEntry:
        """An entry for a record that `entry` could not read: what can be read of it."""
        # Each part on its own: any of them may be what cannot be read.
        log: Any = None
        with suppress(Exception):
            log = record.log_record
        entry = unreadable(error, self._timestamp(log))
        with suppress(Exception):
            entry.level = self.severity(log).level
        with suppress(Exception):
            entry.message = message_of(log, entry.metadata)
        with suppress(Exception):
            _add_trace_context(entry.metadata, log)
        with suppress(Exception):
            origin = self.origin(record)
            entry.service = origin.service
            entry.metadata |= origin.shared
        with suppress(Exception):
            names.put_back(entry.metadata, sanitize.plain_metadata(log.attributes))
        return entry

    def _location(
        self, metadata: dict[str, Any], file: object, line: object
    ) -> tuple[str | None, int | None]:
        """File and line from the first name that has a usable value; the rest stays."""
        if file is not _ABSENT:
            metadata["code.file.path"] = file
        if line is not _ABSENT:
            metadata["code.line.number"] = line
        if not self._source_location:
            for name in _FILE_NAMES + _LINE_NAMES:
                metadata.pop(name, None)
        return _take(metadata, _FILE_NAMES, _fits_file), _take(metadata, _LINE_NAMES, _fits_line)


def unreadable(error: Exception, timestamp: str | None) -> LogEntry:
    """An entry in the place of one that cannot be made: it says why."""
    problem = f"{type(error).__name__}: {sanitize.safe_str(error)}"
    return LogEntry(
        level="warn",
        message=NO_MESSAGE,
        timestamp=timestamp,
        metadata={"logwell.mapping_error": problem},
    )


def _foreign_attributes(attributes: Any) -> tuple[dict[str, Any], int]:
    """Attributes of a record that is not the SDK's own, and how many had been dropped."""
    if not attributes:
        return {}, 0
    if not isinstance(attributes, Mapping):
        return {"attributes": attributes}, 0
    dropped = attributes.dropped if isinstance(attributes, BoundedAttributes) else 0
    return sanitize.plain_metadata(attributes), dropped


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


def _own_service(metadata: dict[str, Any]) -> str | None:
    """The service that the record itself names. What does not fit the field whole stays."""
    given = metadata.get("service.name")
    name = sanitize.service_name(given)
    if name is not None and name == given:
        del metadata["service.name"]
    return name


def _convert(metadata: dict[str, Any]) -> bool:
    """Make values that are not plain so, each on its own; True if something was cut."""
    cut = False
    for key, value in metadata.items():
        if type(value) is str:
            continue
        conversion = Conversion()
        metadata[key] = conversion.value(value)
        cut |= conversion.cut
    return cut


def _set_aside(metadata: dict[str, Any]) -> dict[str, Any]:
    return {key: metadata.pop(key) for key in [*metadata] if key in names.OWN}


def _add_trace_context(metadata: dict[str, Any], log: LogRecord) -> None:
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
