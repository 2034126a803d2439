"""An OpenTelemetry record -> a Logwell entry: which field goes where.

The table, with reasons, is `docs/mapping.md`. Values of the common types are taken as
they are; everything else goes through `convert`.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec
from msgspec import Raw
from opentelemetry.attributes import BoundedAttributes

from logwell_otel._encoding.fields import (
    ABSENT,
    CORRELATION,
    LOCATION,
    NO_MESSAGE,
    RESERVED,
    SECOND,
    THREE_DIGITS,
    TRUNCATED,
    Severities,
    Severity,
    Timestamps,
    plain_metadata,
    put_back,
    service_name,
    set_aside,
    take_correlation,
    take_location,
)
from logwell_otel._encoding.sanitize import fit
from logwell_otel._encoding.values import (
    MAX_CHARACTERS,
    MAX_DECIMAL_BITS,
    MIN_SAFE_INTEGER,
    BodyConversion,
    convert,
    convert_structure,
    cut_utf8,
    from_json,
    number,
    safe_str,
    storable,
    text_of_bytes,
    to_json,
)
from logwell_otel._otel import CleanAttributes
from logwell_otel._wire import JS_BLANK, LEVELS, MAX_LINE_NUMBER, MAX_SAFE_INTEGER, LogEntry

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope

    from logwell_otel._otel import LogRecord, ReadableLogRecord

T = TypeVar("T")


# Attributes to look at closely: those that fill a field of the entry, and those that have
# a reserved name. Few records have any, and comparing with one set tells.
_SPECIAL: Final = RESERVED.union(("service.name",), LOCATION, CORRELATION)
# Where the server looks for the id of a request.
_REQUEST_IDS: Final = frozenset(("request.id", "request_id", "http.request_id"))
_BLANK: Final = frozenset(JS_BLANK)
"""Characters that a message may begin with and have nothing else."""

# Few places log, and each with the same names; a program that makes names up does not fill
# the memory.
_MOST_SHAPES: Final = 512
_MOST_NAMES: Final = 64

_FLAGS: Final = tuple(f"{flags:02x}" for flags in range(256))
BETWEEN_IDS: Final = tuple(f'","trace_flags":"{flags}","span_id":"' for flags in _FLAGS)
"""By trace flags, what stands between trace id and span id in the JSON of an entry."""


class Mapper:
    """Turns records into entries.

    Safe to use from several threads: the caches of its parts are plain dictionaries and
    tuples that are replaced whole, so that the worst a race costs is doing a thing twice.

    Args:
        service: Service name of every entry; None takes the resource's. A record's own
            `service.name` attribute wins over both.
        source_location: False leaves file and line out of entries altogether.
        request_id_from_trace: True gives entries the trace id as `request_id` where they have
            no id of a request.
        redact: Takes secrets out of what resource and scope say. With it, bytes in metadata
            stay bytes, for the redactor that the entries go through next.
        levels: Least severe levels by logger, or `off`.

    Attributes:
        redacts: Whether entries are made for a redactor.
        severity: Function from a `LogRecord` to its `Severity`.
        resource_scope: Function from a `ReadableLogRecord` to its `ResourceScope`.
    """

    def __init__(
        self,
        service: str | None = None,
        *,
        source_location: bool = True,
        request_id_from_trace: bool = False,
        redact: Callable[[LogEntry], LogEntry] | None = None,
        levels: Mapping[str, str] | None = None,
    ) -> None:
        self._source_location = source_location
        self._request_id_from_trace = request_id_from_trace
        self.redacts = redact is not None
        self._timestamps = Timestamps()
        # Names of attributes that came together, and which of them are reserved; None where none
        # is special. A lookup takes half the time of looking at each name.
        self._shapes: dict[tuple[str, ...], tuple[str, ...] | None] = {}
        self.severity = Severities().of
        self.resource_scope = ResourceScopes(service, levels, redact).of

    def entry(  # noqa: C901, PLR0912, PLR0915 - a call costs more than most of these steps
        self,
        log: LogRecord,
        severity: Severity,
        source: ResourceScope,
        ready: bool = False,
    ) -> LogEntry:
        """Make the entry for a record.

        Args:
            log: The record.
            severity: Its severity.
            source: Its resource and scope.
            ready: True for an entry that nobody looks into before it is encoded, a redactor
                excepted: parts of its metadata may then be ready JSON, and one of them may be
                the first of several members. With a redactor only what it need not see is.
                False gives plain values by their names.
        """
        attributes = log.attributes
        kind = type(attributes)
        if kind is CleanAttributes and (clean := attributes.clean) is not None:  # type: ignore[union-attr]
            metadata: dict[str, Any] = clean.copy()
            dropped = attributes.dropped  # type: ignore[union-attr]
        elif kind is BoundedAttributes or kind is CleanAttributes:
            # Copies the dictionary inside in one step: another thread may be adding to it.
            metadata = attributes.copy()  # type: ignore[union-attr]
            dropped = attributes.dropped  # type: ignore[union-attr]
        else:
            metadata, dropped = _foreign_attributes(attributes, self.redacts)
        service = source.service
        source_file = metadata.pop("code.file.path", ABSENT)
        line_number = metadata.pop("code.line.number", ABSENT)
        try:
            reserved = self._shapes[names := tuple(metadata)]
        except KeyError:
            reserved = self._reserved(names)
        if reserved is not None:
            if "service.name" in metadata:
                service = _service_of_record(metadata) or service
            if CORRELATION[0] in metadata:
                take_correlation(metadata, in_trace=bool(log.trace_id))
        if (
            type(source_file) is not str
            or type(line_number) is not int
            or not 0 < line_number <= MAX_LINE_NUMBER
            or not source_file
            or not self._source_location
        ):
            if (
                source_file is not ABSENT
                or line_number is not ABSENT
                or (reserved is not None and not LOCATION.isdisjoint(metadata))
            ):
                source_file, line_number = take_location(
                    metadata, source_file, line_number, wanted=self._source_location
                )
            else:
                source_file = line_number = None

        if self._request_id_from_trace:
            _add_request_id(metadata, log.trace_id)

        cut = False
        for value in metadata.values():
            if type(value) is str:
                continue
            kind = type(value)
            if kind is int:
                if MIN_SAFE_INTEGER <= value <= MAX_SAFE_INTEGER:
                    continue
            elif kind is float:
                if value - value == 0:  # finite
                    continue
            elif kind is bool or value is None:
                continue
            cut = _convert(metadata, ready, self.redacts)
            break

        message = log.body
        if (
            not ready
            or reserved is not None
            or cut
            or dropped
            or log.event_name
            or type(message) is not str
            or not message
            or message[0] in _BLANK  # the first character decides for nearly every message
            or not (trace_id := log.trace_id)
            or not (span_id := log.span_id)
        ):
            aside = set_aside(metadata, reserved) if reserved else None
            if cut:
                metadata[TRUNCATED] = True
            message = _add_record_fields(
                metadata, log, severity, dropped, ready=ready, raw_bytes=self.redacts
            )
            metadata |= source.shared
            if aside:
                put_back(metadata, aside)
        else:
            if severity.metadata:
                metadata |= severity.metadata
            try:
                # All that is ours in one piece: a dictionary that does not outgrow its place,
                # and five members less to encode.
                metadata["trace_id"] = Raw(
                    f'"{trace_id.to_bytes(16, "big").hex()}{BETWEEN_IDS[log.trace_flags]}'
                    f"{span_id.to_bytes(8, 'big').hex()}{source.rest}"
                )
            except (AttributeError, IndexError, OverflowError, TypeError):
                _add_trace_context(metadata, log)
                metadata |= source.shared
        at = log.timestamp
        start, prefix = self._timestamps.second
        if type(at) is int and 0 < (rest := at - start) < SECOND:
            micros = rest // 1000
            timestamp = f"{prefix}{THREE_DIGITS[micros // 1000]}{THREE_DIGITS[micros % 1000]}Z"
        else:
            timestamp = self._timestamps.of(log)
        return LogEntry(
            level=severity.level,
            message=message,
            timestamp=timestamp,
            service=service,
            source_file=source_file,
            line_number=line_number,
            metadata=metadata,
        )

    def _reserved(self, names: tuple[str, ...]) -> tuple[str, ...] | None:
        """Which of the names are reserved, None where none is special; remembered."""
        reserved: tuple[str, ...] | None = None
        if not _SPECIAL.isdisjoint(names):
            reserved = tuple(filter(RESERVED.__contains__, names))
        if len(names) <= _MOST_NAMES:
            if len(self._shapes) >= _MOST_SHAPES:
                self._shapes = {}
            self._shapes[names] = reserved
        return reserved

    def salvage(self, record: ReadableLogRecord, error: BaseException) -> LogEntry:
        """Make an entry of what can be read of a record that `entry` could not."""
        # Each part on its own: any of them may be what cannot be read.
        log: Any = None
        with suppress(Exception):
            log = record.log_record
        entry = unreadable(error, self._timestamps.of(log))
        with suppress(Exception):
            entry.level = self.severity(log).level
        with suppress(Exception):
            entry.message = _message(log, entry.metadata, raw_bytes=self.redacts)
        with suppress(Exception):
            _add_trace_context(entry.metadata, log)
        with suppress(Exception):
            source = self.resource_scope(record)
            entry.service = source.service
            entry.metadata |= source.shared
        with suppress(Exception):
            put_back(entry.metadata, plain_metadata(log.attributes, self.redacts))
        return entry


class DroppedRecord(Exception):  # noqa: N818 - a decision, not an error
    """A record becomes no entry: a stage has decided so.

    Args:
        reason: What it is counted as.
        warning: What to tell people, None for nothing.
        interrupt: What is to be raised once the batch is accounted for, None for nothing.
    """

    def __init__(
        self, reason: str, warning: str | None = None, interrupt: BaseException | None = None
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.warning = warning
        self.interrupt = interrupt


def unreadable(error: BaseException, timestamp: str | None) -> LogEntry:
    """Make an entry in the place of one that cannot be made: it says why."""
    problem = f"{type(error).__name__}: {safe_str(error)}"
    return LogEntry(
        level="warn",
        message=NO_MESSAGE,
        timestamp=timestamp,
        metadata={"logwell.mapping_error": problem},
    )


def _foreign_attributes(attributes: Any, raw_bytes: bool) -> tuple[dict[str, Any], int]:
    """Return attributes that are not the SDK's own, and how many had been dropped."""
    if not attributes:
        return {}, 0
    if not isinstance(attributes, Mapping):
        return {"attributes": attributes}, 0
    dropped = attributes.dropped if isinstance(attributes, BoundedAttributes) else 0
    return plain_metadata(attributes, raw_bytes), dropped


def _service_of_record(metadata: dict[str, Any]) -> str | None:
    """Return the service that the record names. What does not fit the field whole stays."""
    given = metadata["service.name"]
    name = service_name(given)
    if name is not None and name == given:
        del metadata["service.name"]
    return name


def _convert(metadata: dict[str, Any], ready: bool, raw_bytes: bool) -> bool:
    """Convert values that are not plain, each on its own; True if something was cut."""
    cut = False
    raw = ready and not raw_bytes
    for key, value in metadata.items():
        kind = type(value)
        if kind is str:
            if "\0" in value and len(value) <= MAX_CHARACTERS:  # saves the chunk a second look
                metadata[key] = storable(value)
        elif kind is float:
            metadata[key] = number(value)
        # What `convert` answers to the next two, without two calls more.
        elif kind is int and value.bit_length() <= MAX_DECIMAL_BITS:
            if not MIN_SAFE_INTEGER <= value <= MAX_SAFE_INTEGER:
                metadata[key] = str(value)
        elif kind is tuple and raw and (json := convert_structure(value)) is not None:
            metadata[key] = Raw(json)
        else:
            metadata[key], cut_here = convert(value, raw, raw_bytes)
            cut |= cut_here
    return cut


def _add_record_fields(
    metadata: dict[str, Any],
    log: LogRecord,
    severity: Severity,
    dropped: int,
    *,
    ready: bool,
    raw_bytes: bool,
) -> str:
    """Add what becomes metadata beside the attributes; return the message."""
    if severity.metadata:
        metadata |= severity.metadata
    try:
        if trace_id := log.trace_id:
            metadata["trace_id"] = trace_id.to_bytes(16, "big").hex()
            metadata["trace_flags"] = _FLAGS[log.trace_flags]
        if span_id := log.span_id:
            metadata["span_id"] = span_id.to_bytes(8, "big").hex()
    except (AttributeError, IndexError, OverflowError, TypeError):
        _add_trace_context(metadata, log)
    if log.event_name:
        metadata["otel.event.name"] = safe_str(log.event_name)
    if dropped:
        metadata["otel.dropped_attributes_count"] = dropped
    message = log.body
    if type(message) is str and message and message[0] not in _BLANK:
        return message
    return _message(log, metadata, ready, raw_bytes)


def _message(
    log: LogRecord, metadata: dict[str, Any], ready: bool = False, raw_bytes: bool = False
) -> str:
    """Return the body as text, a structure as JSON; else the event's name or the exception.

    Args:
        log: The record.
        metadata: Its attributes; a body that is no text is added as `body`.
        ready: As ready JSON, if it can be.
        raw_bytes: With bytes as they are in `body`; in a text they are base64.
    """
    body = log.body
    kind = type(body)
    if (kind is dict or kind is list or kind is tuple) and (
        json := convert_structure(body)
    ) is not None:
        metadata["body"] = msgspec.Raw(json) if ready and not raw_bytes else from_json(json)
        return json.decode("utf-8")
    if body is not None:
        conversion = BodyConversion(raw_bytes=raw_bytes)
        converted = conversion.value(body)
        if isinstance(converted, bytes):
            converted = from_json(to_json(converted))
        if isinstance(converted, str):
            message = converted
        else:
            message = to_json(converted).decode("utf-8")
            metadata["body"] = converted
        if conversion.cut:
            metadata[TRUNCATED] = True
        if message.strip(JS_BLANK):
            return message
    kind, reason = (
        _read(metadata, name, raw_bytes) for name in ("exception.type", "exception.message")
    )
    exception = f"{kind}: {reason}" if kind and reason else kind or reason
    for candidate in (metadata.get("otel.event.name"), exception):
        if isinstance(candidate, str) and candidate.strip(JS_BLANK):
            return candidate
    return NO_MESSAGE


def _read(metadata: dict[str, Any], name: str, raw_bytes: bool) -> Any:
    """Return a value as it will be read: what is ready for encoding may be JSON or bytes."""
    value = metadata.get(name)
    if raw_bytes and type(value) is bytes:
        return text_of_bytes(value)
    if type(value) is msgspec.Raw or type(value) is bytes:
        return from_json(to_json(value))
    return value


def _add_trace_context(metadata: dict[str, Any], log: LogRecord) -> None:
    """Add what is valid of an unusual trace context."""
    for name in ("trace_id", "trace_flags", "span_id"):
        metadata.pop(name, None)
    if trace_id := _hex_id(log.trace_id, 16):
        flags: object = log.trace_flags
        metadata["trace_id"] = trace_id
        metadata["trace_flags"] = _FLAGS[flags & 0xFF if isinstance(flags, int) else 0]
    if span_id := _hex_id(log.span_id, 8):
        metadata["span_id"] = span_id


def _add_request_id(metadata: dict[str, Any], trace_id: int | None) -> None:
    if _REQUEST_IDS.isdisjoint(metadata) and (request_id := _hex_id(trace_id, 16)):
        metadata["request_id"] = request_id


def _hex_id(value: object, size: int) -> str | None:
    """Return a trace or span id in hexadecimal, None for what is none."""
    if isinstance(value, int) and 0 < value < 1 << (8 * size):
        return value.to_bytes(size, "big").hex()
    return None


# Resource and scope: what all their records share, made ready once.

_RANKS: Final[dict[str, int]] = {level: rank for rank, level in enumerate(LEVELS)}

OWN_SCOPE: Final = "logwell_otel"
"""Our own warnings pass through the application's logging, and so come back as records:
one about a failed request must not become the next request."""

_COMMAND_LINE: Final = frozenset({"process.command_line", "process.command_args"})
"""What the process detector adds: passwords given as arguments, and our own key."""

_MAX_RESOURCE_BYTES: Final = 32 * 1024
_MAX_SCOPE_BYTES: Final = 8 * 1024
_MAX_NAME_BYTES: Final = 1024
_MAX_RESOURCES: Final = 16
# One for each named logger: large programs have hundreds.
_MAX_SCOPES: Final = 2048


class ResourceScope(msgspec.Struct, frozen=True):
    """Resource and scope of a record.

    Attributes:
        resource: The resource; held, so that its id stays its own.
        scope: The scope, held likewise.
        own: True for records of this package's own logger.
        least: Place in `LEVELS` that records must have where the scope's logger has a level of
            its own, beyond the last for none of them; else None.
        service: The service name that entries have when their record names none.
        shared: Metadata of the resource (as ready JSON) and the scope.
        rest: `shared` as JSON that follows the text of a member before it: `","name":value,…`.
    """

    resource: Resource | None
    scope: InstrumentationScope | None
    own: bool
    least: int | None
    service: str | None
    shared: dict[str, Any]
    rest: str


class ResourceScopes:
    """Finds resource and scope of a record: each of them is looked at once.

    Safe to use from several threads: its caches are plain dictionaries, and the worst that
    a race costs is doing a thing twice.

    Args:
        service: Service name of every entry; None takes the resource's.
        levels: Least severe levels by logger, or `off`.
        redact: Takes secrets out of the metadata of an entry, None for no redaction. What
            resource and scope say goes through it once, not with every record.
    """

    def __init__(
        self,
        service: str | None,
        levels: Mapping[str, str] | None = None,
        redact: Callable[[LogEntry], LogEntry] | None = None,
    ) -> None:
        self._redact = redact
        self._service = service_name(service)
        self._levels = levels or {}
        self._scopes: dict[int, ResourceScope] = {}
        self._resources: dict[int, tuple[Resource | None, str | None, msgspec.Raw | None]] = {}

    def of(self, record: ReadableLogRecord) -> ResourceScope:
        """Return resource and scope of `record`."""
        resource, scope = record.resource, record.instrumentation_scope
        found = self._scopes.get(id(scope))
        if found is not None and found.resource is resource and found.scope is scope:
            return found
        return self._new(resource, scope)

    def _new(self, resource: Resource | None, scope: InstrumentationScope | None) -> ResourceScope:
        service, attributes = self._ready(resource)
        shared: dict[str, Any] = {}
        if scope is not None:
            shared.update(self._scope(scope))
        if attributes is not None:
            shared["resource"] = attributes
        own = scope is not None and scope.name == OWN_SCOPE
        members = msgspec.json.encode(shared)[1:-1].decode()
        rest = f'",{members}' if members else '"'
        least = None
        if self._levels and scope is not None and type(scope.name) is str:
            level = level_of_logger(scope.name, self._levels)
            if level is not None:
                least = _RANKS.get(level, len(LEVELS))
        new = ResourceScope(resource, scope, own, least, service, shared, rest)
        if len(self._scopes) >= _MAX_SCOPES:
            self._scopes = {}
        self._scopes[id(scope)] = new
        return new

    def _ready(self, resource: Resource | None) -> tuple[str | None, msgspec.Raw | None]:
        found = self._resources.get(id(resource))
        if found is not None and found[0] is resource:
            return found[1:]
        attributes = self._plain({} if resource is None else resource.attributes)
        service = self._service
        if service is None:
            given = None if resource is None else resource.attributes.get("service.name")
            service = service_name(given)
        kept = {
            key: value
            for key, value in attributes.items()
            if not (key == "service.name" and type(value) is str)
            and key not in _COMMAND_LINE
            and not key.startswith("telemetry.sdk.")
        }
        ready = _json(kept, _MAX_RESOURCE_BYTES) if kept else None
        if len(self._resources) >= _MAX_RESOURCES:
            self._resources = {}
        self._resources[id(resource)] = (resource, service, ready)
        return service, ready

    def _scope(self, scope: InstrumentationScope) -> dict[str, Any]:
        found = {"otel.scope.name": safe_str(scope.name or "")}
        found["otel.scope.version"] = safe_str(scope.version or "")
        if self._redact is not None:
            found = self._redacted(found)
        shared: dict[str, Any] = {
            name: cut_utf8(text, _MAX_NAME_BYTES) for name, text in found.items() if text
        }
        if attributes := scope.attributes:
            shared["otel.scope.attributes"] = _json(self._plain(attributes), _MAX_SCOPE_BYTES)
        return shared

    def _plain(self, attributes: Mapping[str, Any]) -> dict[str, Any]:
        plain = plain_metadata(attributes, raw_bytes=self._redact is not None)
        if self._redact is None:
            return plain
        return plain_metadata(self._redacted(plain))

    def _redacted(self, metadata: dict[str, Any]) -> dict[str, Any]:
        if self._redact is None:
            return metadata
        return self._redact(LogEntry(level="info", message="", metadata=metadata)).metadata


def level_of_logger(name: str, levels: Mapping[str, T]) -> T | None:
    """Return what `levels` has for a logger or the nearest one above it, None for nothing."""
    while name not in levels:
        name, dot, _ = name.rpartition(".")
        if not dot:
            return None
    return levels[name]


def _json(attributes: dict[str, Any], limit: int) -> msgspec.Raw:
    """Encode plain attributes in about `limit` bytes, once for all records they belong to."""
    holder = LogEntry(level="info", message="", metadata=attributes)
    fit(holder, limit)
    return msgspec.Raw(msgspec.json.encode(holder.metadata))
